"""Several loggers at once: each has the same metrics, under the same names."""

import csv
import sqlite3
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

SHORT = (
    "data=digits",
    "network.width=16",
    "residual.depth=2",
    "trainer.max_epochs=2",
    "~callbacks.early_stopping",
    "scheduler=constant",
)


@pytest.mark.slow
@pytest.mark.parametrize("options", ["csv,tensorboard,mlflow", "mlflow"])
def test_tensorboard_and_mlflow_have_the_metrics_of_the_csv_file(
    options: str, command: Callable[..., "CompletedProcess[str]"], project: Path
) -> None:
    pytest.importorskip("mlflow")
    ended = command(*SHORT, f"logger=[{options}]")
    assert ended.returncode == 0, ended.stderr
    (run,) = project.glob("runs/train/*")
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["val/loss"]) for row in rows if row["val/loss"]]
    assert len(losses) == 2
    with sqlite3.connect(project / "mlflow.db") as database:
        found = database.execute("select value from metrics where key = 'val/loss' order by step").fetchall()
    assert [value for (value,) in found] == pytest.approx(losses)
    if "tensorboard" in options:
        event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
        events = event_accumulator.EventAccumulator(str(run / "tensorboard")).Reload()
        assert [event.value for event in events.Scalars("val/loss")] == pytest.approx(losses)
        assert {"train/loss", "learning_rate", "val/accuracy"} <= {*events.Tags()["scalars"]}
