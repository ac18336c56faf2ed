"""How good a network is on train and validation samples, in a measure that suits the targets."""

from copy import deepcopy
from math import sqrt
from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from ..lightning_internals import is_compiled
from .history import DROPOUTS, Scores
from .loss_calls import LossCall, LossCalls, constant_loss
from .problem import Problem, some

RARE = 3.0  # the share of the commonest class, times the number of classes, from which accuracy is blind
RARE_OF_TWO = 1.6
NOT_LOGITS = (AttributeError, LookupError, RuntimeError, TypeError, ValueError)  # of a forward with another purpose


class Measure:
    """Accuracy; where one class is much commoner than others, the mean accuracy over classes.

    Then a class is chosen by how much likelier it is than its share, which a network that is right about
    probabilities seldom shows otherwise.
    """

    def __init__(self, problem: Problem) -> None:
        shares = problem.train.y.bincount(minlength=problem.num_classes).double() / len(problem.train.y)
        limit = RARE_OF_TWO if (shares > 0).sum() == 2 else RARE
        self.balanced = bool(shares.max() * (shares > 0).sum() > limit)
        self.log_shares = shares.clamp(min=1e-9).log()
        self.name = "balanced accuracy" if self.balanced else "accuracy"

    def of(self, logits: Tensor, y: Tensor) -> float:
        if not self.balanced:
            return (logits.argmax(dim=1) == y).double().mean().item()
        corrected = logits.double().log_softmax(dim=1) - self.log_shares.to(logits.device)[: logits.shape[1]]
        return max(self.of_classes(scores.argmax(dim=1), y) for scores in (logits, corrected))

    def of_classes(self, guesses: Tensor, y: Tensor) -> float:
        right = (guesses == y).double()
        if not self.balanced:
            return right.mean().item()
        return torch.stack([right[y == label].mean() for label in y.unique()]).mean().item()

    def chance(self, y: Tensor) -> tuple[float, float]:
        """What a constant guess reaches, and its standard deviation."""
        counts = y.bincount()
        if not self.balanced:
            share = counts.max().item() / len(y)
            return share, sqrt(max(share * (1 - share), 1e-9) / len(y))
        counts = counts[counts > 0].double()
        share = 1 / len(counts)
        return share, sqrt(share * (1 - share) * (1 / counts).sum().item()) / len(counts)


class Scorer:
    """Evaluates a module during its training, without a trace."""

    def __init__(self, problem: Problem) -> None:
        self.num_classes = problem.num_classes
        self.splits = [some(part, problem.scored) for part in (problem.train, problem.val)]
        self.measure = Measure(problem) if problem.num_classes else None
        self.are_logits: bool | None = None  # known only of outputs that are more than there are classes

    @torch.no_grad()
    def scores(self, trainer: Trainer, module: LightningModule, only_val: bool = False) -> Scores | None:
        """Of both splits; with ``only_val``, for the sake of hooks, of the validation samples alone, and None."""
        plugin, device = trainer.precision_plugin, module.device
        modes = {part: part.training for part in module.modules()}
        module.eval()
        found: list[float] = []
        with plugin.forward_context():
            for x, y in self.splits[1:] if only_val else self.splits:
                of_split = self.of_split(module, plugin.convert_input(x.to(device)), y.to(device))
                if of_split is None:
                    break
                found += of_split
        for part, mode in modes.items():
            part.training = mode
        return Scores(*found) if len(found) == 4 else None

    def of_split(self, module: LightningModule, x: Tensor, y: Tensor) -> tuple[float, float] | None:
        if self.measure is None:
            return explained_loss(module, x, y)
        logits = logits_of(module, x, y, self.num_classes)
        if logits is not None and logits.shape[1] > self.num_classes and self.are_logits is None:
            self.are_logits = loss_takes(module, x, y, logits.shape[1])
        if logits is None or self.are_logits is False:
            return None
        return cross_entropy(logits, y).item(), self.measure.of(logits, y)


def explained_loss(module: LightningModule, x: Tensor, y: Tensor) -> tuple[float, float] | None:
    """The loss that the training step computes, and the share of a constant guess's loss that it saves."""
    calls = calls_of_step(module, x, y)
    guess = constant_loss(calls[0]) if calls and len(calls) == 1 else None
    return (calls[0].value, 1 - calls[0].value / guess) if calls and guess else None


def loss_takes(module: LightningModule, x: Tensor, y: Tensor, columns: int) -> bool:
    """Whether a loss of the training step is given rows of so many numbers; an embedding, say, may have as many."""
    calls = calls_of_step(module, x, y)
    return calls is None or any(call.outputs.ndim > 1 and call.outputs.shape[1] == columns for call in calls)


def calls_of_step(module: LightningModule, x: Tensor, y: Tensor) -> list[LossCall] | None:
    """The loss functions that a training step calls; None if that cannot be seen."""
    calls = LossCalls()
    if any(map(is_compiled, module.modules())):
        return None
    try:
        alone = deepcopy(module)  # which logs nothing: it has no trainer
        with calls:
            alone.training_step((x, y), 0)
    except NOT_LOGITS:
        return None
    return calls.found


def logits_of(module: LightningModule, x: Tensor, y: Tensor, num_classes: int) -> Tensor | None:
    """A row of logits for each sample, if ``forward`` returns that, or the loss of two classes takes one number."""
    try:
        logits: Any = module(x)
    except NOT_LOGITS:
        return None
    if not isinstance(logits, Tensor) or len(logits) != len(x):
        return None
    if num_classes == 2 and logits.numel() == len(x):
        calls = [call for call in calls_of_step(module, x, y) or () if call.outputs.numel() == len(x)]
        one = logit_of(calls[0]) if len(calls) == 1 else None
        return None if one is None else torch.stack([torch.zeros_like(one), one], dim=1)
    return logits.float() if logits.ndim == 2 and logits.shape[1] >= num_classes else None


def logit_of(call: LossCall) -> Tensor | None:
    outputs = call.outputs.flatten().float()
    if call.name == "binary_cross_entropy":
        return outputs.logit(eps=1e-7)
    return outputs if call.name == "binary_cross_entropy_with_logits" else None


@torch.no_grad()
def losses_before(module: LightningModule, problem: Problem) -> tuple[float | None, float | None]:
    """The loss before the first step, in training mode: without and with dropout."""
    module.train()
    x, y = (part.to(module.device) for part in some(problem.train, problem.scored))
    with_dropout = logits_of(module, x, y, problem.num_classes)
    for part in module.modules():
        if isinstance(part, DROPOUTS):
            part.p = 0.0
    without = logits_of(module, x, y, problem.num_classes)
    losses = [None if logits is None else cross_entropy(logits, y).item() for logits in (without, with_dropout)]
    return losses[0], losses[1]


@torch.no_grad()
def batch_statistics_loss(module: LightningModule, problem: Problem) -> float | None:
    """The train loss in evaluation mode, but with batch normalisation by the batch; None if there is none."""
    alone = deepcopy(module).eval()
    normalisations = [part for part in alone.modules() if isinstance(part, _BatchNorm)]
    for part in normalisations:
        part.train()
    x, y = (part.to(module.device) for part in some(problem.train, problem.scored))
    if not normalisations:
        return None
    if not problem.num_classes:
        calls = calls_of_step(alone, x, y) or []
        return calls[0].value if len(calls) == 1 else None
    logits = logits_of(alone, x, y, problem.num_classes)
    return None if logits is None else cross_entropy(logits, y).item()
