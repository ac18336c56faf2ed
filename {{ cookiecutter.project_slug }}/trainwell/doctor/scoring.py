"""How good a network is on train and validation samples, in a measure that suits the targets."""

import warnings
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from copy import deepcopy
from math import sqrt
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.fabric.utilities.apply_func import move_data_to_device
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from ..lightning_internals import is_compiled
from .history import DROPOUTS, Scores
from .inspection import Inspection
from .loss_calls import LossCall, LossCalls, constant_loss
from .problem import CALL_ERRORS, Batch, Problem, subsample

RARE = 3.0  # the share of the commonest class, times the number of classes, from which accuracy is blind
RARE_OF_TWO = 1.6
SAME = 0.999  # correlation
TRAINING_FIRST, VALIDATION_FIRST = ("training_step", "validation_step"), ("validation_step", "training_step")


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
            return self.of_classes(logits.argmax(dim=1), y)
        corrected = logits.double().log_softmax(dim=1) - self.log_shares.to(logits.device)[: logits.shape[1]]
        return max(self.of_classes(scores.argmax(dim=1), y) for scores in (logits, corrected))

    def of_classes(self, guesses: Tensor, y: Tensor) -> float:
        right = (guesses == y).double()
        if not self.balanced:
            return right.mean().item()
        return torch.stack([right[y == label].mean() for label in y.unique()]).mean().item()

    def likeliest(self, votes: Tensor) -> Tensor:
        """The class with most votes; of votes that are to be balanced, relative to its share."""
        return (votes / self.log_shares.exp()[: votes.shape[1]] if self.balanced else votes).argmax(dim=1)

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
        self.problem = problem
        self.splits = [subsample(part, problem.scored) for part in (problem.train, problem.val)]
        self.measure = Measure(problem) if problem.num_classes else None

    @torch.no_grad()
    def scores(self, trainer: Trainer, module: LightningModule, only_val: bool = False) -> Scores | None:
        """Of both splits; with ``only_val``, for the sake of hooks, of the validation samples alone, and None."""
        plugin, device = trainer.precision_plugin, module.device
        modes = {part: part.training for part in module.modules()}
        module.eval()
        found: list[float] = []
        with plugin.forward_context():
            for split in self.splits[1:] if only_val else self.splits:
                of_split = self.of_split(module, self.problem.batch(split, device, plugin.convert_input))
                if of_split is None:
                    break
                found += of_split
        for part, mode in modes.items():
            part.training = mode
        return Scores(*found) if len(found) == 4 else None

    def of_split(self, module: LightningModule, batch: Batch) -> tuple[float, float] | None:
        if self.measure is None:
            return explained_loss(module, batch.collated)
        logits = logits_of(module, batch, self.problem.num_classes)
        return None if logits is None else (cross_entropy(logits, batch.y).item(), self.measure.of(logits, batch.y))


def explained_loss(module: LightningModule, batch: Any) -> tuple[float, float] | None:
    """The loss that the training step computes, and the share of a constant guess's loss that it saves."""
    call = only_call(module, batch, TRAINING_FIRST)
    if call is None or not (guess := constant_loss(call)):
        return None
    value = plain_loss(call)
    return value, 1 - value / guess


def plain_loss(call: LossCall) -> float:
    """Without label smoothing, which no network can bring to 0."""
    if call.name != "cross_entropy":
        return call.value
    return cross_entropy(call.outputs.float(), call.targets, weight=call.weight).item()


def calls_of_step(module: LightningModule, batch: Any, steps: Sequence[str] = TRAINING_FIRST) -> list[LossCall] | None:
    """The loss functions that the first of the steps that can be called by itself calls; None if none can."""
    try:
        noted = recorded_step(deepcopy(module), batch, steps)  # a copy logs nothing: it has no trainer
    except CALL_ERRORS:  # it keeps a tensor with a graph
        return None
    return None if noted is None else noted.found


