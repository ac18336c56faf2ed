"""The arrays of a user's ``.npz`` file, and every fault that keeps them from being trained on."""

import shutil
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np

from .standardize import samples_per_block

NAMES = ("x", "y", "x_test", "y_test")
INTEGERS = "must hold classes as integers 0, 1, ..."
NUMBERED = "save numpy.unique({name}, return_inverse=True)[1]"
ADVICE = {
    "U": NUMBERED,
    "S": NUMBERED,
    "M": 'save {name}.astype("int64")',
    "m": 'save {name}.astype("int64")',
    "b": "save {name}.astype(int)",
}


def read_npz(path: str, folder: Path | None = None) -> dict[str, np.ndarray]:
    """``x``, ``y`` and, if they are there, ``x_test``, ``y_test``; with a ``folder``, inputs are mapped from there.

    Raises: ValueError: it is another kind of file, or damaged.
    """
    refuse_other_files(path)
    try:
        with ZipFile(path) as archive:
            damaged = archive.testzip()  # every checksum
    except (BadZipFile, EOFError, NotImplementedError, OSError, RuntimeError, ValueError, zlib.error) as error:
        raise ValueError(f"data.path={path}: is damaged, copy or save it again ({error})") from error
    if damaged:
        raise ValueError(f"data.path={path}: is damaged, copy or save it again ({damaged} fails its checksum)")
    arrays = {}
    with ZipFile(path) as archive:
        if folder is not None:
            refuse_too_little_room(path, 2 * sum(archive.getinfo(name).file_size for name in archive.namelist()))
        for name in NAMES:
            if f"{name}.npy" not in archive.namelist():
                continue
            try:
                if folder is not None and name.startswith("x"):
                    arrays[name] = np.load(archive.extract(f"{name}.npy", folder), mmap_mode="r", allow_pickle=False)
                else:
                    with archive.open(f"{name}.npy") as file:
                        arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
            except ValueError as error:
                detail = f"data.path={path}: {name} holds Python objects, or no array; save an array of numbers"
                raise ValueError(detail) from error
    return arrays


def refuse_other_files(path: str) -> None:
    if not Path(path).is_file():
        raise ValueError(f"data.path must be a file that exists, got {path}")
    with open(path, "rb") as file:
        start = file.read(6)
    if not start.startswith(b"PK"):
        kind = "an empty" if not start else "an .npy" if start == b"\x93NUMPY" else "no .npz"
        save = f'save one with numpy.savez("{Path(path).stem}.npz", x=x, y=y)'
        raise ValueError(f"data.path={path}: is {kind} file; {save}")


def refuse_too_little_room(path: str, needed: int) -> None:
    free = shutil.disk_usage(Path(path).parent).free
    if needed > free:
        sizes = f"{needed / 1e9:.1f} GB more beside it, where {free / 1e9:.1f} GB are free"
        raise ValueError(f"data.path={path}: its samples, unpacked and prepared, need {sizes}")


def faults_of(arrays: Mapping[str, np.ndarray], standardize: bool) -> Iterator[str]:
    """What keeps the arrays from being trained on, a sentence each."""
    tested = not arrays.keys().isdisjoint({"x_test", "y_test"})
    missing = [name for name in NAMES[: 4 if tested else 2] if name not in arrays]
    if missing:
        yield f"lacks the array {' and '.join(missing)} (of {', '.join(NAMES)} it has {', '.join(arrays) or 'none'})"
        return
    for inputs, targets in (("x", "y"), ("x_test", "y_test"))[: 2 if tested else 1]:
        x, y = arrays[inputs], arrays[targets]
        yield from faults_of_inputs(inputs, x)
        yield from faults_of_targets(targets, y)
        if x.ndim and y.ndim and len(x) != len(y):
            yield f"{inputs} has {len(x)} samples and {targets} has {len(y)}; they must be as many"
    if tested:
        yield from faults_of_test(arrays, standardize)


def faults_of_inputs(name: str, x: np.ndarray) -> Iterator[str]:
    if x.dtype.kind not in "fiub":
        advice = ADVICE.get(x.dtype.kind, "save them as floats or integers").format(name=name)
        yield f"{name} must hold numbers, it holds {x.dtype}; {advice}"
    elif x.ndim < 2 or 0 in x.shape:
        advice = f"; save {name}.reshape(-1, 1) if each is one number" if x.ndim == 1 else ""
        yield f"{name} must have the shape (samples, features...), it has {x.shape}{advice}"
    elif x.dtype.kind == "f":
        at_once = samples_per_block(x.shape)
        blocks = (x[start : start + at_once] for start in range(0, len(x), at_once))
        bad = np.concatenate([~np.isfinite(block).reshape(len(block), -1).all(axis=1) for block in blocks])
        if bad.any():
            yield f"{name} has missing or infinite values in {bad.sum()} samples, the first is sample {bad.argmax()}"


def faults_of_targets(name: str, y: np.ndarray) -> Iterator[str]:
    if y.dtype.kind == "f" and np.array_equal(y, np.trunc(y)):
        yield f"{name} {INTEGERS}, it holds {y.dtype}; save {name}.astype(int)"
    elif y.dtype.kind not in "iu":
        advice = ADVICE.get(y.dtype.kind, "these are no classes").format(name=name)
        yield f"{name} {INTEGERS}, it holds {y.dtype}; {advice}"
    elif y.ndim != 1 or not len(y):
        one_hot = y.ndim == 2 and y.shape[1] > 1
        advice = f"; save {name}.{'argmax(axis=1)' if one_hot else 'ravel()'}" if y.ndim == 2 else ""
        yield f"{name} must have the shape (samples,), it has {y.shape}{advice}"
    elif y.min() < 0:
        yield f"{name} must hold classes from 0, it holds {y.min()}"
    elif name == "y":
        present, counts = np.unique(y, return_counts=True)
        absent = np.setdiff1d(np.arange(min(int(present[-1]), len(present) + 4)), present)
        if len(present) < 2:
            yield "y must hold at least two classes, it holds one"
        elif len(absent):
            detail = f"no sample has class {', '.join(map(str, absent[:5]))}; {NUMBERED.format(name=name)}"
            yield f"y must use every class from 0 to {present[-1]}; {detail}"
        elif counts.min() < 5:
            scarce = f"class {present[counts.argmin()]} has {counts.min()}"
            yield f"y must have at least 5 samples of every class to split, {scarce}"


def faults_of_test(arrays: Mapping[str, np.ndarray], standardize: bool) -> Iterator[str]:
    x, y, x_test, y_test = (arrays[name] for name in NAMES)
    if x.shape[1:] != x_test.shape[1:]:
        yield f"samples of x_test have the shape {x_test.shape[1:]}, those of x {x.shape[1:]}"
    if (x.dtype.kind in "iu") != (x_test.dtype.kind in "iu") and not standardize:
        yield f"x holds {x.dtype} and x_test {x_test.dtype}; save both as integers or both as floats"
    unknown = np.setdiff1d(y_test, y)
    if y.dtype.kind in "iu" and y_test.dtype.kind in "iu" and len(unknown):
        yield f"y_test has classes that y lacks: {', '.join(map(str, unknown[:5]))}"
