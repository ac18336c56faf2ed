"""Classification: one of several classes for each sample."""

from collections.abc import Callable, Mapping
from typing import Any, Self

from lightning import LightningDataModule
from torch import Tensor
from torchmetrics import Metric

from .supervised import SupervisedTask, metrics_for


class Classification(SupervisedTask):
    """Train a network from inputs to logits, (B, *in_shape) -> (B, num_classes), on classes (B,).

    Or on probabilities of classes (B, num_classes), as mixup makes them; metrics compare the likeliest class.
    """

    def compare(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        loss, outputs, targets = super().compare(x, y)
        return loss, outputs, targets.argmax(dim=-1) if targets.is_floating_point() else targets

    @classmethod
    def from_data(
        cls, data: LightningDataModule, *, metrics: Mapping[str, Callable[..., Metric]], **parts: Any
    ) -> Self:
        """Build the task for the classes of ``data``; ``parts`` are those of ``SupervisedTask.build``.

        Raises: ValueError: the data module does not say how many classes there are.
        """
        num_classes = getattr(data, "num_classes", None)
        if num_classes is None:
            raise ValueError(f"task=classification needs {type(data).__name__}.num_classes, the number of classes")
        return cls.build(data, num_classes, metrics=metrics_for(metrics, num_classes=num_classes), **parts)
