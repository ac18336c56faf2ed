"""The two ways in which a command ends without a traceback."""

from collections.abc import Sequence

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
