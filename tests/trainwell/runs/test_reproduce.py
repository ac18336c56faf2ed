from pathlib import Path

import pytest
from trainwell.runs.metrics_csv import MetricsCsv
from trainwell.runs.reproduce import first_difference


def run(folder: Path, *losses: float) -> Path:
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
    first, second = run(tmp_path / "first", 0.5, float("nan"), 0.25), run(tmp_path / "second", *losses)
    found = first_difference(first, second)
    assert found == (difference and difference.format(second=second))
