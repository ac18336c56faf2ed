"""See what is wrong with a training before it runs:  python doctor.py +experiment=NAME KEY=VALUE ...

Takes what train.py takes. With --repair it also looks for overrides that mend what is wrong.
"""

import sys

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from your_package import command_line

REPAIR = "--repair"
sick: list[list[str]] = []  # of a sweep, every job that is not healthy


def doctor(config: DictConfig) -> None:
    """Examine one configuration, say what is wrong with it, and write ``doctor.json``."""
    from your_package.consultation import consult

    overrides = list(HydraConfig.get().overrides.task)
    with command_line.mistakes_refused():
        healthy = consult(config, overrides, repair=REPAIR in options)
    if not healthy:
        sick.append(overrides)


if __name__ == "__main__":
    options = [argument for argument in sys.argv if argument == REPAIR]
    sys.argv = [argument for argument in sys.argv if argument != REPAIR]
    command_line.run(doctor, "train")
    sys.exit(1 if sick else 0)
