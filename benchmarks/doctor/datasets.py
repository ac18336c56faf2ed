"""Data sets of the doctor's benchmark, and ways to spoil them. Nothing here knows the project."""

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits, make_blobs, make_circles

from .cases import TABLES

Arrays = tuple[NDArray, NDArray]  # inputs and classes


@cache
def mnist1d() -> Arrays:
    from mnist1d.data import get_dataset_args, make_dataset

    made = make_dataset(get_dataset_args())
    return made["x"], made["y"]


def digits() -> Arrays:
    x, y = load_digits(return_X_y=True)
    return x.reshape(-1, 8, 8) / 16, y


def copied(x: NDArray, y: NDArray, share: float) -> Arrays:
    """A ``share`` of the samples twice, as after a careless join: a split then separates copies."""
    again = np.random.default_rng(0).permutation(len(y))[: round(share * len(y))]
    return np.concatenate([x, x[again]]), np.concatenate([y, y[again]])


def few(x: NDArray, y: NDArray, per_class: int) -> Arrays:
    kept = np.concatenate([np.flatnonzero(y == label)[:per_class] for label in np.unique(y)])
    return x[kept], y[kept]


def stuck(x: NDArray, y: NDArray, working: int) -> Arrays:
    """All but the last few sensors always report the same."""
    flat = x.reshape(len(x), -1).copy()
    flat[:, : flat.shape[1] - working] = 0.5
    return flat.reshape(x.shape), y


SOURCES: dict[str, Callable[[], Arrays]] = {
    "mnist1d": mnist1d,
    "digits": digits,
    "circles": lambda: make_circles(2000, noise=0.1, factor=0.5, random_state=0),
    "blobs": lambda: make_blobs(2000, centers=8, n_features=10, cluster_std=4, random_state=0),
}
CHANGES: dict[str, Callable[..., Arrays]] = {
    "shuffled": lambda x, y: (x, np.random.default_rng(0).permutation(y)),
    "noise": lambda x, y: (np.random.default_rng(0).standard_normal(x.shape), y),
    "copied": copied,
    "few": few,
    "stuck": stuck,
    "one_column": lambda x, y, factor: (np.concatenate([x[:, :1] * factor, x[:, 1:]], axis=1), y),  # another unit
    "multiplied": lambda x, y, factor: (x * factor, y),
    "divided": lambda x, y, divisor: (x / divisor, y),
    "shifted": lambda x, y, offset: (x + offset, y),
}


def arrays_of(name: str) -> dict[str, NDArray]:
    """The content of one of the files in ``cases.yaml``."""
    settings = dict(TABLES["files"][name])
    x, y = SOURCES[settings.pop("of")]()
    change = settings.pop("change", None)
    x, y = CHANGES[change](x, y, **settings) if change else (x, y)
    return {"x": x, "y": y}


def write_files(folder: Path, names: Iterable[str], arrays_of: Callable[[str], dict[str, NDArray]]) -> None:
    """Make the files that do not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if not (folder / f"{name}.npz").exists():
            np.savez(folder / f"{name}.npz", **arrays_of(name))
