"""``trainwell tune`` as it is typed: real trials, pruned, killed, shared by two processes."""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
import yaml

pytest.importorskip("optuna")

Command = Callable[..., subprocess.CompletedProcess[str]]
TINY = ["data=digits", "network.width=16", "residual.depth=1", "logger=none"]
FAST = [*TINY, "trainer.max_epochs=5", "~callbacks.early_stopping"]
SPACE = "optimizer.lr: {low: 1e-4, high: 1e-1, log: true}\nactivation: [relu, tanh]\n"


@pytest.fixture
def searched(project: Path) -> Path:
    (project / "configs" / "search" / "mine.yaml").write_text(SPACE)
    return project


def started(project: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "trainwell", "tune", *arguments]
    return subprocess.Popen(command, cwd=project, env=environment, text=True, stdout=subprocess.PIPE)


def the_study(project: Path) -> Path:
    (folder,) = (project / "runs" / "studies").iterdir()
    return folder


def trials_of(study: Path) -> list[dict[str, str]]:
    with (study / "trials.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn"])
def test_a_trial_in_several_processes_is_refused_and_none_is_started(
    searched: Path, command: Command, strategy: str
) -> None:
    several = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", f"trainer.strategy={strategy}"]
    ended = command("tune", "+search=mine", "trials=20", *FAST, *several, trainwell=True)
    assert ended.returncode == 2
    assert "a trial runs in one process, not 2: type trainer.devices=1" in ended.stderr
    assert the_study(searched).is_dir()  # a second process would have made another


@pytest.mark.slow
def test_a_study_killed_after_some_trials_is_resumed_to_all_of_them(searched: Path, command: Command) -> None:
    with started(searched, "+search=mine", "trials=12", *FAST) as process:
        assert process.stdout is not None
        trials = filter(lambda line: line.startswith("trial "), process.stdout)
        assert len([*islice(trials, 5)]) == 5
        time.sleep(0.3)  # into the sixth trial
        process.kill()

    done = command("tune", "resume=latest", "trials=12", trainwell=True)
    assert done.returncode == 0, done.stderr
    study = the_study(searched)
    trials = trials_of(study)
    ended_by_themselves = [trial for trial in trials if trial["state"] in ("COMPLETE", "PRUNED")]
    assert len(ended_by_themselves) == 12
    assert len({trial["params_optimizer.lr"] for trial in ended_by_themselves}) == 12  # no values are drawn twice
    assert (study / "history.png").stat().st_size > 5000
    assert (study / "importances.png").stat().st_size > 5000

    best = min((trial for trial in trials if trial["state"] == "COMPLETE"), key=lambda trial: float(trial["value"]))
    experiment = yaml.safe_load((searched / "configs" / "experiment" / "best_mine.yaml").read_text())
    assert experiment["optimizer"]["lr"] == float(best["params_optimizer.lr"])
    assert {"override /activation": best["params_activation"]} in experiment["defaults"]
    assert "python train.py +experiment=best_mine '~callbacks.early_stopping'" in done.stdout  # what a file cannot hold
    rerun = command("+experiment=best_mine", "logger=none", "~callbacks.early_stopping")
    assert rerun.returncode == 0, rerun.stderr
    (run,) = (searched / "runs" / "best_mine").iterdir()
    summary = json.loads((run / "summary.json").read_text())
    assert summary["best"]["val/loss"] == float(best["value"])  # the same run, once more

    compared = command("compare", str(study), trainwell=True)
    assert compared.returncode == 0, compared.stderr


@pytest.mark.slow
def test_bad_trials_are_pruned_refused_ones_recorded_and_failed_ones_survived(searched: Path, command: Command) -> None:
    (searched / "configs" / "search" / "mine.yaml").write_text("optimizer.lr: [0.01, 0.02, 1e-7, 1e-6, 1e30]\n")
    done = command("tune", "+search=mine", "trials=16", *FAST, trainwell=True)
    assert done.returncode == 0, done.stderr
    trials = trials_of(the_study(searched))
    states = {trial["state"] for trial in trials}
    assert states == {"COMPLETE", "PRUNED", "FAIL"}
    pruned = [trial for trial in trials if trial["state"] == "PRUNED"]
    assert all("worse than the median" in trial["user_attrs_reason"] for trial in pruned)
    summary = json.loads((Path(searched, pruned[0]["user_attrs_run"]) / "summary.json").read_text())
    assert summary["status"] == "pruned"
    assert summary["epochs"] < 5
    failed = next(trial for trial in trials if trial["state"] == "FAIL")
    assert float(failed["params_optimizer.lr"]) == 1e30
    assert "not finite" in failed["user_attrs_reason"]


