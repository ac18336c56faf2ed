"""Rows that stay on disk: the same numbers as in memory, little memory, and a folder that is whole and up to date."""

import mmap
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.lib import format
from omegaconf import DictConfig

from your_package import data_rules, mapped, mapped_rows, scaling
from your_package.data import Data, Rows, arrays, standardised, with_label_noise
from your_package.mapped import mapped_arrays

from tests.conftest import PROJECT
from tests.test_data import FAULTS, own_file
from train import train


def same(a: Data, b: Data) -> bool:
    parts = [(getattr(a, name), getattr(b, name)) for name in ("train", "val", "test")]
    return all(torch.equal(one, other) for both in parts for one, other in zip(*both, strict=True))


@pytest.fixture
def few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "MOST_NUMBERS", 50)  # 8 rows of 6 numbers


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize("given", [{}, {"x_test": np.full((7, 2, 3), 9.5), "y_test": np.arange(7) % 3}])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.usefixtures("few_at_a_time")
def test_rows_on_disk_are_those_in_memory_bit_for_bit(standardise: bool, given: dict, save: Callable) -> None:
    x = np.random.default_rng(0).normal(3, 5, (61, 2, 3))
    save("own.npz", x=x, y=np.arange(61, dtype="u1") % 3, **given)
    expected = arrays(path="own.npz", standardise=standardise)
    for made in (mapped_arrays(path="own.npz", standardise=standardise) for _ in range(2)):
        assert same(made, expected)
        assert (made.in_shape, made.num_classes) == (expected.in_shape, expected.num_classes)
        assert torch.equal(made.prepared(x), expected.prepared(x))


def test_a_training_comes_to_the_same_weights_bit_for_bit(compose: Callable[..., DictConfig]) -> None:
    np.savez("own.npz", x=np.random.default_rng(0).normal(3, 5, (200, 6)), y=np.arange(200) % 3)
    weights = []
    for word in ("arrays", "mapped"):
        keys = ("network.width=8", "residual.depth=2", "trainer.max_epochs=3", "callbacks.early_stopping.patience=2")
        config = compose(f"data={word}", "data.path=own.npz", "scheduler=constant", *keys)
        train(config)
        weights.append(torch.load(sorted(Path("runs").rglob("last.ckpt"))[-1], weights_only=True)["state_dict"])
        shutil.rmtree("runs")
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.usefixtures("few_at_a_time")
def test_statistics_of_parts_are_those_of_the_whole() -> None:
    x = np.random.default_rng(1).normal(1000, 0.1, (60, 6)).astype("f4")
    x[:, 2] = 0.1
    scale = scaling.scale_of(torch.from_numpy(x).split(7))
    expected = x.astype("f8").std(axis=0)
    expected[2] = 1
    assert np.allclose(scale.mean, x.astype("f8").mean(axis=0), rtol=1e-14)
    assert np.allclose(scale.deviation, expected, rtol=1e-9)  # 1e4 deviations from 0: as much is lost of 1e-16, squared


def test_rows_that_fit_into_one_part_are_standardised_as_torch_does() -> None:
    x, y = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)), torch.zeros(50, dtype=torch.long)
    deviation, mean = torch.std_mean(x.double(), dim=0, correction=0)
    made = standardised(Data(Rows(x, y), Rows(x, y), Rows(x, y), num_classes=1))
    assert torch.equal(made.train.x, ((x.double() - mean) / deviation).float())


@pytest.mark.parametrize("changes", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.usefixtures("few_at_a_time")
def test_a_fault_has_the_sentence_that_it_has_in_memory_and_leaves_nothing(changes: tuple, tmp_path: Path) -> None:
    path = own_file(tmp_path, **changes[0])
    said = []
    for source in (arrays, mapped_arrays):
        with pytest.raises(ValueError, match="data.path=") as refusal:
            source(path=path, standardise=True)
        said.append(str(refusal.value))
    assert said[0] == said[1]
    assert os.listdir(tmp_path) == ["own.npz"]


def test_rows_that_lie_column_after_column_are_refused(tmp_path: Path) -> None:
    path = own_file(tmp_path, x=np.ones((60, 4), order="F"))
    with pytest.raises(ValueError, match=r"save np.ascontiguousarray\(x\)"):
        mapped_arrays(path=path, standardise=True)


def test_too_little_room_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(60 * 6 * 4 - 1))
    with pytest.raises(ValueError, match="its rows need 0.0 GB more beside it"):
        mapped_arrays(path=own_file(tmp_path), standardise=True)
    assert os.listdir(tmp_path) == ["own.npz"]


