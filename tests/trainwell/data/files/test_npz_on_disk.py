"""Samples that stay on disk: the same numbers as in memory, little memory, and a folder that is whole and current."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trainwell
from trainwell.data import standardize
from trainwell.data.files import npz
from trainwell.data.files.npz import load_npz, map_npz
from trainwell.data.in_memory import InMemoryDataModule, with_label_noise
from trainwell.doctor.problem import MOST_COLLECTED, problem_of

OwnFile = Callable[..., str]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(*trainwell.__path__).parent), "OMP_NUM_THREADS": "1"}


def same(a: Any, b: Any) -> bool:
    (splits, standardizer), (others, other) = a, b
    pairs = [*zip(splits, others, strict=True), *([(standardizer, other)] if standardizer else [])]
    return all(torch.equal(one[:], two[:]) for pair in pairs for one, two in zip(*pair, strict=True))


@pytest.fixture
def few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standardize, "BLOCK", 50)  # 8 samples of 6 numbers


@pytest.mark.parametrize("standardized", [True, False])
@pytest.mark.parametrize("given", [{}, {"x_test": np.full((7, 2, 3), 9.5), "y_test": np.arange(7) % 3}])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.usefixtures("few_at_a_time")
def test_samples_on_disk_are_those_in_memory_bit_for_bit(
    standardized: bool, given: dict[str, Any], save: Callable[..., None], order: Any, own_file: OwnFile
) -> None:
    x = np.random.default_rng(0).normal(3, 5, (61, 2, 3)).copy(order)
    path = own_file(save, x=x, y=np.arange(61, dtype="u1") % 3, **given)
    for _ in range(2):
        assert same(map_npz(path, standardized), load_npz(path, standardized))


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    own_file: OwnFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(splits: object, path: str, *facts: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(npz, "split_arrays", full)  # after the arrays are unpacked
    with pytest.raises(ValueError, match=r"^data.memory=map cannot write .*own.npz.mapped: No space left on device$"):
        map_npz(own_file(), standardize=True)
    assert os.listdir(tmp_path) == ["own.npz"]


def test_a_folder_that_cannot_be_written_is_one_sentence(own_file: OwnFile, tmp_path: Path) -> None:
    path = own_file()
    (tmp_path / "own.npz.mapped").write_text("a file of somebody else")
    with pytest.raises(ValueError, match=r"^data.memory=map cannot write .*own.npz.mapped: "):
        map_npz(path, standardize=True)
    assert (tmp_path / "own.npz.mapped").read_text() == "a file of somebody else"


def test_prepared_samples_are_used_again_until_the_file_changes(
    own_file: OwnFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = own_file()
    prepared = []
    monkeypatch.setattr(npz, "write_splits", lambda *a, kept=npz.write_splits: (prepared.append(a), kept(*a)))
    first = map_npz(path, standardize=True)
    assert same(map_npz(path, standardize=True), first)
    assert len(prepared) == 1
    map_npz(path, standardize=False)
    map_npz(path, standardize=True)
    assert len(prepared) == 2
    own_file(x=np.random.default_rng(7).normal(size=(60, 2, 3)).astype("f4"))  # of the same size
    assert same(map_npz(path, standardize=True), load_npz(path, standardize=True))
    assert len(prepared) == 3


@pytest.mark.parametrize("name", ["made_of.json", "train_x.npy", "val_y.npy", "standardizer.npy"])
def test_prepared_samples_that_were_harmed_are_made_anew(name: str, own_file: OwnFile, tmp_path: Path) -> None:
    path = own_file()
    map_npz(path, standardize=True)
    harmed = tmp_path / "own.npz.mapped" / "standardized" / name
    for length in (100, 0):
        harmed.write_bytes(harmed.read_bytes()[:length])
        assert same(map_npz(path, standardize=True), load_npz(path, standardize=True))


def test_a_preparation_that_was_killed_is_begun_anew(own_file: OwnFile, tmp_path: Path) -> None:
    path = own_file()
    program = (
        "import os\n"
        "from trainwell.data.files import npz\n"
        "npz.write_splits = lambda *given: (given[-1] / 'x').touch() or os.kill(os.getpid(), 9)\n"
        f"npz.map_npz({path!r}, standardize=True)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, timeout=120)
    assert ended.returncode == -9
    assert (tmp_path / "own.npz.mapped" / "standardized.unfinished" / "x").exists()
    assert same(map_npz(path, standardize=True), load_npz(path, standardize=True))
    assert sorted(os.listdir(tmp_path / "own.npz.mapped")) == ["lock", "standardized"]


def test_samples_are_prepared_and_read_in_less_memory_than_they_take(tmp_path: Path) -> None:
    """The limit is one of all that the process may write to; what is read into memory does not come through it."""
    x = np.random.default_rng(0).random((15_000, 2500), dtype=np.float32)
    np.savez(tmp_path / "own.npz", x=x, y=np.arange(15_000) % 2)
    program = """
import resource
import torch
from trainwell.data.batches import Batches
from trainwell.data.files.npz import map_npz
from trainwell.data.files.npz import load_npz
from trainwell.doctor.problem import MOST_COLLECTED, problem_of
torch.set_num_threads(1)
(line,) = (line for line in open("/proc/self/status") if line.startswith("VmData"))
limit = 1024 * int(line.split()[1]) + 110_000_000
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
(train, *_), _ = map_npz("own.npz", standardize=True)
assert sum(len(y) for _, y in Batches(train, 64, seed=0)) == 9_600
try:
    load_npz("own.npz", standardize=True)
except MemoryError:
    print("refused")
"""
    options: dict[str, Any] = {"text": True, "capture_output": True, "timeout": 120, "cwd": tmp_path}
    ended = subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, **options)
    assert x.nbytes == 150_000_000
    assert ended.stdout == "refused\n", ended.stdout + ended.stderr


def test_wrong_labels_leave_inputs_on_disk(own_file: OwnFile) -> None:
    (train, *_), _ = map_npz(own_file(), standardize=False)
    noisy = with_label_noise(train, 3, 0.5)
    index = torch.tensor([5, 0, 30])
    assert noisy.x is train.x
    assert torch.equal(noisy.at(index).x, train.x[index])


class Mapped(InMemoryDataModule):
    def __init__(self, path: str) -> None:
        super().__init__(batch_size=64, seed=0)
        self.path = path

    def load(self) -> None:
        (self.train, self.val, self.test), _ = map_npz(self.path, standardize=False)
        self.num_classes = 3


def test_the_doctor_sees_all_classes_of_a_file_that_is_sorted_by_them(own_file: OwnFile) -> None:
    y = np.arange(36_000) // 12_000
    problem = problem_of(Mapped(own_file(x=y.astype("f4")[:, None], y=y)))
    assert problem is not None
    for samples in (problem.train, problem.val):
        assert isinstance(samples.x, torch.Tensor)
        assert torch.equal(samples.x[:, 0].long(), samples.y)
        assert MOST_COLLECTED <= len(samples.y) < MOST_COLLECTED + 64
        assert samples.y.bincount().min() > 0.9 * len(samples.y) / 3
