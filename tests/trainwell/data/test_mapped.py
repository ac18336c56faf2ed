"""Samples that stay on disk: the same numbers as in memory, little memory, and a folder that is whole and current."""

import mmap
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trainwell
from numpy.lib import format
from trainwell.data import mapped, standardize
from trainwell.data.in_memory import with_label_noise
from trainwell.data.mapped import map_npz
from trainwell.data.prepare import load_npz

OwnFile = Callable[..., str]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(*trainwell.__path__).parent), "OMP_NUM_THREADS": "1"}


def same(a: Any, b: Any) -> bool:
    (splits, standardizer), (others, other) = a, b
    pairs = [*zip(splits, others, strict=True), *([(standardizer, other)] if standardizer else [])]
    return all(torch.equal(one, two) for pair in pairs for one, two in zip(*pair, strict=True))


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


def test_too_little_room_is_reported_before_anything_is_written(
    own_file: OwnFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: namedtuple("usage", "free")(2 * 60 * 6 * 4))
    with pytest.raises(ValueError, match=r"its samples, unpacked and prepared, need 0.0 GB more beside it"):
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
    monkeypatch.setattr(mapped, "prepare", lambda *a, kept=mapped.prepare: (prepared.append(a), kept(*a)))
    first = map_npz(path, standardize=True)
    assert same(map_npz(path, standardize=True), first)
    assert len(prepared) == 1
    map_npz(path, standardize=False)
    map_npz(path, standardize=True)
    assert len(prepared) == 2
    own_file(x=np.random.default_rng(7).normal(size=(60, 2, 3)).astype("f4"))  # of the same size
    assert same(map_npz(path, standardize=True), load_npz(path, standardize=True))
    assert len(prepared) == 3


def test_a_preparation_that_was_killed_is_begun_anew(own_file: OwnFile, tmp_path: Path) -> None:
    path = own_file()
    program = (
        "import os\n"
        "from trainwell.data import mapped\n"
        "mapped.write_splits = lambda wanted, folder: (folder / 'x').touch() or os.kill(os.getpid(), 9)\n"
        f"mapped.map_npz({path!r}, standardize=True)\n"
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
from trainwell.data.mapped import map_npz
from trainwell.data.prepare import load_npz
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


def test_a_batch_is_requested_of_the_disk_at_once_and_with_wrong_labels_too(
    own_file: OwnFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.arange(60 * 2000, dtype="f4").reshape(60, 2000)
    (train, *_), _ = map_npz(own_file(x=x), standardize=False)
    train = with_label_noise(train, 3, 0.5)
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(mapped, "madvise", lambda: lambda start, size, advice: asked.append((start, size)))
    index = torch.tensor([5, 0, 30])
    batch = train.at(index)
    assert torch.equal(batch.x, train.x[index])
    assert torch.equal(batch.y, train.y[index])
    for (start, size), number in zip(asked, index.tolist(), strict=True):
        sample = train.x[number]
        assert start % mmap.PAGESIZE == 0
        assert start <= sample.data_ptr() < start + mmap.PAGESIZE
        assert start + size == sample.data_ptr() + sample.nbytes


def test_the_system_takes_the_advice(own_file: OwnFile) -> None:
    (train, *_), _ = map_npz(own_file(), standardize=False)
    advise = mapped.madvise()
    assert advise is not None
    assert advise(train.x.data_ptr() // mmap.PAGESIZE * mmap.PAGESIZE, mmap.PAGESIZE, mmap.MADV_WILLNEED) == 0


def test_more_can_be_mapped_than_memory_holds(tmp_path: Path) -> None:
    count = 2 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4000
    with open(tmp_path / "x.npy", "wb") as file:
        format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (count, 1000)})
        file.truncate(file.tell() + 4000 * count)  # a hole, which takes no room
    x = mapped.mapped(tmp_path / "x.npy")
    assert x[torch.tensor([0, count - 1])].tolist() == [[0.0] * 1000] * 2
