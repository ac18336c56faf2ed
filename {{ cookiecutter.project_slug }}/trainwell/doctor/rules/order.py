"""All rules about a training, causes first: a finding suppresses the findings that it explains."""

from collections.abc import Callable, Iterator

from ...findings import Finding
from ..history import History
from . import network, optimization, signal_flow

Rule = Callable[[History], Iterator[Finding]]

RULES: tuple[Rule, ...] = (
    signal_flow.symmetric,
    signal_flow.dropped,
    signal_flow.saturated,
    signal_flow.exploding,
    signal_flow.vanishing,
    optimization.withering,
    optimization.unsteady_by_momentum,
    optimization.too_long,
    signal_flow.not_finite,
    signal_flow.dead,
    signal_flow.bad_start,
    signal_flow.half_dropped,
    optimization.ended_early,
    optimization.too_narrow,
    optimization.too_short,
    optimization.unsteady,
    optimization.overfits,
    optimization.grows_too_sure,
    optimization.stands_still,
)
SEEN: tuple[Rule, ...] = (
    network.never_stepped,
    network.unregistered,
    network.frozen,
    network.accumulated,
    network.wrong_outputs,
    network.mixed,
    network.sees_targets,
    network.random_evaluation,
    network.misfit,
    network.dropped_outputs,
    network.lagging_statistics,
    network.tiny_batches,
    network.unscaled_targets,
    network.affine,
)
EXPLAIN_TRAINING = {  # what comes of these is not judged
    "optimizer_never_steps", "unregistered_layers", "frozen_parameters", "accumulated_gradients", "output_activation",
    "mixed_samples", "dropout_in_evaluation", "batch_norm", "linear_network", "unscaled_input", "constant_input",
    "unlearnable_labels", "class_missing", "shifted_validation", "loss_mismatch", "unscaled_target",
}  # fmt: skip
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
    "schedule_too_fast": {"learning_rate_too_low"},
    "too_narrow": STEPS,
    "non_finite": STEPS,
    "dead_units": STEPS,
    "bad_initial_loss": {"oscillating_loss", "overfitting"},
}


def findings_in_training(history: History) -> Iterator[Finding]:
    """Root cause first."""
    explained: set[str] = set()
    for rule in RULES:
        for finding in rule(history):
            if finding.code not in explained:
                explained |= EXPLAINS.get(finding.code, set()) | {finding.code}
                yield finding


def findings_in_network(history: History) -> Iterator[Finding]:
    """What is seen of the network without judging its training."""
    for rule in SEEN:
        yield from rule(history)
