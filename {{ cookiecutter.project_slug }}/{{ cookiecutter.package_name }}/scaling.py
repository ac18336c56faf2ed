"""Standardising: what the train rows alone say about each feature, reckoned a part at a time.

Rows that are larger than memory and rows in memory go through the same parts, to the same numbers, bit for bit.
"""

from collections.abc import Iterable
from functools import reduce
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

MOST_NUMBERS = 2**20  # in memory at a time


class Scale(NamedTuple):
    """What standardising takes away from every row, and what it divides by; from the train rows alone."""

    mean: Tensor
    deviation: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return ((x.double() - self.mean) / self.deviation).float()


class Moments(NamedTuple):
    """Of some rows, feature by feature, in float64."""

    rows: int
    mean: Tensor
    variance: Tensor


def rows_at_once(shape: tuple[int, ...]) -> int:
    """How many rows of an array of this shape are read at a time."""
    return max(1, MOST_NUMBERS // prod(shape[1:]))


def scale_of(parts: Iterable[Tensor]) -> Scale:
    """Mean and deviation over all rows of the parts; a feature that is constant there is only to be centred."""
    _, mean, variance = reduce(together, map(moments, parts))
    return Scale(mean, torch.where(variance > 0, variance.sqrt(), 1.0))


def moments(x: Tensor) -> Moments:
    variance, mean = torch.var_mean(x.double(), dim=0, correction=0)
    return Moments(len(x), mean, variance)


def together(a: Moments, b: Moments) -> Moments:
    """The moments of the rows of both.

    Source: Chan, Golub and LeVeque 1979, Updating formulae and a pairwise algorithm for computing sample variances.
    """
    rows, apart = a.rows + b.rows, b.mean - a.mean
    share = b.rows / rows
    variance = (1 - share) * a.variance + share * b.variance + share * (1 - share) * apart.square()
    return Moments(rows, a.mean + share * apart, variance)
