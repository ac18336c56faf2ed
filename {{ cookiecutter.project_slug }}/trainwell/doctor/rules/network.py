"""Rules about a network's graph, outputs and forward pass, and about what its optimizers hold.

What they find is seen, not suspected: most need no trial to confirm them.
"""

from collections.abc import Iterator, Sequence

from torch import Tensor

from ...findings import Finding
from ..forward_checks import DIFFERS, NEXT
from ..history import History
from ..inspection import Inspection
from ..loss_calls import LossCall, constant_loss
from .optimization import WITHERED
from .signal_flow import DEAD, and_more

MUCH, ALL = 0.02, 0.999  # of all parameters
AFFINE = 1e-3  # the same
SUM_OFF = 1e-3  # of probabilities, from 1
OUTSIDE = 0.05  # share of the targets
LAG = 1.5  # train loss with running statistics over that with statistics of the batch, and
LAG_BY = 0.15  # above it, as a share of the loss of equal chances
FAR_LAG, FAR_LAG_BY = 5.0, 0.05  # either both of these or both of those
FAR, FAR_BY = 3.0, 0.5  # the same where nothing says why: early steps move the statistics a lot
SLOW, FAST = 0.05, 0.5  # momentum of batch normalisation
NOISY, NOISY_BY = 1.05, 0.02  # the same where only the last batches count, as with the momentum of other libraries
TINY_BATCH = 4  # samples
DROPOUT = ("NativeDropout", "Mul")  # how operations that may drop values are called
DROPPED = (0.1, 0.95)  # share of outputs that are exactly 0
SCALES = (0.01, 10.0)  # standard deviations of targets that suit initial weights and learning rates
FEWEST_STEPS = 20  # after which running statistics must have followed
LOGITS = ("cross_entropy", "binary_cross_entropy_with_logits")
NUMBERS = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
SHAPED = {name: f"F.{name}(outputs.squeeze(1), y)" for name in (*NUMBERS, "poisson_nll_loss")}
SHAPED["difference"] = "(outputs.squeeze(1) - y).square().mean()"
RANGES = {"Sigmoid": (0.0, 1.0), "Softmax": (0.0, 1.0), "Tanh": (-1.0, 1.0), "Relu": (0.0, float("inf"))}
POSITIVE = {"Exp": "an exponential", "Softplus": "a softplus", "Relu": "a ReLU", "Sigmoid": "a sigmoid"}
SQUASHED = {"Sigmoid": "a sigmoid", "Softmax": "a softmax", "Relu": "a ReLU", "Tanh": "a tanh"}


def optimizer_never_steps(history: History) -> Iterator[Finding]:
    seen = history.inspection
    if seen.batches and not seen.steps:
        evidence = f"no optimizer has stepped in {seen.batches} batches"
        advice = ("in training_step, after self.manual_backward(loss):", "    self.optimizers().step()")
        yield Finding("optimizer_never_steps", "error", "training_step", evidence, advice=advice)


def accumulated_gradients(history: History) -> Iterator[Finding]:
    seen = history.inspection
    if seen.uncleared >= 2:
        evidence = f"in {seen.uncleared} of the first steps the gradients still held those of the step before"
        advice = ("in training_step, before self.manual_backward(loss):", "    self.optimizers().zero_grad()")
        yield Finding("accumulated_gradients", "error", "training_step", evidence, advice=advice)


def unregistered_layers(history: History) -> Iterator[Finding]:
    seen = history.inspection
    if seen.unregistered:
        name, size = next(iter(seen.unregistered.items()))
        evidence = (
            f"{size} parameters that the loss depends on are in no parameters() of the module, so none is trained"
        )
        if seen.renewed:
            evidence = f"every batch meets {size} new parameters, which are in no parameters() of the module"
        advice = (
            ("make layers once, in __init__:", "    self.hidden = nn.Linear(...)")
            if seen.renewed
            else (
                f"{name}: register its layers, in a ModuleList or ModuleDict, or in a class derived from nn.Module:",
                f"    self.{name.rpartition('.')[2]} = nn.ModuleList(...)",
            )
        )
        yield Finding("unregistered_layers", "error", name, evidence, advice=advice)


