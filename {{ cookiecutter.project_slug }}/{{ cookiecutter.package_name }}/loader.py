"""The loader: whole batches, each cut out of the rows by one index.

The order of an epoch is a function of ``(seed, epoch)`` alone, so that a run which goes on in the middle of an epoch
meets the same batches as one that never stopped.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import distributed

from .data import Rows


class Batches:
    """An iterable of batches ``(x, y)`` of ``batch_size`` rows or fewer; with a ``seed``, shuffled anew in every epoch.

    With several processes each gets every n-th row of the order, equally many: the last ones are left out.
    Lightning calls ``set_epoch`` on ``loader.sampler``, and only after ``iter``; so the order is drawn with the first
    batch.
    """

    def __init__(self, rows: Rows, batch_size: int, seed: int | None = None) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self.first_batch = self.next_batch = 0
        self.sampler, self.batch_sampler = self, None

    def __len__(self) -> int:
        return -(-(len(self.rows.y) // world_size()) // self.batch_size)

    def __iter__(self) -> Iterator[Rows]:
        first, self.first_batch = self.first_batch, 0  # but for one that goes on, an epoch starts at its beginning
        order = self.order().to(self.rows.x.device)
        for number, index in enumerate(order.split(self.batch_size)[first:], start=first + 1):
            self.next_batch = number % len(self)
            yield self.rows.at(index)

    def order(self) -> torch.Tensor:
        """The rows of this epoch, for this process, in the order in which they are handed out."""
        if self.seed is None:
            order = torch.arange(len(self.rows.y))
        else:
            # Torch's generator knows 32 bits of its seed; this hash gives every pair of numbers others.
            (mixed,) = np.random.SeedSequence((self.seed, self.epoch)).generate_state(1)
            generator = torch.Generator().manual_seed(int(mixed))
            order = torch.randperm(len(self.rows.y), generator=generator)
        share = len(order) // world_size()
        return order[rank() :: world_size()][:share]

    def set_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:  # the last one may have been left early: trainer.limit_train_batches
            self.epoch, self.first_batch, self.next_batch = epoch, 0, 0

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "next_batch": self.next_batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.first_batch = state["epoch"], state["next_batch"]


def world_size() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0
