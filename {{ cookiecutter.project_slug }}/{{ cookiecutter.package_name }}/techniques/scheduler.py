"""Schedulers: how the learning rate changes while the network trains.

Each is called with the optimizer and the number of steps of the whole training, and returns Lightning's scheduler
configuration, or None for a constant rate.
"""

from math import cos, pi
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR, ReduceLROnPlateau


def constant(optimizer: Optimizer, total_steps: int) -> None:
    """Keep the learning rate."""


def cosine(optimizer: Optimizer, total_steps: int, *, warmup_steps: int) -> dict[str, Any]:
    """Rise linearly for ``warmup_steps``, then decay along half a cosine to zero at the last step.

    Source: Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts; warm-up as in Goyal et al. 2017,
            arXiv:1706.02677.
    Raises: ValueError: the warm-up is not shorter than the training.
    """
    if warmup_steps >= total_steps:
        rule = f"scheduler.warmup_steps must be below the number of steps, {total_steps}"
        raise ValueError(f"{rule}, got {warmup_steps}; for so short a training type scheduler.warmup_steps=0")

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        return (1 + cos(pi * (step - warmup_steps) / max(1, total_steps - warmup_steps))) / 2

    return every_step(Factor(optimizer, factor))


class Factor(LambdaLR):
    """Groups that a callback adds later, such as BackboneFinetuning, keep the rate that it gives them."""

    def get_lr(self) -> list[Any]:
        return [*super().get_lr(), *(group["lr"] for group in self.optimizer.param_groups[len(self.base_lrs) :])]


def one_cycle(optimizer: Optimizer, total_steps: int, *, warmup_fraction: float) -> dict[str, Any]:
    """Rise from 1/25 of the learning rate to all of it, then anneal to almost zero; momentum moves inversely.

    Source: Smith and Topin 2018, arXiv:1708.07120, as torch.optim.lr_scheduler.OneCycleLR has it.
    Raises: ValueError: the learning rate would rise for one step or less.
    """
    if warmup_fraction * total_steps <= 1:
        raise ValueError(
            f"scheduler.warmup_fraction must give more than one of the {total_steps} steps, "
            f"got {warmup_fraction * total_steps:g}"
        )
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
