"""The target columns of a table: classes with their names, numbers, or labels."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .columns import FEW, MOST_DISTINCT, as_categories, as_numbers

if TYPE_CHECKING:
    from pandas import DataFrame, Series

FEWEST = 3  # samples of a class: one for each part
LABELS = {"0": 0, "1": 1, "false": 0, "true": 1, "no": 0, "yes": 1}


class Targets(NamedTuple):
    """Classes (N,), numbers (N, K) or labels (N, L), and a name for every class, number or label."""

    y: np.ndarray
    names: list[str]

    @property
    def classes(self) -> np.ndarray:
        """(N,); all 0 where the targets are no classes."""
        return self.y if self.y.ndim == 1 else np.zeros(len(self.y), dtype=np.int64)


def targets_of(rows: "DataFrame", columns: Sequence[str], kind: str, names: Sequence[str] | None) -> Targets:
    """Read the target columns; ``names`` are those of the classes, if they are settled already.

    Raises: ValueError: every fault, a line each.
    """
    faults = faults_of_holes(rows, columns)
    if kind == "classes" and len(columns) > 1:
        faults.append("must be one column of classes; for several numbers type task=regression, for labels multilabel")
    if not faults and kind == "classes":
        faults = faults_of_classes(rows[columns[0]]) if names is None else unknown_classes(rows[columns[0]], names)
    elif not faults:
        check = fault_of_numbers if kind == "numbers" else fault_of_labels
        found = {name: check(rows[name]) or fault_of_a_constant(rows[name]) for name in columns}
        faults = [f"column {name} {fault}" for name, fault in found.items() if fault]
    if faults:
        shown = columns[0] if len(columns) == 1 else f"[{','.join(columns)}]"
        raise ValueError("\n".join(f"data.target={shown}: {fault}" for fault in faults))
    if kind == "numbers":
        return Targets(np.column_stack([as_numbers(rows[name]) for name in columns]).astype(np.float32), [*columns])
    if kind == "labels":
        return Targets(np.column_stack([labels(rows[name]) for name in columns]), [*columns])
    names = class_names(rows[columns[0]]) if names is None else names
    numbered = {name: number for number, name in enumerate(names)}
    return Targets(np.array([numbered[cell] for cell in as_categories(rows[columns[0]])], np.int64), [*names])


def class_names(column: "Series") -> list[str]:
    """Numbers by their size, other names by the alphabet."""
    names = as_categories(column).dropna().drop_duplicates()
    sizes = as_numbers(names)
    return sorted(names) if np.isnan(sizes).any() else names.iloc[np.argsort(sizes, kind="stable")].tolist()


def faults_of_holes(rows: "DataFrame", columns: Sequence[str]) -> list[str]:
    counts = {name: rows[name].isna() for name in columns}
    return [
        f"column {name} has no value in {bad.sum()} rows, the first is row {rows.index[bad][0]}; remove these rows"
        for name, bad in counts.items()
        if bad.any()
    ]


def faults_of_classes(column: "Series") -> list[str]:
    counts = as_categories(column).value_counts()
    numbers = as_numbers(column)
    quantities = np.isfinite(numbers).all()
    if len(counts) > max(FEW, MOST_DISTINCT * len(column)):
        what = "for numbers type task=regression" if quantities else "these are no classes"
        return [f"has {len(counts)} different values in {len(column)} rows; {what}"]
    if len(counts) < 2:
        return [f"is {counts.index[0]} in every row: there is nothing to learn"]
    advice = "; for numbers type task=regression" if quantities and (numbers != np.trunc(numbers)).any() else ""
    return [
        f"every class needs {FEWEST} rows or more, one for each split; {name} has {count}{advice}"
        for name, count in counts[counts < FEWEST].iloc[:5].items()
    ]


def unknown_classes(column: "Series", names: Sequence[str]) -> list[str]:
    unknown = sorted(set(as_categories(column)) - set(names))
    return [f"the run was trained without the class {name}" for name in unknown[:5]]


def fault_of_numbers(column: "Series") -> str | None:
    bad = ~np.isfinite(as_numbers(column).astype(np.float32))
    if not bad.any():
        return None
    if bad.all():
        return f"holds text, such as {str(column.iloc[0])[:30]!r}, and no numbers; for classes type task=classification"
    return f"must hold numbers, row {column.index[bad][0]} has {str(column[bad].iloc[0])[:30]!r}"


def fault_of_labels(column: "Series") -> str | None:
    cells = as_categories(column).str.lower()
    if (bad := ~cells.isin(LABELS)).any():
        return f"must hold 1 or 0, true or false, row {column.index[bad][0]} has {str(column[bad].iloc[0])[:30]!r}"
    return None


def fault_of_a_constant(column: "Series") -> str | None:
    values = as_categories(column)
    return f"is {values.iloc[0]} in every row: there is nothing to learn" if values.nunique() == 1 else None


def labels(column: "Series") -> np.ndarray:
    return as_categories(column).str.lower().map(LABELS).to_numpy(np.int64)
