"""Runs that are killed, for real: what takes too long for every baked project's own suite."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pandas import DataFrame
from tools import TEMPLATE

from benchmarks.kill.__main__ import differences as shown_differences
from benchmarks.kill.__main__ import table
from benchmarks.kill.comparison import differences, left_by

QUIET = ("logger=none", "~callbacks.progress_bar", "trainer.enable_progress_bar=false")
ON_TWO_PROCESSES = (
    "trainer=ddp", "trainer.accelerator=cpu", "data=digits", "network.width=8", "residual.depth=2", "dropout.rate=0.3",
    "trainer.max_epochs=15", "trainer.log_every_n_steps=5", "callbacks.last_checkpoint.steps=7",
    "callbacks.last_checkpoint.share=1.0", "~callbacks.early_stopping", *QUIET,
)  # fmt: skip


@pytest.mark.slow
def test_a_few_of_the_hundred_kills(tmp_path: Path) -> None:
    """`make kill` has the hundred, and more configurations."""
    command = [sys.executable, "-m", "benchmarks.kill", "--kills", "4", "--folder", tmp_path]
    names = ["killed", "SIGINT, then SIGTERM", "ResumableLoader"]
    ended = subprocess.run([*command, *names], cwd=TEMPLATE, text=True, capture_output=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    *_, total = ended.stdout.splitlines()
    runs, interruptions, identical = map(int, total.split()[1:])
    assert runs == identical == 4
    assert interruptions >= 3  # a moment can be one that never comes


@pytest.mark.slow
def test_a_run_on_two_processes_resumes_to_the_same_end(bake: Callable[..., Path], tmp_path: Path) -> None:
    command = [sys.executable, bake() / "train.py"]
    # Another test compares the files of the bake.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    options = {"env": environment, "stdout": subprocess.DEVNULL}
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    subprocess.run([*command, *ON_TWO_PROCESSES], cwd=tmp_path / "whole", check=True, **options)
    process = subprocess.Popen([*command, *ON_TWO_PROCESSES], cwd=tmp_path / "stopped", **options)
    while process.poll() is None and not list(tmp_path.glob("stopped/runs/*/*/checkpoints/previous.ckpt")):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 1
    (run,) = tmp_path.glob("stopped/runs/*/*")
    assert '"status": "interrupted"' in (run / "summary.json").read_text()
    subprocess.run([*command, "resume=latest"], cwd=tmp_path / "stopped", check=True, **options)
    (whole,) = tmp_path.glob("whole/runs/*/*")
    weights = [torch.load(folder / "checkpoints" / "last.ckpt")["state_dict"] for folder in (run, whole)]
    assert all(torch.equal(weights[0][name], tensor) for name, tensor in weights[1].items())
    assert metrics_of(run) == metrics_of(whole)


def metrics_of(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return [{name: row[name] for name in row if not name.startswith("throughput/")} for row in csv.DictReader(file)]


def finished_run(folder: Path, seconds: float, weight: float) -> Path:
    """A folder with a run as small as can be."""
    run = folder / "runs" / "train" / folder.name
    (run / "checkpoints").mkdir(parents=True)
    summary = {"status": "finished", "seconds": seconds, "command": "python train.py", "best": {"val/loss": 0.5}}
    (run / "summary.json").write_text(json.dumps(summary))
    (run / "metrics.csv").write_text(f"epoch,step,val/loss,throughput/samples_per_second\n0,9,0.5,{seconds}\n")
    state = {"state_dict": {"weight": torch.tensor([weight])}, "callbacks": {"best": {str(run.resolve()): seconds > 0}}}
    for name in ("last.ckpt", "best.ckpt"):
        torch.save(state, run / "checkpoints" / name)
    return folder


def test_times_and_places_are_no_difference_and_one_bit_of_a_weight_is(tmp_path: Path) -> None:
    expected = left_by(finished_run(tmp_path / "undisturbed", seconds=1.0, weight=0.1))
    same = left_by(finished_run(tmp_path / "killed", seconds=2.0, weight=0.1))
    assert differences(expected, same) == []
    other = left_by(finished_run(tmp_path / "other", seconds=1.0, weight=0.1 + 2**-27))
    assert [text.partition(":")[0] for text in differences(expected, other)] == [
        "last.ckpt state_dict weight",
        "best.ckpt state_dict weight",
    ]


def test_the_table_counts_runs_interruptions_and_identical_ends() -> None:
    columns = ["configuration", "number", "interruptions", "differences"]
    trials = [("killed", 0, 2, []), ("killed", 1, 1, ["weights"]), ("bf16", 0, 1, [])]
    results = DataFrame(trials, columns=columns)
    counts = table(results)
    assert counts.columns.tolist() == ["runs", "interruptions", "identical"]
    assert counts.T.to_dict("list") == {"killed": [2, 3, 1], "bf16": [1, 1, 1], "total": [3, 4, 2]}
    assert "  weights" in list(shown_differences(results, Path("build")))
    ignored = DataFrame([("SIGINT twice", number, 0, []) for number in range(5)], columns=columns)
    assert list(shown_differences(ignored, Path("build"))) == ["\nSIGINT twice: nothing was interrupted"]
