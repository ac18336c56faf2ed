"""``metrics.csv``: every metric that a run logs, on disk as soon as it is logged, whatever other logger is used."""

import csv
import math
from collections.abc import Iterator
from io import StringIO
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

NAME = "metrics.csv"
FIRST = ("epoch", "step")
END = b"\r\n"  # of a line, as the csv module writes it
TIMED = "throughput/"  # metrics that no two runs have in common


class MetricsCsv(Logger):
    """Append a row for each call; a new metric gets a column at the end.

    Lightning's CSVLogger empties the folder that it finds and holds rows back; this one does neither. A file that
    exists is continued.
    """

    name = version = ""  # a Logger must have both

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.path = Path(folder) / NAME
        self.columns: list[str] = []

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing to do: ``config.yaml`` is in the same folder."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        row = {name: value.item() if hasattr(value, "item") else value for name, value in metrics.items()}
        self.columns = self.columns or columns_of(self.path)
        new = [name for name in row if name not in self.columns]
        if new or not self.path.exists():
            self.columns += new
            rewrite(self.path, self.columns, END, b"," * len(new) + END)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns).writerow({"step": step, **row})


def rewrite(path: Path, columns: list[str], end: bytes, new_end: bytes, rows: int | None = None) -> None:
    """Write ``columns`` and the first ``rows`` rows, with another end of each line, or leave the old file."""
    header = StringIO()
    csv.writer(header).writerow(columns)
    unfinished = path.with_name(f"{path.name}.unfinished")
    with unfinished.open("wb") as file:
        file.write(header.getvalue().encode())
        if path.exists():
            with path.open("rb") as old:
                whole = (line for line in islice(old, 1, rows and rows + 1) if line.endswith(b"\n"))
                file.writelines(line.replace(end, new_end) for line in whole)
    unfinished.replace(path)


def count(path: Path) -> tuple[int, int]:
    """How many rows and columns there are; no value contains a line break."""
    if not path.exists():
        return 0, 0
    with path.open("rb") as file:
        return sum(line.endswith(b"\n") for line in file) - 1, len(columns_of(path))


def keep(path: Path, rows: int, columns: int) -> None:
    """Restore the file as it was when ``count`` gave ``rows`` and ``columns``; later columns are empty in those."""
    if rows < 1:
        path.unlink(missing_ok=True)
    elif path.exists():
        names = columns_of(path)
        rewrite(path, names[:columns], b"," * (len(names) - columns) + END, END, rows)


def columns_of(path: Path) -> list[str]:
    if not path.exists():
        return list(FIRST)
    with path.open(newline="", encoding="utf-8") as file:
        return next(csv.reader(file), list(FIRST))


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a ``metrics.csv`` in order, each with the metrics that it has; none if there is no file."""
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(line for line in file if line.endswith("\n"))  # a kill or a full disk can tear the last
            columns = next(rows, [])
            for row in rows:
                yield {name: value for name, value in zip(columns, row, strict=False) if value}


def epochs_of(folder: Path) -> list[dict[str, float]]:
    """The last value of every metric in each epoch, in order.

    A row without ``epoch``, as Lightning's LearningRateMonitor logs it, belongs to the epoch of the next row that has
    one, unless its step was over by then.
    """
    epochs: dict[int, dict[str, str]] = {}
    current: dict[str, str] = {}
    waiting: dict[str, str] = {}
    for row in rows_of(folder / NAME):
        if "epoch" in row:
            current = epochs.setdefault(int(float(row["epoch"])), {})
            current.update(waiting)
            current.update(row)
            waiting.clear()
        else:
            step = float(row.pop("step", "inf"))
            (current if step <= float(current.get("step", -1)) else waiting).update(row)
    current.update(waiting)
    return [{name: float(value) for name, value in epochs[number].items()} for number in sorted(epochs)]


def first_difference(first: Path, second: Path) -> str | None:
    """Where the metrics of two run folders differ first, in words; None if they agree digit for digit."""
    for old, new in zip_longest(rows_of(first / NAME), rows_of(second / NAME)):
        if old is None or new is None:
            return f"it had {count(first / NAME)[0]} rows of metrics, {second} has {count(second / NAME)[0]}"
        for name in {**old, **new}:
            if not name.startswith(TIMED) and not agree(old.get(name), new.get(name)):
                return f"at step {new.get('step')}, {name} was {old.get(name)}, is {new.get(name)}"
    return None


def agree(old: str | None, new: str | None) -> bool:
    return old == new or (old is not None and new is not None and math.isclose(float(old), float(new), rel_tol=0.0))
