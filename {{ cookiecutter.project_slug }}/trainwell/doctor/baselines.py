"""What simple learners reach on samples without any network, and what a constant guess does."""

from math import log, sqrt
from statistics import mean

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from .problem import Problem, subsample
from .scoring import Measure

SIGMAS = 2.5  # above chance, to be more than luck
MOST_COMPARED = 2000  # samples, if all are compared with all
FOLDS = 5
MOST_PAIRED, SHUFFLES = 500, 99  # samples whose distances are compared; random orders


def pairs(problem: Problem) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Inputs (N, F) and targets of some train samples, and of some validation samples."""
    train, val = (subsample(part, MOST_COMPARED) for part in (problem.train, problem.val))
    return (train.x.flatten(1).float(), train.y), (val.x.flatten(1).float(), val.y)


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
    (x, y), (val, target) = pairs(problem)
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
    (x, y), (val, target) = pairs(problem)
    y, target = (part.reshape(len(part), -1).double() for part in (y, target))
    errors = (target - y.mean(dim=0) - ridge(x, val, y - y.mean(dim=0))).square().sum(dim=0)
    shares = 1 - errors / (target - y.mean(dim=0)).square().sum(dim=0).clamp(min=1e-30)
    return max(0.0, shares.mean().item())


def strongest_correlation(x: Tensor, y: Tensor, val: Tensor, target: Tensor) -> tuple[bool, float]:
    """Whether predictions of a ridge regression for held-out samples go with their targets (N, K), and r at most.

    Held out are folds of the train samples, and the validation samples.
    """
    pairs = ((held_out(x, y), y), (ridge(x, val, y), target))
    found = [[correlation(*columns) for columns in zip(*(part.T for part in pair), strict=True)] for pair in pairs]
    sigmas = [sqrt(len(true)) * r for (_, true), of_columns in zip(pairs, found, strict=True) for r in of_columns]
    by_chance = sqrt(SIGMAS**2 + 2 * log(len(sigmas)))  # corrected for the number of comparisons
    return max(sigmas) >= by_chance or mean(sigmas) >= SIGMAS, max(found[1])


def correlation(a: Tensor, b: Tensor) -> float:
    return torch.corrcoef(torch.stack([a, b]))[0, 1].nan_to_num().item()


def depends(x: Tensor, y: Tensor) -> bool:
    """Whether targets (N, K) go with inputs (N, F) in any way, also where no prediction of one number shows it.

    Their distance covariance is above that with the targets in ``SHUFFLES`` random orders, by chance once in 100.
    Source: Szekely, Rizzo and Bakirov, Measuring and Testing Dependence by Correlation of Distances (2007).
    """
    x, y = x[:MOST_PAIRED], y[:MOST_PAIRED].float()
    of_inputs, of_targets = (centred(torch.cdist(part, part)) for part in (scaled(x, x)[0], y))
    generator = torch.Generator().manual_seed(0)
    orders = [torch.randperm(len(x), generator=generator) for _ in range(SHUFFLES)]
    by_chance = max((of_inputs * of_targets[order][:, order]).mean().item() for order in orders)
    return (of_inputs * of_targets).mean().item() > by_chance


def centred(distances: Tensor) -> Tensor:
    return distances - distances.mean(dim=0) - distances.mean(dim=1, keepdim=True) + distances.mean()


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


def ridge(x: Tensor, val: Tensor, targets: Tensor) -> Tensor:
    """What a ridge regression on the inputs and 512 random ReLU features of them says of ``val``."""
    x, val = scaled(x, val)
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(x.shape[1], 512, generator=generator) / sqrt(x.shape[1])
    shift = torch.randn(512, generator=generator)
    features, seen = (torch.cat([part, (part @ weight + shift).relu()], dim=1).double() for part in (x, val))
    strength = 1e-2 * len(x) * torch.eye(features.shape[1], dtype=torch.float64)
    return seen @ torch.linalg.solve(features.T @ features + strength, features.T @ targets)


def scaled(x: Tensor, val: Tensor) -> tuple[Tensor, Tensor]:
    """Both by the mean and the deviation of ``x``, without the features that are constant in it."""
    deviation, mean = torch.std_mean(x, dim=0)
    varies = deviation > 0
    scaled_x, scaled_val = ((part[:, varies] - mean[varies]) / deviation[varies] for part in (x, val))
    return scaled_x, scaled_val
