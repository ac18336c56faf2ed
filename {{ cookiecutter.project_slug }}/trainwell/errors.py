"""The ways in which a command or a run ends without a traceback."""

from collections.abc import Callable, Sequence
from typing import Any

from .findings import Finding


class Refused(Exception):
    """The command cannot be carried out as typed; ``mistakes`` says why, a sentence each. Exit status 2."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = list(mistakes)


class RunFailed(Exception):
    """The run has ended for a reason that a traceback would not explain better. Exit status 1."""

    def __init__(self, reason: str, *findings: Finding) -> None:
        super().__init__(reason)
        self.findings = findings


def together(*checks: Callable[[], Any]) -> list[Any]:
    """The results of all checks. Raises: ValueError: what each of them refuses, a line each."""
    results, faults = [], []
    for check in checks:
        try:
            results.append(check())
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ValueError("\n".join(faults))
    return results


class Pruned(Exception):
    """A search has ended the run early, because its others do better."""
