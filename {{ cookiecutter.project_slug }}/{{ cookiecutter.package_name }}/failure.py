"""A run that cannot go on, in words for people."""

from typing import NamedTuple


class Finding(NamedTuple):
    """What is wrong with a run, where, how that can be seen, and which overrides mend it."""

    code: str
    severity: str
    where: str
    evidence: str
    remedies: list[str]


class Failed(Exception):
    """The run has ended for a reason that no traceback would make clearer."""

    def __init__(self, reason: str, *findings: Finding) -> None:
        super().__init__(reason)
        self.findings = findings
