"""A DataLoader for samples that are made one by one; it resumes an epoch exactly, with any number of workers.

The order of an epoch depends on ``(seed, epoch)`` alone, and the random numbers that a batch is made with, as in
augmentation, on ``(seed, epoch, batch)`` alone.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler, SequentialSampler

from ..rng import preserved_random_states
from .batches import EpochState, epoch_order, mixed, rank, world_size

Key = tuple[int, int, int]  # the epoch, the place in its order among all processes, the sample


class ResumableLoader(DataLoader[Any]):
    """A DataLoader over a dataset or a list, with its keywords, that leaves the global random states alone.

    With several processes each gets every n-th sample of the order. The last ones, too few to share evenly, are left
    out where samples are shuffled, and otherwise only where some processes would have a batch more than others.
    """

    sampler: "EpochOrder"

    def __init__(
        self, dataset: Dataset[Any] | Sequence[Any], batch_size: int, *, seed: int, shuffle: bool = True, **kw: Any
    ) -> None:
        sampler = kw.pop("sampler", None)  # Lightning makes the loader again with one for trainer.overfit_batches
        if sampler is not None and not isinstance(sampler, SequentialSampler):
            raise ValueError("ResumableLoader has an order of its own and takes no sampler")
        order = EpochOrder(dataset, batch_size, seed if shuffle and sampler is None else None)
        kw.setdefault("generator", torch.Generator())  # of the workers' own seeds, which nothing depends on
        self.seed = seed
        seeded = dataset if isinstance(dataset, SeededDataset) else SeededDataset(dataset, seed)
        super().__init__(seeded, batch_size, sampler=order, **kw)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # started with the first batch: see EpochOrder
        for number, batch in enumerate(super().__iter__(), start=self.sampler.first_batch + 1):
            self.sampler.next_batch = number % len(self)
            yield batch

    def set_epoch(self, epoch: int) -> None:
        self.sampler.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        return self.sampler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sampler.load_state_dict(state)


class EpochOrder(EpochState, DistributedSampler[Any]):
    """The order of an epoch. Lightning leaves a DistributedSampler as it is, and calls ``set_epoch`` after ``iter``."""

    def __init__(self, dataset: Any, batch_size: int, seed: int | None) -> None:
        super().__init__(dataset, num_replicas=1, rank=0)
        self.count, self.batch_size, self.order_seed = len(dataset), batch_size, seed

    def __len__(self) -> int:
        """Samples of this process: without shuffling all are used, unless some processes had a batch more then."""
        share = self.count // world_size()
        if self.order_seed is None and share % self.batch_size:  # the last batch has room for one sample more
            return len(range(rank(), self.count, world_size()))
        return share

    def __iter__(self) -> Iterator[Key]:
        first, self.first_batch = self.first_batch * self.batch_size, 0
        order = epoch_order(self.count, self.order_seed, self.epoch)[: len(self)].tolist()
        for place, index in enumerate(order[first:], start=first):
            yield self.epoch, place * world_size() + rank(), index


class SeededDataset(Dataset[Any]):
    """A dataset whose batches are each made with random states of their own."""

    def __init__(self, samples: Any, seed: int) -> None:
        self.samples, self.seed = samples, seed

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        return self.samples[index]

    def __getitems__(self, keys: list[Key]) -> list[Any]:
        epoch, place, _ = keys[0]
        indices = [index for _, _, index in keys]
        with preserved_random_states():
            seed = mixed(self.seed, epoch, place)
            torch.default_generator.manual_seed(seed)
            np.random.seed(seed)
            random.seed(seed)
            if hasattr(self.samples, "__getitems__"):
                return self.samples.__getitems__(indices)
            return [self.samples[index] for index in indices]
