"""Data: rows and classes, parted into train, validation and test rows.

The parting has a seed of its own, so that techniques are compared on the same rows whatever ``seed`` is. Statistics for
standardising come from the train rows alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from random import getstate, setstate
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

VALIDATION_FRACTION = 0.2
SPLIT_SEED = 20_240


class Rows(NamedTuple):
    """Inputs (N, *in_shape), float32, and classes (N,), int64."""

    x: Tensor
    y: Tensor


class Scale(NamedTuple):
    """What standardising takes away from every row, and what it divides by; from the train rows alone."""

    mean: Tensor
    deviation: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return ((x.double() - self.mean) / self.deviation).float()


@dataclass(frozen=True)
class Data:
    """Three disjoint sets of rows of one classification problem; with a ``scale``, they are standardised by it."""

    train: Rows
    val: Rows
    test: Rows
    num_classes: int
    scale: Scale | None = None

    @property
    def in_shape(self) -> tuple[int, ...]:
        """The shape of one input, without the batch."""
        return tuple(self.train.x.shape[1:])

    def prepared(self, x: np.ndarray) -> Tensor:
        """New rows, (N, *in_shape), as the network is to see them."""
        rows = torch.from_numpy(x.astype(np.float32))
        return rows if self.scale is None else self.scale(rows)


@cache  # a sweep makes it once
def mnist1d() -> Data:
    """MNIST-1D: ten digits drawn as lines of 40 numbers, shifted, sheared and noisy; made on the spot.

    4000 rows to learn from (800 of them for validation) and the 1000 published test rows; standardised by its authors.

    Source: Greydanus and Kobak 2024, ICML, arXiv:2011.14439.
    """
    from mnist1d.data import get_dataset_args, make_dataset

    with global_random_states_kept():
        made = make_dataset(get_dataset_args())
    x, y = made["x"].astype(np.float32), made["y"].astype(np.int64)
    held_out = stratified_choice(y, VALIDATION_FRACTION)
    return Data(
        train=rows(x[~held_out], y[~held_out]),
        val=rows(x[held_out], y[held_out]),
        test=rows(made["x_test"].astype(np.float32), made["y_test"].astype(np.int64)),
        num_classes=10,
    )


def digits() -> Data:
    """Scikit-learn's handwritten digits: 1797 images of 8 by 8 pixels, standardised over all train pixels.

    Source: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI.
    """
    from sklearn.datasets import load_digits

    images, y = load_digits(return_X_y=True)
    x = images.reshape(-1, 8, 8)
    test = stratified_choice(y, VALIDATION_FRACTION)
    held_out = np.zeros_like(test)
    held_out[~test] = stratified_choice(y[~test], VALIDATION_FRACTION)
    train = ~test & ~held_out
    scale = Scale(torch.tensor(x[train].mean()), torch.tensor(x[train].std()))
    data = Data(rows(x[train], y[train]), rows(x[held_out], y[held_out]), rows(x[test], y[test]), num_classes=10)
    return scaled(data, scale)


def arrays(*, path: str, standardise: bool) -> Data:
    """Your own data from an ``.npz`` file: ``x`` (N, anything) and ``y`` (N,), optionally ``x_test`` and ``y_test``.

    A fifth of the rows, equally of every class, becomes the validation set, and where no test rows are given another
    fifth becomes the test set. Classes are whole numbers from 0. With ``standardise`` each feature gets mean 0 and
    deviation 1 over the train rows; one that is constant there is only centred.

    Raises: ValueError: every fault of the file, each with the array's name.
    """
    with np.load(path, allow_pickle=False) as file:
        found = {name: file[name] for name in file.files if name in ("x", "y", "x_test", "y_test")}
    faults = list(faults_of(found))
    if faults:
        raise ValueError("\n".join(f"data.path={path}: {fault}" for fault in faults))
    x, y = found["x"].astype(np.float32), found["y"].astype(np.int64)
    num_classes = int(y.max()) + 1
    if "x_test" in found:
        test = rows(found["x_test"].astype(np.float32), found["y_test"].astype(np.int64))
    else:
        taken = stratified_choice(y, VALIDATION_FRACTION)
        test = rows(x[taken], y[taken])
        x, y = x[~taken], y[~taken]
    held_out = stratified_choice(y, VALIDATION_FRACTION)
    data = Data(rows(x[~held_out], y[~held_out]), rows(x[held_out], y[held_out]), test, num_classes)
    return standardised(data) if standardise else data


def faults_of(found: dict[str, np.ndarray]) -> Iterator[str]:
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


def faults_of_inputs(name: str, array: np.ndarray) -> Iterator[str]:
    if array.dtype.kind not in "fiub":
        yield f"{name} must hold numbers, it holds {array.dtype}"
    elif array.ndim < 2 or 0 in array.shape:
        yield f"{name} must have the shape (rows, features...), it has {array.shape}"
    elif array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
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


def stratified_choice(y: np.ndarray, fraction: float) -> np.ndarray:
    """Choose ``fraction`` of the rows of every class, rounded, at random but always the same: a mask (N,)."""
    generator = np.random.default_rng(SPLIT_SEED)
    chosen = np.zeros(len(y), dtype=bool)
    for label in np.unique(y):
        members = generator.permutation(np.flatnonzero(y == label))
        chosen[members[: max(1, round(fraction * len(members)))]] = True
    return chosen


def standardised(data: Data) -> Data:
    """Give each feature mean 0 and deviation 1 over the train rows."""
    deviation, mean = torch.std_mean(data.train.x.double(), dim=0, correction=0)
    return scaled(data, Scale(mean, torch.where(deviation > 0, deviation, 1.0)))


def scaled(data: Data, scale: Scale) -> Data:
    train, val, test = (Rows(scale(part.x), part.y) for part in (data.train, data.val, data.test))
    return Data(train, val, test, data.num_classes, scale)


def with_label_noise(data: Data, share: float) -> Data:
    """Give a ``share`` of the train rows another class than their own, always the same rows; the others stay right."""
    generator = np.random.default_rng(SPLIT_SEED)
    y = data.train.y.numpy().copy()
    wrong = generator.permutation(len(y))[: round(share * len(y))]
    y[wrong] = (y[wrong] + generator.integers(1, data.num_classes, len(wrong))) % data.num_classes
    return replace(data, train=Rows(data.train.x, torch.from_numpy(y)))


def rows(x: np.ndarray, y: np.ndarray) -> Rows:
    return Rows(torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y.astype(np.int64)))


@contextmanager
def global_random_states_kept() -> Iterator[None]:
    """Undo what the block does to the global random states of numpy and Python."""
    of_numpy, of_python = np.random.get_state(), getstate()
    try:
        yield
    finally:
        np.random.set_state(of_numpy)
        setstate(of_python)
