"""What was seen of a training: the rules judge this and nothing else."""

from dataclasses import dataclass, field
from math import isfinite, log
from statistics import median

from .signals import Numbers

NONE = 1e-30  # stands for zero where a logarithm is taken


@dataclass(frozen=True)
class Scores:
    """Loss and accuracy, in evaluation mode, on train and on validation rows."""

    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float


@dataclass
class Record:
    """The first steps of one training. What could not be measured is left empty, and the rules are silent about it."""

    num_classes: int
    learning_rate: float = 0.0
    measured: dict[int, Numbers] = field(default_factory=dict)  # by step
    gradient: dict[int, float] = field(default_factory=dict)  # norm of the whole, by step
    losses: list[float] = field(default_factory=list)  # of every batch, as trained on
    scores: dict[int, Scores] = field(default_factory=dict)  # by step
    order: list[str] = field(default_factory=list)  # layers, as the signal meets them
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    alike: dict[str, float] = field(default_factory=dict)  # share of a layer's units that have a twin, at the end
    on_validation: Numbers = field(default_factory=dict)  # units on the validation rows, at the end
    start_loss: float | None = None  # before the first step, nothing silenced
    silenced_loss: float | None = None  # the same with dropout
    by_heart: float | None = None  # loss on a few rows after training on them alone

    @property
    def chance_loss(self) -> float:
        return log(self.num_classes)

    @property
    def steps(self) -> int:
        return max(self.measured, default=0)

    def median(self, what: str, layer: str, first: int, last: int) -> float | None:
        """Over the measured steps from ``first`` to ``last``, those that are numbers."""
        found = [
            value
            for step, numbers in self.measured.items()
            if first <= step <= last and isfinite(value := numbers.get(what, {}).get(layer, float("nan")))
        ]
        return median(found) if found else None

    def layers(self, what: str) -> list[str]:
        """Those of which ``what`` was measured, as the signal meets them."""
        known = {layer: None for numbers in self.measured.values() for layer in numbers.get(what, {})}
        return sorted(known, key=lambda layer: self.order.index(layer) if layer in self.order else len(self.order))
