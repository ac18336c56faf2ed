"""Batches of samples that are held in memory, each cut out by one index.

The order of an epoch is a function of ``(seed, epoch)`` alone, and what is drawn at random for a sample, such as its
augmentation, of these, the sample and the purpose. So a resumed run sees the same batches as one that was never
interrupted, and a sample is augmented alike whatever the batch size and the number of processes.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, distributed


class Samples(NamedTuple):
    """Inputs (N, *in_shape), float32 or, for integers that are not standardized, int64; and targets.

    Targets are classes (N,), int64; numbers (N, K), float32; or labels (N, L), int64, each 0 or 1.
    """

    x: Tensor
    y: Tensor

    @classmethod
    def from_numpy(cls, x: np.ndarray, y: np.ndarray) -> "Samples":
        """Floating values as float32, integers as int64."""
        parts = [part.astype(np.int64 if part.dtype.kind in "iu" else np.float32, copy=False) for part in (x, y)]
        return cls(*map(torch.from_numpy, parts))

    def at(self, index: Tensor) -> "Samples":
        return Samples(self.x[index], self.y[index])


Transform = Callable[[Samples, Tensor, int], Samples]  # of a batch, the places (B,) of its samples, the epoch


class EpochState:
    """Where an epoch is: what ``set_epoch`` of a sampler begins, and what a checkpoint keeps of a loader."""

    epoch = 0
    first_batch = 0  # with which the next iteration starts, once
    next_batch = 0

    def set_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:  # the last one may have been left early: trainer.limit_train_batches
            self.epoch, self.first_batch, self.next_batch = epoch, 0, 0

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "next_batch": self.next_batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.first_batch = state["epoch"], state["next_batch"]


class Batches(EpochState):
    """An iterable of batches ``(x, y)`` of at most ``batch_size`` samples; with a ``seed``, shuffled in every epoch.

    With several processes each gets every n-th sample of the order. Of a shuffled order the last ones, too few to share
    evenly, are left out; without a seed, as in validation, none is, and all processes have as many batches.
    The order is drawn with the first batch: Lightning calls ``loader.sampler.set_epoch`` after ``iter``.
    ``transform``, such as an augmentation, is called with a batch, the indices (B,) of its samples and the epoch.
    """

    def __init__(
        self, samples: Samples, batch_size: int, seed: int | None = None, transform: Transform | None = None
    ) -> None:
        self.samples = samples
        self.batch_size = batch_size
        self.seed = seed
        self.transform = transform
        self.sampler, self.batch_sampler = self, None

    def __len__(self) -> int:
        count, processes = len(self.samples.y), world_size()
        largest_share = -(-count // processes) if self.seed is None else count // processes
        return -(-largest_share // self.batch_size)

    def __iter__(self) -> Iterator[Samples]:
        first, self.first_batch = self.first_batch, 0  # only a resumed epoch starts later than at its beginning
        order = epoch_order(len(self.samples.y), self.seed, self.epoch).to(self.samples.x.device)
        even = self.seed is None and world_size() > 1
        indices = order.tensor_split(len(self)) if even else order.split(self.batch_size)
        for number, index in enumerate(indices[first:], start=first + 1):
            self.next_batch = number % len(self)
            batch = self.samples.at(index)
            yield batch if self.transform is None else self.transform(batch, index, self.epoch)


def epoch_order(count: int, seed: int | None, epoch: int) -> Tensor:
    """This process's share of the indices 0 to ``count - 1``, in the epoch's order; without a seed, all, ascending."""
    if seed is None:
        return torch.arange(count)[rank() :: world_size()]
    order = torch.randperm(count, generator=torch.Generator().manual_seed(mixed(seed, epoch)))
    return order[rank() :: world_size()][: count // world_size()]


def mixed(*numbers: int) -> int:
    """A seed of 32 bits, as many as torch's generator uses, that differs for every sequence of numbers."""
    (seed,) = np.random.SeedSequence(numbers).generate_state(1)
    return int(seed)


class SampleRandom(NamedTuple):
    """Random numbers for the samples at ``places`` (B,) of a split of ``split_size`` samples; a purpose has its own."""

    seed: int
    epoch: int
    places: Tensor
    split_size: int

    def uniform(self, purpose: str, count: int = 1) -> Tensor:
        """Numbers (count, B) in [0, 1), float32."""
        drawn = draws(self.seed, self.epoch, purpose, count, self.split_size, self.places.device)
        return drawn[:, self.places]

    def integers(self, purpose: str, below: int, count: int = 1) -> Tensor:
        """Numbers (count, B) from 0 to ``below - 1``, int64."""
        return (self.uniform(purpose, count).double() * below).long()


@lru_cache(maxsize=8)  # as many as an epoch has purposes
def draws(seed: int, epoch: int, purpose: str, count: int, split_size: int, device: torch.device) -> Tensor:
    """Numbers (count, split_size) of an epoch, drawn on the CPU, so that they are the same on any device."""
    generator = torch.Generator().manual_seed(mixed(seed, epoch, crc32(purpose.encode())))
    return torch.rand(count, split_size, generator=generator).to(device)


def world_size() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0
