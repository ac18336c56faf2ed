"""Rules about what train and validation samples have in common, and what the targets give away."""

from collections.abc import Iterator
from math import sqrt

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torchmetrics.functional.classification import binary_auroc

from ...findings import Finding
from ..baselines import MOST_COMPARED, pairs, ridge, scaled
from ..history import History
from ..problem import Problem, subsample
from .copies import as_series, follow_in_time

MOST_MISSING = 0.02  # share of the validation samples of classes without a train sample
APART = 0.25  # above 0.5: how well train and validation samples can be separated; their shares of classes
GIVES_AWAY = 0.98  # accuracy of one feature alone
OTHERS = 0.1  # below it: what all the other features reach; or a tenth of what those leave unexplained, or wrong
NEAREST = 2
MOST_FEATURES, MOST_TRIED = 5000, 200
MOST_TOKENS = 512


def findings_between_splits(problem: Problem) -> Iterator[Finding]:
    if problem.num_classes:
        yield from missing_classes(problem)
    if problem.train.x.is_floating_point() or problem.train.x.dtype == torch.int64:
        yield from leaking_feature(problem)
        yield from shifted(problem)
    if problem.train.x.is_floating_point():
        yield from leaking_number(problem)


def missing_classes(problem: Problem) -> Iterator[Finding]:
    known = problem.train.y.bincount(minlength=problem.num_classes) > 0
    share = (~known[problem.val.y]).double().mean().item()
    if problem.share == 1.0 and share > MOST_MISSING:
        absent = [number for number in problem.val.y.unique().tolist() if not known[number]]
        evidence = f"{share:.0%} of the validation samples are of classes without a train sample: {listed(absent)}"
        advice = ("split at random, equally of every class:", "    data.split.column=null data.split.time=null")
        yield Finding("class_missing", "error", "train samples", evidence, advice=advice)


def listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:5])) + (f" and {len(numbers) - 5} more" if len(numbers) > 5 else "")


def outputs_without_class(problem: Problem, history: History) -> Iterator[Finding]:
    """The network has outputs for classes of which there is no sample at all."""
    call = history.inspection.call
    if call is None or call.outputs.ndim != 2 or call.name not in ("cross_entropy", "nll_loss"):
        return
    if not problem.num_classes or problem.share < 1.0:
        return
    outputs = call.outputs.shape[1]
    counts = torch.cat([problem.train.y, problem.val.y]).bincount(minlength=outputs)
    absent = (counts == 0).nonzero().flatten().tolist()
    if absent:
        evidence = f"the network has {outputs} outputs; of {len(absent)} classes there is no sample: {listed(absent)}"
        advice = ("number the classes from 0 without a gap:", "    y = numpy.unique(y, return_inverse=True)[1]")
        yield Finding("outputs_without_class", "warning", "outputs", evidence, advice=advice)


