"""From the arrays of an ``.npz`` file to the train, validation and test samples that a network is to see."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch

from .batches import Samples
from .npz import GIVEN, faults_of, read_arrays
from .split import PARTS, SplitRule, split_samples
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


def load_npz(
    path: str, standardize: bool, targets: str = "classes", rule: SplitRule | None = None
) -> tuple[list[Samples], Standardizer | None]:
    """Train, validation and test samples, in memory, and what they were standardized by.

    Raises: ValueError: every fault of the file, a line each.
    """
    rule = rule or SplitRule()
    splits, standardizer = split_arrays(path, read_arrays(path, rule), standardize, targets, rule)
    inputs = [np.concatenate([*prepared(path, split, standardizer)]) for split in splits]
    return [Samples.from_numpy(x, split.y) for x, split in zip(inputs, splits, strict=True)], standardizer


def split_arrays(
    path: str, arrays: Mapping[str, np.ndarray], standardize: bool, targets: str, rule: SplitRule
) -> tuple[list[Split], Standardizer | None]:
    """Train, validation and test samples, and what standardizes them, measured on the train samples.

    Raises: ValueError: every fault of the arrays, a line each.
    """
    if faults := [f"data.path={path}: {fault}" for fault in faults_of(arrays, standardize, targets)]:
        raise ValueError("\n".join(faults))
    y = arrays["y"]
    given = [part for part, (name, _) in GIVEN.items() if name in arrays]
    classes = y if targets == "classes" else np.zeros(len(y), dtype=int)
    masks = split_samples(classes, rule, arrays, given=given)
    splits = []
    for part, mask in zip(PARTS, masks, strict=True):
        inputs, outputs = GIVEN[part] if part in given else ("x", "y")
        places = np.arange(len(arrays[outputs])) if part in given else np.flatnonzero(mask)
        splits.append(Split(inputs, arrays[inputs], places, as_targets(arrays[outputs][places], targets)))
    if not standardize:
        return splits, None
    standardizer = fit(torch.from_numpy(block.astype(np.float64)) for block in splits[0].blocks())
    if not standardizer.deviation.isfinite().all():
        raise ValueError(f"data.path={path}: x has values too large to be standardized; scale them down")
    return splits, standardizer


def as_targets(y: np.ndarray, targets: str) -> np.ndarray:
    """Classes (N,), numbers (N, K) or labels (N, L), in the types of ``Samples``."""
    if targets == "numbers":
        return y.reshape(len(y), -1).astype(np.float32)
    return y.astype(np.int64)


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
