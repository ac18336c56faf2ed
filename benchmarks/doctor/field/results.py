"""What the doctor found in the field, beside what it found before it confirmed its suspicions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import yaml
from tqdm import tqdm

from .cases import DEVELOPMENT, FieldCase, all_cases, tables

if TYPE_CHECKING:
    from ..measurements import Measurements

BEFORE = Path(__file__).parent / "before.yaml"


@dataclass(frozen=True)
class FieldResult:
    """``found`` are code and severity of each finding."""

    case: FieldCase
    part: str
    found: Sequence[dict[str, Any]]
    seconds: float

    @property
    def counted(self) -> list[str]:
        return [finding["code"] for finding in self.found if finding["severity"] != "note"]

    @property
    def flagged(self) -> bool:
        return bool(self.counted)

    @property
    def named(self) -> bool:
        """Whether the first finding is the fault."""
        return self.counted[:1] != [] and self.counted[0] in self.case.codes

    @property
    def right(self) -> bool:
        return self.named if self.case.codes else not self.flagged

    def __str__(self) -> str:
        found = ", ".join(f"`{finding['code']}` ({finding['severity']})" for finding in self.found) or "healthy"
        intended = " or ".join(f"`{code}`" for code in self.case.codes) or "healthy"
        why = tables()["explained"].get(self.case.name, "")
        return f"{self.case.name}, {self.part}: {intended}; found {found}. {why}".rstrip()


def examined(measurements: "Measurements", only_development: bool = False) -> list[FieldResult]:
    """Each case is trained to the end before the doctor sees any."""
    cases = [case for case in all_cases() if case.part == DEVELOPMENT or not only_development]
    for case in tqdm(cases, unit="case", desc="train in the field"):
        measurements.field_training(case)
        if case.twin:
            measurements.field_training(case.twin)
    results = []
    for case in tqdm(cases, unit="case", desc="examine in the field"):
        found = measurements.field_examination(case)
        results.append(FieldResult(case, case.part, found["findings"], found["seconds"]))
    return results


@cache
def before() -> dict[str, list[dict[str, str]]]:
    """What the doctor of commit 1bbe283 found in the healthy cases of then; it has no notes, and few codes."""
    return yaml.safe_load(BEFORE.read_text("utf-8"))


def results_before(results: Sequence[FieldResult]) -> list[FieldResult]:
    known = [result for result in results if result.case.name in before()]
    return [FieldResult(result.case, result.part, before()[result.case.name], 0.0) for result in known]


def trained(measurements: "Measurements", results: Sequence[FieldResult]) -> Iterator[str]:
    yield "| configuration | intended | whole training | without the fault |"
    yield "|---|---|---|---|"
    for result in results:
        case = result.case
        ends = [shown(measurements.field_training(each)) for each in (case, case.twin) if each]
        yield f"| {case.name} | {' or '.join(case.codes) or 'healthy'} | {ends[0]} | {ends[1] if case.twin else ''} |"


def shown(metrics: dict[str, float]) -> str:
    known = ("accuracy", "r2", "f1")
    return next((f"{name} {metrics[f'val/{name}']:.3f}, " for name in known if f"val/{name}" in metrics), "") + (
        f"loss {metrics['val/loss']:.3g}"
    )


def seconds(results: Sequence[FieldResult]) -> str:
    found = [result.seconds for result in results]
    return f"{median(found):.1f} at the median and {max(found):.0f} at most"
