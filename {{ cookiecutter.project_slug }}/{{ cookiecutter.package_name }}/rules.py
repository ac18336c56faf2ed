"""The rules in the order of causes: each may find one thing, and a cause takes what it explains off the list."""

from collections.abc import Callable, Iterator

from .findings import Finding
from .flow_rules import bad_start, dead, exploding, not_finite, saturated, silenced, symmetric, vanishing
from .learning_rules import (
    grows_too_sure,
    overfits,
    stands_still,
    too_long,
    too_short,
    unsteady,
    unsteady_by_momentum,
    withering,
)
from .record import Record

Rule = Callable[[Record], Iterator[Finding]]

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
    grows_too_sure,
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


def findings_in_training(record: Record) -> Iterator[Finding]:
    """Root cause first."""
    explained: set[str] = set()
    for rule in RULES:
        for finding in rule(record):
            if finding.code not in explained:
                explained |= EXPLAINS.get(finding.code, set()) | {finding.code}
                yield finding
