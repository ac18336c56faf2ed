"""What the doctor found in each case, compared with what is known of it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

from tqdm import tqdm

from .cases import DEVELOPMENT, HELD_OUT, TABLES, Case, all_cases, faulty_cases, repairable
from .measurements import SEEDS, Findings, Measurements, Metrics
from .stacks import all_stacks, held_out_half

MUCH_WORSE = 0.05  # accuracy, by which a faulty run must lie below the one without the fault; or
MUCH_LOSS = 1.5  # times its loss
CLOSE = 0.05  # of a score, by which a repaired run may lie below the one without the fault
SIGMAS = 3.0  # above chance, to be more than luck
SCORES = {"val/accuracy": "accuracy", "val/r2": "R²", "val/f1": "F1"}  # and how pictures name them

Trained = set[tuple[Case, int]]  # runs, each of a case and a seed


@dataclass(frozen=True)
class Result:
    """What the doctor found in one case with one seed."""

    case: Case
    seed: int
    found: Findings
    seconds: float = 0.0  # of computing

    @property
    def counted(self) -> Findings:
        """Without notes, which leave a configuration healthy."""
        return [finding for finding in self.found if finding["severity"] != "note"]

    @property
    def first(self) -> str:
        return self.counted[0]["code"] if self.counted else "healthy"

    @property
    def flagged(self) -> bool:
        return bool(self.counted)

    @property
    def named(self) -> bool:
        """Whether the first finding is the fault, or a neighbour of it."""
        return self.first in (*self.case.codes, *self.case.neighbours)

    @property
    def right(self) -> bool:
        return self.named if self.case.codes else not self.flagged

    def __str__(self) -> str:
        return f"{' or '.join(self.case.codes) or 'healthy'}: {self.case.name}, seed {self.seed}"


class StackResult(Result):
    """What the doctor found in a stack. A warning is about one that learns all the same."""

    @property
    def counted(self) -> Findings:
        return [finding for finding in self.found if finding["severity"] == "error"]

    @property
    def named(self) -> bool:
        return self.flagged

    def __str__(self) -> str:
        return f"{'faulty' if self.case.codes else 'learning'} stack: {self.case.name}, {self.case.part}"


@dataclass(frozen=True)
class Repair:
    """The score that a whole training reaches with overrides of the doctor, and that without the fault."""

    case: Case
    seed: int
    added: str  # overrides
    score: float
    without_fault: float

    @property
    def succeeded(self) -> bool:
        return self.score >= self.without_fault - CLOSE


def examined(measurements: Measurements, cases: Iterable[Case], seeds: Sequence[int] = SEEDS) -> list[Result]:
    runs = tqdm([(case, seed) for seed in seeds for case in cases], unit="run", desc="examine")
    return [Result(case, seed, **measurements.examination(case, seed)) for case, seed in runs]


def examined_stacks(measurements: Measurements, only_development: bool = False) -> Iterator[StackResult]:
    """Each is faulty if its accuracy is at chance after a whole training."""
    held_out = held_out_half(all_stacks())
    stacks = [stack for stack in all_stacks() if not (only_development and stack in held_out)]
    for stack in tqdm(stacks, unit="stack", desc="stacks"):
        trained = measurements.stack_training(stack)
        chance, samples = trained["chance"], trained["samples"]
        faulty = trained["accuracy"] <= chance + SIGMAS * sqrt(chance * (1 - chance) / samples)
        part = HELD_OUT if stack in held_out else DEVELOPMENT
        case = Case(stack.name, (), ("at chance",) if faulty else (), part)
        yield StackResult(case, 0, measurements.stack_examination(stack))


def unharmed(measurements: Measurements) -> Trained:
    """Runs of faulty cases that, trained to the end, do no worse than without the fault.

    Raises: ValueError: a case does so with every seed, and its code is not among those that are not visible.
    """
    visible = [case for case in faulty_cases() if case.codes[0] not in TABLES["not_visible"]]
    found = set()
    for case, seed in tqdm([(case, seed) for case in visible for seed in SEEDS], unit="run", desc="train"):
        faulty, healthy = (measurements.training(each, seed) for each in (case, case.twin))
        as_accurate = faulty["val/accuracy"] > healthy["val/accuracy"] - MUCH_WORSE
        if as_accurate and faulty["val/loss"] <= MUCH_LOSS * healthy["val/loss"]:
            found.add((case, seed))
    always = [case.name for case in visible if all((case, seed) in found for seed in SEEDS)]
    if always:
        raise ValueError("these do as well as without their fault:\n" + "\n".join(always))
    return found


def repaired(measurements: Measurements) -> Iterator[Repair]:
    """Let the doctor repair what overrides can repair, and train the outcome to the end."""
    for case in tqdm([case for case in all_cases() if repairable(case)], unit="case", desc="repair"):
        overrides = measurements.repair(case)
        added = " ".join(override for override in overrides if override not in case.overrides) or "nothing"
        yield from (trained_repair(measurements, case, seed, overrides, added) for seed in SEEDS)


def trained_repair(measurements: Measurements, case: Case, seed: int, overrides: Sequence[str], added: str) -> Repair:
    after, healthy = (
        measurements.training(each, seed) for each in (replace(case, overrides=tuple(overrides)), case.twin)
    )
    name = score_of(healthy)
    return Repair(case, seed, added, after[name], healthy[name])


def score_of(metrics: Metrics) -> Any:
    """The name of the score among the metrics of a run, None if there is none."""
    return next((name for name in SCORES if name in metrics), None)


def misses(results: Iterable[Result]) -> Iterator[str]:
    """What the doctor got wrong, with its evidence."""
    for result in (result for result in results if not result.right):
        yield str(result)
        yield from (f"    {found['code']} ({found['severity']}): {found['evidence']}" for found in result.found)
