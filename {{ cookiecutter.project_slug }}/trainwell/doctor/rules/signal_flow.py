"""Rules about the flow of signals and gradients through a network.

The thresholds lie between the values measured of healthy and of sick networks.
"""

from collections.abc import Iterator
from math import isfinite
from statistics import median

from ...findings import Finding
from ..history import TOO_LONG, History

VANISHED, FAINT = -1.5, -3.0  # powers of ten of the gradient of a first layer over that of the last similar one
SHRUNK = 5e-3  # signal behind the head over that behind the first layer, at the start
BETTER = 1.2  # of the way from chance to simple learners, which learn little of images
EXPLODED = 100.0  # norm of the first gradient
GREW = 6.0  # signal behind the last layer over that behind the first, at the start
OFF = 1000.0  # times the loss of a constant guess, which no head of its own makes
DEAD = 0.5  # share of the units at the input of a layer
SATURATED = 0.6  # share of the values at the input of a layer, at the start
DROPPED = 0.75  # dropout rate
HALF = 0.5  # the same
DROPOUT_LOSS = 3.0  # loss with dropout over loss without, at the start
SURE = 3.5  # loss at the start above that of equal chances
OFTEN = 3.0  # times that loss
DUPLICATES = 0.5  # share of a layer's units
ENOUGH = 0.9  # of the way from chance to simple learners
LATEST = 20  # batches
HIGH = 100.0  # the first loss over the last ones, or over that of a constant guess, where no score is known


def symmetric_units(history: History) -> Iterator[Finding]:
    """Units that are all zero because no signal arrives are excused: the fault lies in an earlier layer."""
    found = {
        layer: share
        for layer, share in history.duplicates.items()
        if share > DUPLICATES and (sum(history.over("weight_norm", layer)) > 0 or history.dead.get(layer, 0.0) < DEAD)
    }
    if found:
        layer = next(iter(found))
        evidence = f"{found[layer]:.0%} of the units have the same weights as another one after {history.steps} steps"
        yield Finding("symmetric_units", history.severity, and_more(list(found)), evidence)
        return
    equal = {layer: share for layer, share in history.equal_at_start.items() if share > DUPLICATES}
    if equal and not history.reached(ENOUGH):  # noise, such as dropout, has set them apart since
        evidence = f"{next(iter(equal.values())):.0%} of the units start with the same weights as another one"
        yield Finding("symmetric_units", history.severity, and_more(list(equal)), evidence)


def excess_dropout(history: History) -> Iterator[Finding]:
    rates = {layer: rate for layer, rate in history.dropout.items() if rate >= DROPPED}
    remedies = ("dropout.rate=0.2",)
    if rates:
        evidence = f"{max(rates.values()):.0%} of the units are dropped in every step"
        yield Finding("excess_dropout", history.severity, and_more(list(rates)), evidence, remedies)
    elif history.dropout_loss is not None and history.start_loss is not None and history.scores:
        whole = max(min(history.start_loss, history.scores[min(history.scores)].train_loss), 1e-9)
        if history.dropout_loss / whole > DROPOUT_LOSS and whole < OFTEN * history.chance_loss:
            evidence = f"the loss before the first step is {history.dropout_loss:.3g} with dropout, {whole:.3g} without"
            yield Finding("excess_dropout", history.severity, "whole network", evidence, remedies)


def half_dropped(history: History) -> Iterator[Finding]:
    """Usual, and too much only where the network learns little and nothing else is found to keep it from learning."""
    layers = [layer for layer, rate in history.dropout.items() if rate >= HALF]
    if layers and not history.reached(0.9):
        evidence = f"{max(history.dropout.values()):.0%} of the units are dropped in every step"
        yield Finding("excess_dropout", history.severity, and_more(layers), evidence, ("dropout.rate=0.2",))


def saturated_units(history: History) -> Iterator[Finding]:
    for layer, share in history.measured.get(0, {}).get("saturated_units", {}).items():
        if share > SATURATED:
            evidence = f"{share:.0%} of the layer's inputs are at the ends of their range before the first step"
            yield Finding("saturated_units", history.severity, layer, evidence)
            return
    if history.inspection.gates is not None and history.inspection.gates[1] > SATURATED:
        layer, share = history.inspection.gates
        evidence = f"{share:.0%} of what the gates get lies beyond 4 before the first step, where they are flat"
        yield Finding("saturated_units", history.severity, layer, evidence)


