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

from .array_file import read_arrays
from .scaling import Scale, rows_at_once, scale_of

VALIDATION_FRACTION = 0.2
SPLIT_SEED = 20_240


class Rows(NamedTuple):
    """Inputs (N, *in_shape), float32, and classes (N,), int64."""

    x: Tensor
    y: Tensor

    def at(self, index: Tensor) -> "Rows":
        return Rows(self.x[index], self.y[index])


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

    def on(self, device: torch.device) -> "Data":
        """The same rows in the memory of a device if they fill at most half of what is free there, else as they are."""
        parts = (self.train, self.val, self.test)
        size = sum(tensor.nbytes for part in parts for tensor in part)
        if device.type == "cpu" or (device.type == "cuda" and 2 * size > torch.cuda.mem_get_info(device)[0]):
            return self
        train, val, test = (Rows(*(tensor.to(device) for tensor in part)) for part in parts)
        return replace(self, train=train, val=val, test=test)

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
    train, held_out, test = parted(y)
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
    x, y = read_arrays(path)
    train, val, test = (rows(x["x"][chosen], y["y"][chosen]) for chosen in parted(y["y"], test_given="y_test" in y))
    if "y_test" in y:
        test = rows(x["x_test"], y["y_test"])
    data = Data(train, val, test, num_classes=int(y["y"].max()) + 1)
    return standardised(data) if standardise else data


def parted(y: np.ndarray, test_given: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which rows are for training, for validation and, unless others are given for it, for the test: masks (N,)."""
    test = np.zeros(len(y), dtype=bool) if test_given else stratified_choice(y, VALIDATION_FRACTION)
    held_out = np.zeros_like(test)
    held_out[~test] = stratified_choice(y[~test], VALIDATION_FRACTION)
    return ~test & ~held_out, held_out, test


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
    x = data.train.x
    return scaled(data, scale_of(x.split(rows_at_once(x.shape))))


def scaled(data: Data, scale: Scale) -> Data:
    train, val, test = (Rows(scale(part.x), part.y) for part in (data.train, data.val, data.test))
    return Data(train, val, test, data.num_classes, scale)


def with_label_noise(data: Data, share: float) -> Data:
    """Give a ``share`` of the train rows another class than their own, always the same rows; the others stay right."""
    generator = np.random.default_rng(SPLIT_SEED)
    y = data.train.y.numpy().copy()
    wrong = generator.permutation(len(y))[: round(share * len(y))]
    y[wrong] = (y[wrong] + generator.integers(1, data.num_classes, len(wrong))) % data.num_classes
    return replace(data, train=data.train._replace(y=torch.from_numpy(y)))


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
