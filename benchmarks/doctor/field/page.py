"""The section of ``docs/doctor.md`` about the doctor in the field, from ``field.md`` and what was measured."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

from tqdm import tqdm

from ...pages import filled, row
from ..measurements import Measurements, Metrics
from ..page import by_part, intended, listed
from ..results import Repair, Result, examined, score_of, trained_repair
from .cases import DEVELOPMENT, PARTS, all_cases

BEGIN, END = "<!-- field: written by python -m benchmarks.doctor field -->\n", "<!-- field: end -->\n"
ROWS: dict[str, Callable[[Result], bool | None]] = {
    "false alarms on healthy configurations": lambda result: None if result.case.codes else result.flagged,
    "faulty ones flagged": lambda result: result.flagged if result.case.codes else None,
    "faulty ones named first": lambda result: result.named if result.case.codes else None,
}
REPAIRED: dict[str, Callable[[Repair], bool | None]] = {
    "faulty ones repaired by the first override that applies": lambda repair: repair.succeeded
}


def examined_in_field(measurements: Measurements, only_development: bool = False) -> list[Result]:
    """Each case is trained to the end before the doctor sees any."""
    cases = [case for case in all_cases() if case.part == DEVELOPMENT or not only_development]
    for case in tqdm(cases, unit="case", desc="train in the field"):
        for each in (case, case.twin) if case.twin else (case,):
            measurements.training(each)
    return examined(measurements, cases, seeds=[0])


def repaired(measurements: Measurements, results: Sequence[Result]) -> Iterator[Repair]:
    """The faulty cases with a score for which the doctor offers an override that changes the configuration."""
    from trainwell.doctor.remedies import with_remedy

    faulty = [result for result in results if result.case.twin and result.flagged]
    for result in tqdm(faulty, unit="case", desc="repair in the field"):
        case, remedy = result.case, measurements.remedy(result.case, result.counted[0])
        if remedy and score_of(measurements.training(case.twin)):
            yield trained_repair(measurements, case, 0, with_remedy(case.overrides, remedy), remedy)


def field_section(measurements: Measurements) -> str:
    from trainwell.findings import WHY

    results = examined_in_field(measurements)
    repairs = list(repaired(measurements, results))
    seconds = [result.seconds for result in results]
    sections = {
        "codes": [f"- `{code}`: {why}" for code, why in WHY.items()],
        "table": [*by_part(results, ROWS, PARTS), *list(by_part(repairs, REPAIRED, PARTS))[2:]],  # one header for both
        "misses": [missed(result) for result in results if not result.right] or ["- nothing"],
        "not_repaired": [not_repaired(repair) for repair in repairs if not repair.succeeded] or ["- nothing"],
        "trainings": trainings(measurements),
    }
    healthy = sum(not result.case.codes for result in results)
    counts = {"healthy": healthy, "faulty": len(results) - healthy}
    spent = f"{median(seconds):.1f} at the median and {max(seconds):.0f} at most"
    return f"{BEGIN}{filled(Path(__file__).with_name('field.md'), sections, seconds=spent, **counts)}{END}"


def missed(result: Result) -> str:
    case = result.case
    found = f"{intended(case)}; found {listed(result.found)}. {case.explained}"
    return f"- {case.name}, {case.part}: {found}".rstrip()


def not_repaired(repair: Repair) -> str:
    ends = f"reaches {repair.score:.3f}, without the fault {repair.without_fault:.3f}"
    return f"- {repair.case.name}, {repair.case.part}: `{repair.added}` {ends}"


def trainings(measurements: Measurements) -> Iterator[str]:
    for case in all_cases():
        ends = [shown(measurements.training(each)) if each else "" for each in (case, case.twin)]
        yield row(case.name, " or ".join(case.codes) or "healthy", *ends)


def shown(metrics: Metrics) -> str:
    name = score_of(metrics)
    score = f"{name.removeprefix('val/')} {metrics[name]:.3f}, " if name else ""
    return f"{score}loss {metrics['val/loss']:.3g}"


def with_section(page: str, section: str) -> str:
    """The page with the section below its title, in place of an earlier one."""
    title, _, rest = page.partition("\n\n")
    if BEGIN in rest:
        rest = rest.partition(END)[2].lstrip("\n")
    return f"{title}\n\n{section}\n{rest}"