def frozen_parameters(history: History) -> Iterator[Finding]:
    """Parameters that get no gradient, or that no optimizer has."""
    seen = history.inspection
    if not seen.steps:
        return
    total = max(sum(seen.sizes.values()), 1)
    for names, how, advice, chosen in untrained(history, seen):
        share = sum(seen.sizes[name] for name in names) / total
        if share > MUCH:
            layers = list(dict.fromkeys(layer_of(name) or name for name in names))
            evidence = f"{share:.0%} of the parameters {how}"
            severity = "warning" if chosen and share < ALL else "error"  # what was chosen may be meant
            yield Finding("frozen_parameters", severity, and_more(layers), evidence, advice=advice)
            return


def untrained(history: History, seen: Inspection) -> Iterator[tuple[list[str], str, Sequence[str], bool]]:
    """Parameters, why they are not trained, what to change, and whether somebody seems to have chosen it."""
    yield (
        seen.not_given,
        "are in no optimizer",
        ("in configure_optimizers:", "    torch.optim.Adam(self.parameters(), lr=...)"),
        True,
    )
    called = [name for name in seen.unreached if layer_of(name) in seen.called]
    yield (
        called if seen.cut is None else seen.cut,
        "get no gradient, though outputs depend on them: something cuts them from the graph",
        ("behind this layer, remove what cuts the graph:", "    .detach(), .data, .numpy(), torch.no_grad(), argmax"),
        False,
    )
    still = still_layers(history)
    stopped = [name for name in seen.sizes if still and layer_of(name) in still]
    if seen.flat:
        flat = seen.flat.removesuffix("Backward0").lower()
        advice = (f"behind this layer, let the gradient pass the {flat}:", f"    x = x + (x.{flat}() - x).detach()")
        yield stopped, f"get gradients of exactly 0, behind a {flat}, whose derivative is 0", advice, False
    yield (
        seen.frozen,
        "are frozen: requires_grad is False" + (", with random weights" if seen.frozen_at_random else ""),
        ("train them, unless they hold weights that were trained before:", "    parameter.requires_grad_(True)"),
        True,
    )


def layer_of(parameter: str) -> str:
    """The layer as statistics name it."""
    return parameter.rpartition(".")[0].removeprefix("network.")


def still_layers(history: History) -> set[str]:
    norms = {layer: history.over("gradient_norm", layer) for layer in history.layers("gradient_norm")}
    return {layer for layer, found in norms.items() if found and max(found) == 0}


def output_activation(history: History) -> Iterator[Finding]:
    """The loss expects other outputs than it gets."""
    call = history.inspection.call
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
    elif call.name == "poisson_nll_loss" and call.log_input and kind in POSITIVE and call.outputs.min() >= 0:
        evidence = f"poisson_nll_loss expects the logarithm of a rate and gets the outputs of {POSITIVE[kind]}, "
        evidence += f"from {call.outputs.min().item():.3g} to {call.outputs.max().item():.3g}"
        yield output_finding(evidence, kind.lower(), "return the logarithms, or set log_input=False")
    elif call.name in NUMBERS and kind in RANGES and not call.shifted:
        low, high = RANGES[kind]
        outside = ((call.targets < low) | (call.targets > high)).double().mean().item()
        if outside > OUTSIDE:
            evidence = f"{outside:.0%} of the targets lie outside of the range of the outputs, {low:g} to {high:g}"
            yield output_finding(evidence, kind.lower(), "return the numbers as the last layer gives them")


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


def mixed_samples(history: History) -> Iterator[Finding]:
    seen = history.inspection
    if seen.mixing is not None and not is_random(seen) and seen.mixing > DIFFERS:
        evidence = f"in evaluation mode, outputs for a sample change by {seen.mixing:.2g} standard deviations "
        evidence += "with the other samples in its batch"
        advice = (
            "keep the samples apart: their axis is the first one in every layer;",
            "    batch_first=True for recurrent layers and attention, dim=-1 for softmax and norms, flatten(1)",
        )
        yield Finding("mixed_samples", "error", seen.mixing_layer or "whole network", evidence, advice=advice)