def test_prepared_rows_are_used_again_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = own_file(tmp_path)
    prepared = []
    monkeypatch.setattr(mapped, "prepare", lambda *a, kept=mapped.prepare: (prepared.append(a), kept(*a)))
    first = mapped_arrays(path=path, standardise=True)
    assert same(mapped_arrays(path=path, standardise=True), first)
    assert len(prepared) == 1
    mapped_arrays(path=path, standardise=False)
    mapped_arrays(path=path, standardise=True)
    assert len(prepared) == 2
    own_file(tmp_path, x=np.random.default_rng(7).normal(size=(60, 2, 3)).astype("f4"))  # of the same size
    assert same(mapped_arrays(path=path, standardise=True), arrays(path=path, standardise=True))
    assert len(prepared) == 3


@pytest.mark.slow
@pytest.mark.usefixtures("few_at_a_time")
def test_a_preparation_that_was_killed_is_begun_anew(tmp_path: Path) -> None:
    path = own_file(tmp_path)
    program = (
        "import os\n"
        "from your_package import mapped\n"
        "mapped.standardise_parts = lambda folder: os.kill(os.getpid(), 9)\n"
        f"mapped.mapped_arrays(path={path!r}, standardise=True)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(PROJECT)}, timeout=120)
    assert ended.returncode == -9
    assert (tmp_path / "own.npz.mapped" / "standardised.unfinished" / "train_x.npy").exists()
    assert same(mapped_arrays(path=path, standardise=True), arrays(path=path, standardise=True))
    assert not list(tmp_path.rglob("*.unfinished"))


@pytest.mark.slow
def test_rows_are_prepared_and_trained_on_in_less_memory_than_they_take() -> None:
    """The limit is one of all that the process may write to; what is read into memory does not come through it."""
    x = np.random.default_rng(0).random((15_000, 2500), dtype=np.float32)
    np.savez("own.npz", x=x, y=np.arange(15_000) % 2)
    program = """
import resource
import torch
from your_package.data import arrays
from your_package.loader import Batches
from your_package.mapped import mapped_arrays
torch.set_num_threads(1)
(line,) = (line for line in open("/proc/self/status") if line.startswith("VmData"))
limit = 1024 * int(line.split()[1]) + 75_000_000
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
data = mapped_arrays(path="own.npz", standardise=True)
assert sum(len(y) for _, y in Batches(data.train, 64, seed=0)) == 9_600
try:
    arrays(path="own.npz", standardise=True)
except MemoryError:
    print("refused")
"""
    path = {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", program], text=True, capture_output=True, timeout=120, env={**os.environ, **path}
    )
    assert x.nbytes == 150_000_000
    assert ended.stdout == "refused\n", ended.stdout + ended.stderr


def test_a_batch_is_asked_of_the_disk_at_once_and_with_wrong_classes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.arange(60 * 2000, dtype="f4").reshape(60, 2000)
    rows = with_label_noise(mapped_arrays(path=own_file(tmp_path, x=x), standardise=False), 0.5).train
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(mapped_rows, "madvise", lambda start, size, advice: asked.append((start, size)))
    index = torch.tensor([5, 0, 30])
    batch = rows.at(index)
    assert torch.equal(batch.x, rows.x[index])
    assert torch.equal(batch.y, rows.y[index])
    for (start, size), number in zip(asked, index.tolist(), strict=True):
        row = rows.x[number]
        assert start % mmap.PAGESIZE == 0
        assert start <= row.data_ptr() < start + mmap.PAGESIZE
        assert start + size == row.data_ptr() + row.nbytes


def test_the_system_takes_the_advice(tmp_path: Path) -> None:
    x = mapped_arrays(path=own_file(tmp_path), standardise=False).train.x
    start = x.data_ptr() // mmap.PAGESIZE * mmap.PAGESIZE
    assert mapped_rows.madvise(start, mmap.PAGESIZE, mmap.MADV_WILLNEED) == 0


def test_more_can_be_mapped_than_memory_holds() -> None:
    rows = 2 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4000
    with open("x.npy", "wb") as file:
        format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (rows, 1000)})
        file.truncate(file.tell() + 4000 * rows)  # a hole, which takes no room
    x = mapped.mapped(Path("x.npy"))
    assert x[torch.tensor([0, rows - 1])].tolist() == [[0.0] * 1000] * 2


def test_the_doctor_looks_at_every_nth_row_of_very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(1200, 3, generator=generator), torch.arange(1200) % 2
    monkeypatch.setattr(data_rules, "MOST_SEEN", 200)
    assert len(data_rules.thinned(x)) == 200
    monkeypatch.setattr(data_rules, "MOST_NUMBERS", 300)
    assert len(data_rules.thinned(x)) == 100

    def found(val: torch.Tensor) -> list[str]:
        made = Data(Rows(x, y), Rows(val, y[: len(val)]), Rows(val, y[: len(val)]), num_classes=2)
        return [f"{finding.code} {finding.evidence}" for finding in data_rules.findings_in_data(made)]

    assert found(torch.randn(600, 3, generator=generator)) == []
    (leak,) = found(x[:600])
    assert leak.startswith("validation_leak")
