"""``metrics.csv``: every metric that a run logs, on disk as soon as it is logged, whatever other logger is on."""

import csv
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

NAME = "metrics.csv"


class MetricsFile(Logger):
    """Append a row for each call; a metric that is new gets a column at the end.

    Lightning's CSVLogger empties the folder that it finds and keeps rows back; this one does neither.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.path = Path(folder) / NAME
        self.columns = ["epoch", "step"]

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
            self.write("w", rows_of(self.path))
        self.write("a", [{**metrics, "step": step}])

    def write(self, mode: str, rows: list[dict[str, Any]]) -> None:
        with self.path.open(mode, newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            if mode == "w":
                writer.writeheader()
            writer.writerows(rows)


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a ``metrics.csv``, each with the metrics that it has; none if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]


def epochs_of(folder: Path) -> list[dict[str, float]]:
    """What ``metrics.csv`` says of each epoch, in order: every metric's last value in it."""
    epochs: dict[int, dict[str, float]] = {}
    for row in rows_of(folder / NAME):
        numbers = {name: float(value) for name, value in row.items()}
        epochs.setdefault(int(numbers["epoch"]), {}).update(numbers)
    return [epochs[number] for number in sorted(epochs)]
