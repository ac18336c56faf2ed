"""The arrays of a user's ``.npz`` file, and every fault that keeps them from being trained on."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.lib import format

from .npz_targets import ADVICE, FAULTS_OF_TARGETS
from .split import SplitRule
from .standardize import samples_per_block

DAMAGED = (BadZipFile, EOFError, NotImplementedError, OSError, RuntimeError, ValueError, zlib.error)
NAMES = ("x", "y", "x_test", "y_test")
GIVEN = {"val": ("x_val", "y_val"), "test": ("x_test", "y_test")}  # the arrays of parts that are not cut from x and y


def read_arrays(path: str, rule: SplitRule, folder: Path | None = None) -> dict[str, np.ndarray]:
    """The arrays of a file and, as ``x_val``, ``y_val``, ``x_test``, ``y_test``, of those that ``rule`` names.

    Raises: ValueError: a file is of another kind, damaged, or lacks an array.
    """
    arrays = read_npz(path, folder, tuple(rule.column_keys()))
    for name, key in rule.column_keys().items():
        if name not in arrays:
            raise ValueError(f"{key}={name}: {path} lacks such an array; it has {', '.join(arrays) or 'none'}")
    for part, given in (("val", rule.val_path), ("test", rule.test_path)):
        if given is None:
            continue
        if not arrays.keys().isdisjoint(GIVEN[part]):
            raise ValueError(
                f"data.split.{part}_path={given}: {path} has {part} samples already, x_{part} and y_{part}"
            )
        other = read_npz(given, folder and folder / part)
        if missing := [name for name in ("x", "y") if name not in other]:
            raise ValueError(f"data.split.{part}_path={given}: lacks the array {' and '.join(missing)}")
        arrays |= dict(zip(GIVEN[part], (other["x"], other["y"]), strict=True))
    return arrays


def read_npz(path: str, folder: Path | None = None, others: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """``x``, ``y``, ``x_test``, ``y_test`` and ``others`` that are there; with a ``folder``, inputs are mapped from it.

    Raises: ValueError: it is another kind of file, or damaged.
    """
    refuse_other_files(path)
    arrays = {}
    try:
        with ZipFile(path) as archive:
            if damaged := archive.testzip():  # before the shape that an array claims to have is believed
                raise ValueError(f"{damaged} fails its checksum")
            for name in dict.fromkeys((*NAMES, *others)):
                if f"{name}.npy" not in archive.namelist():
                    continue
                if folder is not None and name in ("x", "x_test"):
                    arrays[name] = np.load(archive.extract(f"{name}.npy", folder), mmap_mode="r", allow_pickle=False)
                else:
                    with archive.open(f"{name}.npy") as file:
                        arrays[name] = format.read_array(file, allow_pickle=False)
    except DAMAGED as error:
        advice = "is damaged, or holds Python objects; save arrays of numbers again"
        raise ValueError(f"data.path={path}: {advice} ({error})") from error
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


def faults_of(arrays: Mapping[str, np.ndarray], standardize: bool, targets: str) -> Iterator[str]:
    """What keeps the arrays from being trained on, a sentence each."""
    given = [pair for pair in GIVEN.values() if not arrays.keys().isdisjoint(pair)]
    missing = [name for pair in (("x", "y"), *given) for name in pair if name not in arrays]
    if missing:
        yield f"lacks the array {' and '.join(missing)} (of {', '.join(NAMES)} it has {', '.join(arrays) or 'none'})"
        return
    for inputs, outputs in (("x", "y"), *given):
        x, y = arrays[inputs], arrays[outputs]
        yield from faults_of_inputs(inputs, x)
        yield from FAULTS_OF_TARGETS[targets](outputs, y)
        if x.ndim and y.ndim and len(x) != len(y):
            yield f"{inputs} has {len(x)} samples and {outputs} has {len(y)}; they must be as many"
    for inputs, outputs in given:
        yield from faults_between(arrays, inputs, outputs, standardize, targets)


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


def faults_between(
    arrays: Mapping[str, np.ndarray], inputs: str, outputs: str, standardize: bool, targets: str
) -> Iterator[str]:
    """What keeps samples that are given apart, such as ``x_test``, from being like those of ``x``."""
    x, y, x_given, y_given = (arrays[name] for name in ("x", "y", inputs, outputs))
    if x.shape[1:] != x_given.shape[1:]:
        yield f"samples of {inputs} have the shape {x_given.shape[1:]}, those of x {x.shape[1:]}"
    if (x.dtype.kind in "iu") != (x_given.dtype.kind in "iu") and not standardize:
        yield f"x holds {x.dtype} and {inputs} {x_given.dtype}; save both as integers or both as floats"
    if targets != "classes":
        if y.shape[1:] != y_given.shape[1:]:
            yield f"{outputs} has the shape {y_given.shape}, y {y.shape}; they must have as many columns"
    elif y.dtype.kind in "iu" and y_given.dtype.kind in "iu" and len(unknown := np.setdiff1d(y_given, y)):
        yield f"{outputs} has classes that y lacks: {', '.join(map(str, unknown[:5]))}"
