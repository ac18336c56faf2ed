"""Rules about the data alone."""

from collections.abc import Iterator
from math import sqrt

import torch
from scipy.stats import binomtest
from torch import Tensor
from torch.nn.functional import one_hot

from ...findings import Finding
from ..baselines import (
    SIGMAS,
    baseline_accuracy,
    depends,
    of_other_folds,
    pairs,
    strongest_correlation,
    votes_of_neighbours,
)
from ..history import History
from ..problem import PADDING, Problem
from ..scoring import Measure
from .copies import copied_samples

MOST_CONSTANT, NEARLY_ALWAYS = 0.5, 0.95  # share of the features, as images have margins; share of the samples
MOST_OF_ONE, FEW_TOKENS = 0.8, 30  # share of the tokens of all texts; fewer different ones are symbols, not words
SCALES = (0.1, 10.0)  # standard deviations of inputs that suit initial weights and learning rates
SPARSE = 0.2  # share of the values that are not 0
SPARSER = 10.0  # how much smaller the values may be then
OUTLIERS = ((0.01, 0.8), (0.05, 0.95))  # shares of the samples; shares of the squares of all targets that are theirs
WIDEST_INTERVAL = 0.17  # half the width of the 95 % interval of an accuracy
WIDEST_DEVIATION = 0.45  # of a mean of squared normal errors, relative to it
SOME = 0.05  # of the loss of a constant guess, which a network explains
MOST_READ = 500_000  # samples of a split; of more, every n-th
MOST_VALUES = 2**25
REJOINED = (
    "check that inputs and labels still belong together, such as after a sort or a join:",
    "    print(x[:5], y[:5])",
)


def findings_in_data(problem: Problem) -> Iterator[Finding]:
    """Root cause first."""
    if problem.train.x.is_floating_point():
        train, val = (thinned(samples.x).float() for samples in (problem.train, problem.val))
        for name, x in (("train", train), ("validation", val)):
            bad = int((~x.flatten(1).isfinite().all(dim=1)).sum())
            if bad:
                yield Finding("non_finite", "error", f"{name} samples", f"{bad} of {len(x)} samples are not finite")
                return
        yield from constant(train)
        yield from unscaled(train.flatten(1))
        yield from copied_samples(train, val, problem.share * len(train) / len(problem.train.y), problem.standardizer)
    elif problem.train.x.dtype == torch.int64:
        train, val = thinned(problem.train.x), thinned(problem.val.x)
        yield from without_content(train.flatten(1))
        yield from copied_samples(train, val, problem.share * len(train) / len(problem.train.y), problem.standardizer)
    if problem.train.y.numel():
        yield from too_small(problem)


