"""Runs that are killed, for real: what takes too long for every baked project's own suite."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.conftest import TEMPLATE

ON_TWO_PROCESSES = (
    "trainer=ddp", "trainer.accelerator=cpu", "data=digits", "network.width=8", "residual.depth=2", "dropout.rate=0.3",
    "trainer.max_epochs=15", "trainer.log_every_n_steps=5", "callbacks.last_checkpoint.steps=7",
    "callbacks.last_checkpoint.share=1.0", "logger=none",
    "~callbacks.early_stopping", "~callbacks.progress_bar", "trainer.enable_progress_bar=false",
)  # fmt: skip


@pytest.mark.slow
def test_a_few_of_the_fifty_kills(tmp_path: Path) -> None:
    """One of each kind; `make kill` has the fifty."""
    harness = [sys.executable, TEMPLATE / "benchmarks" / "kill.py", "--moments", "5", "--folder", tmp_path]
    ended = subprocess.run(harness, text=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert "5 of 5 runs that were killed ended like one that was not" in ended.stdout, ended.stdout + ended.stderr


@pytest.mark.slow
def test_a_run_on_two_processes_goes_on_to_the_same_end(bake: Callable[..., Path], tmp_path: Path) -> None:
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
