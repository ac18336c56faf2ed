"""The history of the first steps of a training: all that the rules judge by."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite, log, log10, prod, sqrt
from re import sub
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from .inspection import TINY, Inspection
from .layer_statistics import LayerStatistics, Numbers, layers_of, weights_of

WINDOWS = ((2, 20), (21, 60), (61, 190))  # steps
TOO_LONG = -1.2  # power of ten of the share by which a step changes the weights
EXPLAINED_DEVIATION = 0.05  # of an explained share of the loss, which outliers decide
LIKELIER = 9.0  # twice the logarithm of a likelihood ratio: three standard deviations, squared
LEARNS = 0.25  # of the way from chance to simple learners
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


@dataclass(frozen=True)
class Scores:
    """Loss and accuracy, in evaluation mode, on training and validation samples.

    Where there is no accuracy, the share of the loss of a constant guess that is explained stands for it.
    """

    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float


@dataclass
class History:
    """The first steps of one training. What was not measured is empty, and the rules that need it find nothing."""

    num_classes: int  # 0 if the task is no classification
    learning_rate: float = 0.0  # the highest of the schedule, as far as the optimizer knows
    momentum: float = 0.0
    decay: float = 0.0  # the highest of the optimizer's parameter groups
    batch_size: int = 0  # of the training
    trial_batch_size: int = 0
    clipped: bool = False
    dropout: dict[str, float] = field(default_factory=dict)  # layer -> rate
    rates: dict[int, float] = field(default_factory=dict)  # step -> learning rate
    score: str = "accuracy"  # what stands in ``scores`` beside the loss
    guess_loss: float | None = None  # of a constant guess, if the task is no classification; else equal chances
    chance: tuple[float, float] = (0.0, 0.0)  # validation accuracy of a constant guess, and its standard deviation
    baseline: float = 0.0  # validation accuracy of simple learners
    guessing: tuple[float, float, int] | None = None  # train loss and accuracy of a constant guess, number of samples
    measured: dict[int, Numbers] = field(default_factory=dict)  # step -> statistics of the layers
    gradient: dict[int, float] = field(default_factory=dict)  # step -> norm of the whole gradient
    losses: list[float] = field(default_factory=list)  # of every training batch
    scores: dict[int, Scores] = field(default_factory=dict)  # by step
    objective: tuple[float, float] | None = None  # without scores: the loss of train and validation samples, at the end
    order: list[str] = field(default_factory=list)  # layers in the order of the forward pass
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    duplicates: dict[str, float] = field(default_factory=dict)  # layer -> share of its units that equal another
    equal_at_start: dict[str, float] = field(default_factory=dict)  # the same before the first step, unless all are 0
    dead: dict[str, float] = field(default_factory=dict)  # layer -> share of dead units at its input, at the end
    start_loss: float | None = None  # before the first step, without dropout
    dropout_loss: float | None = None  # before the first step, with dropout
    noise: tuple[float, float] = (0.0, 0.0)  # in validation accuracy and loss, by which two evaluations differ
    val_count: int = 0  # validation samples
    lowest_norm_momentum: float | None = None  # the lowest momentum of batch normalisation; None if there is none
    highest_norm_momentum: float | None = None  # the highest
    planned: float = 0.0  # steps of the whole training
    inspection: Inspection = field(default_factory=Inspection)  # what is seen, not judged

    def begin(self, module: nn.Module, optimizers: Sequence[Optimizer], clipped: bool) -> None:
        """Note what is known before the first step; of several optimizers the first one counts."""
        for group in [optimizer.param_groups[0] for optimizer in optimizers[:1]]:
            self.learning_rate = float(group.get("max_lr", group.get("initial_lr", group["lr"])))
            self.momentum = float(group.get("momentum", 0.0))
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        self.decay = max((float(group.get("weight_decay", 0.0)) for group in groups), default=0.0)
        self.clipped = clipped
        momenta = [part.momentum or 1.0 for part in module.modules() if isinstance(part, _BatchNorm)]
        self.lowest_norm_momentum, self.highest_norm_momentum = min(momenta, default=None), max(momenta, default=None)
        self.dropout = {name: part.p for name, part in module.named_modules() if isinstance(part, DROPOUTS)}
        self.equal_at_start = {
            name: share_of_duplicates(weight.detach())
            for name, layer in layers_of(module).items()
            if (weight := weights_of(layer)[0]).requires_grad and weight.any()
            if getattr(layer, "groups", 1) == 1 and weight[0].numel() > 1  # else each unit has an input of its own
        }

    def add(self, step: int, numbers: Numbers, norm: float, optimizers: Sequence[Optimizer]) -> None:
        self.measured[step], self.gradient[step] = numbers, norm
        self.rates[step] = float(optimizers[0].param_groups[0]["lr"])

    def end(self, statistics: LayerStatistics, dead: dict[str, float], losses: list[float]) -> None:
        weights = {name: weights_of(layer)[0].detach() for name, layer in statistics.layers.items()}
        self.order = statistics.activations.order
        self.shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
        tables = {
            name for name, layer in statistics.layers.items() if isinstance(layer, nn.Embedding | nn.EmbeddingBag)
        }
        units = {name: weight.T if name in tables else weight for name, weight in weights.items()}
        self.duplicates = {name: share_of_duplicates(weight) for name, weight in units.items()}
        self.dead, self.losses = dead, losses

    @property
    def steps(self) -> int:
        return max(self.measured, default=0)

    @property
    def last_dead(self) -> dict[str, float]:
        return self.measured[self.steps].get("dead_units", {}) if self.measured else {}

    @property
    def last(self) -> Scores | None:
        return self.scores[max(self.scores)] if self.scores else None

    @property
    def first_loss(self) -> float | None:
        """Before the first step."""
        if self.start_loss is None and self.guess_loss is not None and self.scores:
            return self.scores[min(self.scores)].train_loss
        return self.start_loss

    @property
    def chance_loss(self) -> float:
        """Cross-entropy if all classes are equally likely; without classes, the loss of a constant guess."""
        return log(max(self.num_classes, 1)) if self.guess_loss is None else self.guess_loss

    @property
    def learns(self) -> bool | None:
        """Whether the network is clearly better than chance by now; None if that was not measured."""
        return self.reached(LEARNS)

    def reached(self, share: float) -> bool | None:
        """Whether the accuracy has come a ``share`` of the way from chance to that of simple learners."""
        if self.last is None:
            return None
        chance, deviation = self.chance
        return self.last.val_accuracy > chance + max(3 * deviation, share * (self.baseline - chance))

    def did_all(self, share: float) -> bool:
        """As ``reached``; where no simple learner shows what can be learned, that share of always right."""
        return bool(self.reached(share) and (self.baseline or (self.last and self.last.val_accuracy > share)))

    @property
    def beats_guessing(self) -> bool:
        """Whether it fits the training samples clearly better than a constant guess, in loss or in accuracy."""
        if self.last is None or self.guessing is None:
            return False
        loss, accuracy, count = self.guessing
        likelier = 2 * count * (loss - self.last.train_loss) > LIKELIER
        return likelier or self.last.train_accuracy > accuracy + 3 * sqrt(accuracy * (1 - accuracy) / count)

    @property
    def beats_chance(self) -> bool:
        """Whether the validation loss is below that of chance."""
        return self.last is not None and self.last.val_loss < self.chance_loss

    @property
    def recovered(self) -> bool:
        """Whether too large a start did no harm: gradients are clipped, and the loss is soon below that of chance."""
        below = [step for step, scores in self.scores.items() if scores.train_loss < self.chance_loss]
        soon = bool(below) and min(below) <= max(self.planned, self.steps) / 2
        return bool(self.clipped and self.learns and soon and self.last and self.last.train_loss < self.chance_loss)

    @property
    def severity(self) -> str:
        """Of what harms a training: a warning if the network learns all the same."""
        return "warning" if self.learns or self.beats_guessing else "error"

    def layers(self, what: str) -> list[str]:
        """The layers of which ``what`` was measured, in the order of the forward pass."""
        known = {layer: None for numbers in self.measured.values() for layer in numbers.get(what, {})}
        return sorted(known, key=lambda layer: self.order.index(layer) if layer in self.order else len(self.order))

    def over(self, what: str, layer: str, first: int = 0, last: int = 10**9) -> list[float]:
        """The finite values of a statistic of one layer from step ``first`` to ``last``."""
        values = (numbers.get(what, {}).get(layer) for step, numbers in self.measured.items() if first <= step <= last)
        return [value for value in values if value is not None and isfinite(value)]

    def gradient_ratio(self) -> tuple[float, str, str] | None:
        """Gradient norm of a first layer over that of the last similar one, as a power of ten; and the two layers.

        Layers are similar if they have the same shape, and names that differ in numbers alone. The longest such series
        counts, because it spans most of the depth; among equally long ones that with the smallest ratio, because
        the queries of an attention have small gradients for other reasons. None if no series has three layers.
        """
        series: dict[object, list[str]] = {}
        for layer in self.layers("gradient_norm"):
            series.setdefault((sub(r"\d+", "#", layer), self.shapes.get(layer)), []).append(layer)
        ratios = [
            (len(similar), ratio, similar[0], similar[-1])
            for similar in series.values()
            if len(similar) >= 3 and (ratio := self.ratio_of(similar[0], similar[-1])) is not None
        ]
        return max(ratios, key=lambda found: (found[0], -abs(found[1])))[1:] if ratios else None

    def ratio_of(self, first: str, last: str) -> float | None:
        """The median logarithm over steps 5 to 50, by which layers that start at zero have left it."""
        norms = [numbers.get("gradient_norm", {}) for step, numbers in self.measured.items() if 5 <= step <= 50]
        pairs = [(of_layer[first], of_layer[last]) for of_layer in norms if {first, last} <= set(of_layer)]
        known = [(a, b) for a, b in pairs if isfinite(a + b) and (a or b)]
        return median(log10(max(a, TINY) / max(b, TINY)) for a, b in known) if known else None

    def step_length(self, first: int, last: int) -> float | None:
        """The share by which a step changes a layer's weights, as a power of ten; a median over layers and steps.

        Layers that start at zero are left out: any first step is long relative to nothing.
        """
        start = {layer: self.over("weight_norm", layer)[:1] for layer in self.layers("update_ratio")}
        sizes = {
            layer: norm / sqrt(prod(self.shapes[layer])) for layer, norms in start.items() for norm in norms if norm
        }
        initialized = [layer for layer, size in sizes.items() if size > 0.1 * max(sizes.values())]
        medians = [median(found) for layer in initialized if (found := self.over("update_ratio", layer, first, last))]
        return log10(max(median(medians), TINY)) if medians else None

    def longest_step(self) -> float:
        """The longest of the three windows, because a schedule may start slowly."""
        lengths = [length for window in WINDOWS if (length := self.step_length(*window)) is not None]
        return max(lengths, default=log10(TINY))

    def growth(self) -> float | None:
        """Norm of all weights at the last measured step over that at the first, of layers measured at both."""
        norms = [numbers["weight_norm"] for numbers in self.measured.values() if numbers.get("weight_norm")]
        both = norms[0].keys() & norms[-1].keys() if norms else set()
        first, last = (
            (sqrt(sum(found[layer] ** 2 for layer in both)) for found in (norms[0], norms[-1])) if both else (0, 0)
        )
        return last / first if first > 0 else None

    def rate_times(self, factor: float) -> str:
        """An override that multiplies the learning rate, rounded to one digit."""
        return f"optimizer.lr={float(f'{self.learning_rate * factor:.0e}'):g}"


def share_of_duplicates(weight: Tensor) -> float:
    """Share of the units that have the same incoming weights as another unit."""
    units = weight.flatten(1).double()
    mixing = torch.arange(1, units.shape[1] + 1, device=units.device, dtype=units.dtype).sin()
    hashes = (units * mixing).sum(dim=1)  # one number a unit: sorting whole weight vectors is slow
    hashes = (hashes / units.norm(dim=1).mean().clamp(min=1e-30)).round(decimals=5)  # equal ones drift by rounding
    return 1 - len(hashes.unique()) / len(hashes) if len(hashes) > 1 else 0.0
