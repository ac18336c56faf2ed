"""Rows are read from disk like those of a tensor, requested at once; arrays are made once, or anew where damaged."""

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib import format
from torch import Tensor
from trainwell.data import on_disk
from trainwell.data.on_disk import MappedRows, kept_arrays

PLACES = torch.tensor([7, 2, 5, 0])


@pytest.fixture
def array(tmp_path: Path) -> np.memmap:
    """Ten rows, longer than a page of memory."""
    np.save(tmp_path / "x.npy", np.arange(20_000, dtype="f4").reshape(10, 2, 1000))
    return np.load(tmp_path / "x.npy", mmap_mode="r")


@pytest.mark.parametrize("index", [torch.tensor([3, 1]), slice(2), 2, slice(None), torch.tensor([-1]), [0, 2]])
def test_mapped_rows_are_indexed_like_a_tensor(index: Any, array: np.memmap) -> None:
    tensor = torch.from_numpy(np.array(array))
    for rows, expected in ((MappedRows(array), tensor), (MappedRows(array, PLACES), tensor[PLACES])):
        assert (rows.shape, rows.dtype, rows.nbytes) == (expected.shape, expected.dtype, expected.nbytes)
        assert len(rows) == len(expected)
        assert rows.is_floating_point()
        assert torch.equal(rows[index], expected[index])
        assert torch.equal(rows.to(torch.device("cpu")), expected)


def test_the_rows_of_a_batch_are_requested_of_the_disk_at_once(array: np.memmap, tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []

    class File:
        def madvise(self, advice: int, start: int, length: int) -> None:
            asked.append((start, length))

    rows: Any = MappedRows(array, PLACES)
    rows.file = File()
    batch: Tensor = rows[torch.tensor([3, 1])]
    content = (tmp_path / "x.npy").read_bytes()
    for (start, length), row in zip(asked, batch, strict=True):
        assert start % mmap.PAGESIZE == 0
        assert row.nbytes <= length < row.nbytes + mmap.PAGESIZE
        assert content[start : start + length].endswith(row.numpy().tobytes())


def test_more_can_be_mapped_than_memory_holds(tmp_path: Path) -> None:
    count = 2 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 400_000
    with open(tmp_path / "x.npy", "wb") as file:
        format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (count, 100_000)})
        file.truncate(file.tell() + 400_000 * count)  # a hole, which takes no room
    rows = MappedRows(np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert not rows[torch.tensor([0, count - 1])].any()


def test_arrays_are_made_once_and_again_where_their_file_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_disk, "user_cache_path", lambda _: tmp_path / "new")
    source, made = {"x": np.arange(1000.0), "y": np.arange(3)}, []
    for damage in (None, 0, 1000):
        if damage is not None:
            (file,) = (tmp_path / "new").iterdir()
            file.write_bytes(file.read_bytes()[:damage])
        for _ in range(2):
            found = kept_arrays("some-1.0", ["x", "y"], lambda: made.append(1) or source)
            assert all(np.array_equal(found[name], source[name]) for name in source)
    assert len(made) == 3


def test_without_a_folder_to_write_to_they_are_made_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(on_disk, "user_cache_path", lambda _: tmp_path / "file")
    assert [kept_arrays("some", ["x"], lambda number=n: {"x": number})["x"] for n in (1, 2)] == [1, 2]
