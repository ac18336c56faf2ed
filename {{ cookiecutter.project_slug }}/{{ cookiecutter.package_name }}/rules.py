"""What is wrong with a training, by the record of its first steps.

Thresholds stand at the top; they lie between what was measured of healthy and of sick networks. The rules are in the
order of causes: a cause takes what it explains off the list.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from math import isfinite, log10

from .findings import Finding
from .record import Record, Scores

VANISHED, BLOWN_UP = -1.5, 1.0  # powers of ten between the gradients of a first layer and the last one like it
EXPLODED = 100.0  # norm of the first gradient
GREW = 6.0  # signal behind the last layer beside that behind the first, at the start
DEAD = 0.5  # share of the units that arrive at a layer
SATURATED = 0.6  # share of the numbers that arrive at a layer, at the start
SILENCED = 0.75  # rate of dropout
SILENCED_LOSS = 3.0  # loss with dropout over loss without, at the start
SURE = 3.5  # loss at the start above that of equal chances
TOO_LONG, TOO_SHORT = -1.2, -3.5  # powers of ten by which a step moves the weights
BLEW_UP = 2.5  # length of the weights at the end over that at the start
SHRANK, WITHERED = 0.5, 0.1  # the same: too much for what learns less than simple learners, and for any
TWINS = 0.5  # share of a layer's units
UNSTEADY = 0.25  # rises of the train loss, as a share of the loss of equal chances
HEAVY = 0.95  # momentum
BY_HEART = 0.98  # train accuracy
GAP = 0.2  # between train and validation accuracy
ENOUGH = 90  # steps for what can learn to show it
FORGOT, WILL_FORGET = 0.08, 0.12  # validation accuracy lost since its best; the same on fewer rows

Rule = Callable[[Record], Iterator[Finding]]


def findings_in_training(record: Record) -> Iterator[Finding]:
    """Root cause first; what a cause explains is left out."""
    explained: set[str] = set()
    for rule in RULES:
        for finding in rule(record):
            if finding.code not in explained:
                explained |= EXPLAINS.get(finding.code, set()) | {finding.code}
                yield finding


def severity(record: Record) -> str:
    return "warning" if record.learns else "error"


def symmetric(record: Record) -> Iterator[Finding]:
    """Units that are all zero because nothing arrives are not meant: they wait for what lies before them."""
    found = {
        layer: share
        for layer, share in record.alike.items()
        if share > TWINS and (sum(record.over("weight_norm", layer)) > 0 or record.dead.get(layer, 0.0) < DEAD)
    }
    if found:
        layer = next(iter(found))
        evidence = f"{found[layer]:.0%} of its units have the same weights as another one after {record.steps} steps"
        yield Finding("symmetric_units", severity(record), and_more(list(found)), evidence)


def silenced(record: Record) -> Iterator[Finding]:
    rates = {layer: rate for layer, rate in record.dropout.items() if rate >= SILENCED}
    if rates:
        evidence = f"{max(rates.values()):.0%} of the units are silenced in every step"
        yield Finding("excess_dropout", severity(record), and_more(list(rates)), evidence, ("dropout.rate=0.2",))
    elif record.silenced_loss is not None and record.start_loss is not None and record.scores:
        whole = max(min(record.start_loss, record.scores[min(record.scores)].train_loss), 1e-9)
        if record.silenced_loss / whole > SILENCED_LOSS:
            evidence = f"at the start the loss is {record.silenced_loss:.3g} with dropout, {whole:.3g} without"
            yield Finding("excess_dropout", severity(record), "whole network", evidence, ("dropout.rate=0.2",))


def saturated(record: Record) -> Iterator[Finding]:
    for layer, share in record.measured.get(0, {}).get("saturated_units", {}).items():
        if share > SATURATED:
            evidence = f"{share:.0%} of what arrives there lies at the ends of the range before the first step"
            yield Finding("saturated_units", severity(record), layer, evidence)
            return


def exploding(record: Record) -> Iterator[Finding]:
    norm = record.gradient.get(0)
    if norm is None or norm <= EXPLODED or (record.clipped and record.learns):
        return
    growth, first, last = growth_of_signal(record)
    if growth > GREW:
        evidence = f"the first gradient's norm is {norm:.3g}; signals grow {growth:.3g}-fold from {first} on"
        yield Finding("exploding_gradient", severity(record), last, evidence)


def growth_of_signal(record: Record) -> tuple[float, str, str]:
    """The deviation behind the layer where it is largest, over that behind the first; the head does not count."""
    behind = record.measured.get(0, {}).get("activation_std", {})
    layers = [layer for layer in record.order if layer in behind]
    if len(layers) < 3:
        return 0.0, "", ""
    last = max(layers[1:-1], key=lambda layer: behind[layer])
    return behind[last] / max(behind[layers[0]], 1e-30), layers[0], last


def vanishing(record: Record) -> Iterator[Finding]:
    found = record.gradient_ratio()
    if found is not None and found[0] < VANISHED:
        ratio, first, last = found
        evidence = f"the gradient of {first} is 10^{ratio:.1f} of that of {last} (steps 5 to 50, median)"
        yield Finding("vanishing_gradient", severity(record), f"{first} to {last}", evidence)


def too_long(record: Record) -> Iterator[Finding]:
    longest, growth = longest_step(record), record.growth()
    grew = growth is not None and (growth > BLEW_UP or not isfinite(growth))
    if longest <= TOO_LONG and not grew:
        return
    moved = f"a step moves the weights by {10**longest:.2g} of their length (median over layers)"
    grown = f"after {record.steps} steps the weights are {growth:.3g} times as long as at the start"
    evidence = "; ".join([moved] * (longest > TOO_LONG) + [grown] * grew)
    remedy = f"optimizer.lr={rounded(record.learning_rate * 10 ** min(-1.0, -2.3 - longest))}"
    yield Finding("learning_rate_too_high", severity(record), "whole network", evidence, (remedy,))


def not_finite(record: Record) -> Iterator[Finding]:
    bad = next((step for step, norm in record.gradient.items() if not isfinite(norm)), None)
    batch = next((number for number, loss in enumerate(record.losses) if not isfinite(loss)), None)
    if bad is not None or batch is not None:
        evidence = f"the {'loss' if batch is not None else 'gradient'} is not finite from step {batch or bad or 0} on"
        yield Finding("non_finite", "error", "whole network", evidence)


def dead(record: Record) -> Iterator[Finding]:
    found = {layer: share for layer, share in record.dead.items() if share > DEAD}
    if found:
        layer = max(found, key=lambda layer: found[layer])
        evidence = f"{found[layer]:.0%} of the units that arrive there are the same on every row"
        long = longest_step(record) > TOO_LONG - 0.7
        remedies = [f"optimizer.lr={rounded(record.learning_rate / 10)}"] if long else []
        yield Finding("dead_units", severity(record), and_more(list(found)), evidence, remedies)


def bad_start(record: Record) -> Iterator[Finding]:
    if record.start_loss is None:
        return
    excess = record.start_loss - record.chance_loss
    if excess > SURE and not (record.clipped and record.learns and growth_of_signal(record)[0] > GREW):
        evidence = f"the first loss is {record.start_loss:.3g}; equal chances have {record.chance_loss:.3g}"
        yield Finding("bad_initial_loss", severity(record), record.order[-1] if record.order else "head", evidence)


def withering(record: Record) -> Iterator[Finding]:
    growth = record.growth()
    if growth is not None and (growth < WITHERED or (growth < SHRANK and not record.has_come(0.95))):
        evidence = f"after {record.steps} steps the weights are {growth:.2g} times as long as at the start"
        remedies = ("weight_decay.strength=0.001",)
        yield Finding("excess_weight_decay", severity(record), "whole network", evidence, remedies)


def unsteady(record: Record) -> Iterator[Finding]:
    first = min(50, record.steps // 3)
    losses = [scores.train_loss for step, scores in sorted(record.scores.items()) if step >= first]
    rises = sum(max(0.0, after - before) for before, after in pairwise(losses))
    if rises > UNSTEADY * record.chance_loss:
        evidence = f"the train loss rises by {rises:.3g} in all between step {first} and step {record.steps}"
        remedies = [f"optimizer.lr={rounded(record.learning_rate / 10)}"]
        remedies += ["optimizer.momentum=0.9"] if record.momentum > HEAVY else []
        remedies += ["data.batch_size=64"] if record.batch_size < 16 else []
        yield Finding("oscillating_loss", severity(record), "whole network", evidence, remedies)


def unsteady_by_momentum(record: Record) -> Iterator[Finding]:
    if record.momentum > HEAVY:
        yield from unsteady(record)


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
        remedy = f"optimizer.lr={rounded(record.learning_rate * 10 ** (-2.3 - longest))}"
        yield Finding("learning_rate_too_low", severity(record), "whole network", evidence, (remedy,))


def longest_step(record: Record) -> float:
    lengths = [length for window in WINDOWS if (length := record.step_length(*window)) is not None]
    return max(lengths, default=-99.0)


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
    ratio = record.gradient_ratio()
    accuracy = f"validation accuracy is {record.last.val_accuracy:.1%} after {record.steps} steps, chance {chance:.1%}"
    if record.by_heart is not None:
        accuracy += f"; a few rows, trained on alone, are left with a loss of {record.by_heart:.2g}"
    if ratio is not None and ratio[0] < VANISHED / 2:
        yield Finding("vanishing_gradient", "error", f"{ratio[1]} to {ratio[2]}", f"{accuracy}; 10^{ratio[0]:.1f}")
    elif (record.growth() or 1.0) < 0.9:
        yield Finding("excess_weight_decay", "error", "whole network", f"{accuracy}; the weights shrink")
    else:
        length = longest_step(record)
        code, factor = ("learning_rate_too_low", 10) if length < -2.0 else ("learning_rate_too_high", 0.1)
        remedy = f"optimizer.lr={rounded(record.learning_rate * factor)}"
        yield Finding(code, "error", "whole network", f"{accuracy}; a step moves weights by 10^{length:.1f}", (remedy,))


WINDOWS = ((2, 20), (21, 60), (61, 190))
RULES: tuple[Rule, ...] = (
    symmetric,
    silenced,
    saturated,
    exploding,
    vanishing,
    withering,
    unsteady_by_momentum,
    too_long,
    not_finite,
    dead,
    bad_start,
    too_short,
    unsteady,
    overfits,
    stands_still,
)
STEPS = {"learning_rate_too_low", "learning_rate_too_high", "oscillating_loss"}
EXPLAINS = {
    "symmetric_units": {"vanishing_gradient", "exploding_gradient", "dead_units", "excess_weight_decay"} | STEPS,
    "excess_dropout": {"exploding_gradient", "bad_initial_loss", "dead_units", "vanishing_gradient"} | STEPS,
    "saturated_units": {"exploding_gradient", "bad_initial_loss", "vanishing_gradient"} | STEPS,
    "exploding_gradient": {"bad_initial_loss", "dead_units", "overfitting", "vanishing_gradient"} | STEPS,
    "vanishing_gradient": {"dead_units", "excess_weight_decay"} | STEPS,
    "learning_rate_too_high": {"dead_units", "learning_rate_too_low", "oscillating_loss", "overfitting"},
    "oscillating_loss": {"dead_units", "learning_rate_too_high", "learning_rate_too_low", "overfitting"},
    "excess_weight_decay": {"dead_units"} | STEPS,
    "non_finite": STEPS,
    "dead_units": STEPS,
    "bad_initial_loss": {"oscillating_loss", "overfitting"},
}


def and_more(layers: list[str]) -> str:
    return layers[0] if len(layers) == 1 else f"{layers[0]} and {len(layers) - 1} more"


def rounded(number: float) -> str:
    return f"{float(f'{number:.0e}'):g}"
