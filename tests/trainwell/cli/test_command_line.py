"""Command lines that people type, and what they are answered: real processes, since exit status and streams matter."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trainwell

TEMPLATE = Path(__file__).parents[3]
Command = Callable[..., subprocess.CompletedProcess[str]]
QUICK = ("trainer=smoke", "network.width=8", "residual.depth=2", "logger=none")


def summary_of(project: Path) -> dict[str, object]:
    (path,) = (project / "runs").glob("*/*/summary.json")
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["callbacks=null"], "callbacks=null: callbacks cannot be left out or null; remove one with ~callbacks.NAME"),
        (["~callbacks"], "callbacks cannot be left out or null; remove one with ~callbacks.NAME"),
        (["callbacks=[]"], "callbacks cannot be left out or null; remove one with ~callbacks.NAME"),
        (["~logger"], "logger cannot be left out or null; type logger=none"),
        (["--config-name=typo"], "Cannot find primary config 'typo'"),
        (["+trainer.fast_dev_run=true"], "for a quick check type trainer=smoke"),
        (["callbacks.checkpoint.monitor=val/accuracy"], "type monitor=val/accuracy for both"),
        (["+trainer.val_check_interval=1.5"], "trainer.val_check_interval must be in (0, 1]"),
        (
            ["monitor=val/kappa"],
            "val/loss, val/accuracy, val/f1, val/auroc, got val/kappa",
        ),
        (["resume=" + 5000 * "a"], "a run is named by its folder"),
        (["+optimizer.api_key=abc"], "api_key"),
        (["network.width=8", "-m", "seed=0,1", "activation=relo"], "activation=relo: activation is one of"),
        (["-m", "seed=0,1", "--cfg", "job"], "--cfg and --info show one configuration, so leave out -m"),
    ],
)
def test_a_command_line_that_cannot_work_is_answered_in_one_sentence(
    typed: list[str], message: str, command: Command, project: Path
) -> None:
    ended = command(*typed)
    assert ended.returncode == 2, ended.stderr[-2000:]
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) <= 2
    assert "type -m" not in ended.stderr
    assert not (project / "runs").exists()


def test_late_refusals_leave_nothing_behind(command: Command, project: Path) -> None:
    """The scheduler is the first to know how many steps there are; by then there is a run folder and a W&B run."""
    ended = command("trainer=smoke", "scheduler.warmup_steps=5000", "logger=wandb")
    assert ended.returncode == 2, ended.stderr[-2000:]
    assert ended.stderr.startswith("scheduler.warmup_steps must be below the number of steps, 60, got 5000; for so")
    assert len(ended.stderr.splitlines()) == 1
    assert not (project / "runs").exists() or not list((project / "runs").rglob("config.yaml"))
    assert not list(project.glob("wandb/*run-*"))


def test_a_config_group_of_the_users_own_is_composed(command: Command, project: Path) -> None:
    folder = project / "configs" / "debug"
    folder.mkdir()
    (folder / "quick.yaml").write_text("# @package _global_\nseed: 3\ntrainer:\n  max_epochs: 11\n")
    ended = command("+debug=quick", *QUICK, "trainer.max_epochs=11")
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert summary_of(project)["seed"] == 3


def test_a_config_folder_elsewhere_is_searched_in_sweeps_as_well(
    command: Command, project: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine" / "activation").mkdir(parents=True)
    relu = (project / "configs" / "activation" / "relu.yaml").read_text()
    (tmp_path / "mine" / "activation" / "own.yaml").write_text(relu)
    ended = command(*QUICK, "-m", "--config-dir", str(tmp_path / "mine"), "activation=own,relu")
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert len(list((project / "runs").glob("train/*/summary.json"))) == 2


def test_without_a_terminal_each_epoch_is_a_line(command: Command) -> None:
    ended = command(*QUICK)
    assert ended.returncode == 0, ended.stderr[-2000:]
    lines = [line for line in ended.stdout.splitlines() if line.startswith("epoch ") and "val/loss" in line]
    assert len(lines) == 12


def test_text_that_the_terminal_cannot_show_is_replaced(project: Path) -> None:
    script = "from trainwell.console import set_up_output; set_up_output(); print('0.5 \\u00b1 0.1')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ended = subprocess.run([sys.executable, "-c", script], cwd=project, env=environment, text=True, capture_output=True)
    assert ended.stdout == "0.5 ? 0.1\n", ended.stderr


def test_training_from_python_is_the_same_run(project: Path, command: Command) -> None:
    import trainwell

    trainwell.train([*QUICK, "seed=4"])
    in_process = summary_of(project)
    ended = command(*QUICK, "seed=4")
    assert ended.returncode == 0, ended.stderr[-2000:]
    first, second = (json.loads(path.read_text()) for path in sorted((project / "runs").glob("*/*/summary.json")))
    assert first["best"] == second["best"]
    assert in_process["seed"] == 4


def test_training_from_python_refuses_with_sentences(project: Path) -> None:
    import trainwell

    with pytest.raises(trainwell.Refused, match=r"dropout\.rate must be in"):
        trainwell.train(["dropout.rate=2"])


def test_a_composed_configuration_trains_without_hydra_as_a_command(
    project: Path, compose: Callable[..., object]
) -> None:
    from runpy import run_path

    config = compose(*QUICK)
    run_path(str(project / "train.py"))["train"](config)
    assert summary_of(project)["status"] in ("finished", "stopped_early")


def test_the_commands_are_listed_and_a_wrong_one_is_refused(command: Command) -> None:
    listed = command("--help", trainwell=True)
    assert listed.returncode == 0
    assert all(name in listed.stdout for name in ("evaluate", "doctor", "compare", "predict", "export"))
    wrong = command("evalute", trainwell=True)
    assert wrong.returncode == 2
    assert "the commands are evaluate" in wrong.stderr
    assert wrong.stderr.endswith("did you mean evaluate?\n")


def test_the_version_is_printed_and_is_that_of_the_changelog(command: Command) -> None:
    assert command("--version", trainwell=True).stdout.split() == [trainwell.__version__]
    headings = re.findall(r"^## \[?([\w.]+)", (TEMPLATE / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert trainwell.__version__ in headings[:2]  # the second while the first is Unreleased


def test_a_closed_pipe_is_no_traceback(project: Path, command: Command) -> None:
    script = f"{sys.executable} train.py --cfg job | head -n 1"
    ended = subprocess.run(
        ["bash", "-c", script], cwd=project, env={**os.environ, "OMP_NUM_THREADS": "1"}, text=True, capture_output=True
    )
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_a_run_whose_output_is_cut_off_comes_to_its_end(project: Path) -> None:
    words = "data=digits trainer=smoke network.width=16 residual.depth=1 logger=none"
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{sys.executable} train.py {words} | head -n 1"],
        cwd=project,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
        capture_output=True,
    )
    assert ended.returncode == 0
    assert ended.stderr == ""
    assert summary_of(project)["status"] == "finished"


@pytest.mark.slow
def test_a_metric_of_one_override_is_everywhere_that_metrics_are(command: Command, project: Path) -> None:
    ended = command(
        *QUICK, "+task.metrics.kappa._target_=torchmetrics.classification.MulticlassCohenKappa", "monitor=val/kappa"
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert " kappa" in ended.stdout
    (run,) = (project / "runs/train").iterdir()
    assert "val/kappa" in (run / "metrics.csv").read_text().splitlines()[0]
    summary = summary_of(project)
    rows = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    column = rows[0].index("val/kappa")
    values = [float(row[column]) for row in rows[1:] if len(row) > column and row[column]]
    assert summary["best"]["val/kappa"] == max(values)
    evaluated = command("evaluate", "run=latest", trainwell=True)
    assert evaluated.returncode == 0, evaluated.stderr[-2000:]
    assert "kappa" in evaluated.stdout
    compared = command("compare", "runs/train", trainwell=True)
    assert compared.returncode == 0, compared.stderr[-2000:]
    assert "val/kappa" in (project / "comparison.csv").read_text()


@pytest.mark.slow
def test_a_run_that_its_time_limit_ends_is_resumed_to_the_same_result(command: Command, project: Path) -> None:
    settings = ("trainer=cpu", "network.width=8", "residual.depth=2", "logger=none", "~callbacks.early_stopping")
    limited = command(*settings, "trainer.max_time=00:00:00:01")
    assert limited.returncode == 0, limited.stderr[-2000:]
    (run,) = (project / "runs/train").iterdir()
    summary = json.loads((run / "summary.json").read_text())
    assert summary["status"] == "out_of_time"
    assert summary["epochs"] < 60
    resumed = command(f"resume={run}", "trainer.max_time=null")
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    whole = command(*settings)
    assert whole.returncode == 0, whole.stderr[-2000:]
    (other,) = (folder for folder in (project / "runs/train").iterdir() if folder != run)
    first, second = (json.loads((folder / "summary.json").read_text()) for folder in (run, other))
    assert first["best"] == second["best"]
    assert first["last"] == second["last"]


def test_epochs_trained_are_counted_not_validations(command: Command, project: Path) -> None:
    ended = command(
        *QUICK,
        "trainer.check_val_every_n_epoch=3",
        "trainer.max_epochs=9",
        "callbacks.early_stopping.patience=2",
        "scheduler.warmup_steps=0",
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert summary_of(project)["epochs"] in (6, 9)
