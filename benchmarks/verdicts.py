"""What the doctor said of each patient, beside what is true of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt

from clinic import SEEDS, Clinic, Found
from patients import CHOSEN_BY, HELD_OUT, UNSEEN, Patient, parts_of_patients
from patients import held_out as half_of
from patients import stacks as all_stacks
from sick_parts import Stack
from tqdm import tqdm

MUCH_WORSE = 0.05  # accuracy, in which a sick run must lie below its twin; or
MUCH_LOSS = 1.5  # times the twin's loss
CLOSE = 0.05  # accuracy, up to which a repaired run may lie below its twin
SIGMAS = 3.0  # above chance, to be more than luck


@dataclass(frozen=True)
class Visit:
    """What the doctor found in one patient with one seed."""

    patient: Patient
    seed: int
    part: str
    found: Found

    @property
    def first(self) -> str:
        return self.found[0]["code"] if self.found else "healthy"

    @property
    def flagged(self) -> bool:
        return bool(self.found)

    @property
    def right(self) -> bool:
        return self.named if self.patient.code else not self.flagged

    @property
    def named(self) -> bool:
        """Whether the first finding is what was intended, or a neighbour of it."""
        return self.first == self.patient.code or self.first in self.patient.neighbours


@dataclass(frozen=True)
class StackVisit:
    stack: Stack
    part: str
    found: Found
    trained: dict[str, float]

    @property
    def sick(self) -> bool:
        """Whether a whole training leaves it at chance."""
        chance, rows = self.trained["chance"], self.trained["rows"]
        return self.trained["accuracy"] <= chance + SIGMAS * sqrt(chance * (1 - chance) / rows)

    @property
    def flagged(self) -> bool:
        """Whether the doctor says that training fails; what only suffers learns all the same."""
        return any(finding["severity"] == "error" for finding in self.found)

    @property
    def right(self) -> bool:
        return self.flagged == self.sick


@dataclass(frozen=True)
class Repair:
    """What the doctor made of a sick configuration, and the accuracy that it then reaches with one seed."""

    patient: Patient
    seed: int
    part: str
    overrides: tuple[str, ...]
    accuracy: float
    of_twin: float

    @property
    def succeeded(self) -> bool:
        return self.accuracy >= self.of_twin - CLOSE


def examined(clinic: Clinic, only_chosen: bool = False) -> tuple[list[Visit], list[StackVisit]]:
    patients = {p: part for p, part in parts_of_patients().items() if part == CHOSEN_BY or not only_chosen}
    stacks_apart = half_of(all_stacks())
    stacks = [stack for stack in all_stacks() if not (only_chosen and stack in stacks_apart)]
    visits, of_stacks = [], []
    with tqdm(total=len(patients) * len(SEEDS) + len(stacks), unit="run") as bar:
        for patient, seed in [(patient, seed) for seed in SEEDS for patient in patients]:
            bar.set_description(str(patient.code))
            visits.append(Visit(patient, seed, patients[patient], clinic.examination(patient, seed)))
            bar.update()
        bar.set_description("stacks")
        for stack in stacks:
            found, trained = clinic.stack_examination(stack), clinic.stack_training(stack)
            of_stacks.append(StackVisit(stack, HELD_OUT if stack in stacks_apart else CHOSEN_BY, found, trained))
            bar.update()
    return visits, of_stacks


def well_after_all(clinic: Clinic) -> set[tuple[Patient, int]]:
    """See by whole trainings which sick runs, of a patient and a seed, do no worse than their twins.

    Raises: ValueError: those of every seed, and the patient's code is none that is known not to show.
    """
    well = set()
    sick_ones = [patient for patient in parts_of_patients() if patient.code]
    for patient in tqdm(sick_ones, unit="patient", desc="train"):
        for seed in SEEDS:
            sick, twin = (clinic.training(p.overrides, seed) for p in (patient, patient.twin))
            worse = sick["accuracy"] <= twin["accuracy"] - MUCH_WORSE or not sick["loss"] <= MUCH_LOSS * twin["loss"]
            if not worse and patient.code not in UNSEEN:
                well.add((patient, seed))
    healthy = [p.name for p in sick_ones if all((p, seed) in well for seed in SEEDS)]
    if healthy:
        raise ValueError("these do as well as their twins:\n" + "\n".join(healthy))
    return well


def repaired(clinic: Clinic) -> list[Repair]:
    """Let the doctor mend who can be mended by overrides, and train what becomes of them to the end."""
    parts, found = parts_of_patients(), []
    for patient in tqdm([patient for patient in parts if patient.repairable], unit="patient", desc="repair"):
        overrides = clinic.repair(patient)
        for seed in SEEDS:
            after, twin = (clinic.training(words, seed)["accuracy"] for words in (overrides, patient.twin.overrides))
            found.append(Repair(patient, seed, parts[patient], overrides, after, twin))
    return found


def misses(visits: Sequence[Visit], stacks: Sequence[StackVisit]) -> Iterator[str]:
    """What the doctor got wrong, with its evidence."""
    for visit in visits:
        if not visit.right:
            yield f"{visit.patient.code or 'healthy'}: {visit.patient.name}, seed {visit.seed}"
            yield from (
                f"    {finding['code']} ({finding['severity']}): {finding['evidence']}" for finding in visit.found
            )
    for visit in stacks:
        if not visit.right:
            yield f"{'sick' if visit.sick else 'healthy'} stack: {visit.stack.name}, trained: {visit.trained}"
            yield from (
                f"    {finding['code']} ({finding['severity']}): {finding['evidence']}" for finding in visit.found
            )


def evidence(found: Found) -> Iterator[str]:
    for finding in found:
        yield f"    {finding['code']} ({finding['severity']}): {finding['evidence']}"
