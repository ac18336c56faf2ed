"""A comparison as text: tables for the terminal and the page, and ``comparison.csv``."""

import csv
import math
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .run_index import WITH_RESULT
from .statistics import Comparison, Group, Interval, Spread, paired_difference

LONGEST = 40  # groups that the terminal shows
Row = dict[str, Any]  # cells by the title of their column


def headline(comparison: Comparison) -> str:
    statuses = [run.status for group in comparison.groups for run in group.runs]
    without, groups = sum(status not in WITH_RESULT for status in statuses), len(comparison.groups)
    counts = f"{len(statuses)} run{'s' * (len(statuses) > 1)} in {groups} group{'s' * (groups > 1)}"
    return counts + (f"; {without} did not end by themselves and are left out of the means" if without else "")


def notes(comparison: Comparison) -> Iterator[str]:
    yield "Best weights of each run: mean ± standard deviation over seeds and folds."
    if len(comparison.groups) > 1:
        yield "Against the baseline: mean difference, paired by seed and fold, and its 95 % interval."
        yield "* the interval excludes 0; of 20 such intervals one misses the true difference by chance."
    if any(run.fold != "null" for group in comparison.groups for run in group.runs):
        yield "Folds share training samples, so over folds the intervals are too narrow."


def group_rows(comparison: Comparison) -> list[Row]:
    """Each group's results, its differences from the baseline, and the settings that tell it from the others."""
    base, rows = comparison.baseline, []
    for group in comparison.groups:
        row: Row = {"number": group.number, "group": group.label, "runs": len(group.runs), "status": statuses(group)}
        row |= {metric: group.spread(metric) for metric in comparison.metrics}
        for metric in comparison.metrics:
            other = {} if group is base else group.values(metric)
            row[f"{metric} against {base.number}"] = paired_difference(base.values(metric), other)
        rows.append(row | {key: group.setting(key) for key in comparison.differing if key not in row})
    return rows


def run_rows(comparison: Comparison) -> list[Row]:
    facts = ("epochs", "best.epoch", "seconds", "git.commit", "command")
    return [
        {"group": group.number, "seed": run.seed, "fold": run.fold, "status": run.status}
        | {metric: Spread(run.results.get(metric, math.nan)) for metric in comparison.metrics}
        | {fact: run.summary.get(fact, "-") for fact in facts}
        | {"folder": run.folder}
        for group in comparison.groups
        for run in group.runs
    ]


def statuses(group: Group) -> str:
    found = [run.status.replace("_", " ") for run in group.runs]
    return ", ".join(f"{found.count(status)} {status}" for status in dict.fromkeys(found))


def lines(comparison: Comparison) -> Iterator[str]:
    rows = group_rows(comparison)[:LONGEST]
    intervals = [name for name, value in rows[0].items() if isinstance(value, Interval)]
    differences = [name for name in intervals if any(row[name].size > 1 for row in rows)]
    yield headline(comparison)
    for columns in (["runs", "status", *comparison.metrics], differences):
        for part in side_by_side(rows, ["number", "group"], columns):
            yield from ["", *part]
    yield from ["", *notes(comparison)]
    if comparison.differing:
        yield f"Settings that differ: {', '.join(comparison.differing)}"
    if len(comparison.groups) > LONGEST:
        yield f"{len(comparison.groups) - LONGEST} more groups are in the files below"


def side_by_side(rows: Sequence[Row], first: Sequence[str], columns: Sequence[str]) -> Iterator[list[str]]:
    """Tables no wider than the terminal, as lines: ``first`` in each, then as many columns as there is room for."""
    texts = {column: [column, *(cell(row[column]) for row in rows)] for column in (*first, *columns)}
    widths = {column: max(map(len, text)) + 2 for column, text in texts.items()}
    terminal = shutil.get_terminal_size((sys.maxsize, 0)).columns
    waiting = list(columns)
    while waiting:
        shown = [*first, waiting.pop(0)]
        while waiting and sum(widths[column] for column in (*shown, waiting[0])) - 2 <= terminal:
            shown.append(waiting.pop(0))
        lines = zip(*([text.ljust(widths[column]) for text in texts[column]] for column in shown), strict=True)
        yield ["".join(line).rstrip() for line in lines]


def cell(value: object) -> str:
    """What a cell shows. Control characters are escaped: names and values of a foreign run may hold any."""
    match value:
        case float():
            return f"{value:.6g}"
        case Spread(mean, deviation):
            return number(mean) if math.isnan(deviation) else f"{number(mean)} ± {number(deviation)}"
        case Interval(mean, low, high):
            star = " *" if low > 0 or high < 0 else ""
            return "-" if math.isnan(mean) else f"{number(mean, '+')} [{number(low, '+')}, {number(high, '+')}]{star}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value))


def number(value: float, sign: str = "") -> str:
    return "-" if math.isnan(value) else format(value, f"{sign}.4f" if abs(value) < 1000 else f"{sign}.3g")


def write_csv(comparison: Comparison, path: Path) -> None:
    """One row for each group: every number of the tables, and its runs."""
    rows = group_rows(comparison)
    for row, group in zip(rows, comparison.groups, strict=True):
        for title, value in list(row.items()):
            if isinstance(value, tuple):
                row |= {f"{title} {name}": part for name, part in row.pop(title)._asdict().items()}
        row |= {name: " ".join(str(getattr(run, name)) for run in group.runs) for name in ("seed", "fold", "folder")}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([csv_cell(value) for value in line] for line in [rows[0], *map(dict.values, rows)])


def csv_cell(value: Any) -> float | str:
    """A number, or text that no spreadsheet takes for a formula; empty for NaN."""
    if isinstance(value, int | float):
        return "" if math.isnan(value) else value
    return f"'{cell(value)}" if str(value).startswith(("=", "+", "-", "@")) else cell(value)
