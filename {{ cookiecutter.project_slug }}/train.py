"""Train a network:  python train.py +experiment=NAME KEY=VALUE ...   (python train.py --help lists the choices)"""

from omegaconf import DictConfig

from your_package import command_line


def train(config: DictConfig) -> float:
    """Train once, from the data to the result, in a run folder of its own; return the best value of the monitor."""
    # Imported here: torch and Lightning take seconds, and a mistake is answered before.
    from hydra.utils import instantiate

    from your_package import again, reproduce, resume
    from your_package.build import build
    from your_package.checkpoint import load_weights
    from your_package.loader import Batches
    from your_package.recording import Recording

    with command_line.mistakes_refused():
        start = again.start(config)
        config = start.config
        data, classifier = build(config)
        stopped = resume.stopped(config, classifier) if start.resumes else None
        trainer = instantiate(config.trainer)
    if config.compile:
        classifier.network.compile()
    data = data.on(trainer.strategy.root_device)
    train_batches = Batches(data.train, config.data.batch_size, config.seed)
    val_batches = Batches(data.val, config.data.batch_size)

    with Recording(config, trainer, stopped) as recording:
        trainer.loggers = list(instantiate(config.logger).values())
        recording.begin()
        trainer.fit(classifier, train_batches, val_batches, ckpt_path=stopped.path if stopped else None)
        load_weights(classifier, trainer.checkpoint_callback.best_model_path)
        if config.test:
            trainer.test(classifier, Batches(data.test, config.data.batch_size), verbose=False)
    if start.reproduces:
        reproduce.compare(start.reproduces, recording.folder)
    return recording.best_value


if __name__ == "__main__":
    command_line.run(train, "train")