def only_call(module: LightningModule, batch: Any, steps: Sequence[str]) -> LossCall | None:
    """The call of a loss function by a step, if there is one and no other."""
    calls = calls_of_step(module, batch, steps) or []
    return calls[0] if len(calls) == 1 else None


def outputs_of_step(problem: Problem, y: Tensor, module: LightningModule, x: Tensor) -> Tensor:
    """What a step gives to its loss function for these inputs.

    Raises: ValueError: there is no such step.
    """
    call = only_call(module, problem.collate(x, y[: len(x)]), VALIDATION_FIRST)
    if call is None:
        raise ValueError("no step with one loss")
    return call.outputs


def recorded_step(module: LightningModule, batch: Any, steps: Sequence[str] = TRAINING_FIRST) -> LossCalls | None:
    """What the first of the steps that can be called by itself does."""
    if any(map(is_compiled, module.modules())):
        return None
    for step in steps:
        if getattr(type(module), step) is getattr(LightningModule, step):
            continue
        try:
            with LossCalls() as calls:
                getattr(module, step)(batch, 0)
        except CALL_ERRORS:
            continue
        return calls
    return None


def with_forward(module: LightningModule, batch: Batch) -> LightningModule:
    """A copy in evaluation mode; where only its steps call the network, ``forward`` is that of the network.

    Raises: RuntimeError: the module keeps a tensor with a graph, so it cannot be copied.
    """
    alone = deepcopy(module).eval()
    if type(module).forward is LightningModule.forward and (network := network_of_step(alone, batch)):
        alone.forward = network.__call__  # type: ignore[method-assign]
    return alone


def network_of_step(module: LightningModule, batch: Batch) -> nn.Module | None:
    """The part of a module that a step calls with the inputs, and whose outputs it gives to a loss."""
    given: list[tuple[nn.Module, int]] = []

    def note(part: nn.Module, args: Any, output: Any) -> None:
        if args and args[0] is batch.x and isinstance(output, Tensor):
            given.append((part, output.data_ptr()))

    with ExitStack() as hooks:
        for part in module.modules():
            hooks.enter_context(part.register_forward_hook(note))
        calls = recorded_step(module, batch.collated)
    taken = {call.outputs.data_ptr() for call in calls.found} if calls else set()
    return next((part for part, place in given if place in taken), None)


def inspect_evaluation(found: Inspection, module: LightningModule, batch: Any) -> None:
    """Note what a validation step of a module in evaluation mode drops, and if it puts batch norms in training mode."""
    alone = deepcopy(module).eval()
    calls = recorded_step(alone, batch, ("validation_step",))
    found.dropped = max(found.dropped, calls.dropped if calls else 0.0)
    found.normalises_batches |= any(part.training for part in alone.modules() if isinstance(part, _BatchNorm))


def predicts_targets(module: LightningModule, problem: Problem) -> bool:
    """Whether a loss compares outputs with the targets, or with what labels determine; else they are there unused.

    True as well if no loss can be seen.
    """
    batch = problem.batch(subsample(problem.train, problem.trial_batch_size), module.device)
    y = batch.y
    if not y.numel():
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of shapes that the rules judge
        calls = calls_of_step(module, batch.collated)
    if not calls:
        return True
    if problem.num_classes:
        return any(is_of_labels(call, y) for call in calls)
    return any(goes_with(call.targets, y) for call in calls if call.targets.numel() == y.numel() > 1)


def goes_with(targets: Tensor, y: Tensor) -> bool:
    """Whether the numbers are the same, or the same in other units."""
    pairs = torch.stack([targets.reshape(y.shape), y]).double().reshape(2, len(y), -1).unbind(dim=-1)
    return all(torch.corrcoef(pair)[0, 1] > SAME or bool((pair[:, 1:] == pair[:, :1]).all()) for pair in pairs)


