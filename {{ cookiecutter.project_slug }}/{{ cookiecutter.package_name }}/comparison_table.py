"""A comparison as text: a table for the terminal, and ``comparison.csv``."""

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .comparison import Comparison, Difference, Group
from .records import COUNTED

LINES = 40  # of groups that the terminal is told


def lines(comparison: Comparison) -> Iterator[str]:
    """What differs, the results, and the differences from the baseline."""
    groups, metrics = comparison.groups[:LINES], comparison.metrics
    yield f"{headline(comparison)}\n"
    for key in comparison.differing[:LINES]:
        yield f"{key}: {shares(comparison, key)}"
    yield ""
    results = [
        [group.number, group.label, len(group.runs), ending(group), *(spread(group, metric) for metric in metrics)]
        for group in groups
    ]
    yield from aligned([["", "group", "runs", "ended", *metrics], *results])
    if len(groups) > 1 and metrics:
        yield f"\nbetter or worse than {comparison.baseline.number}, seed by seed: mean [95 % interval]"
        against = [
            [group.number, group.label, *(interval(comparison.difference(group, metric)) for metric in metrics)]
            for group in groups
            if group is not comparison.baseline
        ]
        yield from aligned([["", "group", *metrics], *against])
        yield "* the interval leaves 0 out; of 20 such intervals one misses the truth by chance alone"
    if len(comparison.groups) > LINES:
        yield f"... and {len(comparison.groups) - LINES} groups more in the files below"


def headline(comparison: Comparison) -> str:
    runs = [run for group in comparison.groups for run in group.runs]
    left_out = sum(run.status not in COUNTED for run in runs)
    counts = f"{len(runs)} {'run' if len(runs) == 1 else 'runs'} in {len(comparison.groups)} "
    counts += "group" if len(comparison.groups) == 1 else "groups"
    return counts + (f"; {left_out} did not end by themselves and are left out of the means" if left_out else "")


def shares(comparison: Comparison, key: str) -> str:
    """Which groups have which value: ``0.1 in 1, 3; 0.2 in 2``."""
    found: dict[str, list[str]] = {}
    for group in comparison.groups:
        found.setdefault(str(comparison.setting(group, key)), []).append(str(group.number))
    told = [f"{value} in {few(numbers)}" for value, numbers in found.items()]
    return "; ".join(told[:8]) + (f"; and {len(told) - 8} values more" if len(told) > 8 else "")


def few(numbers: Sequence[str]) -> str:
    return ", ".join(numbers[:8]) + (", ..." if len(numbers) > 8 else "")


def ending(group: Group) -> str:
    return ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in group.endings.items())


def spread(group: Group, metric: str) -> str:
    """Mean ± standard deviation over seeds."""
    mean, deviation = group.mean(metric), group.deviation(metric)
    if math.isnan(mean):
        return "-"
    return number(mean) if math.isnan(deviation) else f"{number(mean)} ± {number(deviation)}"


def interval(difference: Difference | None) -> str:
    if difference is None:
        return "-"
    mean, low, high = (number(value, sign="+") for value in difference[1:])
    return f"{mean} [{low}, {high}]{' *' if difference.clear else ''}"


def number(value: float, sign: str = "") -> str:
    return format(value, f"{sign}.4f" if abs(value) < 1000 else f"{sign}.3g")


def aligned(table: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Columns as wide as their widest cell, numbers to the right."""
    rows = [list(map(str, row)) for row in table]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = [isinstance(cell, int) for cell in table[-1]]
    for row in rows:
        cells = [cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(row, widths, right, strict=True)]
        yield "  ".join(cells).rstrip()


def write_csv(comparison: Comparison, path: Path) -> None:
    """One row a group: its settings that differ, how its runs ended, and every mean, deviation and difference."""
    rows = [csv_row(comparison, group) for group in comparison.groups]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def csv_row(comparison: Comparison, group: Group) -> dict[str, Any]:
    row: dict[str, Any] = {"number": group.number, "group": group.label, "runs": len(group.runs)}
    row |= {"ended": ending(group), "seeds": " ".join(str(run.seed) for run in group.runs)}
    row |= {key: comparison.setting(group, key) for key in comparison.differing}
    for metric in comparison.metrics:
        compared = comparison.difference(group, metric)
        row |= {f"{metric} mean": told(group.mean(metric)), f"{metric} deviation": told(group.deviation(metric))}
        row |= {f"{metric} common seeds": compared.seeds if compared else ""}
        values = compared[1:] if compared else ("", "", "")
        names = ("difference", "difference low", "difference high")
        row |= {f"{metric} {name}": value for name, value in zip(names, values, strict=True)}
    row["folders"] = " ".join(str(run.folder) for run in group.runs)
    return row


def told(value: float) -> float | str:
    return "" if math.isnan(value) else value