def thinned(x: Tensor) -> Tensor:
    return x[:: max(-(-len(x) // MOST_READ), -(-x.numel() // MOST_VALUES))]


def constant(x: Tensor) -> Iterator[Finding]:
    """Features of one value; of images, also pixels that are nearly always 0 and else 1, as of divided integers."""
    pixels, x = x.ndim > 2, x.flatten(1)
    share = (x == x[0]).all(dim=0).double().mean().item()
    evidence = f"{share:.0%} of the features have the same value in every sample"
    lowest, highest = x.amin(dim=0), x.amax(dim=0)
    if share <= MOST_CONSTANT and pixels and ((x == lowest) | (x == highest)).all():
        often = (x == lowest).double().mean(dim=0)
        share = (torch.maximum(often, 1 - often) > NEARLY_ALWAYS).double().mean().item()
        evidence = f"no pixel has more than two values, and {share:.0%} of them have one of these in nearly all samples"
    if share > MOST_CONSTANT:
        yield Finding("constant_input", "error", "train samples", evidence)


def without_content(x: Tensor) -> Iterator[Finding]:
    """Texts (N, T) of hardly any token but one and padding, such as those of a tokenizer that knows few words."""
    tokens, counts = x.unique(return_counts=True)
    of_texts = counts[tokens != PADDING]
    share = of_texts.max().item() / of_texts.sum().item() if len(of_texts) else 1.0
    in_one_order = len(tokens) <= 2 and (x[:, 1:] != x[:, :-1]).sum(dim=1).max() <= 1
    if in_one_order or (share > MOST_OF_ONE and len(tokens) > FEW_TOKENS):
        common = tokens[tokens != PADDING][of_texts.argmax()].item() if len(of_texts) else PADDING
        evidence = f"{share:.0%} of the tokens of the train samples, padding left out, are token {common}"
        advice = ("build the vocabulary from the train texts, in the same spelling:", "    print(x[:3])")
        yield Finding("constant_input", "error", "train samples", evidence, advice=advice)


def unscaled(x: Tensor) -> Iterator[Finding]:
    deviation, mean = torch.std_mean(x.double(), dim=0)
    varies = deviation > 0
    if not varies.any():
        return
    given = x[x != 0]
    sparse = given.numel() < SPARSE * x.numel()  # as counts of words, of which few are in each text
    typical = (given.double() if sparse else deviation[varies]).square().mean().sqrt().item()
    offset = (mean[varies].abs() / deviation[varies]).median().item()
    if not SCALES[0] / (SPARSER if sparse else 1) <= typical <= SCALES[1]:
        evidence = f"the features have a standard deviation of {typical:.3g}"
        yield Finding("unscaled_input", "error", "train samples", evidence)
    elif offset > SCALES[1] and not sparse:
        evidence = f"the mean of the features is {offset:.3g} standard deviations away from 0"
        yield Finding("unscaled_input", "error", "train samples", evidence)


def raw_inputs(history: History) -> Iterator[Finding]:
    """The same for batches that hold more than one tensor of inputs and one of targets."""
    for part in history.inspection.raw[:1]:
        deviation = part.scaled.deviation.square().mean().sqrt().item()
        evidence = f"part {part.name} of the batches has a standard deviation of {deviation:.3g}"
        yield Finding("unscaled_input", history.severity, f"part {part.name}", evidence)


def too_small(problem: Problem) -> Iterator[Finding]:
    """Too few samples for an accuracy, or for a mean squared error, whose relative deviation is sqrt(2 / N)."""
    count = len(problem.val.y)
    at_half, of_errors = 1.96 * 0.5 / sqrt(count), sqrt(2 / count)
    if problem.num_classes and at_half > WIDEST_INTERVAL:
        evidence = f"on {count} samples an accuracy of 50 % is uncertain by {at_half:.0%} points either way"
        yield Finding("validation_too_small", "error", "validation samples", evidence)
    elif not problem.num_classes and of_errors > WIDEST_DEVIATION:
        evidence = f"a mean over {count} samples, such as of squared errors, is uncertain by {of_errors:.0%}"
        yield Finding("validation_too_small", "error", "validation samples", evidence)


def half_width(accuracy: float, count: int) -> float:
    """Of the 95 % interval of an accuracy, which is Wilson's."""
    interval = binomtest(round(accuracy * count), count).proportion_ci(method="wilson")
    return (interval.high - interval.low) / 2


def unlearnable(problem: Problem, reached: float | None) -> Iterator[Finding]:
    """A suspicion: neither simple learners nor the network, after the steps so far, are better than chance.

    Both learners are also tried within the train samples, of which there are more.
    """
    measure = Measure(problem)
    guess, deviation = measure.chance(problem.val.y)
    best = max(baseline_accuracy(problem), 0.0 if reached is None else reached)
    above = (best - guess) / deviation
    if above >= SIGMAS or not problem.train.x.is_floating_point():
        return
    (x, y), (val, target) = pairs(problem)
    votes, val_votes = (one_hot(labels, problem.num_classes).double() for labels in (y, target))
    if strongest_correlation(x, votes, val, val_votes)[0]:
        return
    nearest = measure.likeliest(votes_of_neighbours(x, x, y, leave_out=1))
    within = max(measure.of_classes(guesses, y) for guesses in (nearest, of_other_folds(x, y, measure)))
    common, error = measure.chance(y)
    above_within = (within - common) / error
    if max(above_within, (above + above_within) / sqrt(2)) < SIGMAS:  # each alone, or both together
        evidence = f"validation {measure.name} is at best {best:.1%} with nearest neighbours, ridge regression or the "
        evidence += f"network; a constant guess has {guess:.1%}"
        yield Finding("unlearnable_labels", "error", "labels", evidence, advice=REJOINED)


def unlearnable_numbers(problem: Problem, explained: float | None) -> Iterator[Finding]:
    """The same of numbers and labels of 0 or 1: nothing that is predicted of held-out samples goes with them."""
    of_numbers = problem.train.y.is_floating_point() or problem.train.y.max() <= 1
    if not (problem.train.x.is_floating_point() and of_numbers) or (explained or 0.0) > SOME:
        return
    (x, y), (val, target) = pairs(problem)
    y, target = (part.reshape(len(part), -1).double() for part in (y, target))
    correlated, strongest = strongest_correlation(x, y, val, target)
    if not correlated and not depends(x, y):
        evidence = "predictions of a ridge regression for held-out samples do not correlate with the targets: r is "
        evidence += f"{strongest:.2g} at most, on {len(target)} validation samples"
        yield Finding("unlearnable_labels", "error", "targets", evidence, advice=REJOINED)


def outlying_targets(targets: Tensor) -> Iterator[Finding]:
    """So few numbers so far out that squares are about them alone."""
    y = targets.reshape(len(targets), -1).double()
    squares = (y - y.median(dim=0).values).square()
    for of_samples, ruled in OUTLIERS:
        few = max(1, round(of_samples * len(y)))
        share = (squares.topk(few, dim=0).values.sum(dim=0) / squares.sum(dim=0).clamp(min=1e-300)).max().item()
        if share <= ruled:
            continue
        evidence = f"{few} of {len(y)} targets make up {share:.0%} of the squared deviations from the median"
        advice = ("are they right? else leave them out; or predict logarithms:", "    y = numpy.log1p(y)")
        yield Finding("target_outliers", "warning", "targets", evidence, ("loss=huber",), advice=advice)
        return
