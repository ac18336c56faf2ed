"""The doctor's benchmark: patients of every code, in both halves, that compose; and what becomes of the counts."""

import json
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import patients
import pytest
from clinic import kept
from doctor_benchmark import EXPLAINED, in_parts, share
from patients import (
    BASES,
    CHOSEN_BY,
    HELD_OUT,
    LAST,
    NEIGHBOURS,
    SICK,
    SICK_LAST,
    UNSEEN,
    Patient,
    healthy_patients,
    merged,
    parts_of_patients,
    sick_patients,
    stacks,
)
from runs import QUIET, Project
from sick_parts import FILES, few
from verdicts import Visit, misses

PROMISED = """vanishing_gradient exploding_gradient dead_units saturated_units learning_rate_too_high
learning_rate_too_low overfitting excess_weight_decay excess_dropout unlearnable_labels unscaled_input constant_input
bad_initial_loss validation_leak validation_too_small oscillating_loss non_finite symmetric_units"""
CODES = set(PROMISED.split())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("doctor"))
    with project.composition.hydra_here():
        yield project


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the benchmark runs, with the files that it names but nothing in them."""
    folder = tmp_path / patients.FILES
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / f"{name}.npz").touch()
    monkeypatch.chdir(tmp_path)
    return folder


def test_there_are_enough_patients_of_every_code_in_both_halves() -> None:
    sick, healthy, parts = sick_patients(), healthy_patients(), parts_of_patients()
    assert len(sick) >= 60
    assert len(healthy) >= 24
    assert set(SICK) == CODES
    for code in [*CODES, None]:
        of_code = [patient for patient in sick + healthy if patient.code == code]
        assert len(of_code) // 2 == sum(parts[patient] == HELD_OUT for patient in of_code) >= 2
    assert len({patient.name for patient in sick + healthy}) == len(sick + healthy)
    assert set(SICK_LAST) == CODES
    assert len([part for part in parts.values() if part == LAST]) == len(parts) - len(sick + healthy) > 40
    assert {stack.depth for stack in stacks()} >= {5, 18}


def test_there_are_patients_of_every_network() -> None:
    for several in (sick_patients(), healthy_patients()):
        networks = {word for patient in several for word in patient.overrides if word.startswith("network=")}
        assert networks >= {"network=cnn", "network=transformer", "network=own"}


def test_neighbours_are_codes() -> None:
    assert set(NEIGHBOURS) | {code for codes in NEIGHBOURS.values() for code in codes} | set(UNSEEN) <= CODES


def test_a_patient_is_its_twin_but_for_the_ailment() -> None:
    patient = Patient("mlp", "optimizer=sgd optimizer.lr=5", "learning_rate_too_high")
    assert set(patient.overrides) - set(patient.twin.overrides) == {"optimizer=sgd", "optimizer.lr=5"}
    assert merged("weight_decay=l2 weight_decay.strength=1", "weight_decay=none") == ("weight_decay=none",)


def test_data_that_are_named_exist() -> None:
    named = {word for patient in parts_of_patients() for word in patient.overrides if word.startswith("data.path=")}
    assert {Path(word).stem for word in named} <= set(FILES)


@pytest.mark.parametrize("base", BASES)
def test_a_twin_composes_without_mistakes(base: str, project: Project, data: Path) -> None:
    config = project.composition.composed("train", [*QUIET, *Patient(base, "", None).overrides])
    without = project.composition.without_hydra(config)
    assert not project.composition.mistakes("train", without, config.hydra)


def test_networks_that_are_named_exist() -> None:
    named = {
        word for patient in parts_of_patients() for word in patient.overrides if word.startswith("network.factory=")
    }
    assert all(callable(resolve_name(word.partition("=")[2])) for word in named)


def test_a_few_rows_are_as_many_of_each_class() -> None:
    x, y = few(np.arange(20.0)[:, None], np.arange(20) % 2, of_each=3)
    assert x.ravel().tolist() == [0, 2, 4, 1, 3, 5]
    assert y.tolist() == [0, 0, 0, 1, 1, 1]


def test_what_is_explained_is_a_patient() -> None:
    assert set(EXPLAINED) <= {patient.name for patient in parts_of_patients()}


def test_intervals_are_those_of_the_tables() -> None:
    assert share([True] * 10) == "10 of 10: 100.0% (69.2% to 100.0%)"  # 0.025 ** (1 / 10)
    assert share([]) == "not measured"


def test_parts_and_misses_count_what_was_found() -> None:
    sick = Patient("mlp, sgd", "optimizer.lr=1", "oscillating_loss")
    dead = [{"code": "dead_units", "severity": "error", "evidence": "all of them"}]
    too_high = [{**dead[0], "code": "learning_rate_too_high"}]
    visits = [Visit(sick, 0, CHOSEN_BY, dead), Visit(sick, 1, HELD_OUT, too_high), Visit(sick.twin, 0, HELD_OUT, [])]
    table = list(in_parts(visits, {"named": lambda visit: visit.named if visit.patient.code else None}))
    assert table[2:] == [f"| named | {share([False])} | {share([True])} |"]
    assert list(misses(visits, [])) == [
        "oscillating_loss: mlp, sgd | optimizer.lr=1, seed 0",
        "    dead_units (error): all of them",
    ]


def test_what_is_known_is_not_made_again(tmp_path: Path) -> None:
    assert kept(tmp_path, "name", lambda: [1]) == [1]
    assert kept(tmp_path, "name", lambda: [2]) == [1]
    assert json.loads((tmp_path / "name.json").read_text())["result"] == [1]
