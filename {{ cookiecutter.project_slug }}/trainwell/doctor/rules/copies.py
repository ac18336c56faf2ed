"""Rules about validation samples that are, nearly or in part, train samples."""

from collections.abc import Iterator
from itertools import chain, islice, product
from math import inf, log

import torch
from torch import Tensor

from ...data.standardize import Standardizer
from ...findings import Finding
from ..baselines import MOST_COMPARED

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
WHOLE = ("split the series, then cut windows from each part:", "    data.split.time=COLUMN, or data.split.group=COLUMN")
UNCOPIED = ("keep duplicates of a sample in one split:", "    data.split.group=COLUMN, or drop them before splitting")


def copied_samples(train: Tensor, val: Tensor, share: float, standardizer: Standardizer | None) -> Iterator[Finding]:
    """``share`` of the train samples are looked at; the others are expected to contain as many validation samples."""
    known = set(in_bytes(train))
    again = [each for each in in_bytes(val) if each in known]
    found = min(1.0, len(again) / len(val) / share)
    if must_repeat(train.flatten(1)) or len(set(again)) < FEWEST_OTHERS * len(again):
        return
    if found > (MOST_LEAKED if train.is_floating_point() else MOST_OF_TOKENS):
        yield leak(found, "also", UNCOPIED)
    elif share == 1.0:
        parts = [overlapping(*pair) for pair in as_series(train, val, standardizer)]
        yield from islice(chain(nearly_copied(train, val, standardizer), *parts), 1)


def leak(share: float, what: str, advice: tuple[str, str]) -> Finding:
    evidence = f"{share:.1%} of the validation samples are {what} train samples"
    return Finding("validation_leak", "error", "validation samples", evidence, advice=advice)


def must_repeat(train: Tensor) -> bool:
    """Whether samples repeat by chance, as with a few answers to a few questions, if features are independent."""
    equal = 0.0  # log-probability that two samples are equal
    for feature in train.T:
        shares = feature.unique(return_counts=True)[1] / len(feature)
        equal += log(shares.square().sum().item())
        if equal < -log(ROOM * len(train)):
            return False
    return True


def nearly_copied(train: Tensor, val: Tensor, standardizer: Standardizer | None) -> Iterator[Finding]:
    """Validation samples that are much nearer to one or a few train samples than to any other.

    As they are, before they were standardized, with every feature standardized, or as windows that overlap: moved by a
    step or two along an axis, in both directions, since in order of time validation samples follow train samples.
    """
    if not train.is_floating_point() or (train[:100] == train[:100].round()).all():
        return
    train, val = train[:MOST_COMPARED], val[:MOST_COMPARED]
    deviation, mean = torch.std_mean(train, dim=0)
    scaled, val_scaled = ((part - mean) / deviation.clamp(min=1e-12) for part in (train, val))
    forms = [(train, val), (scaled, val_scaled)]
    if standardizer is not None and standardizer.deviation.shape == train.shape[1:]:
        forms.append(((train * standardizer.deviation).float(), (val * standardizer.deviation).float()))
    if (share := max(share_near(*form) for form in forms)) > MOST_NEAR:
        yield leak(share, "nearly copies of", UNCOPIED)
        return
    for axis, shift in product(range(1, train.ndim), SHIFTS):
        length = train.shape[axis] - shift
        if length < SHORTEST:
            continue
        starts, ends = ([part.narrow(axis, n, length) for part in (scaled, val_scaled[:FEW])] for n in (0, shift))
        (train_starts, val_starts), (train_ends, val_ends) = starts, ends
        if (share := min(share_near(train_starts, val_ends), share_near(train_ends, val_starts))) > MOST_NEAR:
            yield leak(share, "windows that overlap with", WHOLE)
            return


def overlapping(train: Tensor, val: Tensor) -> Iterator[Finding]:
    """Validation samples of which a part is equal to a part of a train sample, moved by some steps.

    Both of an earlier and of a later one: in order of time, validation samples follow train samples.
    """
    most = MOST_NEAR if train.is_floating_point() else MOST_OF_WINDOWS
    for later, earlier, by_chance in shared_parts(train, val):
        share = min(later, earlier)
        if share > most + BEYOND * by_chance and share * min(len(val), FEW) >= FEWEST_WINDOWS:
            yield leak(share, "windows that overlap with", WHOLE)
            return


def follow_in_time(train: Tensor, val: Tensor) -> bool:
    """Whether validation samples are windows of a series that begin in train samples and end behind them."""
    fewest = FEWEST_WINDOWS / min(len(val), FEW)
    found = (parts for parts in shared_parts(train, val) if max(parts[:2]) >= fewest)
    later, earlier, by_chance = next(found, (0.0, 0.0, 0.0))
    return later > BEYOND * by_chance and earlier == 0


def shared_parts(train: Tensor, val: Tensor) -> Iterator[tuple[float, float, float]]:
    """For each number of steps, shares of validation samples, (N, T) or (N, T, F).

    Of those that begin as a train sample goes on after so many steps, of those that go on as one begins, and of those
    that begin as one does, which is chance.
    """
    train, val = train[:MOST_COMPARED], val[:FEW]
    for shift in range(1, min(train.shape[1] - SHORTEST, train.shape[1] // 2, MOST_SHIFTED) + 1):
        length = min(train.shape[1] - shift, LONGEST)
        ends, starts = (set(in_bytes(train[:, first : first + length])) for first in (shift, 0))
        val_ends, val_starts = (set(in_bytes(val[:, first : first + length])) for first in (shift, 0))
        later, earlier, by_chance = ends & val_starts, starts & val_ends, starts & val_starts
        yield len(later) / len(val), len(earlier) / len(val), len(by_chance) / len(val)  # an empty part counts once


def as_series(train: Tensor, val: Tensor, standardizer: Standardizer | None) -> list[tuple[Tensor, Tensor]]:
    """Both with time along axis 1; of three axes it may be either of the last two."""
    pair = (as_read(train, standardizer), as_read(val, standardizer))
    if train.ndim == 3:
        return [pair, (pair[0].mT.contiguous(), pair[1].mT.contiguous())]
    return [pair] if train.ndim == 2 else []


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
