"""A user's own arrays, read from an ``.npz`` file, with every fault named before anything is trained."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from zipfile import ZipFile

import numpy as np
from numpy.lib import format
from tqdm import tqdm

from .scaling import rows_at_once

INPUTS = ("x", "x_test")
CLASSES = ("y", "y_test")


def read_arrays(path: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """``x`` and, if it is there, ``x_test``; ``y`` and, if it is there, ``y_test``.

    Raises: ValueError: every fault, a line each.
    """
    with np.load(path, allow_pickle=False) as file:
        x = {name: file[name] for name in INPUTS if name in file}
        y = {name: file[name] for name in CLASSES if name in file}
    refuse_faults(path, x, y)
    return x, y


@contextmanager
def streamed_arrays(path: str) -> Iterator[tuple[dict[str, "Stream"], dict[str, np.ndarray]]]:
    """The same with inputs that are still to be read, row after row.

    Raises: ValueError: every fault, a line each.
    """
    with np.load(path, allow_pickle=False) as file:
        x = {name: Stream(file.zip, name) for name in INPUTS if name in file}
        y = {name: file[name] for name in CLASSES if name in file}
        refuse_faults(path, x, y)
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


def refuse_faults(path: str, x: Mapping[str, Array], y: Mapping[str, np.ndarray]) -> None:
    faults = list(faults_of(x, y))
    if faults:
        raise ValueError("\n".join(f"data.path={path}: {fault}" for fault in faults))


def faults_of(x: Mapping[str, Array], y: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Say, array by array, what keeps them from being trained on."""
    pairs = [pair for pair in zip(INPUTS, CLASSES, strict=True) if pair == ("x", "y") or {*pair} & {*x, *y}]
    missing = [name for pair in pairs for name in pair if name not in x and name not in y]
    if missing:
        yield f"lacks the array {' and '.join(missing)} (it has {', '.join([*x, *y]) or 'none that is known'})"
        return
    for inputs, classes in pairs:
        yield from faults_of_inputs(inputs, x[inputs])
        yield from faults_of_classes(classes, y[classes])
        if x[inputs].ndim and y[classes].ndim and len(x[inputs]) != len(y[classes]):
            yield f"{inputs} has {len(x[inputs])} rows and {classes} has {len(y[classes])}; they must be as many"
    if "x_test" in x and x["x"].shape[1:] != x["x_test"].shape[1:]:
        yield f"rows of x_test have shape {x['x_test'].shape[1:]}, those of x {x['x'].shape[1:]}"
    if "y_test" in y and countable(y["y"]) and countable(y["y_test"]):
        unknown = sorted(set(np.unique(y["y_test"])) - set(np.unique(y["y"])))
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
