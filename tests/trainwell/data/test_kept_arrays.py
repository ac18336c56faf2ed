"""Arrays are made once, and again where their file is damaged; without a cache they are made each time."""

from pathlib import Path

import numpy as np
import pytest
from trainwell.data import kept_arrays


def test_arrays_are_made_once_and_again_where_their_file_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_arrays, "user_cache_path", lambda _: tmp_path / "new")
    source, made = {"x": np.arange(1000.0), "y": np.arange(3)}, []
    for damage in (None, 0, 1000):
        if damage is not None:
            (file,) = (tmp_path / "new").iterdir()
            file.write_bytes(file.read_bytes()[:damage])
        for _ in range(2):
            found = kept_arrays.kept_arrays("some-1.0", ["x", "y"], lambda: made.append(1) or source)
            assert all(np.array_equal(found[name], source[name]) for name in source)
    assert len(made) == 3


def test_without_a_folder_to_write_to_they_are_made_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(kept_arrays, "user_cache_path", lambda _: tmp_path / "file")
    assert [kept_arrays.kept_arrays("some", ["x"], lambda number=n: {"x": number})["x"] for n in (1, 2)] == [1, 2]
