"""Whether a run that was trained again gave the same numbers."""

import logging
import math
from itertools import zip_longest
from pathlib import Path

from ..errors import RunFailed
from . import provenance
from .metrics_csv import NAME, count, rows_of

log = logging.getLogger(__name__)

TIMED = "throughput/"  # metrics that no two runs have in common


def compare(first: Path, second: Path) -> None:
    """Report whether every number in ``metrics.csv`` is the same.

    Raises: RunFailed: it is not; the first difference has been reported.
    """
    difference = first_difference(first, second)
    if difference is None:
        log.info(f"\n{first} is reproduced by {second}: all rows of metrics are the same, digit for digit")
        return
    changes = "".join(f"\n{change}" for change in provenance.changes(first))
    log.info(f"\n{first} is not reproduced: {difference}{changes}")
    raise RunFailed(difference)


def first_difference(first: Path, second: Path) -> str | None:
    for old, new in zip_longest(rows_of(first / NAME), rows_of(second / NAME)):
        if old is None or new is None:
            return f"it had {count(first / NAME)[0]} rows of metrics, {second} has {count(second / NAME)[0]}"
        for name in {**old, **new}:
            if not name.startswith(TIMED) and not agree(old.get(name), new.get(name)):
                return f"at step {new.get('step')}, {name} was {old.get(name)}, is {new.get(name)}"
    return None


def agree(old: str | None, new: str | None) -> bool:
    return old == new or (old is not None and new is not None and math.isclose(float(old), float(new), rel_tol=0.0))
