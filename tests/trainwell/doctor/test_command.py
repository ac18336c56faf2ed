"""``trainwell doctor`` as it is typed."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from trainwell.findings import WHY, Finding


def test_a_batch_of_one_sample_is_refused_as_training_refuses_it(
    project: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    y = np.arange(201) % 2  # 129 train samples
    np.savez("own.npz", x=np.random.default_rng(1).normal(size=(201, 4)), y=y)
    own = ["data=arrays", "data.path=own.npz", "normalisation=batch", "scheduler=constant", "network.width=8"]
    refused = [command("doctor", *own, trainwell=True), command(*own)]
    assert [ended.returncode for ended in refused] == [2, 2]
    assert refused[0].stderr == refused[1].stderr
    assert "data.batch_size=64 leaves one sample of 129" in refused[0].stderr


@pytest.mark.parametrize("memory", ["load", "map"])
def test_samples_on_disk_are_examined_like_those_in_memory(
    memory: str, project: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    y = np.arange(600) % 2
    np.savez("own.npz", x=1000 * (np.random.default_rng(1).normal(size=(600, 4)) + y[:, None]), y=y)
    own = ["data=arrays", "data.path=own.npz", "data.standardize=false", "scheduler=constant", "network.width=8"]
    ended = command("doctor", *own, "dropout=none", f"data.memory={memory}", trainwell=True)
    assert ended.returncode == 1
    assert "unscaled input" in ended.stdout


def test_a_finding_is_wrapped_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    printed = "\n".join(Finding("target_leak", "warning", "feature 3", "the answer " * 20).lines())
    assert max(map(len, printed.splitlines())) <= 60
    assert printed.count("answer") == 20 + WHY["target_leak"].count("answer")
