"""Rules about the steps of a training and where they lead.

The thresholds lie between the values measured of healthy and of sick networks.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from math import inf, isfinite, log10

from ...findings import Finding
from ..history import EXPLAINED_DEVIATION, TOO_LONG, WINDOWS, History
from ..loss_calls import constant_loss
from .signal_flow import VANISHED

FAR = 0.5  # of the weights' norm
TOO_SHORT = -3.5  # power of ten of the share by which a step changes the weights
BLEW_UP = 2.5  # norm of the weights at the end over that at the start
SHRANK, WITHERED = 0.7, 0.1  # the same: too low if less is learned than by simple learners; too low in any case
HARD = 0.02  # share of the weights that decay takes in a step
UNSTEADY = 0.25  # rises of the train loss, as a share of the loss of equal chances
APART = 20  # steps between two losses that are compared: those of short epochs are noise
HEAVY = 0.95  # momentum
MEMORIZED = 0.98  # train accuracy
FITTED = 0.2  # of the loss of a constant guess
GAP = 0.2  # between train and validation accuracy
REMEMBER = {  # by whether a recurrent layer has gates
    True: ("gates that keep the state at first:", "    nn.init.constant_(layer.bias_hh_l0[size : 2 * size], 3.0)"),
    False: ("gates that keep the state at first:", "    nn.GRU(...) instead of nn.RNN(...)"),
}
AT_CHANCE, JUMPS = 0.9, -1.7  # share of the loss of equal chances; power of ten of the share that a step changes
ENOUGH = 90  # steps in which any network that can learn shows it
NARROW = 2  # outputs of a layer
WIDE_ENOUGH, IN_A_ROW = 0.9, 0.95  # of the way from chance to simple learners, which a narrow layer does not keep from
ENDED, EARLY, LASTING = 0.02, 0.5, 50  # share of the highest learning rate; share of the steps; steps
FEWEST_WRONG = 3  # misclassified validation samples, below which overfitting is not reported
FORGOT, WILL_FORGET = 0.08, 0.12  # validation accuracy lost since its best; the same on fewer samples
ROSE, ROSE_BY = 1.5, 0.1  # validation loss over its minimum, and above it, as a share of the loss of equal chances


def excess_weight_decay(history: History) -> Iterator[Finding]:
    growth, each_step = history.growth(), history.decay * history.learning_rate
    shrank = growth is not None and (growth < WITHERED or (growth < SHRANK and not history.did_all(0.95)))
    if shrank or (each_step > HARD and not history.did_all(0.95)):
        evidence = f"after {history.steps} steps the weights have {growth or 1:.2g} times the norm of the start"
        if each_step > HARD:
            evidence += f"; a step takes {each_step:.0%} of them"
        if penalty := history.inspection.penalty:
            evidence += f"; the loss adds {max(penalty.values()) / 2:.2g} times their squares"
            evidence += f", and the optimizer decays them by {history.decay:.2g} as well" if history.decay else ""
        remedies = ("weight_decay.strength=0.001",)
        yield Finding("excess_weight_decay", history.severity, "whole network", evidence, remedies)


def oscillating_by_momentum(history: History) -> Iterator[Finding]:
    if history.momentum > HEAVY:
        yield from oscillating_loss(history)


def oscillating_loss(history: History) -> Iterator[Finding]:
    losses = late_losses(history)
    rises = sum(max(0.0, after - before) for before, after in pairwise(losses))
    if losses and rises > UNSTEADY * history.chance_loss:
        evidence = f"the train loss rises by {rises:.3g} in all between steps {settled(history)} and {history.steps}"
        remedies = [history.rate_times(0.1)]
        remedies += ["optimizer.momentum=0.9"] if history.momentum > HEAVY else []
        remedies += ["data.batch_size=64"] if 0 < history.batch_size < 16 else []
        yield Finding("oscillating_loss", history.severity, "whole network", evidence, remedies)


def late_losses(history: History) -> list[float]:
    """Train losses after the first steps, some steps apart."""
    losses, latest = [], -APART
    for step, scores in sorted(history.scores.items()):
        if step >= settled(history) and step - latest >= APART:
            losses.append(scores.train_loss)
            latest = step
    return losses


def settled(history: History) -> int:
    return min(50, history.steps // 3)


def learning_rate_too_high(history: History) -> Iterator[Finding]:
    longest, growth = history.longest_step(), history.growth()
    grew = growth is not None and (growth > BLEW_UP or not isfinite(growth))
    seen = []
    if longest > TOO_LONG:
        seen.append(f"a step changes the weights by {10**longest:.2g} of their norm (median over layers)")
    if grew:
        seen.append(f"after {history.steps} steps the weights have {growth:.3g} times the norm of the start")
    if seen:
        remedy = history.rate_times(10 ** min(-1.0, -2.3 - longest))
        yield Finding("learning_rate_too_high", history.severity, "whole network", "; ".join(seen), (remedy,))


def learning_rate_too_low(history: History) -> Iterator[Finding]:
    """Judged at the highest learning rate of the schedule, which may warm up for a quarter of the training."""
    seen = max(history.rates.values(), default=0.0)
    highest = history.learning_rate if history.steps < history.planned / 4 else seen
    lengths = [
        length + log10(highest / rate)
        for first, last in WINDOWS
        if (rate := max((rate for step, rate in history.rates.items() if first <= step <= last), default=0.0)) > 0
        if (length := history.step_length(first, last)) is not None
    ]
    longest = max(lengths, default=0.0)
    far = 10**longest * max(history.planned, history.steps)  # how far all steps together could go
    if longest < TOO_SHORT and far < FAR and not history.reached(0.6):
        evidence = f"a step changes the weights by {10**longest:.1g} of their norm (median over layers)"
        remedy = history.rate_times(10 ** (-2.3 - longest))
        yield Finding("learning_rate_too_low", history.severity, "whole network", evidence, (remedy,))


def schedule_too_fast(history: History) -> Iterator[Finding]:
    """The schedule has taken the learning rate to nearly nothing while most of the training is to come."""
    highest = max(history.rates.values(), default=0.0)
    ended = next((step for step, rate in history.rates.items() if rate < ENDED * highest), None)
    started = next(iter(history.rates.values()), 0.0) == highest  # else it warms up, maybe again and again
    stays = ended is not None and all(rate < ENDED * highest for step, rate in history.rates.items() if step >= ended)
    lasts = started or (ended is not None and history.steps - ended >= LASTING)
    if ended is not None and stays and lasts and ended < EARLY * history.planned and not history.did_all(0.95):
        evidence = f"the schedule has taken the learning rate from {highest:.2g} to {history.rates[ended]:.2g} "
        evidence += f"in {ended} of {history.planned:.0f} steps"
        advice = ("move the schedule by epochs, or give it the number of steps:", '    "interval": "epoch"')
        yield Finding("schedule_too_fast", history.severity, "scheduler", evidence, advice=advice)


def too_narrow(history: History) -> Iterator[Finding]:
    """One layer lets one or two directions pass, or is one unit in a row, and simple learners learn more."""
    seen = history.inspection
    widths = {layer: history.shapes[layer][0] for layer in history.order[:-1] if layer in history.shapes}
    narrow = [layer for layer, width in widths.items() if width <= NARROW]
    if seen.rank is None or not narrow or history.reached(IN_A_ROW):
        return
    layer, behind = narrow[0], history.order[history.order.index(narrow[0]) + 1]
    found = ""
    if seen.rank <= widths[layer] and seen.full_rank >= 3 * max(seen.rank, 1) and not history.reached(WIDE_ENOUGH):
        outputs = "1 output" if widths[layer] == 1 else f"{widths[layer]} outputs"
        found = f"{layer} has {outputs}; only {seen.rank} of {seen.full_rank} directions pass"
    elif widths[layer] == 1 < history.shapes[layer][1] and history.shapes.get(behind, ())[1:] == (1,):
        found = f"{behind} reads 1 number, the output of {layer}"
    if found:
        width = max(history.num_classes, 16)
        advice = (
            f"make {layer} as wide as its neighbours, at least as wide as there are classes:",
            f"    nn.Linear(..., {width})  # and the next layer nn.Linear({width}, ...)",
        )
        yield Finding("too_narrow", history.severity, layer, found, advice=advice)


def overfitting(history: History, forgot: float = FORGOT) -> Iterator[Finding]:
    """Validation accuracy was higher before, or training samples are memorized and new ones are not predicted."""
    if history.last is None or wrong(history) < FEWEST_WRONG:
        return
    last, best = history.last, max(history.scores.values(), key=lambda found: found.val_accuracy)
    if history.guess_loss is not None:  # early epochs lose and regain much of the loss, unless all is lost
        forgot = 2 * EXPLAINED_DEVIATION if last.val_accuracy < -EXPLAINED_DEVIATION else inf
    lost = best.val_accuracy - last.val_accuracy
    learned = last.train_accuracy > max(best.train_accuracy, history.chance[0] if history.num_classes else -inf)
    memorized = last.train_accuracy > MEMORIZED and last.train_accuracy - last.val_accuracy > GAP
    if (learned and lost > max(forgot, 4 * history.chance[1])) or memorized:
        evidence = f"{history.score} {last.train_accuracy:.1%} on training samples, "
        evidence += f"{last.val_accuracy:.1%} on validation"
        evidence += f", down from {best.val_accuracy:.1%}" if lost > 0 else ""
        yield Finding("overfitting", "error" if lost > forgot else "warning", "whole network", evidence)


def overfitting_by_loss(history: History) -> Iterator[Finding]:
    """The same where only the loss is known: worse than a constant guess, and far better on training samples."""
    call = history.inspection.call
    guess = constant_loss(call) if call else None
    if history.last is None and history.objective and guess:
        train, val = history.objective
        if train < FITTED * guess and val > guess:
            evidence = f"the loss is {train:.3g} on training samples, {val:.3g} on validation; a constant guess has "
            yield Finding("overfitting", "error", "whole network", f"{evidence}{guess:.3g}")


def wrong(history: History) -> float:
    """How many validation samples are wrong at the end; infinite where they are not counted."""
    if not history.val_count or history.guess_loss is not None or history.last is None:
        return inf
    return (1 - history.last.val_accuracy) * history.val_count


def overconfidence(history: History) -> Iterator[Finding]:
    """The validation loss was much lower before, and the train loss has fallen since."""
    if history.last is None or wrong(history) < FEWEST_WRONG:
        return
    last, best = history.last, min(history.scores.values(), key=lambda found: found.val_loss)
    rose = last.val_loss > ROSE * best.val_loss and last.val_loss - best.val_loss > ROSE_BY * history.chance_loss
    if rose and last.train_loss < best.train_loss:
        evidence = f"the validation loss rose from {best.val_loss:.3g} to {last.val_loss:.3g}"
        evidence += f" while the train loss fell from {best.train_loss:.3g} to {last.train_loss:.3g}"
        yield Finding("overfitting", "warning", "whole network", evidence)


def will_overfit(ahead: History) -> Iterator[Finding]:
    """The same over all planned epochs, on so few samples that they fit into the first steps."""
    for finding in overfitting(ahead, WILL_FORGET):
        if finding.severity == "error":
            yield replace(finding, severity="warning", evidence=f"{finding.evidence}; all epochs, on fewer samples")


def stays_at_chance(history: History) -> Iterator[Finding]:
    """No other rule applies, and yet the network is at chance where simple learners do better: the likeliest cause.

    Where none of them can be applied, only long steps and gradients that fade along a sequence count.
    """
    chance, deviation = history.chance
    if history.last is None or history.steps < ENOUGH:
        return
    length, unknown = history.longest_step(), not history.baseline  # no simple learner shows what can be learned
    jumps = unknown and history.last.train_loss > AT_CHANCE * history.chance_loss and length > JUMPS
    if history.learns and not jumps:
        return
    reached = f"{history.last.val_accuracy:.1%} after {history.steps} steps"
    accuracy = f"validation {history.score} is {reached}, chance {chance:.1%}"
    fading = history.inspection.fading
    if history.baseline < chance + 6 * deviation and not jumps and not (unknown and fading and fading.is_faint):
        return
    ratio, growth, severity = history.gradient_ratio(), history.growth(), history.severity
    if ratio is not None and ratio[0] < VANISHED / 2:
        evidence = f"{accuracy}; gradient ratio 10^{ratio[0]:.1f}"
        yield Finding("vanishing_gradient", severity, f"{ratio[1]} to {ratio[2]}", evidence)
    elif fading and fading.is_faint:
        evidence = f"{accuracy}; the gradient at the first steps of a sequence is 10^{fading.ratio:.1f} of the largest"
        yield Finding("vanishing_gradient", severity, fading.layer, evidence, advice=REMEMBER[fading.has_gates])
    elif growth is not None and growth < 0.9:
        yield Finding("excess_weight_decay", severity, "whole network", f"{accuracy}; the weights shrink")
    else:
        code, factor = ("learning_rate_too_low", 10) if length < -2.0 else ("learning_rate_too_high", 0.1)
        evidence = f"{accuracy}; a step changes the weights by 10^{length:.1f} of their norm"
        yield Finding(code, severity, "whole network", evidence, (history.rate_times(factor),))
