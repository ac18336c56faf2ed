"""Class weights: how much a sample of each class counts in the loss."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning import LightningDataModule
from torch import Tensor
from trainwell.data.targets import name_of, train_targets

from .checks import num_outputs_of


def give_weights(loss: Any, wanted: str | Sequence[float], data: LightningDataModule) -> None:
    """Set the ``weight`` of a loss such as ``torch.nn.CrossEntropyLoss`` to a weight for each class.

    Raises: ValueError: the loss has no weight, or the weights do not fit the classes.
    """
    if not hasattr(loss, "weight"):
        raise ValueError(
            "task.class_weights needs a loss with an attribute `weight`, such as loss=cross_entropy or loss=focal; "
            f"{type(loss).__name__} has none"
        )
    count = num_outputs_of(data, "classes")
    if wanted == "balanced":
        loss.weight = balanced(data, count)
        return
    weights = [] if isinstance(wanted, str) else [float(weight) for weight in wanted]
    if len(weights) != count or min(weights) < 0 or not any(weights):
        raise ValueError(f"task.class_weights must be balanced or {count} weights, one for each class, got {wanted}")
    loss.weight = torch.tensor(weights)


def balanced(data: LightningDataModule, count: int) -> Tensor:
    """For each class the number of train samples over ``count`` times the number of its own, as scikit-learn has it.

    Raises: ValueError: a class has no train sample.
    """
    y = train_targets(data)
    samples = torch.bincount(y, minlength=count)
    if not samples.all():
        absent = name_of(data, int(samples.argmin()), count)
        raise ValueError(f"task.class_weights=balanced needs train samples of every class, class {absent} has none")
    return len(y) / (count * samples)
