"""A small file of a user's own arrays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def own_file(tmp_path: Path) -> Callable[..., str]:
    """Write ``own.npz`` with 60 samples of shape (2, 3) and 3 classes, or with other arrays; return its path."""

    def write(save: Callable[..., None] = np.savez, **changes: Any) -> str:
        generator = np.random.default_rng(0)
        arrays = {"x": generator.normal(3, 5, (60, 2, 3)).astype("f4"), "y": np.arange(60) % 3} | changes
        save(tmp_path / "own.npz", **{name: array for name, array in arrays.items() if array is not None})
        return str(tmp_path / "own.npz")

    return write


@pytest.fixture
def photos(tmp_path: Path) -> Callable[..., Path]:
    """Write ``photos/``, or another folder, with so many images of each class, all different; return the folder."""

    def write(name: str = "photos", cats: int = 6, dogs: int = 6) -> Path:
        generator = np.random.default_rng(0)
        for label, count in {"cat": cats, "dog": dogs}.items():
            (tmp_path / name / label).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 256, (9 + number, 12, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / name / label / f"{number}.png")
        return tmp_path / name

    return write
