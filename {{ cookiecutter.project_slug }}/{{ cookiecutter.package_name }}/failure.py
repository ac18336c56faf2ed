"""A run that cannot go on, in words for people."""

from .findings import Finding


class Failed(Exception):
    """The run has ended for a reason that no traceback would make clearer."""

    def __init__(self, reason: str, *findings: Finding) -> None:
        super().__init__(reason)
        self.findings = findings
