"""Train a network:  python train.py +experiment=NAME KEY=VALUE ...   (python train.py --help lists the choices)"""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from your_package import command_line


def train(config: DictConfig) -> float:
    """Train once, from the data to the result, in a run folder of its own; return the best value of the monitor."""
    # Imported here: torch and Lightning take seconds, and a mistake is answered before.
    from hydra.utils import instantiate

    from your_package import run_folder
    from your_package.build import build
    from your_package.checkpoint import load_weights
    from your_package.loader import Batches
    from your_package.recording import Recording

    with command_line.mistakes_refused():
        data, classifier = build(config)
        config.run_folder = str(run_folder.name(HydraConfig.get().overrides.task))
        trainer = instantiate(config.trainer)
    batch_size = config.data.batch_size

    with Recording(config, trainer) as recording:
        trainer.loggers = list(instantiate(config.logger).values())
        recording.begin()
        trainer.fit(classifier, Batches(data.train, batch_size, config.seed), Batches(data.val, batch_size))
        load_weights(classifier, trainer.checkpoint_callback.best_model_path)
        if config.test:
            trainer.test(classifier, Batches(data.test, batch_size), verbose=False)
    return recording.best_value


if __name__ == "__main__":
    command_line.run(train, "train")
