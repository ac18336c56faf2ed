"""``trainwell doctor`` as it is typed."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np


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
