import csv
from pathlib import Path

from your_package.metrics_file import MetricsFile, epochs_of


def test_every_number_is_read_back_exactly_also_when_columns_come_later(tmp_path: Path) -> None:
    file = MetricsFile(str(tmp_path))
    file.log_metrics({"val/loss": 0.1 + 0.2, "epoch": 0}, step=49)
    file.log_metrics({"train/loss": 1 / 3, "epoch": 0}, step=49)
    file.log_metrics({"val/loss": 1e-300, "epoch": 1}, step=99)
    assert epochs_of(tmp_path) == [
        {"epoch": 0, "step": 49, "val/loss": 0.1 + 0.2, "train/loss": 1 / 3},
        {"epoch": 1, "step": 99, "val/loss": 1e-300},
    ]


def test_a_row_is_on_disk_as_soon_as_it_is_logged(tmp_path: Path) -> None:
    file = MetricsFile(str(tmp_path))
    for step in range(3):
        file.log_metrics({"a": step}, step=step)
        with (tmp_path / "metrics.csv").open() as written:
            assert len(list(csv.DictReader(written))) == step + 1


def test_a_row_that_a_kill_has_torn_is_no_row(tmp_path: Path) -> None:
    file = MetricsFile(str(tmp_path))
    file.log_metrics({"val/loss": 0.5, "epoch": 0}, step=9)
    with (tmp_path / "metrics.csv").open("a") as torn:
        torn.write("1,19,1e-")
    assert epochs_of(tmp_path) == [{"epoch": 0, "step": 9, "val/loss": 0.5}]
