"""A user's own arrays, read from an ``.npz`` file, with every fault named before anything is trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from zipfile import ZipFile

import numpy as np
from numpy.lib import format
from tqdm import tqdm

from .scaling import rows_at_once

NAMES = ("x", "y", "x_test", "y_test")


def read_arrays(path: str) -> dict[str, np.ndarray]:
    """``x`` and ``y``, and ``x_test`` and ``y_test`` if they are there.

    Raises: ValueError: every fault, a line each.
    """
    with np.load(path, allow_pickle=False) as file:
        found = {name: file[name] for name in file.files if name in NAMES}
    refuse_faults(path, found)
    return found


@contextmanager
def streamed_arrays(path: str) -> Iterator[tuple[dict[str, "Stream"], dict[str, np.ndarray]]]:
    """The same, apart: inputs that are to be read row after row, and classes.

    Raises: ValueError: every fault, a line each.
    """
    with np.load(path, allow_pickle=False) as file:
        names = [name for name in file.files if name in NAMES]
        x = {name: Stream(file.zip, name) for name in names if name.startswith("x")}
        y = {name: file[name] for name in names if name.startswith("y")}
        refuse_faults(path, {name: x[name] if name in x else y[name] for name in names})
        yield x, y


class Stream:
    """An array in an ``.npz`` file that is read from its first row to its last, some rows at a time."""

    def __init__(self, archive: ZipFile, name: str) -> None:
        self.archive, self.name = archive, name
        with archive.open(f"{name}.npy") as file:
            old = format.read_magic(file) == (1, 0)
            read_header = format.read_array_header_1_0 if old else format.read_array_header_2_0
            self.shape, self.by_columns, self.dtype = read_header(file)
            self.header = file.tell()
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        size = self.dtype.itemsize * prod(self.shape[1:])
        told = {"desc": f"reading {self.name}", "unit": " rows", "leave": False, "disable": None}
        with self.archive.open(f"{self.name}.npy") as file, tqdm(total=len(self), **told) as bar:
            file.read(self.header)
            while read := file.read(size * rows_at_once(self.shape)):
                yield np.frombuffer(read, self.dtype).reshape(-1, *self.shape[1:])
                bar.update(len(read) // size)


Array = np.ndarray | Stream


def refuse_faults(path: str, found: dict[str, Array]) -> None:
    faults = list(faults_of(found))
    if faults:
        raise ValueError("\n".join(f"data.path={path}: {fault}" for fault in faults))


def faults_of(found: dict[str, Array]) -> Iterator[str]:
    """Say, array by array, what keeps them from being trained on."""
    missing = [name for name in ("x", "y") if name not in found]
    missing += [b for a, b in (("x_test", "y_test"), ("y_test", "x_test")) if a in found and b not in found]
    if missing:
        yield f"lacks the array {' and '.join(missing)} (it has {', '.join(found) or 'none that is known'})"
        return
    for name, array in found.items():
        yield from faults_of_inputs(name, array) if name.startswith("x") else faults_of_classes(name, array)
    for x, y in (("x", "y"), ("x_test", "y_test")):
        if x in found and found[x].ndim and found[y].ndim and len(found[x]) != len(found[y]):
            yield f"{x} has {len(found[x])} rows and {y} has {len(found[y])}; they must be as many"
    if "x_test" in found and found["x"].shape[1:] != found["x_test"].shape[1:]:
        yield f"rows of x_test have shape {found['x_test'].shape[1:]}, those of x {found['x'].shape[1:]}"
    if "y_test" in found and countable(found["y"]) and countable(found["y_test"]):
        unknown = sorted(set(np.unique(found["y_test"])) - set(np.unique(found["y"])))
        if unknown:
            yield f"y_test has classes that y lacks: {', '.join(map(str, unknown[:5]))}"


def faults_of_inputs(name: str, array: Array) -> Iterator[str]:
    if array.dtype.kind not in "fiub":
        yield f"{name} must hold numbers, it holds {array.dtype}"
    elif array.ndim < 2 or 0 in array.shape:
        yield f"{name} must have the shape (rows, features...), it has {array.shape}"
    elif isinstance(array, Stream) and array.by_columns:
        yield f"{name} is stored column after column and cannot be read row by row; save np.ascontiguousarray({name})"
    elif array.dtype.kind == "f":
        parts = array if isinstance(array, Stream) else [array]
        bad = np.concatenate([~np.isfinite(rows).reshape(len(rows), -1).all(axis=1) for rows in parts])
        if bad.any():
            yield f"{name} has missing or infinite values in {bad.sum()} rows, the first is row {int(bad.argmax())}"


def faults_of_classes(name: str, array: np.ndarray) -> Iterator[str]:
    if array.ndim != 1 or not len(array):
        yield f"{name} must have the shape (rows,), it has {array.shape}"
    elif array.dtype.kind not in "iu":
        yield f"{name} must hold whole numbers (classes 0, 1, ...), it holds {array.dtype}"
    elif array.min() < 0:
        yield f"{name} must hold classes from 0, it holds {array.min()}"
    elif name == "y":
        present, counts = np.unique(array, return_counts=True)
        if len(present) < 2:
            yield "y must hold at least two classes, it holds one"
        elif present[-1] + 1 != len(present):
            absent = sorted(set(range(int(present[-1]))) - set(present.tolist()))
            yield f"y must use every class from 0 to {present[-1]}; no row has class {', '.join(map(str, absent[:5]))}"
        elif counts.min() < 5:
            scarce = int(present[counts.argmin()])
            yield f"y must have at least 5 rows of every class to split, class {scarce} has {counts.min()}"


def countable(array: np.ndarray) -> bool:
    return array.ndim == 1 and array.dtype.kind in "iu"
