"""From the columns of a table to the matrix that a network sees, by what the train rows hold.

A number that is missing becomes the median, with a column that says so; then numbers are standardized. A category
becomes a column of 0 and 1 for each value (one-hot), or a code for an embedding; no value is a value of its own. A
value that no train row has becomes zeros, or the code 0, whose embedding is zero.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import together
from .columns import Kinds, as_categories, as_numbers, lacks

if TYPE_CHECKING:
    from pandas import DataFrame, Series


class NumberColumn(NamedTuple):
    """Measured on the train rows; ``mean`` and ``deviation`` after missing values have become the median."""

    name: str
    median: float
    mean: float
    deviation: float
    some_missing: bool

    @classmethod
    def fit(cls, name: str, column: "Series") -> "NumberColumn":
        """Raises: ValueError: no train row has a value, or they are too large."""
        values = as_numbers(column)
        missing = np.isnan(values)
        if missing.all():
            raise ValueError(f"column {name} has no value in the train rows: type data.drop=[{name}]")
        median = float(np.median(values[~missing]))
        values[missing] = median
        with np.errstate(over="ignore", invalid="ignore"):
            mean, deviation = float(values.mean()), float(values.std())
        if not np.isfinite(deviation):
            raise ValueError(f"column {name} has values too large to be standardized; scale them down")
        constant = values.min() == values.max()
        return cls(name, median, mean, 1.0 if constant else deviation, bool(missing.any()))


class CategoryColumn(NamedTuple):
    """The values of the train rows, in order; the last one is None if some have no value."""

    name: str
    values: Sequence[str | None]

    @classmethod
    def fit(cls, name: str, column: "Series") -> "CategoryColumn":
        cells = as_categories(column)
        return cls(name, [*sorted(cells.dropna().unique()), *([None] if cells.isna().any() else [])])

    def codes(self, column: "Series") -> np.ndarray:
        """1 for the first of the values, and so on; 0 for any other."""
        numbered = {value: code for code, value in enumerate(self.values, start=1)}
        return np.array([numbered.get(cell, 0) for cell in as_categories(column)], dtype=np.int64)


class TableEncoder(NamedTuple):
    """Turns rows into numbers, (rows, features), float32: numbers, what is missing of them, categories."""

    numbers: Sequence[NumberColumn]
    categories: Sequence[CategoryColumn]
    one_hot: bool

    @classmethod
    def fit(cls, rows: "DataFrame", kinds: Kinds, one_hot: bool) -> "TableEncoder":
        """Raises: ValueError: every column that cannot be measured on these rows, a line each."""
        numbers = together(*(partial(NumberColumn.fit, name, rows[name]) for name in kinds.numbers))
        return cls(numbers, [CategoryColumn.fit(name, rows[name]) for name in kinds.categories], one_hot)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "TableEncoder":
        numbers = [NumberColumn(**column) for column in state["numbers"]]
        return cls(numbers, [CategoryColumn(**column) for column in state["categories"]], state["one_hot"])

    def state(self) -> dict[str, Any]:
        """Plain data, from which it can be made again."""
        numbers, categories = ([column._asdict() for column in part] for part in (self.numbers, self.categories))
        return {"numbers": numbers, "categories": categories, "one_hot": self.one_hot}

    @property
    def columns(self) -> list[str]:
        """The columns that it reads."""
        return [*(column.name for column in self.numbers), *(column.name for column in self.categories)]

    def __call__(self, rows: "DataFrame") -> np.ndarray:
        """Raises: ValueError: a column is missing, or a cell that must be a number is none, or too large."""
        if absent := [name for name in self.columns if name not in rows]:
            raise ValueError(f"the table {lacks(absent, list(rows.columns))}")
        parts = [*self.encoded_numbers(rows), *self.encoded_categories(rows)]
        return np.column_stack(parts) if parts else np.zeros((len(rows), 0), np.float32)

    def encoded_numbers(self, rows: "DataFrame") -> Iterator[np.ndarray]:
        missing = []
        for column in self.numbers:
            values = as_numbers(rows[column.name])
            absent = rows[column.name].isna().to_numpy()
            values[absent] = column.median
            with np.errstate(over="ignore", invalid="ignore"):
                made = ((values - column.mean) / column.deviation).astype(np.float32)
            if (bad := ~np.isfinite(made)).any():
                cell = str(rows[column.name][bad].iloc[0])[:20]
                raise ValueError(f"row {rows.index[bad][0]}, column {column.name}: {cell!r} is no number, or too large")
            yield made
            if column.some_missing:
                missing.append(absent.astype(np.float32))
        yield from missing

    def encoded_categories(self, rows: "DataFrame") -> Iterator[np.ndarray]:
        for column in self.categories:
            codes = column.codes(rows[column.name])
            yield (codes[:, None] == np.arange(1, len(column.values) + 1) if self.one_hot else codes).astype(np.float32)

    def unseen(self, rows: "DataFrame") -> Iterator[tuple[str, str]]:
        """The name of each column with values that no train row has, and the first of them, in words."""
        for number in self.numbers:
            if not number.some_missing and rows[number.name].isna().any():
                yield number.name, "cells without a number, which get the median"
        for column in self.categories:
            if (unknown := column.codes(rows[column.name]) == 0).any():
                value = rows[column.name][unknown].iloc[0]
                yield column.name, "cells without one" if value is None else repr(str(value)[:30])


class CategoryEmbedding(nn.Module):
    """Replace codes of categories by vectors that are learned, beside the numbers as they are; the code 0 by zeros.

    Shape:  (B, numbers + categories) -> (B, numbers + sum of the widths)
    Source: the widths are those of fastai's tabular models, min(600, round(1.6 * n ** 0.56)) for n values.
    """

    def __init__(self, numbers: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.numbers = numbers
        self.embeddings = nn.ModuleList(
            nn.Embedding(size + 1, min(600, round(1.6 * size**0.56)), padding_idx=0) for size in sizes
        )

    def forward(self, x: Tensor) -> Tensor:
        codes = x[:, self.numbers :].long()
        embedded = [embedding(codes[:, place]) for place, embedding in enumerate(self.embeddings)]
        return torch.cat([x[:, : self.numbers], *embedded], dim=1)
