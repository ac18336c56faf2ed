"""Schedulers: how the learning rate changes while the network trains.

Each takes the optimizer and how many steps the whole training has, and returns what Lightning wants of a scheduler, or
None for a rate that stays.
"""

from math import cos, pi
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR, ReduceLROnPlateau


def constant(optimizer: Optimizer, total_steps: int) -> None:
    """Keep the learning rate."""


def cosine(optimizer: Optimizer, total_steps: int, *, warmup_steps: int) -> dict[str, Any]:
    """Rise linearly for ``warmup_steps``, then fall along half a cosine, to be zero when training ends.

    Source: Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts; warm-up as in Goyal et al. 2017,
            arXiv:1706.02677.
    """

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        return (1 + cos(pi * (step - warmup_steps) / max(1, total_steps - warmup_steps))) / 2

    return every_step(LambdaLR(optimizer, factor))


def one_cycle(optimizer: Optimizer, total_steps: int, *, warmup_fraction: float) -> dict[str, Any]:
    """Rise from a 25th of the learning rate to all of it, then anneal to nearly nothing, momentum the other way round.

    Source: Smith and Topin 2018, arXiv:1708.07120, as torch.optim.lr_scheduler.OneCycleLR has it.
    """
    peaks = [group["lr"] for group in optimizer.param_groups]
    return every_step(OneCycleLR(optimizer, peaks, total_steps=total_steps, pct_start=warmup_fraction))


def plateau(optimizer: Optimizer, total_steps: int, *, factor: float, patience: int) -> dict[str, Any]:
    """Multiply the learning rate by ``factor`` once ``val/loss`` has failed to improve more than ``patience`` times."""
    return {
        "scheduler": ReduceLROnPlateau(optimizer, factor=factor, patience=patience),
        "interval": "epoch",
        "monitor": "val/loss",
    }


def every_step(scheduler: Any) -> dict[str, Any]:
    return {"scheduler": scheduler, "interval": "step"}
