"""Train a network:  python train.py +experiment=NAME KEY=VALUE ...   (python train.py --help lists the options)"""

import trainwell
from omegaconf import DictConfig


def train(config: DictConfig) -> float:
    """Train once, from the data to the result, in a run folder of its own; return the best value of the monitor."""
    with trainwell.run(config) as run:
        data = run.data()  # the LightningDataModule of config.data
        task = run.task(data)  # the LightningModule of config.task; its weights depend on config.seed alone
        trainer = run.trainer()  # the lightning.Trainer of config.trainer, with callbacks and loggers
        trainer.fit(task, datamodule=data, ckpt_path=run.checkpoint)
        run.load_best_weights(task)
        if run.config.test:
            trainer.test(task, datamodule=data, verbose=False)
    return run.best_value


if __name__ == "__main__":
    trainwell.main(train)
