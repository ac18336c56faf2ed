"""Rules about outputs, targets and the loss that compares them."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ...findings import Finding
from ..baselines import MOST_COMPARED
from ..history import History
from ..loss_calls import LossCall, constant_loss
from ..problem import Problem
from .data import outlying_targets

SUM_OFF = 1e-3  # of probabilities, from 1
OUTSIDE = 0.05  # share of the targets
DROPOUT = ("NativeDropout", "Mul")  # how operations that may drop values are called
DROPPED = (0.1, 0.95)  # share of outputs that are exactly 0
APART = 0.5  # share of the targets of a sample
COMPONENTS, MUCH_MORE = 4, 0.15  # of a code; share of the loss
OUTWEIGHS = 100.0  # times the loss of the classes beside it
SCALES = (0.01, 10.0)  # standard deviations of targets that suit initial weights and learning rates
FEWEST, FEW_NUMBERS = 100, 8  # samples; numbers of each, that are no inputs
LOGITS = ("cross_entropy", "binary_cross_entropy_with_logits")
OF_CLASSES = (*LOGITS, "nll_loss", "binary_cross_entropy")
NUMBERS = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
SHAPED = {name: f"F.{name}(outputs.squeeze(1), y)" for name in (*NUMBERS, "poisson_nll_loss")}
SHAPED["difference"] = "(outputs.squeeze(1) - y).square().mean()"
RANGES = {"Sigmoid": (0.0, 1.0), "Softmax": (0.0, 1.0), "Tanh": (-1.0, 1.0), "Relu": (0.0, float("inf"))}
POSITIVE = {"Exp": "an exponential", "Softplus": "a softplus", "Relu": "a ReLU", "Sigmoid": "a sigmoid"}
SQUASHED = {"Sigmoid": "a sigmoid", "Softmax": "a softmax", "Relu": "a ReLU", "Tanh": "a tanh"}


def output_activation(history: History) -> Iterator[Finding]:
    """The loss expects other outputs than it gets."""
    call, highest = history.inspection.call, history.inspection.log_probability
    if highest > SUM_OFF:
        evidence = f"kl_div expects log-probabilities, which are 0 at most, and gets values up to {highest:.3g}"
        yield output_finding(evidence, "", "F.kl_div(logits.log_softmax(dim=1), of_teacher.softmax(dim=1))")
    if call is None or not call.outputs.numel() or not call.outputs.isfinite().all():
        return
    kind = call.operation.removeprefix("Log").partition("Backward")[0].replace("SafeSoftmax", "Softmax")
    if call.name in LOGITS:
        yield from no_logits(call, kind)
        if kind not in SQUASHED and call.name == "cross_entropy" and are_probabilities(call.outputs):
            evidence = "cross_entropy expects logits and gets probabilities: those of every sample sum to 1"
            yield output_finding(evidence, "", "return the logits, or the logarithm of the probabilities")
    elif call.name == "nll_loss":
        yield from no_likelihoods(call)
    elif call.name == "poisson_nll_loss" and call.log_input and kind in POSITIVE and is_never_negative(call):
        evidence = f"poisson_nll_loss expects the logarithm of a rate and gets the outputs of {POSITIVE[kind]}, "
        evidence += f"from {call.outputs.min().item():.3g} to {call.outputs.max().item():.3g}"
        yield output_finding(evidence, kind.lower(), "return the logarithms, or set log_input=False")
    elif call.name in NUMBERS and kind in RANGES and not call.shifted:
        low, high = RANGES[kind]
        outside = ((call.targets < low) | (call.targets > high)).double().mean().item()
        if outside > OUTSIDE:
            evidence = f"{outside:.0%} of the targets lie outside of the range of the outputs, {low:g} to {high:g}"
            yield output_finding(evidence, kind.lower(), "return the numbers as the last layer gives them")


def is_never_negative(call: LossCall) -> bool:
    """Whether no logarithm below 0 can come out, before those of an exposure are added."""
    return call.shifted or bool(call.outputs.min() >= 0)


def no_logits(call: LossCall, kind: str) -> Iterator[Finding]:
    if call.operation.startswith("LogSoftmax"):
        sums = call.outputs.double().exp().sum(dim=1)
        if call.name == "cross_entropy" and (sums - 1).abs().max() > SUM_OFF:
            evidence = f"log-softmax along the wrong axis: the probabilities of a sample sum to {sums.mean():.3g}"
            yield output_finding(evidence, "log_softmax", "return the logits; cross_entropy takes the softmax itself")
    elif kind in SQUASHED:
        low, high = call.outputs.min().item(), call.outputs.max().item()
        evidence = f"{call.name} expects logits and gets the outputs of {SQUASHED[kind]}, from {low:.3g} to {high:.3g}"
        yield output_finding(evidence, kind.lower(), f"return the logits; {call.name} does the rest itself")


def are_probabilities(outputs: Tensor) -> bool:
    sums = outputs.double().sum(dim=1)
    return bool(outputs.shape[1] > 1 and outputs.min() >= 0 and (sums - 1).abs().max() <= SUM_OFF)


def no_likelihoods(call: LossCall) -> Iterator[Finding]:
    sums = call.outputs.double().exp().sum(dim=1)
    if (sums - 1).abs().max() > SUM_OFF:
        positive = "probabilities" if call.outputs.min() >= 0 and call.outputs.max() <= 1 else "logits"
        evidence = f"nll_loss expects log-probabilities and gets {positive}; the loss is {call.value:.3g}"
        yield output_finding(evidence, "", "use F.cross_entropy(logits, y), or return logits.log_softmax(dim=1)")


def output_finding(evidence: str, operation: str, advice: str) -> Finding:
    lines = (f"at the end of the network, remove the {operation}:", f"    {advice}") if operation else (advice,)
    return Finding("output_activation", "warning", "outputs", evidence, advice=lines)


def loss_mismatch(history: History) -> Iterator[Finding]:
    """Outputs and targets that the loss compares although they do not belong together."""
    call, apart = history.inspection.call, history.inspection.apart
    if apart > APART:
        evidence = f"with another sample in place of the first, {apart:.0%} of the targets that change are compared "
        evidence += "with outputs that do not"
        yield mismatch(evidence, "bring both into the same order before they are flattened:", "y.reshape(len(y), -1)")
    if call is None:
        return
    if call.name == "cross_entropy":
        yield from wrong_classes(call)
    elif call.name.startswith("binary_cross_entropy"):
        low, high = call.targets.min().item(), call.targets.max().item()
        if low < 0 or high > 1:
            evidence = f"{call.name} takes targets from 0 to 1 and gets {low:.3g} to {high:.3g}"
            yield mismatch(evidence, "make them 0 or 1, such as masks of 0 and 255:", "y = (y > 0).float()")
    elif call.name in SHAPED:
        yield from wrong_numbers(call, history.num_classes)


def wrong_classes(call: LossCall) -> Iterator[Finding]:
    if call.targets.shape == call.outputs.shape:
        sums = call.targets.double().sum(dim=1)
        if (sums - 1).abs().max() > SUM_OFF:
            evidence = f"the targets of a sample sum to {sums.min():.3g} to {sums.max():.3g}; cross_entropy takes "
            evidence += "probabilities, one class or several that sum to 1"
            loss = "loss = F.binary_cross_entropy_with_logits(outputs, y)"
            yield mismatch(evidence, "of several labels each is decided by itself:", loss)
    if call.unmoved:
        evidence = f"cross_entropy takes axis 1 of outputs {tuple(call.outputs.shape)} for the classes; "
        evidence += "the layer that made them has them along another axis, and nothing has moved it"
        what = "move the classes to axis 1 before any reshape, from the last axis of a linear layer:"
        yield mismatch(evidence, what, "F.cross_entropy(outputs.movedim(-1, 1), y)")


def wrong_numbers(call: LossCall, num_classes: int) -> Iterator[Finding]:
    shapes = tuple(call.outputs.shape), tuple(call.targets.shape)
    if shapes[0] != shapes[1]:
        evidence = f"{call.name} compares outputs {shapes[0]} with targets {shapes[1]}, each with all others"
        one_column = len(shapes[0]) == 2 and shapes[0][1] == 1
        loss = SHAPED[call.name] if one_column else f"F.{call.name}(outputs, y.expand_as(outputs))  # or fewer outputs"
        yield mismatch(evidence, "give both one shape:", f"loss = {loss}")
    elif call.name in NUMBERS and num_classes > 2 and is_one_number(call.targets):
        evidence = f"{call.name} takes {num_classes} classes for numbers, of which 2 lies between 1 and 3"
        loss = "loss = F.cross_entropy(logits, y)"
        yield mismatch(evidence, "return a logit for each class:", loss, severity="warning")


def mismatch(evidence: str, what: str, code: str, severity: str = "error") -> Finding:
    """With what to do, and the line of code that does it."""
    return Finding("loss_mismatch", severity, "loss", evidence, advice=(what, f"    {code}"))


def is_one_number(targets: Tensor) -> bool:
    """Whether all targets of a sample are the same, as of one number that is given to several outputs."""
    rows = targets.reshape(len(targets), -1)
    return bool((rows == rows[:, :1]).all())


def unscaled_target(history: History) -> Iterator[Finding]:
    """Numbers in units in which the network has to grow a lot before it is near them, and has not."""
    calls = history.inspection.calls
    of_classes = max((call.value for call in calls if call.name in OF_CLASSES), default=0.0)
    if history.num_classes or history.reached(0.5):
        return
    for call in reversed(calls):
        if call.name not in NUMBERS or is_near(call) or call.value < OUTWEIGHS * of_classes:
            continue
        y = call.targets.double()
        deviation, mean = y.std().item(), y.mean().abs().item()
        if not SCALES[0] <= deviation <= SCALES[1] or mean > SCALES[1] * deviation:
            evidence = "the targets that the loss gets have "
            evidence += f"a mean of {mean:.3g} and a standard deviation of {deviation:.3g}"
            advice = ("train on standardized targets:", "    y = (y - y_train.mean()) / y_train.std()")
            yield Finding("unscaled_target", history.severity, "targets", evidence, advice=advice)
            return


def outlying_in_calls(history: History) -> Iterator[Finding]:
    """Outliers in the few numbers that squared errors are of, where they are not the only targets of a batch."""
    calls = [call for call in history.inspection.calls if call.name == "mse_loss" and call.targets.ndim]
    if len({call.targets.shape[1:] for call in calls}) != 1 or is_near(calls[-1]):
        return
    targets = torch.cat([call.targets for call in calls])
    if len(targets) >= FEWEST and targets[0].numel() <= FEW_NUMBERS:
        yield from outlying_targets(targets)


def is_near(call: LossCall) -> bool:
    """Whether the outputs save half of the loss of a constant guess."""
    guess = constant_loss(call)
    return guess is not None and call.value < guess / 2


def dropped_outputs(history: History) -> Iterator[Finding]:
    call = history.inspection.call
    if call is None or not call.operation.startswith(DROPOUT):
        return
    share = (call.outputs == 0).double().mean().item()
    if DROPPED[0] < share < DROPPED[1]:
        evidence = f"{share:.0%} of the outputs that the loss gets are exactly 0, others than in evaluation"
        advice = ("leave out the dropout behind the last layer:", "    return self.head(x)")
        yield Finding("excess_dropout", "warning", "outputs", evidence, advice=advice)


def narrow_code(problem: Problem, history: History) -> Iterator[Finding]:
    """An autoencoder whose code is one number, where a few principal components explain much more of the inputs."""
    call, last = history.inspection.call, history.last
    narrow = [layer for layer in history.order[:-1] if history.shapes.get(layer, (0,))[0] == 1]
    if call is None or last is None or not narrow or call.name != "mse_loss" or not problem.train.x.is_floating_point():
        return
    x = problem.train.x[:MOST_COMPARED].flatten(1).double()
    if call.targets[0].numel() != x.shape[1]:
        return
    squares = torch.linalg.svdvals(x - x.mean(dim=0)).square()
    share = (squares[:COMPONENTS].sum() / squares.sum().clamp(min=1e-300)).item()
    if share > last.val_accuracy + MUCH_MORE:
        evidence = f"the code in {narrow[0]} is one number and explains {last.val_accuracy:.0%} of the loss of a "
        evidence += f"constant guess; {COMPONENTS} principal components explain {share:.0%} of the inputs"
        advice = ("give the code more numbers, and the layer behind it as many inputs:", "    nn.Linear(..., 8)")
        yield Finding("too_narrow", "warning", narrow[0], evidence, advice=advice)
