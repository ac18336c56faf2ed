"""Rules about the forward pass: what outputs depend on, and how training and evaluation differ."""

from collections.abc import Iterator

from ...findings import Finding
from ..forward_checks import DIFFERS, NEXT
from ..history import History
from ..inspection import Inspection
from .optimization import WITHERED
from .signal_flow import DEAD

AFFINE = 1e-3  # of the outputs' deviation, by which they may miss an affine map
LAG = 1.5  # train loss with running statistics over that with statistics of the batch, and
LAG_BY = 0.15  # above it, as a share of the loss of equal chances
FAR_LAG, FAR_LAG_BY = 5.0, 0.05  # either both of these or both of those
FAR, FAR_BY = 3.0, 0.5  # the same where nothing says why: early steps move the statistics a lot
SLOW, FAST = 0.05, 0.5  # momentum of batch normalisation
NOISY, NOISY_BY = 1.05, 0.02  # the same where only the last batches count, as with the momentum of other libraries
TINY_BATCH = 4  # samples
FEWEST_STEPS = 20  # after which running statistics must have followed


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


def linear_network(history: History) -> Iterator[Finding]:
    """A suspicion: for a linear model it is meant."""
    seen = history.inspection
    layers = [layer for layer in history.order if layer in history.shapes]
    by_graph = seen.curvature is None and seen.call is not None and seen.call.affine
    by_outputs = seen.curvature is not None and seen.curvature <= AFFINE and not is_random(seen)
    if len(layers) < 2 or not (by_graph or by_outputs):
        return
    if (seen.mixing is not None and seen.mixing > DIFFERS) or max(history.dead.values(), default=0.0) > DEAD:
        return  # what is dead bends nothing, and was killed by something else
    growth = history.growth()
    if growth is not None and growth < WITHERED:
        return  # nor does what decay has taken
    why = f"halfway between two samples so are the outputs, to {AFFINE:g}"
    if by_graph:
        why = "no operation between inputs and outputs bends anything"
    evidence = f"{len(layers)} layers are one affine map: {why}"
    advice = (f"between the layers, such as behind {layers[0]}, put an activation:", "    x = torch.relu(x)")
    yield Finding("linear_network", "warning", f"{layers[0]} to {layers[-1]}", evidence, advice=advice)


def dropout_in_evaluation(history: History) -> Iterator[Finding]:
    seen = history.inspection
    if not seen.renewed and (seen.dropped or is_random(seen)):
        evidence = f"a validation step drops {seen.dropped:.0%} of the units"
        if is_random(seen):
            evidence = f"two evaluations of the same samples differ by {seen.randomness:.2g} of the outputs' deviation"
        advice = ("drop units in training only:", "    F.dropout(x, rate, training=self.training), or nn.Dropout(rate)")
        yield Finding("dropout_in_evaluation", "warning", "whole network", evidence, advice=advice)


def batch_statistics_in_evaluation(history: History) -> Iterator[Finding]:
    if history.inspection.normalises_batches:
        evidence = "a validation step puts batch normalisation into training mode: outputs for a sample depend on the "
        evidence += "others in its batch, and validation samples change the running statistics"
        advice = ("leave modes to Lightning, which sets them before each step: remove", "    self.net.train()")
        yield Finding("batch_norm", "warning", "validation_step", evidence, advice=advice)


def lagging_statistics(history: History) -> Iterator[Finding]:
    """Running statistics of batch normalisation that are not those of the samples."""
    seen = history.inspection
    slow = (history.lowest_norm_momentum or 1.0) < SLOW
    small = history.trial_batch_size < history.batch_size  # the trial's batches, not those of the training
    if seen.batch_norm is None or history.steps < FEWEST_STEPS or (small and not slow):
        return
    running, of_batch = seen.batch_norm
    if of_batch > history.chance_loss > 0:  # worse than a guess with the batch's own statistics as well
        return
    times, by = (LAG, LAG_BY) if slow else (FAR, FAR_BY)
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
