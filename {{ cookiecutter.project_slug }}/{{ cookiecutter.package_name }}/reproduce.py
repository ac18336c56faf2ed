"""Whether a run that was done again came to the same numbers."""

import logging
import math
from pathlib import Path

from . import origin
from .failure import Failed
from .metrics_file import NAME, rows_of

log = logging.getLogger(__name__)

TIMED = "throughput/"  # metrics that no two runs have in common


def compare(first: Path, second: Path) -> None:
    """Say whether every number in ``metrics.csv`` is the same.

    Raises: Failed: it is not; which is the first to differ has been said.
    """
    odd = first_difference(first, second)
    if odd is None:
        log.info(f"\n{first} is reproduced by {second}: all rows of metrics are the same, digit for digit")
        return
    log.info(f"\n{first} is not reproduced: {odd}{why(first)}")
    raise Failed(odd)


def first_difference(first: Path, second: Path) -> str | None:
    before, after = rows_of(first / NAME), rows_of(second / NAME)
    for old, new in zip(before, after, strict=False):
        for name in {**old, **new}:
            if not name.startswith(TIMED) and not agree(old.get(name), new.get(name)):
                return f"at step {new['step']}, {name} was {old.get(name)}, is {new.get(name)}"
    if len(before) != len(after):
        return f"it had {len(before)} rows of metrics, {second} has {len(after)}"
    return None


def agree(old: str | None, new: str | None) -> bool:
    return old == new or (old is not None and new is not None and math.isclose(float(old), float(new), rel_tol=0.0))


def why(first: Path) -> str:
    changed = list(origin.changes(first, []))
    return "".join(f"\n{change}" for change in changed)
