"""The machinery of a project: runs, resume, command line, callbacks, doctor, comparison. See README.md beside this."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from .cli.main import run_with_hydra as main
from .cli.main import train
from .errors import Refused

if TYPE_CHECKING:
    from .runs.session import Run

__version__ = "2.0.0"
__all__ = ["Refused", "main", "run", "train"]


def run(config: DictConfig) -> "AbstractContextManager[Run]":
    """Open the run that ``config`` describes: its folder, loggers, resume and summary."""
    from .runs.session import Run  # imports torch and Lightning, which take seconds

    return Run(config)
