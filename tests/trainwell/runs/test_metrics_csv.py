import csv
import time
from pathlib import Path

import pytest
import torch
from trainwell.runs.metrics_csv import MetricsCsv, count, epochs_of, first_difference, keep, rows_of


def test_every_number_is_read_back_exactly_also_when_columns_come_later(tmp_path: Path) -> None:
    logger = MetricsCsv(str(tmp_path))
    logger.log_metrics({"val/loss": 0.1 + 0.2, "epoch": 0}, step=49)
    logger.log_metrics({"train/loss": 1 / 3, "epoch": 0}, step=49)
    logger.log_metrics({"val/loss": torch.tensor(1e-300, dtype=torch.float64), "epoch": 1}, step=99)
    assert epochs_of(tmp_path) == [
        {"epoch": 0, "step": 49, "val/loss": 0.1 + 0.2, "train/loss": 1 / 3},
        {"epoch": 1, "step": 99, "val/loss": 1e-300},
    ]


def test_a_row_is_on_disk_as_soon_as_it_is_logged(tmp_path: Path) -> None:
    logger = MetricsCsv(str(tmp_path))
    for step in range(3):
        logger.log_metrics({"a": step}, step=step)
        with (tmp_path / "metrics.csv").open() as written:
            assert len(list(csv.DictReader(written))) == step + 1


def test_a_row_that_a_kill_has_torn_is_no_row(tmp_path: Path) -> None:
    logger = MetricsCsv(str(tmp_path))
    logger.log_metrics({"val/loss": 0.5, "epoch": 0}, step=9)
    path = tmp_path / "metrics.csv"
    whole = path.read_bytes()
    path.write_bytes(whole + b"1,19,1e-")
    assert epochs_of(tmp_path) == [{"epoch": 0, "step": 9, "val/loss": 0.5}]
    assert count(path) == (1, 3)
    keep(path, 9, 3)
    assert path.read_bytes() == whole
    path.write_bytes(whole + b"1,19,1e-")
    logger.log_metrics({"new": 1.0, "epoch": 0}, step=9)
    assert [row.get("new") for row in rows_of(path)] == [None, "1.0"]


@pytest.mark.parametrize("late", [{}, {"test/loss": 0.1, 'odd, "name"': 0.2}])
def test_the_file_is_restored_byte_for_byte_to_any_earlier_state(late: dict[str, float], tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    states = []
    logger = MetricsCsv(str(tmp_path))
    for step in range(6):
        metrics = {"train/loss": step / 7, "epoch": step // 2, **({"val/loss": 0.5} if step > 1 else {})}
        logger.log_metrics(metrics | (late if step > 3 else {}), step=step)
        states.append((count(path), path.read_bytes()))
    for (rows, columns), content in reversed(states):
        keep(path, rows, columns)
        assert path.read_bytes() == content
    keep(path, 0, 0)
    assert not path.exists()
    keep(path, 3, 3)
    assert count(path) == (0, 0)


def test_a_logger_continues_the_file_that_it_finds(tmp_path: Path) -> None:
    MetricsCsv(str(tmp_path)).log_metrics({"a": 1.0}, step=0)
    MetricsCsv(str(tmp_path)).log_metrics({"b": 2.0}, step=1)
    assert list(rows_of(tmp_path / "metrics.csv")) == [{"step": "0", "a": "1.0"}, {"step": "1", "b": "2.0"}]


def test_a_row_without_an_epoch_belongs_to_the_one_that_its_step_is_in(tmp_path: Path) -> None:
    """As LearningRateMonitor logs: when an epoch or a step starts, and nothing but the step."""
    logger = MetricsCsv(str(tmp_path))
    for epoch in (0, 1):
        logger.log_metrics({"lr": 0.1 * (epoch + 1)}, step=10 * epoch)
        logger.log_metrics({"val/loss": 0.5, "epoch": epoch}, step=10 * epoch + 9)
        logger.log_metrics({"late": float(epoch)}, step=10 * epoch + 9)
    logger.log_metrics({"last": 1.0}, step=20)
    assert epochs_of(tmp_path) == [
        {"epoch": 0, "step": 9, "val/loss": 0.5, "lr": 0.1, "late": 0.0},
        {"epoch": 1, "step": 19, "val/loss": 0.5, "lr": 0.2, "late": 1.0, "last": 1.0},
    ]


def test_without_any_epoch_there_are_rows_but_no_epochs(tmp_path: Path) -> None:
    MetricsCsv(str(tmp_path)).log_metrics({"lr": 0.1}, step=0)
    assert len(list(rows_of(tmp_path / "metrics.csv"))) == 1
    assert epochs_of(tmp_path) == []


def logged(folder: Path, *losses: float) -> Path:
    folder.mkdir()
    logger = MetricsCsv(str(folder))
    for step, loss in enumerate(losses):
        logger.log_metrics({"train/loss": loss, "throughput/samples_per_second": id(folder)}, step=step)
    return folder


@pytest.mark.parametrize(
    ("losses", "difference"),
    [
        ([0.5, float("nan"), 0.25], None),
        ([0.5, float("nan"), 0.25 + 2**-54], "at step 2, train/loss was 0.25, is 0.25000000000000006"),
        ([0.5, 0.5, 0.25], "at step 1, train/loss was nan, is 0.5"),
        ([0.5, float("nan")], "it had 3 rows of metrics, {second} has 2"),
    ],
)
def test_the_first_number_that_differs_is_named(losses: list[float], difference: str | None, tmp_path: Path) -> None:
    first, second = logged(tmp_path / "first", 0.5, float("nan"), 0.25), logged(tmp_path / "second", *losses)
    found = first_difference(first, second)
    assert found == (difference and difference.format(second=second))


@pytest.mark.parametrize("added", [0, 2])
def test_a_million_rows_are_restored_in_three_seconds(added: int, tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    row = b"12,123456,0.12345678901234567,0.98765432109876543,1.2345678901234567" + b"," * added
    names = b"epoch,step,train/loss,gradient/norm,learning_rate" + b"".join(b",m%d" % i for i in range(added))
    path.write_bytes(b"\r\n".join([names, *[row] * 1_000_000, b""]))
    start = time.process_time()
    assert count(path) == (1_000_000, 5 + added)
    keep(path, 999_999, 5)
    assert time.process_time() - start < 3
    assert count(path) == (999_999, 5)
