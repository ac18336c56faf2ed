"""What is wrong with the steps that a training takes, and with where they lead.

Thresholds lie between what was measured of healthy and of sick networks.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from math import isfinite, log10

from .findings import Finding
from .flow_rules import VANISHED
from .record import TOO_LONG, WINDOWS, Record, Scores

TOO_SHORT = -3.5  # powers of ten by which a step moves the weights
BLEW_UP = 2.5  # length of the weights at the end over that at the start
SHRANK, WITHERED = 0.5, 0.1  # the same: too much for what learns less than simple learners, and for any
UNSTEADY = 0.25  # rises of the train loss, as a share of the loss of equal chances
HEAVY = 0.95  # momentum
BY_HEART = 0.98  # train accuracy
GAP = 0.2  # between train and validation accuracy
ENOUGH = 90  # steps for what can learn to show it
FORGOT, WILL_FORGET = 0.08, 0.12  # validation accuracy lost since its best; the same on fewer rows
ROSE, ROSE_BY = 1.5, 0.1  # validation loss over its lowest, and above it, as a share of the loss of equal chances


def withering(record: Record) -> Iterator[Finding]:
    growth = record.growth()
    if growth is not None and (growth < WITHERED or (growth < SHRANK and not record.has_come(0.95))):
        evidence = f"after {record.steps} steps the weights are {growth:.2g} times as long as at the start"
        remedies = ("weight_decay.strength=0.001",)
        yield Finding("excess_weight_decay", record.severity, "whole network", evidence, remedies)


def unsteady_by_momentum(record: Record) -> Iterator[Finding]:
    if record.momentum > HEAVY:
        yield from unsteady(record)


def unsteady(record: Record) -> Iterator[Finding]:
    first = min(50, record.steps // 3)
    losses = [scores.train_loss for step, scores in sorted(record.scores.items()) if step >= first]
    rises = sum(max(0.0, after - before) for before, after in pairwise(losses))
    if rises > UNSTEADY * record.chance_loss:
        evidence = f"the train loss rises by {rises:.3g} in all between step {first} and step {record.steps}"
        remedies = [record.rate_times(0.1)]
        remedies += ["optimizer.momentum=0.9"] if record.momentum > HEAVY else []
        remedies += ["data.batch_size=64"] if record.batch_size < 16 else []
        yield Finding("oscillating_loss", record.severity, "whole network", evidence, remedies)


def too_long(record: Record) -> Iterator[Finding]:
    longest, growth = record.longest_step(), record.growth() or 1.0
    grew = growth > BLEW_UP or not isfinite(growth)
    if longest <= TOO_LONG and not grew:
        return
    moved = f"a step moves the weights by {10**longest:.2g} of their length (median over layers)"
    grown = f"after {record.steps} steps the weights are {growth:.3g} times as long as at the start"
    evidence = "; ".join([moved] * (longest > TOO_LONG) + [grown] * grew)
    remedy = record.rate_times(10 ** min(-1.0, -2.3 - longest))
    yield Finding("learning_rate_too_high", record.severity, "whole network", evidence, (remedy,))


def too_short(record: Record) -> Iterator[Finding]:
    """Judged by the rate that the schedule will come to."""
    lengths = [
        length + log10(record.learning_rate / rate)
        for first, last in WINDOWS
        if (rate := max((rate for step, rate in record.rates.items() if first <= step <= last), default=0.0)) > 0
        if (length := record.step_length(first, last)) is not None
    ]
    longest = max(lengths, default=0.0)
    if longest < TOO_SHORT and not record.has_come(0.6):
        evidence = f"a step moves the weights by {10**longest:.1g} of their length (median over layers)"
        remedy = record.rate_times(10 ** (-2.3 - longest))
        yield Finding("learning_rate_too_low", record.severity, "whole network", evidence, (remedy,))


def overfits(record: Record, forgot: float = FORGOT) -> Iterator[Finding]:
    """Either validation accuracy has been better before, or the rows are known by heart and new ones are not."""
    if record.last is None:
        return
    last, best = record.last, best_of(record.scores)
    lost = best.val_accuracy - last.val_accuracy
    learnt = last.train_accuracy > best.train_accuracy
    by_heart = last.train_accuracy > BY_HEART and last.train_accuracy - last.val_accuracy > GAP
    if (learnt and lost > max(forgot, 4 * record.chance[1])) or by_heart:
        evidence = f"accuracy {last.train_accuracy:.1%} on train rows, {last.val_accuracy:.1%} on validation rows"
        evidence += f", where it has been {best.val_accuracy:.1%}" if lost > 0 else ""
        yield Finding("overfitting", "error" if lost > forgot else "warning", "whole network", evidence)


def grows_too_sure(record: Record) -> Iterator[Finding]:
    """The validation loss has been far lower before, while that of the train rows has fallen since."""
    if record.last is None:
        return
    last, best = record.last, min(record.scores.values(), key=lambda found: found.val_loss)
    rose = last.val_loss > ROSE * best.val_loss and last.val_loss - best.val_loss > ROSE_BY * record.chance_loss
    if rose and last.train_loss < best.train_loss:
        evidence = f"the validation loss has come down to {best.val_loss:.3g} and is {last.val_loss:.3g} again"
        evidence += f", the train loss has gone on from {best.train_loss:.3g} to {last.train_loss:.3g}"
        yield Finding("overfitting", "warning", "whole network", evidence)


def will_overfit(ahead: Record) -> Iterator[Finding]:
    """The same for as many epochs as are planned, on so few rows that they fit into the first steps."""
    for finding in overfits(ahead, WILL_FORGET):
        if finding.severity == "error":
            yield replace(finding, severity="warning", evidence=f"{finding.evidence}, after all epochs on fewer rows")


def best_of(scores: dict[int, Scores]) -> Scores:
    return max(scores.values(), key=lambda found: found.val_accuracy)


def stands_still(record: Record) -> Iterator[Finding]:
    """Nothing above, and yet no better than chance, where simple learners are: the likeliest cause by its evidence."""
    chance, deviation = record.chance
    if record.last is None or record.learns or record.steps < ENOUGH or record.learnable < chance + 6 * deviation:
        return
    ratio, severity = record.gradient_ratio(), record.severity
    accuracy = f"validation accuracy is {record.last.val_accuracy:.1%} after {record.steps} steps, chance {chance:.1%}"
    if record.by_heart is not None:
        accuracy += f"; a few rows, trained on alone, are left with a loss of {record.by_heart:.2g}"
    if ratio is not None and ratio[0] < VANISHED / 2:
        yield Finding("vanishing_gradient", severity, f"{ratio[1]} to {ratio[2]}", f"{accuracy}; 10^{ratio[0]:.1f}")
    elif (record.growth() or 1.0) < 0.9:
        yield Finding("excess_weight_decay", severity, "whole network", f"{accuracy}; the weights shrink")
    else:
        length = record.longest_step()
        code, factor = ("learning_rate_too_low", 10) if length < -2.0 else ("learning_rate_too_high", 0.1)
        evidence = f"{accuracy}; a step moves weights by 10^{length:.1f}"
        yield Finding(code, severity, "whole network", evidence, (record.rate_times(factor),))
