"""Rules about the data alone, and what accuracy can be reached on them without training a network."""

from collections.abc import Iterator
from itertools import chain, product
from math import inf, log, sqrt
from statistics import mean

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ...data.batches import Samples
from ...data.standardize import Standardizer
from ...findings import Finding
from ..problem import Problem, subsample
from ..scoring import Measure

MOST_CONSTANT = 0.5  # share of the features; images have margins
SCALES = (0.1, 10.0)  # standard deviations of inputs that suit initial weights and learning rates
SPARSE = 0.2  # share of the values that are not 0
SPARSER = 10.0  # how much smaller the values may be then
MOST_LEAKED = 0.01  # share of the validation samples that are train samples
MOST_OF_TOKENS = 0.1  # the same of texts, which people repeat
FEWEST_OTHERS = 1 / 3  # share of different ones among these; fewer are states that come again, such as an empty image
MOST_NEAR = 0.05  # share of the validation samples that are nearly copies
MOST_OF_WINDOWS = 0.3  # share of those of which a part is also in a train sample, of texts
FEWEST_WINDOWS = 3  # of the validation samples
BEYOND = 2.0  # times as many as by chance
NEAR = 0.1  # distance to the nearest train sample, as a share of that to the next
BY_CHANCE = 0.1  # share of the validation samples that are five times less near, beyond what the dimension explains
MOST_EXACT = 100  # features; with more, distances are large enough to be computed by products
SHIFTS, SHORTEST, FEW = (1, 2), 6, 500  # steps; steps that are compared at least; validation samples
MOST_SHIFTED, LONGEST = 50, 64  # steps by which windows are moved; equal steps that decide
MOST_CATEGORIES = 20  # values of a feature
COPIES, NEARER = 20, 1.5  # of one sample; how much nearer several must be, because classes are groups as well
ROOM = 50.0  # validation samples for each one that equals a train sample by chance; with fewer, copies are expected
OUTLIERS = ((0.01, 0.8), (0.05, 0.95))  # shares of the samples; shares of the squares of all targets that are theirs
WIDEST_INTERVAL = 0.17  # half the width of the 95 % interval of an accuracy
SOME = 0.05  # of the loss of a constant guess, which a network explains
SIGMAS = 2.5  # above chance, to be more than luck
MOST_COMPARED = 2000  # samples, if all are compared with all
MOST_READ = 500_000  # samples of a split; of more, every n-th
MOST_VALUES = 2**25
FOLDS = 5


def findings_in_data(problem: Problem) -> Iterator[Finding]:
    """Root cause first."""
    if problem.train.x.is_floating_point():
        train, val = (thinned(samples.x).float() for samples in (problem.train, problem.val))
        for name, x in (("train", train), ("validation", val)):
            bad = int((~x.flatten(1).isfinite().all(dim=1)).sum())
            if bad:
                yield Finding("non_finite", "error", f"{name} samples", f"{bad} of {len(x)} samples are not finite")
                return
        yield from constant(train.flatten(1))
        yield from unscaled(train.flatten(1))
        yield from leaked(train, val, problem.share * len(train) / len(problem.train.y), problem.standardizer)
    elif problem.train.x.dtype == torch.int64:
        train, val = thinned(problem.train.x), thinned(problem.val.x)
        yield from leaked(train, val, problem.share * len(train) / len(problem.train.y), problem.standardizer)
    if problem.num_classes:
        yield from too_small(problem.val)


