"""The ways in which a command or a run ends without a traceback."""

import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
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


def with_place(error: BaseException) -> str:
    """The error's kind and first line, and its place."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}{place_of(error)}"


def place_of(error: BaseException) -> str:
    """The last line of the project's own code that led to an error, in brackets; empty if there is none."""
    own, machinery = Path.cwd(), Path(__file__).parent
    frames = ((Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__))
    places = [
        f" ({path.relative_to(own)}, line {line})"
        for path, line in frames
        if path.is_relative_to(own) and not path.is_relative_to(machinery) and "site-packages" not in path.parts
    ]
    return places[-1] if places else ""
