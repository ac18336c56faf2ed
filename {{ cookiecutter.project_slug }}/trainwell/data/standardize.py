"""Standardize: give each feature mean 0 and deviation 1 over the train samples, measured a block at a time.

Samples that are larger than memory and samples in memory go through the same blocks, to the same numbers, bit for bit.
"""

from collections.abc import Iterable
from functools import reduce
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

BLOCK = 2**20  # numbers in memory at a time


class Standardizer(NamedTuple):
    """What is subtracted from every sample and what it is divided by, in float64; from the train samples alone."""

    mean: Tensor
    deviation: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Subtract and divide in float64, so that values far from 0 (times in seconds) keep their digits; float32."""
        return ((x.double() - self.mean) / self.deviation).float()


def network_input(x: np.ndarray, standardizer: Standardizer | None, integers: bool) -> tuple[np.ndarray, np.ndarray]:
    """Samples as the network takes them, float32 or int64, and where a value is not what that type can hold."""
    if standardizer is not None:
        made = standardizer(torch.from_numpy(x.astype(np.float64))).numpy()
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            made = x.astype(np.int64 if integers else np.float32)
    return made, made != x if integers else ~np.isfinite(made)


class Moments(NamedTuple):
    """Of some samples, feature by feature, in float64."""

    samples: int
    mean: Tensor
    variance: Tensor


def samples_per_block(shape: tuple[int, ...]) -> int:
    """How many samples of an array of this shape are read at a time."""
    return max(1, BLOCK // prod(shape[1:]))


def fit(blocks: Iterable[Tensor]) -> Standardizer:
    """Measure all samples of the blocks; a feature that is constant in them will only be centred."""
    _, mean, variance = reduce(merge, map(moments, blocks))
    return Standardizer(mean, torch.where(variance > 0, variance.sqrt(), 1.0))


def moments(x: Tensor) -> Moments:
    variance, mean = torch.var_mean(x.double(), dim=0, correction=0)
    return Moments(len(x), mean, variance)


def merge(a: Moments, b: Moments) -> Moments:
    """The moments of the samples of both.

    Source: Chan, Golub and LeVeque 1979, Updating formulae and a pairwise algorithm for computing sample variances.
    """
    samples, distance = a.samples + b.samples, b.mean - a.mean
    share = b.samples / samples
    variance = (1 - share) * a.variance + share * b.variance + share * (1 - share) * distance.square()
    return Moments(samples, a.mean + share * distance, variance)
