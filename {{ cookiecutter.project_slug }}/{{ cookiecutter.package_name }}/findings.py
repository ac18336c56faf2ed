"""What can be wrong with a training: the codes, and a finding as the terminal and ``doctor.json`` tell it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

WHY = {
    "constant_input": "what is the same in every row tells no row from another",
    "unscaled_input": "steps that suit one scale of inputs are too long or too short for another",
    "validation_leak": "rows that were trained on cannot tell how the network does on new ones",
    "validation_too_small": "the validation accuracy is mostly luck, and so is what is chosen by it",
    "unlearnable_labels": "what the inputs say of the labels does not hold for new rows",
    "symmetric_units": "units that are alike get the same gradient, and stay alike: many do the work of one",
    "non_finite": "a number that is none makes all weights none in the next step",
    "exploding_gradient": "signals grow from layer to layer, so that one step undoes what was there",
    "vanishing_gradient": "gradients shrink from layer to layer, so that the first layers stand still",
    "dead_units": "a unit that is the same on every row carries nothing, and mostly gets no gradient to recover by",
    "saturated_units": "where an activation is flat no gradient passes",
    "bad_initial_loss": "a start that is sure of wrong classes spends its first steps unlearning them",
    "learning_rate_too_high": "each step overshoots what it aims at",
    "learning_rate_too_low": "steps are so short that training ends before it gets anywhere",
    "oscillating_loss": "steps jump from one side of the valley to the other",
    "excess_weight_decay": "the pull towards zero is stronger than what the rows teach",
    "excess_dropout": "so much of the signal is silenced that little can be learnt from the rest",
    "overfitting": "the network learns the rows by heart, and with them their noise",
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: ``where`` in the network or the data, the ``evidence`` in numbers, overrides to type.

    ``severity`` is ``error`` where training fails or its result cannot be trusted, ``warning`` where it suffers.
    """

    code: str
    severity: str
    where: str
    evidence: str
    remedies: Sequence[str] = field(default_factory=tuple)

    def with_remedies(self, remedies: Iterable[str]) -> "Finding":
        return replace(self, remedies=tuple(remedies))

    def plain(self) -> dict[str, Any]:
        """As ``doctor.json`` holds it."""
        return {**asdict(self), "remedies": list(self.remedies)}

    def lines(self) -> Iterator[str]:
        """As the terminal tells it."""
        yield f"{self.code.replace('_', ' ')}   ({self.severity})"
        yield f"  where     {self.where}"
        yield f"  evidence  {self.evidence}"
        yield f"  why       {WHY[self.code]}"
        for number, remedy in enumerate(self.remedies):
            yield f"  {'' if number else 'try':8}  {remedy}"