def shifted(problem: Problem) -> Iterator[Finding]:
    """A suspicion: a simple learner separates validation samples from train samples, or their classes differ."""
    train, val = (subsample(part, MOST_COMPARED // 2) for part in (problem.train, problem.val))
    auc = auc_between(*(features_of(part.x) for part in (train, val)))
    if auc > 0.5 + APART:
        series = as_series(problem.train.x, problem.val.x, problem.standardizer)
        if not any(follow_in_time(*pair) for pair in series):  # else it is meant, and a series changes
            evidence = f"a simple learner separates validation from train samples with an AUC of {auc:.2f}; "
            yield shift_finding(f"{evidence}0.5 is chance")
        return
    if problem.num_classes:
        shares = [part.y.bincount(minlength=problem.num_classes) / len(part.y) for part in (problem.train, problem.val)]
        distance = (shares[0] - shares[1]).abs().sum().item() / 2
        if distance > APART:
            yield shift_finding(f"the shares of the classes in train and validation samples differ by {distance:.0%}")


def features_of(x: Tensor) -> Tensor:
    """Numbers as they are; of texts, which tokens occur."""
    if x.is_floating_point():
        return x.flatten(1).float()
    return torch.zeros(len(x), MOST_TOKENS).scatter(1, x.flatten(1) % MOST_TOKENS, 1.0)


def shift_finding(evidence: str) -> Finding:
    advice = ("prepare all samples alike, and split them at random:", "    data.split.column=null data.split.time=null")
    return Finding("shifted_validation", "error", "validation samples", evidence, advice=advice)


def auc_between(train: Tensor, val: Tensor) -> float:
    """The AUC, on the half of the samples that it was not fitted to, of a ridge regression between both splits."""
    count = min(len(train), len(val))
    x = torch.cat([train[:count], val[:count]])
    x, _ = scaled(x, x)
    if count < 20 or not x.shape[1]:
        return 0.5
    x = x.clamp(-10, 10)
    y = torch.arange(2 * count).ge(count).double()
    half = torch.arange(2 * count) % 2 == 0
    predicted = ridge(x[half], x[~half], (2 * y[half] - 1)[:, None])[:, 0]
    return binary_auroc(predicted, y[~half].long()).item()


def leaking_feature(problem: Problem) -> Iterator[Finding]:
    """One feature, or token, alone says the target of new samples, and all others together do not."""
    train, validated = (subsample(part, MOST_COMPARED) for part in (problem.train, problem.val))
    x, val, y, target = features_of(train.x), features_of(validated.x), train.y, validated.y
    kind = "feature" if train.x.is_floating_point() else "token"
    if not problem.num_classes or not 2 <= x.shape[1] <= MOST_FEATURES:
        return
    promising = between_classes(x, y, problem.num_classes).topk(min(MOST_TRIED, x.shape[1])).indices.tolist()
    reached = {n: by_one_feature(x[:, n], y, val[:, n], target, problem.num_classes) for n in sorted(promising)}
    best = max(reached, key=reached.__getitem__)
    common = target.bincount().max().item() / len(target)
    deviation = sqrt(common * (1 - common) / len(target))
    if reached[best] < GIVES_AWAY or reached[best] < common + 5 * deviation:
        return
    others = [n for n in range(x.shape[1]) if reached.get(n, 0.0) < GIVES_AWAY]
    votes = one_hot(y, problem.num_classes).double()
    rest = ridge(x[:, others], val[:, others], votes).argmax(dim=1) if others else None
    without = common if rest is None else (rest == target).double().mean().item()
    if without < reached[best] - OTHERS or 1 - reached[best] < OTHERS * (1 - without):
        found, left_out = best, f"numpy.delete(x, {best}, axis=1)"
        if kind == "token":  # several may share a column
            behind = train.x[train.x % MOST_TOKENS == best].unique().tolist()
            found = max(behind, key=lambda token: mutual(train.x == token, x[:, best] > 0))
            left_out = f"numpy.where(x == {found}, 0, x)"
        evidence = f"{kind} {found} alone predicts {reached[best]:.1%} of the validation samples, all others "
        evidence += f"together {without:.1%}"
        advice = ("drop it unless it is known before the target:", f"    x = {left_out}")
        yield Finding("target_leak", "warning", f"{kind} {found}", evidence, advice=advice)


def mutual(occurs: Tensor, wanted: Tensor) -> float:
    """In how many samples a token occurs where it is wanted, and not where it is not."""
    return (occurs.flatten(1).any(dim=1) == wanted).double().mean().item()


def between_classes(x: Tensor, y: Tensor, num_classes: int) -> Tensor:
    """The share of each feature's variance that is between classes, of its ranks, which no scale changes."""
    ranks = x.argsort(dim=0).argsort(dim=0).double()
    of_class = one_hot(y, num_classes).double()
    means = of_class.T @ ranks / of_class.sum(dim=0).clamp(min=1)[:, None]
    return (of_class @ means).var(dim=0) / ranks.var(dim=0).clamp(min=1e-12)


def leaking_number(problem: Problem) -> Iterator[Finding]:
    """One feature says nearly all of a number, and all others together do not."""
    if problem.num_classes or not problem.train.y.is_floating_point() or problem.train.y[0].numel() != 1:
        return
    (x, y), (val, target) = pairs(problem)
    y, target = y.reshape(-1, 1).double(), target.reshape(-1, 1).double()
    if not 2 <= x.shape[1] <= MOST_FEATURES:
        return
    correlation = torch.corrcoef(torch.cat([x.T.double(), y.T]))[-1, :-1].nan_to_num().square()
    best, share = int(correlation.argmax()), correlation.max().item()
    others = [n for n in range(x.shape[1]) if correlation[n] < GIVES_AWAY]
    if share < GIVES_AWAY or not others:
        return
    errors = target - y.mean() - ridge(x[:, others], val[:, others], y - y.mean())
    without = 1 - (errors.square().mean() / (target - y.mean()).square().mean()).item()
    if without < share - OTHERS or 1 - share < OTHERS * (1 - without):
        evidence = f"feature {best} alone explains {share:.1%} of the target, all others together {max(without, 0):.1%}"
        advice = ("drop it unless it is known before the target:", f"    x = numpy.delete(x, {best}, axis=1)")
        yield Finding("target_leak", "warning", f"feature {best}", evidence, advice=advice)


def by_one_feature(x: Tensor, y: Tensor, val: Tensor, target: Tensor, num_classes: int) -> float:
    """The accuracy of the commonest class among the ``NEAREST`` train samples on either side, by one feature."""
    known, order = x.sort()
    ends = [torch.searchsorted(known, val.contiguous(), right=right) for right in (False, True)]
    places = ((ends[0] + ends[1]) // 2)[:, None] + torch.arange(-NEAREST, NEAREST)  # half of them on either side
    votes = one_hot(y[order], num_classes)[places.clamp(0, len(y) - 1)].sum(dim=1)
    return (votes.argmax(dim=1) == target).double().mean().item()