@pytest.mark.slow
def test_two_processes_share_one_study(searched: Path, command: Command) -> None:
    first = started(searched, "+search=mine", "trials=6", *FAST)
    while not list(searched.glob("runs/studies/*/study.yaml")):
        time.sleep(0.1)
        assert first.poll() is None
    second = started(searched, "resume=latest", "trials=6")
    outputs = [process.communicate(timeout=240)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0]
    by_each = [
        sum(line.startswith("trial ") and "  values" not in line for line in out.splitlines()) for out in outputs
    ]
    assert sum(by_each) == 6
    assert min(by_each) >= 1
    assert len([trial for trial in trials_of(the_study(searched)) if trial["state"] != "WAITING"]) == 6


@pytest.mark.slow
def test_a_refused_combination_is_pruned_with_its_reason(searched: Path, command: Command) -> None:
    (searched / "configs" / "search" / "mine.yaml").write_text(
        "optimizer: [adamw, adam]\nweight_decay: [decoupled, none]\noptimizer.lr: {low: 1e-3, high: 1e-2}\n"
    )
    done = command("tune", "+search=mine", "trials=6", "trainer=smoke", *TINY, trainwell=True)
    assert done.returncode == 0, done.stderr
    refused = [trial for trial in trials_of(the_study(searched)) if "decoupled" in trial.get("user_attrs_reason", "")]
    assert refused
    assert all(trial["state"] == "PRUNED" for trial in refused)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["+search=typo"], "+search must be one of architecture, basics, mine, techniques, got typo"),
        (["trials=3"], "+search must be one of"),
        (["+search=mine", "trials=0"], "trials must be 1 or more, got 0"),
        (["+search=mine", "dropout.rat=0.1"], "dropout.rat=0.1: there is no key dropout.rat"),
        (["+search=mine", "dropout.rate=2"], "dropout.rate must be in [0, 1), got 2"),
        (["+search=mine", "optimizer.lr=0.1"], "+search=mine chooses these itself, so leave out optimizer.lr=0.1"),
        (["+search=mine", "+task.api_key=hunter2"], "task.api_key: this looks like a secret"),
        (["search=mine"], "search=mine: a search is added to the configuration; type +search=mine"),
        (["+search=mine", "trial=4"], "trial=4: there is no key trial; did you mean trials?"),
        (["+search=mine", "-m"], "-m: a search has no such option"),
        (["resume=nothing"], "there is no such study"),
        (["resume=nothing", "seed=1"], "a study keeps its overrides, so leave out seed=1"),
    ],
)
def test_a_mistake_is_one_sentence(searched: Path, command: Command, arguments: list[str], sentence: str) -> None:
    refused = command("tune", *arguments, trainwell=True)
    assert refused.returncode == 2
    assert sentence in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (searched / "runs").exists()


def test_a_search_that_can_train_nothing_ends_early(searched: Path, command: Command) -> None:
    (searched / "configs" / "search" / "mine.yaml").write_text("optimizer.lr: {low: 1e-3, high: 1e-2}\n")
    refused = command("tune", "+search=mine", "trials=30", *TINY, "data.batch_size=5000", trainwell=True)
    assert refused.returncode == 2, refused.stderr
    assert "each of the first 10 trials was refused: data.batch_size must be at most the number" in refused.stderr


def test_a_mistake_in_the_space_is_found_before_the_first_trial(searched: Path, command: Command) -> None:
    (searched / "configs" / "search" / "mine.yaml").write_text("dropout.rate: [0.1, 1.5]\nactivation: [relu, rleu]\n")
    refused = command("tune", "+search=mine", trainwell=True)
    assert refused.returncode == 2
    assert "dropout.rate=1.5: dropout.rate must be in [0, 1), got 1.5" in refused.stderr
    assert "activation=rleu" in refused.stderr
    assert not (searched / "runs").exists()
