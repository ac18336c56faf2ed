"""The doctor's benchmark: cases of every code, in both halves, that compose; and what becomes of the counts."""

import json
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import pytest

from benchmarks.doctor.cases import DEVELOPMENT, HELD_OUT, LAST, TABLES, all_cases, changed, faulty_cases, merged
from benchmarks.doctor.datasets import CHANGES, SOURCES, few
from benchmarks.doctor.page import by_part, share
from benchmarks.doctor.results import Result, misses
from benchmarks.doctor.stacks import ACTIVATIONS, DATA, all_stacks, held_out_half
from benchmarks.project import QUIET, Project, kept

PROMISED = """vanishing_gradient exploding_gradient dead_units saturated_units learning_rate_too_high
learning_rate_too_low overfitting excess_weight_decay excess_dropout unlearnable_labels unscaled_input constant_input
bad_initial_loss validation_leak validation_too_small oscillating_loss non_finite symmetric_units"""
CODES = set(PROMISED.split())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A baked project, and beside it the files that the cases name, with nothing in them."""
    folder = tmp_path_factory.mktemp("doctor")
    project = Project(folder)
    (folder / "data").mkdir()
    for name in TABLES["files"]:
        (folder / "data" / f"{name}.npz").touch()
    with project.hydra():
        yield project


def test_there_are_enough_cases_of_every_code_in_both_halves() -> None:
    first = [case for case in all_cases() if case.part != LAST]
    assert len([case for case in first if case.codes]) >= 60
    assert len([case for case in first if not case.codes]) >= 24
    assert {code for case in faulty_cases() for code in case.codes} == CODES == set(TABLES["faulty"])
    for codes in [*((code,) for code in CODES), ()]:
        of_code = [case for case in first if case.codes == codes]
        assert len(of_code) // 2 == sum(case.part == HELD_OUT for case in of_code) >= 2
        assert sum(case.part == LAST for case in all_cases() if case.codes == codes) >= 2
    assert len({(case.codes, case.name) for case in all_cases()}) == len(all_cases())


def test_the_counts_are_those_of_the_published_page() -> None:
    published = Path(__file__).parents[1].joinpath("docs", "doctor.md").read_text("utf-8")
    first = [case for case in all_cases() if case.part != LAST]
    assert f"There are {sum(bool(case.codes) for case in first)} " in published
    assert f"another {len(all_cases()) - len(first)} configurations" in published
    of_stacks = [stack for stack in all_stacks() if stack in held_out_half(all_stacks())]
    assert f"{len(of_stacks)}: " in published.partition("AUTOTRAINER")[2]


def test_there_are_cases_of_every_network() -> None:
    for faulty in (True, False):
        of_kind = [case for case in all_cases() if bool(case.codes) == faulty]
        networks = {override for case in of_kind for override in case.overrides if override.startswith("network=")}
        assert networks >= {"network=cnn", "network=transformer", "network=custom"}


def test_every_name_in_the_tables_is_defined() -> None:
    neighbours = TABLES["neighbours"]
    assert set(neighbours) | {code for codes in neighbours.values() for code in codes} <= CODES
    assert set(TABLES["not_visible"]) <= CODES
    assert set(TABLES["explained"]) <= {case.name for case in all_cases()}
    named = {override.partition("=") for case in all_cases() for override in case.overrides}
    assert {Path(value).stem for key, _, value in named if key == "data.path"} <= set(TABLES["files"])
    assert all(callable(resolve_name(value)) for key, _, value in named if key == "network.factory")
    assert {settings["of"] for settings in TABLES["files"].values()} <= set(SOURCES)
    assert {settings.get("change", "few") for settings in TABLES["files"].values()} <= set(CHANGES)
    assert {stack.activation for stack in all_stacks()} <= set(ACTIVATIONS)
    assert {stack.data for stack in all_stacks()} <= set(DATA)


def test_a_case_differs_from_its_base_in_its_change_alone() -> None:
    case = changed("mlp", "optimizer=sgd optimizer.lr=5", "learning_rate_too_high", DEVELOPMENT)
    assert set(case.overrides) - set(case.twin.overrides) == {"optimizer=sgd", "optimizer.lr=5"}
    assert merged("weight_decay=l2 weight_decay.strength=1", "weight_decay=none") == ("weight_decay=none",)


@pytest.mark.parametrize("base", TABLES["bases"])
def test_a_base_composes_without_mistakes(base: str, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainwell.config import compose

    monkeypatch.chdir(project.folder)
    config = compose.composed("train", [*QUIET, *changed(base, "", None, LAST).overrides])
    assert not compose.mistakes("train", compose.without_hydra(config), config.hydra)


def test_few_samples_are_as_many_of_each_class() -> None:
    x, y = few(np.arange(20.0)[:, None], np.arange(20) % 2, per_class=3)
    assert x.ravel().tolist() == [0, 2, 4, 1, 3, 5]
    assert y.tolist() == [0, 0, 0, 1, 1, 1]


def test_intervals_are_those_of_the_tables() -> None:
    assert share([True] * 10) == "10 of 10: 100.0% (69.2% to 100.0%)"  # 0.025 ** (1 / 10)
    assert share([]) == "not measured"


def test_tables_and_misses_count_what_was_found() -> None:
    first = changed("mlp, sgd", "optimizer.lr=1", "oscillating_loss", DEVELOPMENT)
    second = changed("mlp, sgd", "optimizer.lr=2", "oscillating_loss", HELD_OUT)
    healthy = changed("mlp", "", None, HELD_OUT)
    dead = [{"code": "dead_units", "severity": "error", "evidence": "all of them"}]
    too_high = [{**dead[0], "code": "learning_rate_too_high"}]  # a neighbour
    results = [Result(first, 0, dead), Result(second, 1, too_high), Result(healthy, 0, [])]
    rows = {"named": lambda result: result.named if result.case.codes else None}
    table = list(by_part(results, rows, (DEVELOPMENT, HELD_OUT)))
    assert table[2:] == [f"| named | {share([False])} | {share([True])} |"]
    assert list(misses(results)) == [
        "oscillating_loss: mlp, sgd | optimizer.lr=1, seed 0",
        "    dead_units (error): all of them",
    ]


def test_what_is_known_is_not_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "name.json"
    assert kept(path, lambda: [1]) == [1]
    assert kept(path, lambda: [2]) == [1]
    assert json.loads(path.read_text()) == [1]
