"""Reading run folders, those of a stranger included."""

import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path

import pytest
from trainwell.comparison import statistics
from trainwell.comparison.run_index import read_run

Make = Callable[..., str]
Save = Callable[..., None]


def test_a_realistic_configuration_differs_in_what_was_overridden_and_nothing_that_repeats_it(
    save_config: Save,
) -> None:
    save_config(0)
    save_config(1, activation="gelu", monitor="val/accuracy", mode="max", bar="false")
    compared = statistics.compare(["runs"])
    assert compared.differing == ["activation", "monitor"]
    assert [group.setting("activation") for group in compared.groups] == ["relu", "gelu"]


def test_a_sweep_over_data_standardize_is_labelled_once(save_config: Save) -> None:
    save_config(0, standardize="true"), save_config(1, standardize="false")
    groups = statistics.compare(["runs"]).groups
    assert [group.label for group in groups] == ["data.standardize=true", "data.standardize=false"]


def test_a_label_says_what_was_chosen_and_not_its_copies_or_what_follows(make: Make) -> None:
    def run(depth: int, **decay: object) -> None:
        network = {"layers": {"depth": depth}}
        blocks = {"layer_factories": {"depth": depth}, "network": network, "task": {"network": deepcopy(network)}}
        make(residual={"depth": depth}, **blocks, weight_decay=decay)

    run(4, _target_="my_network.decay.l2", strength=0.001)
    run(8, _target_="my_network.decay.none")
    labels = [group.label for group in statistics.compare(["runs"]).groups]
    assert labels == ["residual.depth=4 weight_decay=l2", "residual.depth=8 weight_decay=none"]
    run(8, _target_="my_network.decay.l2", strength=0.1)
    last = statistics.compare(["runs"]).groups[-1].label
    assert last == "residual.depth=8 weight_decay.strength=0.1"


def test_settings_that_change_together_are_all_named(make: Make) -> None:
    for patience in (3, 9):
        make(scheduler={"patience": patience}, data={"reader": {"patience": patience}})
    (group, _) = statistics.compare(["runs"]).groups
    assert group.label == "scheduler.patience=3 data.reader.patience=3"


def test_realistic_configurations_that_differ_only_in_seed_are_one_group(save_config: Save) -> None:
    save_config(0), save_config(1, seed=1), save_config(2, seed=2, bar="false")
    assert [len(group.runs) for group in statistics.compare(["runs"]).groups] == [3]


def test_functions_of_the_same_name_in_different_modules_are_different_groups(make: Make) -> None:
    for module in ("mine", "theirs"):
        make(network={"_target_": f"{module}.net"})
    groups = statistics.compare(["runs"]).groups
    assert [group.label for group in groups] == ["network._target_=mine.net", "network._target_=theirs.net"]


def test_runs_are_found_by_folder_by_sweep_and_below_a_folder(make: Make) -> None:
    runs = [make(seed) for seed in range(4)]
    sweep = Path("runs/sweeps/one")
    sweep.mkdir(parents=True)
    (sweep / "multirun.yaml").touch()
    (sweep / "runs.txt").write_text("../../train/0001\n../../train/0003\n../../train/deleted\n")

    def found(*places: str) -> Sequence[str]:
        return [str(run.folder) for group in statistics.compare(places).groups for run in group.runs]

    assert found(runs[2], f"./{runs[0]}/") == [runs[2], runs[0]]
    assert found(str(sweep)) == [runs[1], runs[3]]
    assert sorted(found("runs/train", "runs/sweeps")) == runs  # what the shell makes of runs/*
    assert sorted(found("runs")) == runs
    assert statistics.compare([str(sweep)]).skipped == [
        "runs/train/deleted cannot be read: config.yaml is missing or not a regular file"
    ]


def test_what_hydra_wrote_into_a_run_without_configuration_is_no_run(make: Make) -> None:
    run = Path(make(0))
    (run / ".hydra").mkdir()
    (run / "config.yaml").rename(run / ".hydra" / "config.yaml")
    with pytest.raises(ValueError, match=r"no run to compare$|no run"):
        statistics.compare([str(run)])


ALIAS_BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
MERGE_BOMB = "a0: &a0 {x: 1, y: 2}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 60))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("config.yaml", "seed: [0\nrun_folder: x\n", "expected ',' or ']'"),
        ("config.yaml", "- a list", "must hold a mapping"),
        ("config.yaml", "", "must hold a mapping"),
        ("config.yaml", "seed: 0\n{[a, b]: c}: d\n", "cannot be read"),
        ("config.yaml", ALIAS_BOMB, "must not contain YAML aliases"),
        ("config.yaml", MERGE_BOMB, "must not contain YAML aliases"),
        ("config.yaml", "a: &a [*a]", "must not contain YAML aliases"),
        ("config.yaml", "a: " + "[" * 100_000, "deeper than 100 levels"),  # overflows the stack of libyaml
        ("config.yaml", "a: " + "x" * 2**20, "larger than 1,048,576 bytes"),
        ("config.yaml", b"\xff\xfe\x00", "must be UTF-8"),
        ("summary.json", '{"status": "finished", "best": {"val/', "cannot be read"),
        ("summary.json", "[" * 100_000, "recursion"),
        ("summary.json", "[]", "must hold a mapping"),
        ("provenance.json", "{", "cannot be read"),
    ],
)
def test_an_unreadable_run_is_skipped_with_its_reason_and_the_rest_compared(
    name: str, content: str | bytes, reason: str, make: Make
) -> None:
    runs = [make(seed) for seed in range(3)]
    Path(runs[1], name).write_bytes(content if isinstance(content, bytes) else content.encode())
    compared = statistics.compare(["runs"])
    assert [[run.seed for run in group.runs] for group in compared.groups] == [[0, 2]]
    (skipped,) = compared.skipped
    assert skipped.startswith(f"{runs[1]} cannot be read: ")
    assert reason in skipped
    assert len(skipped) < 300


@pytest.mark.parametrize("name", ["config.yaml", "summary.json", "provenance.json"])
def test_a_pipe_in_place_of_a_file_is_not_read(name: str, make: Make) -> None:
    make(0)
    run = Path(make(1))
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    compared = statistics.compare(["runs"])
    assert compared.skipped == [f"{run} cannot be read: {name} is missing or not a regular file"]


@pytest.mark.parametrize(
    "summary",
    [
        {"best": {"val/loss": float("nan"), "epoch": float("inf")}},
        {"best": {"val/loss": 10**400}},
        {"best": {"val/loss": "high"}},
        {"best": {"val/loss": [1, 2]}},
        {"best": "good", "git": [], "seconds": {"a": 1}},
        {"status": ["finished"], "experiment": {"a": 1}, "code": [1]},
    ],
)
def test_a_value_that_is_not_a_finite_number_is_no_result(summary: dict[str, object], make: Make) -> None:
    assert "val/loss" not in read_run(Path(make(summary=summary))).results


@pytest.mark.parametrize(
    "text", ["2026-11-27", "!!set {a}", "0x" + "f" * 5000, ".nan", "9" * 5000, "{}", "!!binary aGk="]
)
def test_every_yaml_scalar_stays_text_or_becomes_a_finite_number(text: str, make: Make) -> None:
    run = Path(make())
    with (run / "config.yaml").open("a") as file:
        file.write(f"value: {text}\n")
    value = read_run(run).settings.get("value", "empty")
    assert isinstance(value, str)
