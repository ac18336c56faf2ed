"""``trainwell doctor``: takes what train.py takes, and ``--repair`` or ``--versions``."""

import sys

from omegaconf import DictConfig

from ..errors import Refused
from .main import run_with_hydra

HELP = """trainwell doctor [--repair] [KEY=VALUE ...]     trainwell doctor --versions

Examines the data, the network and the first 200 steps of the training that train.py would start with the same
overrides. Exit status 0: healthy; 1: something was found; 2: the configuration is refused. --repair tries what it
offers and keeps what helps; --versions compares what is installed with what the project needs.
"""


def main(arguments: list[str]) -> int:
    """Returns: 0 if every configuration, or with ``--versions`` the installation, is healthy, else 1."""
    if "--versions" in arguments:
        from . import versions

        if len(arguments) > 1:
            raise Refused(["--versions is about the installation, so leave out everything else"])
        return versions.main()

    if {"--help", "-h"} & set(arguments):
        print(HELP)
    from hydra.core.hydra_config import HydraConfig

    from ..doctor.command import examine_config

    healthy: list[bool] = []  # each configuration of a sweep

    def examine_job(config: DictConfig) -> None:
        try:
            overrides = list(HydraConfig.get().overrides.task)
            healthy.append(examine_config(config, overrides, repair="--repair" in arguments))
        except (ImportError, ValueError) as error:
            raise Refused(str(error).splitlines()) from error

    sys.argv = ["trainwell doctor", *(argument for argument in arguments if argument != "--repair")]
    run_with_hydra(examine_job)
    return 0 if all(healthy) else 1
