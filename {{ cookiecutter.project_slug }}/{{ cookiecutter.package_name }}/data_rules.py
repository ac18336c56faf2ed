"""What is wrong with data, before any network has seen them."""

from collections.abc import Iterator
from math import sqrt

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from .data import Data, Rows
from .findings import Finding

MOST_CONSTANT = 0.5  # share of the features; images have margins
SCALES = (0.1, 10.0)  # standard deviations that a network's start and learning rate are made for
MOST_LEAKED = 0.01  # share of the validation rows
WIDEST_INTERVAL = 0.17  # half the width of the 95 % interval of an accuracy
SIGMAS = 2.5  # above chance, to be taken for more than luck
MOST_ROWS = 2000  # for what compares all rows with all
MOST_SEEN = 500_000  # of a part with more rows, or more numbers, every n-th row stands for all
MOST_NUMBERS = 2**25


def findings_in_data(data: Data) -> Iterator[Finding]:
    """Root cause first."""
    train, val = (thinned(rows.x).flatten(1) for rows in (data.train, data.val))
    for name, x in (("train", train), ("val", val)):
        bad = ~x.isfinite().all(dim=1)
        if bad.any():
            yield Finding("non_finite", "error", f"{name} rows", f"{int(bad.sum())} of {len(bad)} rows are not finite")
            return
    yield from constant(train)
    yield from unscaled(train)
    yield from leaked(train, val, seen=len(train) / len(data.train.y))
    yield from too_small(data.val)


def thinned(x: Tensor) -> Tensor:
    return x[:: max(-(-len(x) // MOST_SEEN), -(-x.numel() // MOST_NUMBERS))]


def constant(x: Tensor) -> Iterator[Finding]:
    share = (x == x[0]).all(dim=0).double().mean().item()
    if share > MOST_CONSTANT:
        yield Finding("constant_input", "error", "train rows", f"{share:.0%} of the features are the same in every row")


def unscaled(x: Tensor) -> Iterator[Finding]:
    deviation, mean = torch.std_mean(x.double(), dim=0)
    varies = deviation > 0
    if not varies.any():
        return
    typical = deviation[varies].square().mean().sqrt().item()
    offset = (mean[varies].abs() / deviation[varies]).median().item()
    if not SCALES[0] <= typical <= SCALES[1]:
        yield Finding("unscaled_input", "error", "train rows", f"the features' standard deviation is {typical:.3g}")
    elif offset > SCALES[1]:
        yield Finding("unscaled_input", "error", "train rows", f"the mean lies {offset:.3g} standard deviations from 0")


def leaked(train: Tensor, val: Tensor, seen: float) -> Iterator[Finding]:
    """``seen`` is the share of the train rows that are looked at; the others hold as many of the validation rows."""
    known = {row.tobytes() for row in train.numpy()}
    share = min(1.0, sum(row.tobytes() in known for row in val.numpy()) / len(val) / seen)
    if share > MOST_LEAKED:
        evidence = f"{share:.1%} of the validation rows are among the train rows"
        yield Finding("validation_leak", "error", "validation rows", evidence)


def too_small(val: Rows) -> Iterator[Finding]:
    half_width = 1.96 * 0.5 / sqrt(len(val.y))
    if half_width > WIDEST_INTERVAL:
        evidence = f"{len(val.y)} rows tell an accuracy of 50 % to within {half_width:.0%} points only"
        yield Finding("validation_too_small", "error", "validation rows", evidence)


def unlearnable(data: Data, reached: float | None) -> Iterator[Finding]:
    """Neither simple learners nor the network, as far as it has been trained, are better than chance.

    Nearest neighbours are also tried among the train rows, of which there are more.
    """
    guess, deviation = chance(data)
    best = max(learnable_accuracy(data), 0.0 if reached is None else reached)
    if best >= guess + SIGMAS * deviation:
        return
    x, y = data.train.x[:MOST_ROWS].flatten(1), data.train.y[:MOST_ROWS]
    common = y.bincount().max().item() / len(y)
    among = (voted(x, x, y, leave_out=1) == y).double().mean().item()
    if among < common + SIGMAS * sqrt(common * (1 - common) / len(y)):
        evidence = f"validation accuracy {best:.1%} at best, by nearest neighbours, a smooth map and the network"
        yield Finding("unlearnable_labels", "error", "labels", f"{evidence}; a constant guess has {guess:.1%}")


def voted(x: Tensor, known: Tensor, y: Tensor, leave_out: int = 0) -> Tensor:
    """The commonest class among the five nearest of the ``known`` rows, after those to ``leave_out``."""
    nearest = torch.cdist(x, known).topk(min(5 + leave_out, len(known)), largest=False).indices[:, leave_out:]
    return one_hot(y)[nearest].sum(dim=1).argmax(dim=1)


def chance(data: Data) -> tuple[float, float]:
    """The accuracy on validation rows of always guessing the commonest class, and its standard deviation."""
    share = data.val.y.bincount().max().item() / len(data.val.y)
    return share, sqrt(max(share * (1 - share), 1e-9) / len(data.val.y))


def guessing(rows: Rows) -> tuple[float, float, int]:
    """The least loss and the best accuracy of what is the same for every row, and the number of rows."""
    shares = rows.y.bincount().double() / len(rows.y)
    return torch.special.entr(shares).sum().item(), shares.max().item(), len(rows.y)


def learnable_accuracy(data: Data) -> float:
    """The best validation accuracy of two learners that need no training: nearest neighbours and a smooth map.

    The map is a ridge regression on random features. Its own generator: the global random state is left alone.
    """
    x, y = data.train.x[:MOST_ROWS].flatten(1), data.train.y[:MOST_ROWS]
    val, target = data.val.x[:MOST_ROWS].flatten(1), data.val.y[:MOST_ROWS]
    deviation, mean = torch.std_mean(x, dim=0)
    keep = deviation > 0
    if not keep.any():
        return 0.0
    x, val = ((part - mean)[:, keep] / deviation[keep] for part in (x, val))
    votes = one_hot(y, data.num_classes).float()

    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(x.shape[1], 512, generator=generator) / sqrt(x.shape[1])
    shift = torch.randn(512, generator=generator)
    features, seen = (torch.cat([part, (part @ weight + shift).relu()], dim=1).double() for part in (x, val))
    strength = 1e-2 * len(x) * torch.eye(features.shape[1], dtype=torch.float64)
    solution = torch.linalg.solve(features.T @ features + strength, features.T @ votes.double())
    guesses = (voted(val, x, y), (seen @ solution).argmax(dim=1))
    return max((guess == target).double().mean().item() for guess in guesses)
