"""``metrics.csv``: every metric that a run logs, on disk as soon as it is logged, whatever other logger is on."""

import csv
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

NAME = "metrics.csv"
FIRST = ("epoch", "step")


class MetricsFile(Logger):
    """Append a row for each call; a metric that is new gets a column at the end.

    Lightning's CSVLogger empties the folder that it finds and keeps rows back; this one does neither.
    A file that is there already is gone on with.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.path = Path(folder) / NAME
        self.columns = columns_of(self.path)

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing to do: ``config.yaml`` lies beside the file."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        new = [name for name in metrics if name not in self.columns]
        if new or not self.path.exists():
            self.columns += new
            write(self.path, self.columns, rows_of(self.path))
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns).writerow({**metrics, "step": step})


def write(path: Path, columns: list[str], rows: list[dict[str, str]]) -> None:
    """Write the whole file, or leave the old one."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    with unfinished.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    unfinished.replace(path)


def keep(path: Path, count: int) -> None:
    """Keep the first ``count`` rows and the columns that they fill: the file as it was when it had so many."""
    if count:
        rows = rows_of(path)[:count]
        filled = {name for row in rows for name in row}
        write(path, [name for name in columns_of(path) if name in filled or name in FIRST], rows)
    else:
        path.unlink(missing_ok=True)


def count(path: Path) -> int:
    """How many rows there are; no value breaks a line."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(1 for _ in file) - 1


def columns_of(path: Path) -> list[str]:
    if not path.exists():
        return list(FIRST)
    with path.open(newline="") as file:
        return next(csv.reader(file))


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a ``metrics.csv``, each with the metrics that it has; none if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        whole_lines = (line for line in file if line.endswith("\n"))  # a kill or a full disk can tear the last
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(whole_lines)]


def epochs_of(folder: Path) -> list[dict[str, float]]:
    """What ``metrics.csv`` says of each epoch, in order: every metric's last value in it."""
    epochs: dict[int, dict[str, float]] = {}
    for row in rows_of(folder / NAME):
        numbers = {name: float(value) for name, value in row.items()}
        epochs.setdefault(int(numbers["epoch"]), {}).update(numbers)
    return [epochs[number] for number in sorted(epochs)]
