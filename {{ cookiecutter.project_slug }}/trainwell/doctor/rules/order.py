"""All rules about a training, causes first: a finding suppresses the findings that it explains."""

from collections.abc import Callable, Iterator

from ...findings import Finding
from ..history import History
from . import data, forward_pass, optimization, outputs, parameters, signal_flow

Rule = Callable[[History], Iterator[Finding]]

RULES: tuple[Rule, ...] = (
    signal_flow.symmetric_units,
    signal_flow.excess_dropout,
    signal_flow.saturated_units,
    signal_flow.exploding_gradient,
    signal_flow.vanishing_gradient,
    optimization.excess_weight_decay,
    optimization.oscillating_by_momentum,
    optimization.learning_rate_too_high,
    signal_flow.non_finite,
    signal_flow.dead_units,
    signal_flow.bad_initial_loss,
    optimization.schedule_too_fast,
    optimization.too_narrow,
    optimization.learning_rate_too_low,
    signal_flow.half_dropped,
    optimization.oscillating_loss,
    optimization.overfitting,
    optimization.overconfidence,
    optimization.overfitting_by_loss,
    optimization.stays_at_chance,
)
SEEN: tuple[Rule, ...] = (
    data.raw_inputs,
    parameters.optimizer_never_steps,
    parameters.unregistered_layers,
    parameters.frozen_parameters,
    parameters.accumulated_gradients,
    outputs.output_activation,
    forward_pass.mixed_samples,
    forward_pass.leaking_tokens,
    forward_pass.dropout_in_evaluation,
    outputs.loss_mismatch,
    outputs.dropped_outputs,
    forward_pass.batch_statistics_in_evaluation,
    forward_pass.lagging_statistics,
    forward_pass.tiny_batches,
    outputs.unscaled_target,
    parameters.no_gradient,
    forward_pass.linear_network,
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
