"""What can be wrong with a training: the codes, and how a finding is printed and stored."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from shutil import get_terminal_size
from textwrap import fill
from typing import Any

WHY = {
    "constant_input": "a feature with the same value in every sample carries no information",
    "unscaled_input": "initial weights and learning rates assume inputs with a standard deviation near 1",
    "validation_leak": "samples seen in training cannot show how the network does on new ones",
    "validation_too_small": "the validation accuracy is mostly noise, and so is every choice based on it",
    "unlearnable_labels": "the inputs say nothing about the labels that holds for new samples",
    "symmetric_units": "units with equal weights get equal gradients and stay equal: many do the work of one",
    "non_finite": "one value that is NaN or infinite makes all weights NaN in the next step",
    "exploding_gradient": "the signal grows from layer to layer, so one step destroys what was learned before",
    "vanishing_gradient": "gradients shrink from layer to layer, so the first layers hardly train",
    "dead_units": "a unit with one output for all samples carries nothing and rarely gets a gradient to recover",
    "saturated_units": "no gradient passes through the flat part of an activation",
    "bad_initial_loss": "a network that starts far off, sure of wrong classes say, spends its first steps coming back",
    "learning_rate_too_high": "each step overshoots the minimum",
    "learning_rate_too_low": "steps are so short that training ends before the network has learned much",
    "oscillating_loss": "steps jump from one side of the minimum to the other",
    "excess_weight_decay": "the pull towards zero is stronger than the gradient of the loss",
    "excess_dropout": "so many units are dropped that little can be learned from the others",
    "output_activation": "the loss applies the activation itself; a second one keeps the loss from coming down",
    "frozen_parameters": "what gets no gradient or has no optimizer keeps its random start",
    "unregistered_layers": "torch trains, moves and saves only layers that are attributes, or in a ModuleList",
    "optimizer_never_steps": "gradients alone change no weights",
    "accumulated_gradients": "each step follows the sum of all gradients so far instead of the newest",
    "mixed_samples": "what is said of one sample must not depend on which others are in its batch",
    "linear_network": "layers without a nonlinearity between them are one linear layer",
    "too_narrow": "what does not pass the narrowest layer is lost to all layers behind it",
    "class_missing": "what training has never shown cannot be predicted",
    "outputs_without_class": "labels with a gap are often labels that are numbered wrongly",
    "shifted_validation": "validation says nothing about training if its samples come from elsewhere",
    "target_leak": "an input that holds the answer is seldom known when the answer is needed",
    "target_outliers": "squares of a few large errors outweigh all others",
    "loss_mismatch": "the loss compares the wrong values, so the network learns something else",
    "unscaled_target": "a network has to grow far before its outputs are near such numbers",
    "dropout_in_evaluation": "units that are dropped in evaluation make predictions random and worse",
    "batch_norm": "evaluation uses running statistics, which are not those of the samples",
    "schedule_too_fast": "the learning rate reaches zero long before training ends, so the rest is wasted",
    "overfitting": "the network memorizes the training samples, including their noise",
}


NOTE = "note"
WIDTH, NARROWEST = 120, 40  # columns where there is no terminal; where there is hardly one


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: ``where`` in the network or the data, the ``evidence`` in numbers, overrides to try.

    ``severity`` is ``error`` if training fails or its result cannot be trusted, ``warning`` if training suffers, and
    ``note`` for a suspicion that no trial has confirmed: a configuration with notes alone is healthy. ``gains`` says
    what remedies gained in a trial; ``advice`` is what to change in code.
    """

    code: str
    severity: str
    where: str
    evidence: str
    remedies: Sequence[str] = field(default_factory=tuple)
    gains: Mapping[str, str] = field(default_factory=dict)
    advice: Sequence[str] = field(default_factory=tuple)

    def with_remedies(self, remedies: Iterable[str]) -> "Finding":
        return replace(self, remedies=tuple(remedies))

    def as_note(self) -> "Finding":
        return replace(self, severity=NOTE)

    def plain(self) -> dict[str, Any]:
        """The entry in ``doctor.json`` and ``summary.json``."""
        return {**asdict(self), "remedies": list(self.remedies), "advice": list(self.advice)}

    def lines(self) -> Iterator[str]:
        """The finding as the terminal shows it."""
        yield f"{self.code.replace('_', ' ')}   ({self.severity})"
        width = max(get_terminal_size(fallback=(WIDTH, 0)).columns, NARROWEST)
        for name, text in (("where", self.where), ("evidence", self.evidence), ("why", WHY[self.code])):
            yield fill(text, width, initial_indent=f"  {name:8}  ", subsequent_indent=" " * 12)
        tried = [f"{each}   # {self.gains[each]}" if each in self.gains else each for each in self.remedies]
        for name, lines in (("try", tried), ("change", self.advice)):
            for number, line in enumerate(lines):
                yield f"  {'' if number else name:8}  {line}"


def healthy(findings: Iterable[Finding]) -> bool:
    return all(finding.severity == NOTE for finding in findings)
