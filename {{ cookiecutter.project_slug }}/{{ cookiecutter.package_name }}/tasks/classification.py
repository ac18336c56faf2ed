"""Classification: one of several classes for each sample."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning import LightningDataModule
from torch import Tensor, nn
from trainwell.data.targets import train_targets

from .checks import num_outputs_of
from .class_weights import give_weights
from .supervised import SupervisedTask


class Classification(SupervisedTask):
    """Train a network from inputs to logits, (B, *in_shape) -> (B, num_classes), on classes (B,).

    Mixed samples may have class probabilities (B, num_classes) instead; metrics then take the likeliest class.
    ``class_weights`` is a weight for each class, or ``balanced``: inversely proportional to its train samples.
    """

    metrics_say = "num_classes"

    def __init__(self, network: nn.Module, *, class_weights: str | Sequence[float] | None = None, **parts: Any) -> None:
        super().__init__(network, **parts)
        self.class_weights = class_weights

    def read_targets(self, data: LightningDataModule) -> None:
        if self.class_weights is not None:
            give_weights(self.loss, self.class_weights, data)

    def compared(self, targets: Tensor) -> Tensor:
        return targets.argmax(dim=1) if targets.is_floating_point() else targets

    def constant(self, data: LightningDataModule) -> Tensor:
        counts = torch.bincount(train_targets(data), minlength=num_outputs_of(data, "classes")).clamp(min=1)
        weight = getattr(self.loss, "weight", None)
        return counts.log() if weight is None else (counts * weight.cpu()).clamp(min=1e-9).log()
