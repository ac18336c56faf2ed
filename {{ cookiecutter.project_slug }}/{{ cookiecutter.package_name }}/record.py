"""What was seen of a training: the rules judge this and nothing else."""

from dataclasses import asdict, dataclass, field
from math import isfinite, log, log10, prod, sqrt
from re import sub
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd
from torch.optim import Optimizer

from .signals import Numbers, Signals, weights_of

WINDOWS = ((2, 20), (21, 60), (61, 190))  # steps
TOO_LONG = -1.2  # powers of ten by which a step moves the weights
LIKELIER = 9.0  # twice the logarithm of a likelihood ratio: three deviations, squared
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
    learning_rate: float = 0.0  # the largest that the schedule will come to, as far as the optimizer knows
    momentum: float = 0.0
    batch_size: int = 0
    clipped: bool = False
    dropout: dict[str, float] = field(default_factory=dict)  # rate of each layer that silences
    rates: dict[int, float] = field(default_factory=dict)  # learning rate, by step
    chance: tuple[float, float] = (0.0, 0.0)  # validation accuracy of a constant guess, and its deviation
    learnable: float = 0.0  # validation accuracy that simple learners reach
    guessing: tuple[float, float, int] | None = None  # train loss and accuracy of guesses, and on how many rows
    measured: dict[int, Numbers] = field(default_factory=dict)  # by step
    gradient: dict[int, float] = field(default_factory=dict)  # norm of the whole, by step
    losses: list[float] = field(default_factory=list)  # of every batch, as trained on
    scores: dict[int, Scores] = field(default_factory=dict)  # by step
    order: list[str] = field(default_factory=list)  # layers, as the signal meets them
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    alike: dict[str, float] = field(default_factory=dict)  # share of a layer's units that have a twin, at the end
    dead: dict[str, float] = field(default_factory=dict)  # share of the units that arrive at a layer, at the end
    start_loss: float | None = None  # before the first step, nothing silenced
    silenced_loss: float | None = None  # the same with dropout
    by_heart: float | None = None  # loss on a few rows after training on them alone

    def plain(self) -> dict[str, Any]:
        """As a checkpoint holds it."""
        return asdict(self)

    @classmethod
    def of(cls, plain: dict[str, Any]) -> "Record":
        return cls(**{**plain, "scores": {step: Scores(**scores) for step, scores in plain["scores"].items()}})

    def begin(self, module: nn.Module, optimizer: Optimizer, clipped: bool) -> None:
        """What is known before the first step."""
        group = optimizer.param_groups[0]
        self.learning_rate = float(group.get("max_lr", group.get("initial_lr", group["lr"])))
        self.momentum = float(group.get("momentum", 0.0))
        self.clipped = clipped
        self.dropout = {name: part.p for name, part in module.named_modules() if isinstance(part, _DropoutNd)}

    def add(self, step: int, numbers: Numbers, norm: float, optimizer: Optimizer) -> None:
        """One measured step."""
        self.measured[step], self.gradient[step] = numbers, norm
        self.rates[step] = float(optimizer.param_groups[0]["lr"])

    def end(self, signals: Signals, dead: dict[str, float], losses: list[float]) -> None:
        """What is known after the last one."""
        weights = {name: weights_of(layer)[0].detach() for name, layer in signals.layers.items()}
        self.order = signals.activations.order
        self.shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
        self.alike = {name: twins(weight) for name, weight in weights.items()}
        self.dead, self.losses = dead, losses

    @property
    def chance_loss(self) -> float:
        return log(self.num_classes)

    @property
    def last(self) -> Scores | None:
        return self.scores[max(self.scores)] if self.scores else None

    @property
    def learns(self) -> bool | None:
        """Whether the network is clearly better than chance by now, as far as the data let simple learners be."""
        return self.has_come(0.25)

    def has_come(self, share: float) -> bool | None:
        """Whether it has come a ``share`` of the way from chance to what simple learners reach."""
        if self.last is None:
            return None
        chance, deviation = self.chance
        return self.last.val_accuracy > chance + max(3 * deviation, share * (self.learnable - chance))

    @property
    def begins(self) -> bool:
        """Whether it clearly fits its train rows better than guesses do, by a likelihood ratio or by its hits."""
        if self.last is None or self.guessing is None:
            return False
        loss, accuracy, rows = self.guessing
        likelier = 2 * rows * (loss - self.last.train_loss) > LIKELIER
        return likelier or self.last.train_accuracy > accuracy + 3 * sqrt(accuracy * (1 - accuracy) / rows)

    @property
    def let_pass(self) -> bool:
        """Whether a start that is too strong does no harm: steps are cut, and the loss is that of no guess any more."""
        return bool(self.clipped and self.learns and self.last and self.last.train_loss < self.chance_loss)

    @property
    def severity(self) -> str:
        """Of what harms a training: less where the network learns, or begins to, all the same."""
        return "warning" if self.learns or self.begins else "error"

    @property
    def steps(self) -> int:
        return max(self.measured, default=0)

    def layers(self, what: str) -> list[str]:
        """Those of which ``what`` was measured, as the signal meets them."""
        known = {layer: None for numbers in self.measured.values() for layer in numbers.get(what, {})}
        return sorted(known, key=lambda layer: self.order.index(layer) if layer in self.order else len(self.order))

    def over(self, what: str, layer: str, first: int = 0, last: int = 10**9) -> list[float]:
        """What was measured of a layer from step ``first`` to ``last``, as far as it is finite."""
        values = (numbers.get(what, {}).get(layer) for step, numbers in self.measured.items() if first <= step <= last)
        return [value for value in values if value is not None and isfinite(value)]

    def gradient_ratio(self) -> tuple[float, str, str] | None:
        """How much longer the gradient of a first layer is than that of its last like, in powers of ten; and which.

        Layers are alike if they have the same shape and the same name but for numbers. Of several such series the
        longest is told, which sees most of the depth, and of those the one that differs least: an attention's queries
        have small gradients for reasons of their own. Where no series has three layers, there is nothing to compare.
        """
        series: dict[object, list[str]] = {}
        for layer in self.layers("gradient_norm"):
            series.setdefault((sub(r"\d+", "#", layer), self.shapes.get(layer)), []).append(layer)
        ratios = [
            (len(alike), ratio, alike[0], alike[-1])
            for alike in series.values()
            if len(alike) >= 3 and (ratio := self.compared(alike[0], alike[-1])) is not None
        ]
        return max(ratios, key=lambda found: (found[0], -abs(found[1])))[1:] if ratios else None

    def compared(self, first: str, last: str) -> float | None:
        """The median over steps 5 to 50, when a layer that started at zero has left it, of the ratio's logarithm."""
        logarithms = [
            log10(max(numbers["gradient_norm"][first], NONE) / max(numbers["gradient_norm"][last], NONE))
            for step, numbers in self.measured.items()
            if 5 <= step <= 50 and {first, last} <= set(numbers.get("gradient_norm", {}))
            if isfinite(sum(numbers["gradient_norm"][layer] for layer in (first, last)))
            if numbers["gradient_norm"][first] or numbers["gradient_norm"][last]
        ]
        return median(logarithms) if logarithms else None

    def step_length(self, first: int, last: int) -> float | None:
        """By what share a step moves a layer's weights, in powers of ten; a median over layers and steps.

        Layers that set out at zero are left out: their first steps are long beside nothing.
        """
        start = {layer: self.over("weight_norm", layer)[:1] for layer in self.layers("update_ratio")}
        sizes = {
            layer: norms[0] / sqrt(prod(self.shapes[layer])) for layer, norms in start.items() if norms and norms[0] > 0
        }
        set_out = [layer for layer, size in sizes.items() if size > 0.1 * max(sizes.values())]
        medians = [median(found) for layer in set_out if (found := self.over("update_ratio", layer, first, last))]
        return log10(max(median(medians), NONE)) if medians else None

    def longest_step(self) -> float:
        """The longest of the three windows: a schedule may begin slowly."""
        lengths = [length for window in WINDOWS if (length := self.step_length(*window)) is not None]
        return max(lengths, default=log10(NONE))

    def rate_times(self, factor: float) -> str:
        """An override for another learning rate, to one digit."""
        return f"optimizer.lr={float(f'{self.learning_rate * factor:.0e}'):g}"

    def growth(self) -> float | None:
        """The length of all weights at the last measured step, over that at the first."""
        totals = [
            sqrt(sum(norm**2 for norm in numbers["weight_norm"].values()))
            for numbers in self.measured.values()
            if numbers.get("weight_norm")
        ]
        return totals[-1] / totals[0] if totals and totals[0] > 0 else None


def twins(weight: Tensor) -> float:
    """Share of the units whose incoming weights another unit has as well."""
    units = weight.flatten(1).double()
    mixing = torch.arange(1, units.shape[1] + 1, device=units.device, dtype=units.dtype).sin()
    prints = (units * mixing).sum(dim=1)  # one number for each unit: sorting whole rows takes long
    return 1 - len(prints.unique()) / len(prints) if len(prints) > 1 else 0.0
