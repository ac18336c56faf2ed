"""What the doctor finds in the field, and what its remedies repair."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from .cases import DEVELOPMENT, FieldCase, all_cases, tables

if TYPE_CHECKING:
    from ..measurements import Measurements

CLOSE = 0.05  # of a score
SCORES = ("accuracy", "r2", "f1")


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


@dataclass(frozen=True)
class FieldRepair:
    """A whole training with the first remedy of a finding. ``trained`` and ``without_fault`` are validation scores."""

    result: FieldResult
    remedy: str
    trained: float
    without_fault: float

    @property
    def succeeded(self) -> bool:
        return self.trained >= self.without_fault - CLOSE

    def __str__(self) -> str:
        reached = f"`{self.remedy}` reaches {self.trained:.3f}, without the fault {self.without_fault:.3f}"
        return f"{self.result.case.name}, {self.result.part}: {reached}"


def repaired(measurements: "Measurements", results: Sequence[FieldResult]) -> Iterator[FieldRepair]:
    """The faulty cases with a score for which the doctor offers an override that changes the configuration."""
    from trainwell.doctor.remedies import with_remedy

    for result in tqdm(results, unit="case", desc="repair in the field"):
        remedy = measurements.field_remedy(result.case) if result.case.twin and result.flagged else None
        if result.case.twin is None or remedy is None:
            continue
        with_override = replace(result.case, keys=tuple(with_remedy(result.case.keys, remedy)))
        ends = [measurements.field_training(case) for case in (with_override, result.case.twin)]
        name = next((name for name in SCORES if f"val/{name}" in ends[1]), None)
        if name is not None:
            yield FieldRepair(result, remedy, *(end[f"val/{name}"] for end in ends))


def trained(measurements: "Measurements", results: Sequence[FieldResult]) -> Iterator[str]:
    yield "| configuration | intended | whole training | without the fault |"
    yield "|---|---|---|---|"
    for result in results:
        case = result.case
        ends = [shown(measurements.field_training(each)) for each in (case, case.twin) if each]
        yield f"| {case.name} | {' or '.join(case.codes) or 'healthy'} | {ends[0]} | {ends[1] if case.twin else ''} |"


def shown(metrics: dict[str, float]) -> str:
    return next((f"{name} {metrics[f'val/{name}']:.3f}, " for name in SCORES if f"val/{name}" in metrics), "") + (
        f"loss {metrics['val/loss']:.3g}"
    )


def seconds(results: Sequence[FieldResult]) -> str:
    found = [result.seconds for result in results]
    return f"{median(found):.1f} at the median and {max(found):.0f} at most"
