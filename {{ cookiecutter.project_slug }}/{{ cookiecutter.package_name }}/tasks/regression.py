"""Regression: one or several numbers for each sample."""

from typing import Any

import torch
from lightning import LightningDataModule
from torch import Tensor, nn
from trainwell.data.targets import name_of, train_targets

from .supervised import SupervisedTask


class Regression(SupervisedTask):
    """Train a network on numbers (B, K) that are standardized inside: each by its train mean and deviation.

    The loss is that of standardized numbers; ``forward`` and the metrics are in the numbers' own units.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, **parts: Any) -> None:
        super().__init__(network, **parts)
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("deviation", torch.ones(1))

    def read_targets(self, data: LightningDataModule) -> None:
        """Measure mean and deviation.

        Raises: ValueError: a target is not finite, or the same in all train samples.
        """
        y = rows(train_targets(data)).double()
        for place, values in enumerate(y.T):
            name = name_of(data, place, y.shape[1])
            if not values.isfinite().all():
                raise ValueError(f"task=regression needs finite targets, {name} has values that are not")
            if values.max() == values.min():
                raise ValueError(f"task=regression: target {name} is {values[0]:g} in every train sample; it must vary")
        self.mean, self.deviation = y.mean(dim=0).float(), y.std(dim=0, correction=0).float()

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x) * self.deviation + self.mean

    def standardized(self, numbers: Tensor) -> Tensor:
        return (rows(numbers).to(self.mean.dtype) - self.mean) / self.deviation

    def compute_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.loss(self.standardized(outputs), self.standardized(targets))

    def compared(self, targets: Tensor) -> Tensor:
        return rows(targets).to(self.mean.dtype)

    def loss_and_outputs(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self.network(x)  # its loss as it is: the way through the units would cost digits
        return self.loss(outputs, self.standardized(y)), outputs * self.deviation + self.mean

    def constant(self, data: LightningDataModule) -> Tensor:
        return self.mean


def rows(y: Tensor) -> Tensor:
    """One row for each sample, also of a single number."""
    return y.reshape(len(y), -1)
