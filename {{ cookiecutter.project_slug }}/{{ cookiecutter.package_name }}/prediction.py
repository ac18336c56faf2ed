"""Predictions for new rows, of any number: they are read, predicted and written a chunk at a time."""

import csv
import logging
from pathlib import Path

import torch

from . import new_rows
from .loading import load_run

log = logging.getLogger(__name__)


@torch.no_grad()
def predict_file(folder: Path, source: Path, target: Path) -> None:
    """Write for every row of ``source`` the likeliest class and each class's probability; the file comes whole or not.

    Rows are prepared as the training's were: standardised, if they were, by the mean and deviation of its train rows.

    Raises: ValueError: the file does not fit the run, or would be overwritten.
    """
    if source.resolve() == target.resolve():
        raise ValueError(f"output must be another file than input, got {target} for both")
    run = load_run(folder)
    unfinished = target.with_name(f"{target.name}.unfinished")
    row = 0
    try:
        with unfinished.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            classes = [f"probability_{number}" for number in range(run.data.num_classes)]
            writer.writerow(["row", "prediction", "confidence", *classes])
            for x in new_rows.chunks(source, run.data.in_shape):
                probabilities = run.network(run.data.prepared(x)).softmax(dim=-1)
                sure, said = (found.tolist() for found in probabilities.max(dim=-1))
                lines = zip(said, sure, probabilities.tolist(), strict=True)
                writer.writerows([row + at, one, by, *all] for at, (one, by, all) in enumerate(lines))
                row += len(x)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    log.info(f"{row} rows predicted: {target}")