def exploding_gradient(history: History) -> Iterator[Finding]:
    norm = history.gradient.get(0)
    if norm is None or norm <= EXPLODED or history.recovered:
        return
    growth, first, last = growth_of_signal(history)
    start, guess = history.first_loss or 0.0, history.chance_loss
    if growth <= GREW and start > OFF * guess:
        evidence = f"the first gradient has norm {norm:.3g} and the first loss is {start:.3g}; "
        evidence += f"{'equal chances give' if history.guess_loss is None else 'a constant guess has'} {guess:.3g}"
        yield Finding("exploding_gradient", history.severity, history.order[-1] if history.order else "head", evidence)
    if growth > GREW:
        evidence = f"the first gradient has norm {norm:.3g}; signals grow {growth:.3g}-fold after {first}"
        yield Finding("exploding_gradient", history.severity, last, evidence)


def growth_of_signal(history: History) -> tuple[float, str, str]:
    """The largest standard deviation behind a layer, except the head, over that behind the first; and both layers."""
    behind = history.measured.get(0, {}).get("activation_std", {})
    layers = [layer for layer in history.order if layer in behind]
    if len(layers) < 3:
        return 0.0, "", ""
    last = max(layers[1:-1], key=lambda layer: behind[layer])
    return behind[last] / max(behind[layers[0]], 1e-30), layers[0], last


def vanishing_gradient(history: History) -> Iterator[Finding]:
    """Gradients that shrink a little are harmless if the network learns nearly as fast as simple learners."""
    found = history.gradient_ratio()
    if found is not None and found[0] < (FAINT if history.reached(0.8) else VANISHED):
        ratio, first, last = found
        evidence = f"the gradient of {first} is 10^{ratio:.1f} times that of {last} (median of steps 5 to 50)"
        yield Finding("vanishing_gradient", history.severity, f"{first} to {last}", evidence)
        return
    shrinking = shrinking_signal(history)
    if shrinking is not None and shrinking[0] < SHRUNK and not history.reached(BETTER):
        ratio, first, last = shrinking
        evidence = f"before the first step the signal behind {last} has {ratio:.2g} times the deviation of that "
        yield Finding("vanishing_gradient", history.severity, f"{first} to {last}", f"{evidence}behind {first}")


def shrinking_signal(history: History) -> tuple[float, str, str] | None:
    """The standard deviation behind the head over that behind the first layer; and both. A head may start at zero."""
    behind = history.measured.get(0, {}).get("activation_std", {})
    layers = [layer for layer in history.order if layer in behind]
    if len(layers) < 4 or not behind[layers[0]] or not behind[layers[-1]]:
        return None
    return behind[layers[-1]] / behind[layers[0]], layers[0], layers[-1]


def non_finite(history: History) -> Iterator[Finding]:
    bad = next((step for step, norm in history.gradient.items() if not isfinite(norm)), None)
    batch = next((number for number, loss in enumerate(history.losses) if not isfinite(loss)), None)
    if bad is not None or batch is not None:
        evidence = f"the {'loss' if batch is not None else 'gradient'} is not finite from step {batch or bad or 0} on"
        yield Finding("non_finite", "error", "whole network", evidence)


def dead_units(history: History) -> Iterator[Finding]:
    found = {layer: share for layer, share in history.dead.items() if share > DEAD}
    if found:
        layer = max(found, key=lambda layer: found[layer])
        evidence = f"{found[layer]:.0%} of the units at the layer's input have the same value for every sample"
        long = history.longest_step() > TOO_LONG - 0.7
        remedies = [history.rate_times(0.1)] if long else []
        yield Finding("dead_units", history.severity, and_more(list(found)), evidence, remedies)


def bad_initial_loss(history: History) -> Iterator[Finding]:
    """Large for any number of classes, or a few times the loss of a constant guess, which a trial has to confirm."""
    if history.last is None and history.losses:
        yield from high_initial_loss(history)
    start, guess = history.first_loss, history.chance_loss
    sure = history.start_loss is not None and history.start_loss - guess > SURE
    if start is None or not (sure or start > OFTEN * guess):
        return
    if not (history.recovered and growth_of_signal(history)[0] > GREW):
        what = "equal chances give" if history.guess_loss is None else "a constant guess has"
        evidence = f"the first loss is {start:.3g}; {what} {guess:.3g}"
        yield Finding("bad_initial_loss", history.severity, history.order[-1] if history.order else "head", evidence)


def high_initial_loss(history: History) -> Iterator[Finding]:
    """The same of a module of which only losses are known."""
    call, start = history.inspection.call, history.losses[0]
    usual = median(map(abs, history.losses[-LATEST:]))
    if call is not None and call.name == "poisson_nll_loss":
        usual = min(usual, max(call.targets.double().mean().item(), 1.0))  # the scale of a constant guess
    if start > HIGH * usual and history.gradient.get(0, 0.0) > EXPLODED:
        evidence = f"the first loss is {start:.3g}, where {usual:.3g} is usual"
        yield Finding("bad_initial_loss", history.severity, history.order[-1] if history.order else "head", evidence)


def and_more(layers: list[str]) -> str:
    return layers[0] if len(layers) == 1 else f"{layers[0]} and {len(layers) - 1} more"