def is_random(seen: Inspection) -> bool:
    return seen.randomness is not None and seen.randomness > DIFFERS


def leaking_tokens(history: History) -> Iterator[Finding]:
    seen = history.inspection
    if seen.sees_targets:
        evidence = f"the outputs at position t depend on the token at {seen.sees_targets}, which they must predict"
        advice = (
            ("mask later positions in the attention:", "    nn.Transformer.generate_square_subsequent_mask(length)")
            if seen.sees_targets == NEXT
            else ("compare each position with the next token:", "    F.cross_entropy(logits[:, :-1].mT, tokens[:, 1:])")
        )
        yield Finding("target_leak", "error", "outputs", evidence, advice=advice)


def dropout_in_evaluation(history: History) -> Iterator[Finding]:
    seen = history.inspection
    if not seen.renewed and (seen.dropped or is_random(seen)):
        evidence = f"a validation step drops {seen.dropped:.0%} of the units"
        if is_random(seen):
            evidence = f"two evaluations of the same samples differ by {seen.randomness:.2g} of the outputs' deviation"
        advice = ("drop units in training only:", "    F.dropout(x, rate, training=self.training), or nn.Dropout(rate)")
        yield Finding("dropout_in_evaluation", "warning", "whole network", evidence, advice=advice)


def lagging_statistics(history: History) -> Iterator[Finding]:
    """Running statistics of batch normalisation that are not those of the samples."""
    seen = history.inspection
    if seen.batch_norm is None or history.steps < FEWEST_STEPS:
        return
    running, of_batch = seen.batch_norm
    times, by = (LAG, LAG_BY) if (history.lowest_norm_momentum or 1.0) < SLOW else (FAR, FAR_BY)
    if (history.highest_norm_momentum or 0.0) > FAST:
        times, by = NOISY, NOISY_BY
    lags_far = times == LAG and running > FAR_LAG * of_batch and running - of_batch > FAR_LAG_BY * history.chance_loss
    if lags_far or (running > times * of_batch and running - of_batch > by * history.chance_loss):
        evidence = f"train loss {running:.3g} in evaluation, {of_batch:.3g} with the batch's own statistics"
        advice = (
            "let running statistics follow, in batches of 16 samples and more:",
            "    nn.BatchNorm2d(..., momentum=0.1)",
        )
        yield Finding("batch_norm", history.severity, "batch normalisation", evidence, advice=advice)


def tiny_batches(history: History) -> Iterator[Finding]:
    if history.lowest_norm_momentum is not None and 0 < history.batch_size <= TINY_BATCH:
        evidence = f"the mean and the deviation of a batch of {history.batch_size} samples are mostly noise"
        advice = ("or normalise each sample by itself:", "    nn.GroupNorm(1, channels) for nn.BatchNorm2d(channels)")
        remedies = ("data.batch_size=32",)
        yield Finding("batch_norm", "warning", "batch normalisation", evidence, remedies, advice=advice)


def dropped_outputs(history: History) -> Iterator[Finding]:
    call = history.inspection.call
    if call is None or not call.operation.startswith(DROPOUT):
        return
    share = (call.outputs == 0).double().mean().item()
    if DROPPED[0] < share < DROPPED[1]:
        evidence = f"{share:.0%} of the outputs that the loss gets are exactly 0, others than in evaluation"
        advice = ("leave out the dropout behind the last layer:", "    return self.head(x)")
        yield Finding("excess_dropout", "warning", "outputs", evidence, advice=advice)


