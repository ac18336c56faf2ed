"""What can be wrong with a training: the codes, and how a finding is printed and stored."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
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
    "bad_initial_loss": "a network that starts out sure of wrong classes spends its first steps unlearning them",
    "learning_rate_too_high": "each step overshoots the minimum",
    "learning_rate_too_low": "steps are so short that training ends before the network has learned much",
    "oscillating_loss": "steps jump from one side of the minimum to the other",
    "excess_weight_decay": "the pull towards zero is stronger than the gradient of the loss",
    "excess_dropout": "so many units are dropped that little can be learned from the others",
    "overfitting": "the network memorizes the training samples, including their noise",
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: ``where`` in the network or the data, the ``evidence`` in numbers, overrides to try.

    ``severity`` is ``error`` if training fails or its result cannot be trusted, ``warning`` if training suffers.
    """

    code: str
    severity: str
    where: str
    evidence: str
    remedies: Sequence[str] = field(default_factory=tuple)

    def with_remedies(self, remedies: Iterable[str]) -> "Finding":
        return replace(self, remedies=tuple(remedies))

    def plain(self) -> dict[str, Any]:
        """The entry in ``doctor.json`` and ``summary.json``."""
        return {**asdict(self), "remedies": list(self.remedies)}

    def lines(self) -> Iterator[str]:
        """The finding as the terminal shows it."""
        yield f"{self.code.replace('_', ' ')}   ({self.severity})"
        yield f"  where     {self.where}"
        yield f"  evidence  {self.evidence}"
        yield f"  why       {WHY[self.code]}"
        for number, remedy in enumerate(self.remedies):
            yield f"  {'' if number else 'try':8}  {remedy}"
