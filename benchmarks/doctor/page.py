"""``docs/doctor.md``, from ``page.md`` and what was measured."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean as mean
from typing import Any

from scipy.stats import binomtest

from ..pages import machine
from .cases import HELD_OUT, LAST, PARTS, Case, all_cases, faulty_cases, tables
from .measurements import SEEDS, Measurements
from .results import CLOSE, SIGMAS, Repair, Result, StackResult, Trained
from .stacks import STEPS

ROWS: dict[str, Callable[[Result], bool | None]] = {
    "faulty runs flagged": lambda result: result.flagged if result.case.code else None,
    "faulty runs with the intended code first": lambda r: r.first == r.case.code if r.case.code else None,
    "... or a documented neighbour": lambda result: result.named if result.case.code else None,
    "false alarms on healthy runs": lambda result: None if result.case.code else result.flagged,
}
STACK_ROWS: dict[str, Callable[[StackResult], bool | None]] = {
    "faulty stacks flagged": lambda result: result.flagged if result.faulty else None,
    "false alarms on stacks that learn": lambda result: None if result.faulty else result.flagged,
    "classified correctly": lambda result: result.right,
}


def page(
    measurements: Measurements,
    results: Sequence[Result],
    stacks: Sequence[StackResult],
    repairs: Sequence[Repair],
    unharmed: Trained,
) -> str:
    counts = Counter(case.code for case in all_cases() if case.part != LAST)
    healthy = counts.pop(None)
    neighbours = tables()["neighbours"].items()
    sections: dict[str, Iterable[str]] = {
        "totals": by_part(results, ROWS),
        "held_out": by_code([result for result in results if result.part == HELD_OUT]),
        "written_last": by_code([result for result in results if result.part == LAST]),
        "neighbours": (f"- `{code}` for `{of}`: {why}" for of, codes in neighbours for code, why in codes.items()),
        "repairs": by_part(repairs, {"repaired": lambda repair: repair.succeeded}),
        "not_repaired": (not_repaired(repair) for repair in repairs if not repair.succeeded),
        "stacks": by_part(stacks, STACK_ROWS),
        "misses": missed([result for result in results if not result.right]),
        "stack_misses": (missed_stack(result) for result in stacks if not result.right),
        "not_visible": (f"- `{code}`: {why}" for code, why in tables()["not_visible"].items()),
        "trainings": trainings(measurements),
    }
    numbers = {
        "faulty": sum(counts.values()),
        "per_code": f"{min(counts.values())} to {max(counts.values())}",
        "codes": len(counts),
        "healthy": healthy,
        "last": sum(case.part == LAST for case in all_cases()),
        "seeds": ", ".join(map(str, SEEDS)),
        "unharmed": ", ".join(f"{shown(case)} with seed {seed}" for case, seed in sorted(unharmed, key=str)) or "none",
        "repairable": len({repair.case for repair in repairs}),
        **{"close": f"{100 * CLOSE:.0f}", "sigmas": f"{SIGMAS:.0f}", "steps": STEPS},
    }
    text = (Path(__file__).parent / "page.md").read_text("utf-8")
    return text.format(**numbers, **machine(), **{name: "\n".join(lines) for name, lines in sections.items()})


def by_part(results: Sequence[Any], rows: dict[str, Callable[[Any], bool | None]]) -> Iterator[str]:
    """A table with a column for each part; where a row has None of a result, that is not counted."""
    parts = [part for part in PARTS if any(result.part == part for result in results)]
    yield f"| | {' | '.join(parts)} |"
    yield "|---" * (len(parts) + 1) + "|"
    for name, value in rows.items():
        cells = [
            share(right for result in results if result.part == part and (right := value(result)) is not None)
            for part in parts
        ]
        yield f"| {name} | {' | '.join(cells)} |"


def share(right: Iterable[bool]) -> str:
    """How many of how many, and Clopper and Pearson's interval."""
    right = list(right)
    if not right:
        return "not measured"
    found = binomtest(sum(right), len(right))
    low, high = found.proportion_ci(0.95, method="exact")
    return f"{sum(right)} of {len(right)}: {found.statistic:.1%} ({low:.1%} to {high:.1%})"


def by_code(results: Sequence[Result]) -> Iterator[str]:
    yield "| intended | runs | flagged | intended first | or a neighbour | what else came first |"
    yield "|---|---|---|---|---|---|"
    for code in tables()["faulty"]:
        of_code = [result for result in results if result.case.code == code]
        others = Counter(result.first for result in of_code if result.first != code)
        yield (
            f"| `{code}` | {len(of_code)} | {sum(result.flagged for result in of_code)} "
            f"| {sum(result.first == code for result in of_code)} | {sum(result.named for result in of_code)} "
            f"| {', '.join(f'{first} {count}' for first, count in others.most_common())} |"
        )


def not_repaired(repair: Repair) -> str:
    added = " ".join(override for override in repair.overrides if override not in repair.case.overrides) or "nothing"
    return (
        f"- `{repair.case.code}`: {shown(repair.case)}, seed {repair.seed}: "
        f"`{added}` reaches {repair.accuracy:.3f}, the base {repair.without_fault:.3f}"
    )


def missed(wrong: Sequence[Result]) -> Iterator[str]:
    """Each case that the doctor got wrong, with what it found and why that may be."""
    for case in dict.fromkeys(result.case for result in wrong):
        of_case = [result for result in wrong if result.case == case]
        seeds = ", ".join(str(result.seed) for result in of_case)
        found = ", ".join(f"`{first}`" for first in dict.fromkeys(result.first for result in of_case))
        why = tables()["explained"].get(case.name, "")
        yield f"- `{case.code or 'healthy'}`: {shown(case)}, {case.part}, seed {seeds}: found {found}. {why}".rstrip()


def missed_stack(result: StackResult) -> str:
    found = ", ".join(f"`{finding['code']}` ({finding['severity']})" for finding in result.found) or "healthy"
    return f"  - {result}: found {found}"


def trainings(measurements: Measurements) -> Iterator[str]:
    yield "| code | configuration | val/accuracy | of the base | val/loss | of the base |"
    yield "|---|---|---|---|---|---|"
    for case in faulty_cases():
        ends = [[measurements.training(each.overrides, seed) for seed in SEEDS] for each in (case, case.unchanged)]
        accuracies, losses = ([mean(run[metric] for run in runs) for runs in ends] for metric in ("accuracy", "loss"))
        numbers = [f"{number:.3f}" for number in accuracies] + [f"{number:.3g}" for number in losses]
        yield f"| `{case.code}` | {shown(case)} | {' | '.join(numbers)} |"


def shown(case: Case) -> str:
    return f"`{case.name.replace(' | ', '`: `')}`"