def loss_mismatch(history: History) -> Iterator[Finding]:
    """Outputs and targets that the loss compares although they do not belong together."""
    call = history.inspection.call
    if call is not None and call.name == "cross_entropy" and call.targets.shape == call.outputs.shape:
        sums = call.targets.double().sum(dim=1)
        if (sums - 1).abs().max() > SUM_OFF:
            evidence = f"the targets of a sample sum to {sums.min():.3g} to {sums.max():.3g}; cross_entropy takes "
            evidence += "probabilities, one class or several that sum to 1"
            advice = (
                "of several labels each is decided by itself:",
                "    loss = F.binary_cross_entropy_with_logits(outputs, y)",
            )
            yield Finding("loss_mismatch", "error", "loss", evidence, advice=advice)
    if call is not None and call.name.startswith("binary_cross_entropy"):
        low, high = call.targets.min().item(), call.targets.max().item()
        if low < 0 or high > 1:
            evidence = f"{call.name} takes targets from 0 to 1 and gets {low:.3g} to {high:.3g}"
            advice = ("make them 0 or 1, such as masks of 0 and 255:", "    y = (y > 0).float()")
            yield Finding("loss_mismatch", "error", "loss", evidence, advice=advice)
    if call is None or call.name not in SHAPED:
        return
    shapes = tuple(call.outputs.shape), tuple(call.targets.shape)
    if shapes[0] != shapes[1]:
        evidence = f"{call.name} compares outputs {shapes[0]} with targets {shapes[1]}, each with all others"
        one_column = len(shapes[0]) == 2 and shapes[0][1] == 1
        loss = SHAPED[call.name] if one_column else f"F.{call.name}(outputs, y.expand_as(outputs))  # or fewer outputs"
        advice = ("give both one shape:", f"    loss = {loss}")
        yield Finding("loss_mismatch", "error", "loss", evidence, advice=advice)
    elif call.name in NUMBERS and history.num_classes > 2 and call.outputs[0].numel() == 1:
        evidence = f"{call.name} takes {history.num_classes} classes for numbers, of which 2 lies between 1 and 3"
        advice = ("return a logit for each class:", "    loss = F.cross_entropy(logits, y)")
        yield Finding("loss_mismatch", "warning", "loss", evidence, advice=advice)


def unscaled_target(history: History) -> Iterator[Finding]:
    """Numbers in units in which the network has to grow a lot before it is near them, and has not."""
    calls = history.inspection.calls
    if history.num_classes or history.reached(0.5):
        return
    for call in reversed(calls):
        if call.name not in NUMBERS or is_near(call):
            continue
        y = call.targets.double()
        deviation, mean = y.std().item(), y.mean().abs().item()
        if not SCALES[0] <= deviation <= SCALES[1] or mean > SCALES[1] * deviation:
            evidence = "the targets that the loss gets have "
            evidence += f"a mean of {mean:.3g} and a standard deviation of {deviation:.3g}"
            advice = ("train on standardized targets:", "    y = (y - y_train.mean()) / y_train.std()")
            yield Finding("unscaled_target", history.severity, "targets", evidence, advice=advice)
            return


def is_near(call: LossCall) -> bool:
    """Whether the outputs save half of the loss of a constant guess."""
    guess = constant_loss(call)
    return guess is not None and call.value < guess / 2


def linear_network(history: History) -> Iterator[Finding]:
    """A suspicion: for a linear model it is meant."""
    seen = history.inspection
    layers = [layer for layer in history.order if layer in history.shapes]
    if seen.curvature is None or is_random(seen) or len(layers) < 2 or seen.curvature > AFFINE:
        return
    if (seen.mixing is not None and seen.mixing > DIFFERS) or max(history.dead.values(), default=0.0) > DEAD:
        return  # what is dead bends nothing, and was killed by something else
    growth = history.growth()
    if growth is not None and growth < WITHERED:
        return  # nor does what decay has taken
    evidence = f"{len(layers)} layers are one affine map: halfway between two samples so are the outputs, to {AFFINE:g}"
    advice = (f"between the layers, such as behind {layers[0]}, put an activation:", "    x = torch.relu(x)")
    yield Finding("linear_network", "warning", f"{layers[0]} to {layers[-1]}", evidence, advice=advice)
