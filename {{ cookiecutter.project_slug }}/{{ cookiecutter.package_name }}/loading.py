"""A run that has ended, taken up again: its best weights, its configuration and its data."""

from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig, OmegaConf
from torch import nn

from . import runs
from .build import build
from .checkpoint import load_weights
from .data import Data


class TrainedRun(NamedTuple):
    """``network`` has the best weights and is in evaluation mode; ``data`` is what it was trained on."""

    network: nn.Module
    config: DictConfig
    data: Data
    folder: Path


def load_run(run: str | Path) -> TrainedRun:
    """Load a run: its folder, the short id at the end of it, or ``latest``.

    Raises: ValueError: there is no such run, or its data or network cannot be made any more.
    """
    folder = runs.find(str(run))
    config = OmegaConf.load(folder / "config.yaml")
    assert isinstance(config, DictConfig)
    data, classifier = build(config)
    load_weights(classifier, folder / "checkpoints" / "best.ckpt")
    return TrainedRun(classifier.network.eval(), config, data, folder)
