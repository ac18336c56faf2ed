"""``docs/doctor.md``, from ``page.md`` and what was measured."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean as mean
from typing import Any

from scipy.stats import binomtest

from ..pages import filled, row
from .cases import DEVELOPMENT, HELD_OUT, LAST, PARTS, TABLES, Case, all_cases, faulty_cases
from .measurements import SEEDS, Findings, Measurements
from .results import CLOSE, SIGMAS, Repair, Result, examined, examined_stacks, repaired, unharmed
from .stacks import STEPS

ROWS: dict[str, Callable[[Result], bool | None]] = {
    "faulty runs flagged": lambda result: result.flagged if result.case.codes else None,
    "faulty runs with the intended code first": lambda r: r.first in r.case.codes if r.case.codes else None,
    "... or a documented neighbour": lambda result: result.named if result.case.codes else None,
    "false alarms on healthy runs": lambda result: None if result.case.codes else result.flagged,
}
STACK_ROWS: dict[str, Callable[[Result], bool | None]] = {
    "faulty stacks flagged": ROWS["faulty runs flagged"],
    "false alarms on stacks that learn": ROWS["false alarms on healthy runs"],
    "classified correctly": lambda result: result.right,
}


def page(measurements: Measurements) -> str:
    excluded = unharmed(measurements)
    results = [each for each in examined(measurements, all_cases()) if (each.case, each.seed) not in excluded]
    repairs = [each for each in repaired(measurements) if (each.case, each.seed) not in excluded]
    stacks = list(examined_stacks(measurements))
    counts = Counter(case.codes for case in all_cases() if case.part != LAST)
    healthy = counts.pop(())
    neighbours = TABLES["neighbours"].items()
    sections: dict[str, Iterable[str]] = {
        "totals": by_part(results, ROWS),
        "held_out": by_code([result for result in results if result.case.part == HELD_OUT]),
        "written_last": by_code([result for result in results if result.case.part == LAST]),
        "neighbours": (f"- `{code}` for `{of}`: {why}" for of, codes in neighbours for code, why in codes.items()),
        "repairs": by_part(repairs, {"repaired": lambda repair: repair.succeeded}),
        "not_repaired": (not_repaired(repair) for repair in repairs if not repair.succeeded),
        "stacks": by_part(stacks, STACK_ROWS, (DEVELOPMENT, HELD_OUT)),
        "misses": missed([result for result in results if not result.right]),
        "stack_misses": (f"  - {stack}: found {listed(stack.found)}" for stack in stacks if not stack.right),
        "not_visible": (f"- `{code}`: {why}" for code, why in TABLES["not_visible"].items()),
        "trainings": trainings(measurements),
    }
    runs = sorted(((case.name, f"{shown(case)} with seed {seed}") for case, seed in excluded), key=str)
    return filled(
        Path(__file__).with_name("page.md"),
        sections,
        faulty=sum(counts.values()),
        per_code=f"{min(counts.values())} to {max(counts.values())}",
        codes=len(counts),
        healthy=healthy,
        last=sum(case.part == LAST for case in all_cases()),
        seeds=", ".join(map(str, SEEDS)),
        unharmed=", ".join(run for _, run in runs) or "none",
        repairable=len({repair.case for repair in repairs}),
        close=f"{100 * CLOSE:.0f}",
        sigmas=f"{SIGMAS:.0f}",
        steps=STEPS,
    )


def by_part(
    results: Sequence[Any], rows: dict[str, Callable[[Any], bool | None]], parts: Sequence[str] = PARTS
) -> Iterator[str]:
    """A table with a column for each part; where a row has None of a result, that is not counted."""
    yield f"| {row(*parts)}"
    yield "|---" * (len(parts) + 1) + "|"
    for name, value in rows.items():
        yield row(name, *(share(map(value, (each for each in results if each.case.part == part))) for part in parts))


def share(right: Iterable[bool | None]) -> str:
    """How many of how many, and Clopper and Pearson's interval."""
    counted = [each for each in right if each is not None]
    if not counted:
        return "not measured"
    found = binomtest(sum(counted), len(counted))
    low, high = found.proportion_ci(0.95, method="exact")
    return f"{sum(counted)} of {len(counted)}: {found.statistic:.1%} ({low:.1%} to {high:.1%})"


def by_code(results: Sequence[Result]) -> Iterator[str]:
    for code in TABLES["faulty"]:
        of_code = [result for result in results if code in result.case.codes]
        others = Counter(result.first for result in of_code if result.first != code)
        counts = [len(of_code)]
        counts += [sum(result.flagged for result in of_code), sum(result.first == code for result in of_code)]
        counts += [sum(result.named for result in of_code)]
        yield row(f"`{code}`", *counts, ", ".join(f"{first} {count}" for first, count in others.most_common()))


def not_repaired(repair: Repair) -> str:
    ends = f"reaches {repair.score:.3f}, the base {repair.without_fault:.3f}"
    return f"- {intended(repair.case)}: {shown(repair.case)}, seed {repair.seed}: `{repair.added}` {ends}"


def missed(wrong: Sequence[Result]) -> Iterator[str]:
    """Each case that the doctor got wrong, with what it found and why that may be."""
    for case in dict.fromkeys(result.case for result in wrong):
        of_case = [result for result in wrong if result.case == case]
        seeds = ", ".join(str(result.seed) for result in of_case)
        found = ", ".join(f"`{first}`" for first in dict.fromkeys(result.first for result in of_case))
        kind = f"`{'`, `'.join(case.codes) or 'healthy'}`"
        yield f"- {kind}: {shown(case)}, {case.part}, seed {seeds}: found {found}. {case.explained}".rstrip()


def listed(found: Findings) -> str:
    return ", ".join(f"`{finding['code']}` ({finding['severity']})" for finding in found) or "healthy"


def trainings(measurements: Measurements) -> Iterator[str]:
    for case in faulty_cases():
        ends = [[measurements.training(each, seed) for seed in SEEDS] for each in (case, case.twin)]
        accuracies, losses = (
            [mean(run[f"val/{name}"] for run in runs) for runs in ends] for name in ("accuracy", "loss")
        )
        numbers = [f"{number:.3f}" for number in accuracies] + [f"{number:.3g}" for number in losses]
        yield row(intended(case), shown(case), *numbers)


def intended(case: Case) -> str:
    return " or ".join(f"`{code}`" for code in case.codes) or "healthy"


def shown(case: Case) -> str:
    return f"`{case.name.replace(' | ', '`: `')}`"