def thinned(x: Tensor) -> Tensor:
    return x[:: max(-(-len(x) // MOST_READ), -(-x.numel() // MOST_VALUES))]


def constant(x: Tensor) -> Iterator[Finding]:
    share = (x == x[0]).all(dim=0).double().mean().item()
    if share > MOST_CONSTANT:
        evidence = f"{share:.0%} of the features have the same value in every sample"
        yield Finding("constant_input", "error", "train samples", evidence)


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


def leaked(train: Tensor, val: Tensor, share: float, standardizer: Standardizer | None) -> Iterator[Finding]:
    """``share`` of the train samples are looked at; the others are expected to contain as many validation samples."""
    known = set(in_bytes(train))
    again = [each for each in in_bytes(val) if each in known]
    found = min(1.0, len(again) / len(val) / share)
    if must_repeat(train.flatten(1)) or len(set(again)) < FEWEST_OTHERS * len(again):
        return
    if found > (MOST_LEAKED if train.is_floating_point() else MOST_OF_TOKENS):
        evidence = f"{found:.1%} of the validation samples are also train samples"
        yield Finding("validation_leak", "error", "validation samples", evidence, advice=UNCOPIED)
    elif share == 1.0:
        parts = overlapping(as_read(train, standardizer), as_read(val, standardizer))
        near = next(chain(nearly_copied(train, val), parts), None)
        if near:
            evidence = f"{near[0]:.1%} of the validation samples are {near[1]} train samples"
            yield Finding("validation_leak", "error", "validation samples", evidence, advice=near[2])


WHOLE = ("split the series, then cut windows from each part:", "    data.split.time=COLUMN, or data.split.group=COLUMN")
UNCOPIED = (
    "keep duplicates of a sample in one split:",
    "    data.split.group=COLUMN, or drop them before splitting",
)


def must_repeat(train: Tensor) -> bool:
    """Whether samples repeat by chance, as with a few answers to a few questions, if features are independent."""
    equal = 0.0  # log-probability that two samples are equal
    for feature in train.T:
        shares = feature.unique(return_counts=True)[1] / len(feature)
        equal += log(shares.square().sum().item())
        if equal < -log(ROOM * len(train)):
            return False
    return True


def nearly_copied(train: Tensor, val: Tensor) -> Iterator[tuple[float, str, tuple[str, str]]]:
    """The share of validation samples that are much nearer to one or a few train samples than to any other.

    As they are, with every feature standardized, or as windows that overlap: moved by a step or two along an axis.
    """
    if not train.is_floating_point() or (train[:100] == train[:100].round()).all():
        return
    train, val = train[:MOST_COMPARED], val[:MOST_COMPARED]
    deviation, mean = torch.std_mean(train, dim=0)
    scaled, val_scaled = ((part - mean) / deviation.clamp(min=1e-12) for part in (train, val))
    if (share := max(share_near(train, val), share_near(scaled, val_scaled))) > MOST_NEAR:
        yield share, "nearly copies of", UNCOPIED
        return
    for axis, shift in product(range(1, train.ndim), SHIFTS):
        length = train.shape[axis] - shift
        if length < SHORTEST:
            continue
        for of_train, of_val in ((0, shift), (shift, 0)):
            moved = (scaled.narrow(axis, of_train, length), val_scaled[:FEW].narrow(axis, of_val, length))
            if (share := share_near(*moved)) > MOST_NEAR:
                yield share, "windows that overlap with", WHOLE
                return


def overlapping(train: Tensor, val: Tensor) -> Iterator[tuple[float, str, tuple[str, str]]]:
    """The share of validation samples of which a part is equal to a part of a train sample, moved by some steps.

    Samples are (N, T) or (N, T, F).
    """
    if train.ndim > 3:
        return
    train, val = train[:MOST_COMPARED], val[:FEW]
    most = MOST_NEAR if train.is_floating_point() else MOST_OF_WINDOWS
    for shift in range(1, min(train.shape[1] - SHORTEST, train.shape[1] // 2, MOST_SHIFTED) + 1):
        length = min(train.shape[1] - shift, LONGEST)
        ends, starts = (set(in_bytes(train[:, first : first + length])) for first in (shift, 0))
        val_ends, val_starts = (set(in_bytes(val[:, first : first + length])) for first in (shift, 0))
        share = max(len(ends & val_starts), len(starts & val_ends)) / len(val)  # an empty part counts once
        by_chance = len(starts & val_starts) / len(val)  # at the same place, parts are equal by chance alone
        if share > most + BEYOND * by_chance and share * len(val) >= FEWEST_WINDOWS:
            yield share, "windows that overlap with", WHOLE
            return


def as_read(x: Tensor, standardizer: Standardizer | None) -> Tensor:
    """Undo the standardization and round to four digits, so that equal parts of a series compare as equal."""
    if standardizer is None or standardizer.mean.shape != x.shape[1:]:
        return x
    raw = x.double() * standardizer.deviation + standardizer.mean
    return (raw / standardizer.deviation.mean()).round(decimals=4).float()


def in_bytes(x: Tensor) -> list[bytes]:
    return [sample.tobytes() for sample in x.numpy()]


def share_near(train: Tensor, val: Tensor) -> float:
    """0 if samples lie so densely that this happens by chance, as along a line.

    Only samples with the same categories are compared: those of other ones are always far away.
    """
    val, train = val.flatten(1), train.flatten(1)
    numbers = varied(train)
    if not numbers.any():
        return 0.0
    between = distances(val, train)
    nearest = near_by = between.topk(min(3 * COPIES, len(train)), dim=1, largest=False).values
    if not numbers.all():
        _, cells = torch.cat([val, train])[:, ~numbers].unique(dim=0, return_inverse=True)
        between[cells[: len(val), None] != cells[None, len(val) :]] = inf
        nearest = between.topk(nearest.shape[1], dim=1, largest=False).values
        near_by = distances(val[:, numbers], train[:, numbers]).topk(nearest.shape[1], dim=1, largest=False).values
    ratios = nearest[:, :COPIES] / nearest[:, 1 : COPIES + 1].clamp(min=1e-12)
    ratios[nearest[:, 1 : COPIES + 1].isinf()] = 1.0  # no further neighbour to compare with
    ratios[:, 1:] *= NEARER
    ratio = ratios.min(dim=1).values
    near, nearer_than_most = ((limit > ratio).double().mean().item() for limit in (NEAR, 5 * NEAR))
    if near > nearer_than_most - near:
        return near
    return nearer_than_most if nearer_than_most > BY_CHANCE + 3 * 0.5 ** (dimension(near_by) / 2) else 0.0


def distances(val: Tensor, train: Tensor) -> Tensor:
    exact = "donot_use_mm_for_euclid_dist" if val.shape[1] <= MOST_EXACT else "use_mm_for_euclid_dist"
    return torch.cdist(val, train, compute_mode=exact)


def varied(x: Tensor) -> Tensor:
    """Which features have too many values to be categories, (F,); all of them where there are many, as in images."""
    if x.shape[1] > MOST_EXACT:
        return torch.ones(x.shape[1], dtype=torch.bool)
    return torch.tensor([len(feature.unique()) > MOST_CATEGORIES for feature in x.T])


def dimension(distances: Tensor) -> float:
    """The dimension in which samples lie around others, by the distances to those beyond ``COPIES``, ascending.

    Source: Levina and Bickel, Maximum Likelihood Estimation of Intrinsic Dimension (2004), equation 8.
    """
    beyond = distances[:, COPIES:].clamp(min=1e-12)
    logs = (beyond[:, -1:] / beyond[:, :-1]).log().mean(dim=1)
    return 1 / max(logs.mean().item(), 1e-3)


def too_small(val: Samples) -> Iterator[Finding]:
    half_width = 1.96 * 0.5 / sqrt(len(val.y))
    if half_width > WIDEST_INTERVAL:
        evidence = f"on {len(val.y)} samples an accuracy of 50 % is uncertain by {half_width:.0%} points either way"
        yield Finding("validation_too_small", "error", "validation samples", evidence)


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
    (x, y), (val, target) = (flat(subsample(part, MOST_COMPARED)) for part in (problem.train, problem.val))
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


REJOINED = (
    "check that inputs and labels still belong together, such as after a sort or a join:",
    "    print(x[:5], y[:5])",
)


def unlearnable_numbers(problem: Problem, explained: float | None) -> Iterator[Finding]:
    """The same of numbers and labels of 0 or 1: nothing that is predicted of held-out samples goes with them."""
    of_numbers = problem.train.y.is_floating_point() or problem.train.y.max() <= 1
    if not (problem.train.x.is_floating_point() and of_numbers) or (explained or 0.0) > SOME:
        return
    (x, y), (val, target) = (flat(subsample(part, MOST_COMPARED)) for part in (problem.train, problem.val))
    y, target = (part.reshape(len(part), -1).double() for part in (y, target))
    correlated, strongest = strongest_correlation(x, y, val, target)
    if not correlated:
        evidence = "predictions of a ridge regression for held-out samples do not correlate with the targets: r is "
        evidence += f"{strongest:.2g} at most, on {len(target)} validation samples"
        yield Finding("unlearnable_labels", "error", "targets", evidence, advice=REJOINED)


def strongest_correlation(x: Tensor, y: Tensor, val: Tensor, target: Tensor) -> tuple[bool, float]:
    """Whether predictions of a ridge regression for held-out samples go with their targets (N, K), and r at most.

    Held out are folds of the train samples, and the validation samples.
    """
    pairs = ((held_out(x, y), y), (ridge(x, val, y), target))
    found = [[correlation(*columns) for columns in zip(*(part.T for part in pair), strict=True)] for pair in pairs]
    sigmas = [sqrt(len(true)) * r for (_, true), of_columns in zip(pairs, found, strict=True) for r in of_columns]
    by_chance = sqrt(SIGMAS**2 + 2 * log(len(sigmas)))  # corrected for the number of comparisons
    return max(sigmas) >= by_chance or mean(sigmas) >= SIGMAS, max(found[1])


def scaled(x: Tensor, val: Tensor) -> tuple[Tensor, Tensor]:
    """Both by the mean and the deviation of ``x``, without the features that are constant in it."""
    deviation, mean = torch.std_mean(x, dim=0)
    varies = deviation > 0
    scaled_x, scaled_val = ((part[:, varies] - mean[varies]) / deviation[varies] for part in (x, val))
    return scaled_x, scaled_val


def correlation(a: Tensor, b: Tensor) -> float:
    return torch.corrcoef(torch.stack([a, b]))[0, 1].nan_to_num().item()


def flat(samples: Samples) -> tuple[Tensor, Tensor]:
    return samples.x.flatten(1).float(), samples.y


def votes_of_neighbours(x: Tensor, known: Tensor, y: Tensor, leave_out: int = 0) -> Tensor:
    """How common each class is among the five nearest ``known`` samples, after the ``leave_out`` nearest."""
    nearest = torch.cdist(x, known).topk(min(5 + leave_out, len(known)), largest=False).indices[:, leave_out:]
    return one_hot(y)[nearest].sum(dim=1).double()


def of_other_folds(x: Tensor, y: Tensor, measure: Measure) -> Tensor:
    """The class of each sample by a ridge regression on the samples of four other folds."""
    return measure.likeliest(held_out(x, one_hot(y, len(measure.log_shares)).double()))


def held_out(x: Tensor, targets: Tensor) -> Tensor:
    """What a ridge regression on the samples of four folds says of those of the fifth."""
    predicted, folds = torch.empty_like(targets), torch.arange(len(x)) % FOLDS
    for fold in range(FOLDS):
        rest = folds != fold
        predicted[~rest] = ridge(x[rest], x[~rest], targets[rest])
    return predicted


def chance(problem: Problem) -> tuple[float, float]:
    """The validation accuracy of a constant guess, and its standard deviation."""
    return Measure(problem).chance(problem.val.y)


def guessing(problem: Problem) -> tuple[float, float, int]:
    """The lowest loss and the highest accuracy of a constant guess on train samples, and the number of samples."""
    samples = subsample(problem.train, problem.scored)
    shares = samples.y.bincount().double() / len(samples.y)
    best = 1.0 if Measure(problem).balanced else shares.max().item()  # then it is judged by the loss alone
    return torch.special.entr(shares).sum().item(), best, len(samples.y)


def baseline_accuracy(problem: Problem) -> float:
    """The better validation accuracy of nearest neighbours and a ridge regression on random features.

    0 if the inputs are no numbers that vary. The generator is its own: the global random state does not change.
    """
    if not problem.train.x.is_floating_point():
        return 0.0
    measure = Measure(problem)
    (x, y), (val, target) = (flat(subsample(part, MOST_COMPARED)) for part in (problem.train, problem.val))
    x, val = scaled(x, val)
    if not x.shape[1]:
        return 0.0
    votes = ridge(x, val, one_hot(y, problem.num_classes).double())
    guesses = (measure.likeliest(votes_of_neighbours(val, x, y)), measure.likeliest(votes))
    return max(measure.of_classes(guess, target) for guess in guesses)


def baseline_share(problem: Problem) -> float:
    """The share of the variance of targets that a ridge regression explains on validation samples, 0 at least."""
    if not problem.train.x.is_floating_point():
        return 0.0
    (x, y), (val, target) = (flat(subsample(part, MOST_COMPARED)) for part in (problem.train, problem.val))
    y, target = (part.reshape(len(part), -1).double() for part in (y, target))
    errors = (target - y.mean(dim=0) - ridge(x, val, y - y.mean(dim=0))).square().sum(dim=0)
    shares = 1 - errors / (target - y.mean(dim=0)).square().sum(dim=0).clamp(min=1e-30)
    return max(0.0, shares.mean().item())


def outlying_targets(problem: Problem) -> Iterator[Finding]:
    """So few numbers so far out that squares are about them alone."""
    y = problem.train.y.reshape(len(problem.train.y), -1).double()
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


def ridge(x: Tensor, val: Tensor, targets: Tensor) -> Tensor:
    """What a ridge regression on the inputs and 512 random ReLU features of them says of ``val``."""
    x, val = scaled(x, val)
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(x.shape[1], 512, generator=generator) / sqrt(x.shape[1])
    shift = torch.randn(512, generator=generator)
    features, seen = (torch.cat([part, (part @ weight + shift).relu()], dim=1).double() for part in (x, val))
    strength = 1e-2 * len(x) * torch.eye(features.shape[1], dtype=torch.float64)
    return seen @ torch.linalg.solve(features.T @ features + strength, features.T @ targets)
