"""The targets of a data module's splits, and their names."""

import torch
from lightning import LightningDataModule
from torch import Tensor

from ..outputs import names_of
from ..rng import preserved_random_states
from .batches import Batches

MOST_READ = 10_000  # train samples that are taken from a loader that does not hold them in memory


def train_targets(data: LightningDataModule) -> Tensor:
    """The targets of the train split; of data that are not in memory, those of the first samples of an epoch."""
    return targets_of(data.train_dataloader(), MOST_READ)


def val_targets(data: LightningDataModule) -> Tensor:
    return targets_of(data.val_dataloader(), None)


def targets_of(loader: object, most: int | None) -> Tensor:
    """Without an effect on random numbers; as stored, before a transform of whole batches."""
    if isinstance(loader, Batches):
        return loader.samples.y
    targets: list[Tensor] = []
    with preserved_random_states():
        for _, y in loader:  # type: ignore[attr-defined]
            targets.append(y)
            if most is not None and sum(map(len, targets)) >= most:
                break
    return torch.cat(targets)


def name_of(data: LightningDataModule, place: int, count: int) -> str:
    """Of one of ``count`` classes, numbers or labels; without names, its number."""
    names = names_of(data, count)
    return str(place) if names is None else names[place]
