"""What is wrong with how signals and gradients flow through a network.

Thresholds lie between what was measured of healthy and of sick networks.
"""

from collections.abc import Iterator
from math import isfinite

from .findings import Finding
from .record import TOO_LONG, Record

VANISHED, FAINT = -1.5, -3.0  # powers of ten between the gradients of a first layer and the last one like it
EXPLODED = 100.0  # norm of the first gradient
GREW = 6.0  # signal behind the last layer beside that behind the first, at the start
DEAD = 0.5  # share of the units that arrive at a layer
SATURATED = 0.6  # share of the numbers that arrive at a layer, at the start
SILENCED = 0.75  # rate of dropout
SILENCED_LOSS = 3.0  # loss with dropout over loss without, at the start
SURE = 3.5  # loss at the start above that of equal chances
TWINS = 0.5  # share of a layer's units


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
        yield Finding("symmetric_units", record.severity, and_more(list(found)), evidence)


def silenced(record: Record) -> Iterator[Finding]:
    rates = {layer: rate for layer, rate in record.dropout.items() if rate >= SILENCED}
    if rates:
        evidence = f"{max(rates.values()):.0%} of the units are silenced in every step"
        yield Finding("excess_dropout", record.severity, and_more(list(rates)), evidence, ("dropout.rate=0.2",))
    elif record.silenced_loss is not None and record.start_loss is not None and record.scores:
        whole = max(min(record.start_loss, record.scores[min(record.scores)].train_loss), 1e-9)
        if record.silenced_loss / whole > SILENCED_LOSS:
            evidence = f"at the start the loss is {record.silenced_loss:.3g} with dropout, {whole:.3g} without"
            yield Finding("excess_dropout", record.severity, "whole network", evidence, ("dropout.rate=0.2",))


def saturated(record: Record) -> Iterator[Finding]:
    for layer, share in record.measured.get(0, {}).get("saturated_units", {}).items():
        if share > SATURATED:
            evidence = f"{share:.0%} of what arrives there lies at the ends of the range before the first step"
            yield Finding("saturated_units", record.severity, layer, evidence)
            return


def exploding(record: Record) -> Iterator[Finding]:
    norm = record.gradient.get(0)
    if norm is None or norm <= EXPLODED or record.let_pass:
        return
    growth, first, last = growth_of_signal(record)
    if growth > GREW:
        evidence = f"the first gradient's norm is {norm:.3g}; signals grow {growth:.3g}-fold from {first} on"
        yield Finding("exploding_gradient", record.severity, last, evidence)


def growth_of_signal(record: Record) -> tuple[float, str, str]:
    """The deviation behind the layer where it is largest, over that behind the first; the head does not count."""
    behind = record.measured.get(0, {}).get("activation_std", {})
    layers = [layer for layer in record.order if layer in behind]
    if len(layers) < 3:
        return 0.0, "", ""
    last = max(layers[1:-1], key=lambda layer: behind[layer])
    return behind[last] / max(behind[layers[0]], 1e-30), layers[0], last


def vanishing(record: Record) -> Iterator[Finding]:
    """Gradients that shrink a little do no harm where the network learns nearly as fast as simple learners."""
    found = record.gradient_ratio()
    if found is not None and found[0] < (FAINT if record.has_come(0.8) else VANISHED):
        ratio, first, last = found
        evidence = f"the gradient of {first} is 10^{ratio:.1f} of that of {last} (steps 5 to 50, median)"
        yield Finding("vanishing_gradient", record.severity, f"{first} to {last}", evidence)


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
        long = record.longest_step() > TOO_LONG - 0.7
        remedies = [record.rate_times(0.1)] if long else []
        yield Finding("dead_units", record.severity, and_more(list(found)), evidence, remedies)


def bad_start(record: Record) -> Iterator[Finding]:
    if record.start_loss is None:
        return
    excess = record.start_loss - record.chance_loss
    if excess > SURE and not (record.let_pass and growth_of_signal(record)[0] > GREW):
        evidence = f"the first loss is {record.start_loss:.3g}; equal chances have {record.chance_loss:.3g}"
        yield Finding("bad_initial_loss", record.severity, record.order[-1] if record.order else "head", evidence)


def and_more(layers: list[str]) -> str:
    return layers[0] if len(layers) == 1 else f"{layers[0]} and {len(layers) - 1} more"
