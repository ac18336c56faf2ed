"""The best weights of a run on one split of its data: how good they are, how sure that is, where they err."""

import csv
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from . import evaluation_pictures, run_folder
from .data import Rows
from .loader import Batches
from .loading import TrainedRun, load_run
from .runs import WANDB_ID
from .tracking import HarmlessLogger, wandb_logger

log = logging.getLogger(__name__)

RESAMPLES = 1000
SEED = 0  # of the resampling alone: the same rows and weights give the same intervals


class Interval(NamedTuple):
    """A mean over rows, and between what the means of 95 % of the resamples lie."""

    value: float
    low: float
    high: float


def evaluate_run(folder: Path, split: str, command: str = "") -> dict[str, float]:
    """Loss and accuracy of the run's best weights; all else is written into its folder.

    ``predictions.csv`` has every row, ``evaluation/<split>/`` the metrics with their intervals and the pictures. That
    test rows were looked at is noted in the folder, with ``command``.

    Raises: ValueError: the data that the run was trained on cannot be had any more.
    """
    run = load_run(folder)
    rows: Rows = getattr(run.data, split)
    logits = logits_of(run.network, Batches(rows, run.config.data.batch_size))
    confidences, predictions = logits.softmax(dim=-1).max(dim=-1)
    write_predictions(run.folder / "predictions.csv", rows.y, predictions, confidences)

    right = (predictions == rows.y).numpy()
    losses = cross_entropy(logits, rows.y, reduction="none").double().numpy()
    intervals = dict(zip(("loss", "accuracy"), bootstrap(np.stack([losses, right], axis=1)), strict=True))
    error = calibration_error(confidences.numpy(), right)
    looks = run_folder.note_look_at_test_rows(run.folder, command) if split == "test" else None

    results = run.folder / "evaluation" / split
    results.mkdir(parents=True, exist_ok=True)
    told: dict[str, Any] = {name: interval._asdict() for name, interval in intervals.items()}
    told |= {"calibration_error": error, "rows": len(rows.y), "looks": looks}
    run_folder.write_json(results / "metrics.json", told)
    evaluation_pictures.write(results, rows, predictions, confidences, run.data.num_classes, error)
    for line in report(told, results, run.folder):
        log.info(line)
    show_in_wandb(run, {f"evaluation/{split}/{path.stem}": path for path in sorted(results.glob("*.png"))})
    return {f"{split}/{name}": interval.value for name, interval in intervals.items()}


def report(told: dict[str, Any], results: Path, folder: Path) -> Iterator[str]:
    loss, accuracy = told["loss"], told["accuracy"]
    yield f"{results.name} rows    {told['rows']}"
    yield f"loss         {loss['value']:.4f}   95 % interval {loss['low']:.4f} to {loss['high']:.4f}"
    yield f"accuracy     {accuracy['value']:.1%}    95 % interval {accuracy['low']:.1%} to {accuracy['high']:.1%}"
    yield f"calibration  {told['calibration_error']:.3f}    expected calibration error: confidence against accuracy"
    if told["looks"]:
        times = "for the first time" if told["looks"] == 1 else f"{told['looks']} times by now"
        yield f"looked at    {times}; what is chosen by these rows is no longer tested by them"
    yield f"every row    {folder / 'predictions.csv'}"
    yield f"pictures     {results}"


def show_in_wandb(run: TrainedRun, pictures: dict[str, Path]) -> None:
    """Add pictures to the run in W&B, if it has one."""
    if not (run.folder / WANDB_ID).exists():
        return
    logger = wandb_logger(project=run.config.logger.wandb.project, run_folder=str(run.folder))
    if isinstance(logger, HarmlessLogger):
        logger.log_pictures(pictures)
        logger.end()
        for how in logger.how_to_look():
            log.info(f"look         {how}")


def bootstrap(values: np.ndarray) -> list[Interval]:
    """The mean of each column of ``values`` (N, columns), and its percentile interval over resampled rows.

    Source: Efron 1979, Bootstrap methods: another look at the jackknife.
    """
    generator = np.random.default_rng(SEED)
    draws = [values[generator.integers(len(values), size=len(values))].mean(axis=0) for _ in range(RESAMPLES)]
    lows, highs = np.quantile(draws, [0.025, 0.975], axis=0).tolist()
    return [Interval(*found) for found in zip(values.mean(axis=0).tolist(), lows, highs, strict=True)]


def calibration_error(confidences: np.ndarray, right: np.ndarray) -> float:
    """The mean distance between confidence and accuracy, over bins of confidence, weighted by their rows.

    Source: Guo et al. 2017, arXiv:1706.04599, equation 3.
    """
    bins = evaluation_pictures.bin_of(confidences)
    return float(np.abs(np.bincount(bins, confidences) - np.bincount(bins, right)).sum() / len(right))


@torch.no_grad()
def logits_of(network: nn.Module, batches: Batches) -> Tensor:
    """Shape: (N, num_classes), in evaluation mode, row after row."""
    network.eval()
    return torch.cat([network(x) for x, _ in batches])


def write_predictions(path: Path, targets: Tensor, predictions: Tensor, confidences: Tensor) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "target", "prediction", "confidence"])
        columns = (targets.tolist(), predictions.tolist(), confidences.tolist())
        writer.writerows([row, *values] for row, values in enumerate(zip(*columns, strict=True)))