def is_of_labels(call: LossCall, y: Tensor) -> bool:
    """Whether samples of one label have one target, or targets are probabilities, as of mixed samples."""
    targets = call.targets
    if len(targets) != len(y):
        return False
    if call.name == "cross_entropy" and targets.ndim == 2 and targets.shape == call.outputs.shape:
        return True
    pairs = torch.cat([y[:, None].double(), targets.reshape(len(y), -1).double()], dim=1)
    return len(pairs.unique(dim=0)) == len(y.unique())


def logits_of(module: LightningModule, batch: Batch, num_classes: int) -> Tensor | None:
    """A row of logits for each sample: what ``forward`` returns, or else what the loss of a step is given.

    Of a validation step rather than a training step, which may mix samples.
    """
    try:
        outputs: Any = module(batch.x)
    except CALL_ERRORS:
        outputs = None
    rows = isinstance(outputs, Tensor) and outputs.ndim == 2 and len(outputs) == len(batch.x)
    if rows and outputs.shape[1] == num_classes:
        return outputs.float()
    calls = calls_of_step(module, batch.collated, VALIDATION_FIRST)
    if calls is None:
        return outputs.float() if rows and outputs.shape[1] > num_classes else None
    of_labels = (logits_in(call, num_classes) for call in calls if is_of_labels(call, batch.y))
    found = [logits for logits in of_labels if logits is not None]
    return found[0] if len(found) == 1 else None


def logits_in(call: LossCall, num_classes: int) -> Tensor | None:
    """The logits that a loss was given; of two classes also one number for each sample."""
    count, outputs = len(call.targets), call.outputs.float()
    if call.name in ("cross_entropy", "nll_loss") and outputs.ndim == 2 and outputs.shape[1] >= num_classes:
        return outputs
    if num_classes == 2 and outputs.numel() == count and call.name.startswith("binary_cross_entropy"):
        one = outputs.flatten().logit(eps=1e-7) if call.name == "binary_cross_entropy" else outputs.flatten()
        return torch.stack([torch.zeros_like(one), one], dim=1)
    return None


@torch.no_grad()
def objective_of(module: LightningModule, batches: Iterable[Any]) -> float | None:
    """The mean of what the training step of a module in evaluation mode returns; None if that cannot be called."""
    alone = deepcopy(module).eval()
    try:
        returned = [alone.training_step(move_data_to_device(batch, module.device), 0) for batch in batches]
    except CALL_ERRORS:
        return None
    losses = [each["loss"] if isinstance(each, dict) else each for each in returned]
    known = [loss.mean().item() for loss in losses if isinstance(loss, Tensor)]
    return sum(known) / len(known) if known else None


@torch.no_grad()
def losses_before(module: LightningModule, problem: Problem) -> tuple[float | None, float | None]:
    """The loss before the first step, in training mode: without and with dropout."""
    module.train()
    batch = problem.batch(subsample(problem.train, problem.scored), module.device)
    with_dropout = loss_of(module, batch, problem.num_classes)
    for part in module.modules():
        if isinstance(part, DROPOUTS):
            part.p = 0.0
    return loss_of(module, batch, problem.num_classes), with_dropout


def loss_of(module: LightningModule, batch: Batch, num_classes: int) -> float | None:
    """The cross-entropy; without classes, the loss that the training step computes, if it is one."""
    if num_classes:
        logits = logits_of(module, batch, num_classes)
        return None if logits is None else cross_entropy(logits, batch.y).item()
    call = only_call(module, batch.collated, TRAINING_FIRST)
    return None if call is None else plain_loss(call)


@torch.no_grad()
def batch_statistics_loss(module: LightningModule, batch: Batch, num_classes: int) -> float | None:
    """The loss in evaluation mode, but with the samples' own statistics in batch normalisation."""
    alone = deepcopy(module).eval()
    normalisations = [part for part in alone.modules() if isinstance(part, _BatchNorm)]
    for part in normalisations:
        part.train()
    return loss_of(alone, batch, num_classes) if normalisations else None
