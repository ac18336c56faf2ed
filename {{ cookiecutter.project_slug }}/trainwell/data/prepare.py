"""From the arrays of an ``.npz`` file to the train, validation and test samples that a network is to see."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch

from .batches import Samples
from .npz import faults_of, read_npz
from .split import stratified_split
from .standardize import Standardizer, fit, network_input, samples_per_block


class Split(NamedTuple):
    """The samples of one split as they are stored: in the array ``name``, at ``places``."""

    name: str
    x: np.ndarray
    places: np.ndarray
    y: np.ndarray

    def blocks(self) -> Iterator[np.ndarray]:
        at_once = samples_per_block(self.x.shape)
        yield from (self.x[self.places[start : start + at_once]] for start in range(0, len(self.places), at_once))


def load_npz(path: str, standardize: bool) -> tuple[list[Samples], Standardizer | None]:
    """Train, validation and test samples, in memory, and what they were standardized by.

    Raises: ValueError: every fault of the file, a line each.
    """
    splits, standardizer = split_arrays(path, read_npz(path), standardize)
    inputs = [np.concatenate([*prepared(path, split, standardizer)]) for split in splits]
    return [Samples.from_numpy(x, split.y) for x, split in zip(inputs, splits, strict=True)], standardizer


def split_arrays(
    path: str, arrays: Mapping[str, np.ndarray], standardize: bool
) -> tuple[list[Split], Standardizer | None]:
    """Train, validation and test samples, and what standardizes them, measured on the train samples.

    Raises: ValueError: every fault of the arrays, a line each.
    """
    if faults := [f"data.path={path}: {fault}" for fault in faults_of(arrays, standardize)]:
        raise ValueError("\n".join(faults))
    x, y = arrays["x"], arrays["y"]
    splits = [Split("x", x, np.flatnonzero(mask), y[mask]) for mask in stratified_split(y, "y_test" in arrays)]
    if "y_test" in arrays:
        splits[2] = Split("x_test", arrays["x_test"], np.arange(len(arrays["y_test"])), arrays["y_test"])
    if not standardize:
        return splits, None
    standardizer = fit(torch.from_numpy(block.astype(np.float64)) for block in splits[0].blocks())
    if not standardizer.deviation.isfinite().all():
        raise ValueError(f"data.path={path}: x has values too large to be standardized; scale them down")
    return splits, standardizer


def prepared(path: str, split: Split, standardizer: Standardizer | None) -> Iterator[np.ndarray]:
    """Blocks of inputs as the network is to see them: float32, or int64 if they are integers and not standardized.

    Raises: ValueError: a value is beyond what these can hold.
    """
    integers = split.x.dtype.kind in "iu" and standardizer is None
    done = 0
    for block in split.blocks():
        x, bad = network_input(block, standardizer, integers)
        if bad.any():
            sample = split.places[done + bad.reshape(len(x), -1).any(axis=1).argmax()]
            detail = f"{split.name} has values beyond the range of {x.dtype}, the first in sample {sample}"
            raise ValueError(f"data.path={path}: {detail}; scale them down")
        yield x
        done += len(block)
