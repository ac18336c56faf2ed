"""What the doctor found in each case, compared with what is known of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt

from tqdm import tqdm

from .cases import DEVELOPMENT, HELD_OUT, Case, all_cases, faulty_cases, tables
from .measurements import SEEDS, Findings, Measurements
from .stacks import Stack, all_stacks, held_out_half

MUCH_WORSE = 0.05  # accuracy, by which a faulty run must lie below the one without the fault; or
MUCH_LOSS = 1.5  # times its loss
CLOSE = 0.05  # accuracy, by which a repaired run may lie below the one without the fault
SIGMAS = 3.0  # above chance, to be more than luck

Trained = set[tuple[Case, int]]  # runs, each of a case and a seed


@dataclass(frozen=True)
class OfCase:
    case: Case
    seed: int

    @property
    def part(self) -> str:
        return self.case.part


@dataclass(frozen=True)
class Result(OfCase):
    """What the doctor found in one case with one seed."""

    found: Findings

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
        return self.first == self.case.code or self.first in self.case.neighbours

    @property
    def right(self) -> bool:
        return self.named if self.case.code else not self.flagged

    def __str__(self) -> str:
        return f"{self.case.code or 'healthy'}: {self.case.name}, seed {self.seed}"


@dataclass(frozen=True)
class StackResult:
    stack: Stack
    part: str
    found: Findings
    trained: dict[str, float]

    @property
    def faulty(self) -> bool:
        """Whether its accuracy is at chance after a whole training."""
        chance, samples = self.trained["chance"], self.trained["samples"]
        return self.trained["accuracy"] <= chance + SIGMAS * sqrt(chance * (1 - chance) / samples)

    @property
    def flagged(self) -> bool:
        """Whether the doctor says that training fails; a warning is about one that succeeds all the same."""
        return any(finding["severity"] == "error" for finding in self.found)

    @property
    def right(self) -> bool:
        return self.flagged == self.faulty

    def __str__(self) -> str:
        return f"{'faulty' if self.faulty else 'learning'} stack: {self.stack.name}, {self.part}"


@dataclass(frozen=True)
class Repair(OfCase):
    """The overrides that the doctor has repaired a case with, and the accuracy that they reach with one seed."""

    overrides: tuple[str, ...]
    accuracy: float
    without_fault: float

    @property
    def succeeded(self) -> bool:
        return self.accuracy >= self.without_fault - CLOSE


def examined(measurements: Measurements, only_development: bool = False) -> tuple[list[Result], list[StackResult]]:
    cases = [case for case in all_cases() if case.part == DEVELOPMENT or not only_development]
    half = held_out_half(all_stacks())
    stacks = {stack: HELD_OUT if stack in half else DEVELOPMENT for stack in all_stacks()}
    runs = tqdm([(case, seed) for seed in SEEDS for case in cases], unit="run", desc="examine")
    results = [Result(case, seed, measurements.examination(case, seed)) for case, seed in runs]
    of_stacks = [
        StackResult(stack, part, measurements.stack_examination(stack), measurements.stack_training(stack))
        for stack, part in tqdm(stacks.items(), unit="stack", desc="stacks")
        if part == DEVELOPMENT or not only_development
    ]
    return results, of_stacks


def unharmed(measurements: Measurements) -> Trained:
    """Runs of faulty cases that, trained to the end, do no worse than without the fault.

    Raises: ValueError: a case does so with every seed, and its code is not among those that are not visible.
    """
    found = set()
    for case, seed in tqdm([(case, seed) for case in faulty_cases() for seed in SEEDS], unit="run", desc="train"):
        faulty, healthy = (measurements.training(each.overrides, seed) for each in (case, case.unchanged))
        as_accurate = faulty["accuracy"] > healthy["accuracy"] - MUCH_WORSE
        if as_accurate and faulty["loss"] <= MUCH_LOSS * healthy["loss"] and case.code not in tables()["not_visible"]:
            found.add((case, seed))
    always = [case.name for case in faulty_cases() if all((case, seed) in found for seed in SEEDS)]
    if always:
        raise ValueError("these do as well as without their fault:\n" + "\n".join(always))
    return found


def repaired(measurements: Measurements) -> Iterator[Repair]:
    """Let the doctor repair what overrides can repair, and train the outcome to the end."""
    for case in tqdm([case for case in all_cases() if case.repairable], unit="case", desc="repair"):
        overrides = measurements.repair(case)
        for seed in SEEDS:
            after, healthy = (measurements.training(each, seed) for each in (overrides, case.unchanged.overrides))
            yield Repair(case, seed, overrides, after["accuracy"], healthy["accuracy"])


def misses(results: Sequence[Result | StackResult]) -> Iterator[str]:
    """What the doctor got wrong, with its evidence."""
    for result in (result for result in results if not result.right):
        yield str(result)
        yield from (f"    {found['code']} ({found['severity']}): {found['evidence']}" for found in result.found)
