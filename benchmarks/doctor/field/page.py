"""The section of ``docs/doctor.md`` about the doctor in the field, from ``field.md`` and what was measured."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...pages import machine
from .cases import PARTS
from .results import FieldResult, repaired, seconds, trained

if TYPE_CHECKING:
    from ..measurements import Measurements

BEGIN, END = "<!-- field: written by python -m benchmarks.doctor field -->\n", "<!-- field: end -->\n"
SAMPLE = """they were examined again with all
seeds: 364 of 368 faulty ones were flagged, 362 by the right name, and none of 168 healthy ones; of the stacks, 67 of 68
that fail and 5 of 28 that learn. Repair was not measured again."""
Row = Callable[[FieldResult], bool | None]
ROWS: dict[str, Row] = {
    "false alarms on healthy configurations": lambda result: None if result.case.codes else result.flagged,
    "faulty ones flagged": lambda result: result.flagged if result.case.codes else None,
    "faulty ones named first": lambda result: result.named if result.case.codes else None,
}


def field_section(measurements: "Measurements", results: Sequence[FieldResult]) -> str:
    from ..page import share

    table = []
    for name, row in ROWS.items():
        counts = [[row(result) for result in results if result.part == part] for part in PARTS]
        cells = [share(right for right in count if right is not None) for count in counts]
        table.append(f"| {name} | {' | '.join(cells)} |")
    from trainwell.findings import WHY

    repairs = list(repaired(measurements, results))
    cells = [share(repair.succeeded for repair in repairs if repair.result.part == part) for part in PARTS]
    table.append(f"| faulty ones repaired by the first override that applies | {' | '.join(cells)} |")
    wrong = [f"- {result}" for result in results if not result.right]
    text = (Path(__file__).parent / "field.md").read_text("utf-8")
    filled = text.format(
        sample=SAMPLE,
        codes="\n".join(f"- `{code}`: {why}" for code, why in WHY.items()),
        healthy=sum(not result.case.codes for result in results),
        faulty=sum(bool(result.case.codes) for result in results),
        parts=" | ".join(PARTS),
        columns="---|" * (len(PARTS) - 1) + "---",
        table="\n".join(table),
        seconds=seconds(results),
        misses="\n".join(wrong) or "- nothing",
        not_repaired="\n".join(f"- {repair}" for repair in repairs if not repair.succeeded) or "- nothing",
        trainings="\n".join(trained(measurements, results)),
        **machine(),
    )
    return f"{BEGIN}{filled}{END}"


def with_section(page: str, section: str) -> str:
    """The page with the section below its title, in place of an earlier one."""
    title, _, rest = page.partition("\n\n")
    if BEGIN in rest:
        rest = rest.partition(END)[2].lstrip("\n")
    return f"{title}\n\n{section}\n{rest}"
