"""Rules about the data alone, and what accuracy can be reached on them without training a network."""

from collections.abc import Iterator
from math import sqrt

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ...data.batches import Samples
from ...findings import Finding
from ..problem import Problem

MOST_CONSTANT = 0.5  # share of the features; images have margins
SCALES = (0.1, 10.0)  # standard deviations of inputs that suit initial weights and learning rates
MOST_LEAKED = 0.01  # share of the validation samples
WIDEST_INTERVAL = 0.17  # half the width of the 95 % interval of an accuracy
SIGMAS = 2.5  # above chance, to be more than luck
MOST_COMPARED = 2000  # samples, if all are compared with all
MOST_READ = 500_000  # samples of a split; of more, every n-th
MOST_VALUES = 2**25


def findings_in_data(problem: Problem) -> Iterator[Finding]:
    """Root cause first."""
    if problem.train.x.is_floating_point():
        train, val = (thinned(samples.x).flatten(1).float() for samples in (problem.train, problem.val))
        for name, x in (("train", train), ("validation", val)):
            bad = int((~x.isfinite().all(dim=1)).sum())
            if bad:
                yield Finding("non_finite", "error", f"{name} samples", f"{bad} of {len(x)} samples are not finite")
                return
        yield from constant(train)
        yield from unscaled(train)
        yield from leaked(train, val, share=problem.share * len(train) / len(problem.train.y))
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
    typical = deviation[varies].square().mean().sqrt().item()
    offset = (mean[varies].abs() / deviation[varies]).median().item()
    if not SCALES[0] <= typical <= SCALES[1]:
        evidence = f"the features have a standard deviation of {typical:.3g}"
        yield Finding("unscaled_input", "error", "train samples", evidence)
    elif offset > SCALES[1]:
        evidence = f"the mean of the features is {offset:.3g} standard deviations away from 0"
        yield Finding("unscaled_input", "error", "train samples", evidence)


def leaked(train: Tensor, val: Tensor, share: float) -> Iterator[Finding]:
    """``share`` of the train samples are looked at; the others are expected to contain as many validation samples."""
    known = {sample.tobytes() for sample in train.numpy()}
    found = min(1.0, sum(sample.tobytes() in known for sample in val.numpy()) / len(val) / share)
    if found > MOST_LEAKED:
        evidence = f"{found:.1%} of the validation samples are also train samples"
        yield Finding("validation_leak", "error", "validation samples", evidence)


def too_small(val: Samples) -> Iterator[Finding]:
    half_width = 1.96 * 0.5 / sqrt(len(val.y))
    if half_width > WIDEST_INTERVAL:
        evidence = f"on {len(val.y)} samples an accuracy of 50 % is uncertain by {half_width:.0%} points either way"
        yield Finding("validation_too_small", "error", "validation samples", evidence)


def unlearnable(problem: Problem, reached: float | None) -> Iterator[Finding]:
    """Neither simple learners nor the network, after the steps so far, are better than chance.

    Nearest neighbours are also tried within the train samples, of which there are more.
    """
    guess, deviation = chance(problem)
    best = max(learnable_accuracy(problem), 0.0 if reached is None else reached)
    if best >= guess + SIGMAS * deviation or not problem.train.x.is_floating_point():
        return
    x, y = problem.train.x[:MOST_COMPARED].flatten(1).float(), problem.train.y[:MOST_COMPARED]
    common = y.bincount().max().item() / len(y)
    within = (voted(x, x, y, leave_out=1) == y).double().mean().item()
    if within < common + SIGMAS * sqrt(common * (1 - common) / len(y)):
        evidence = f"validation accuracy is at best {best:.1%} with nearest neighbours, ridge regression or the network"
        yield Finding("unlearnable_labels", "error", "labels", f"{evidence}; a constant guess has {guess:.1%}")


def voted(x: Tensor, known: Tensor, y: Tensor, leave_out: int = 0) -> Tensor:
    """The most common class among the five nearest ``known`` samples, after the ``leave_out`` nearest."""
    nearest = torch.cdist(x, known).topk(min(5 + leave_out, len(known)), largest=False).indices[:, leave_out:]
    return one_hot(y)[nearest].sum(dim=1).argmax(dim=1)


def chance(problem: Problem) -> tuple[float, float]:
    """The validation accuracy of the most common class as a constant guess, and its standard deviation."""
    y = problem.val.y
    share = y.bincount().max().item() / len(y)
    return share, sqrt(max(share * (1 - share), 1e-9) / len(y))


def guessing(samples: Samples) -> tuple[float, float, int]:
    """The lowest loss and the highest accuracy of a constant guess, and the number of samples."""
    shares = samples.y.bincount().double() / len(samples.y)
    return torch.special.entr(shares).sum().item(), shares.max().item(), len(samples.y)


def learnable_accuracy(problem: Problem) -> float:
    """The better validation accuracy of nearest neighbours and a ridge regression on random features.

    0 if the inputs are no numbers that vary. The generator is its own: the global random state does not change.
    """
    if not problem.train.x.is_floating_point():
        return 0.0
    x, y = problem.train.x[:MOST_COMPARED].flatten(1).float(), problem.train.y[:MOST_COMPARED]
    val, target = problem.val.x[:MOST_COMPARED].flatten(1).float(), problem.val.y[:MOST_COMPARED]
    deviation, mean = torch.std_mean(x, dim=0)
    keep = deviation > 0
    if not keep.any():
        return 0.0
    x, val = ((part - mean)[:, keep] / deviation[keep] for part in (x, val))
    votes = one_hot(y, problem.num_classes).float()

    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(x.shape[1], 512, generator=generator) / sqrt(x.shape[1])
    shift = torch.randn(512, generator=generator)
    features, seen = (torch.cat([part, (part @ weight + shift).relu()], dim=1).double() for part in (x, val))
    strength = 1e-2 * len(x) * torch.eye(features.shape[1], dtype=torch.float64)
    solution = torch.linalg.solve(features.T @ features + strength, features.T @ votes.double())
    guesses = (voted(val, x, y), (seen @ solution).argmax(dim=1))
    return max((guess == target).double().mean().item() for guess in guesses)
