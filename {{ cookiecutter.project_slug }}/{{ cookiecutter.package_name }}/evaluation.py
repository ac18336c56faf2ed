"""The best weights of a run on one split of its data."""

import csv
import logging
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from .build import build
from .checkpoint import load_weights
from .loader import Batches

log = logging.getLogger(__name__)


def evaluate_run(folder: Path, split: str) -> dict[str, float]:
    """Loss and accuracy of the run's best weights; ``predictions.csv`` in its folder has every row.

    Raises: ValueError: the data that the run was trained on cannot be had any more.
    """
    config = OmegaConf.load(folder / "config.yaml")
    assert isinstance(config, DictConfig)
    data, classifier = build(config)
    load_weights(classifier, folder / "checkpoints" / "best.ckpt")
    rows = getattr(data, split)
    logits = logits_of(classifier.network, Batches(rows, config.data.batch_size))
    confidences, predictions = logits.softmax(dim=-1).max(dim=-1)
    write_predictions(folder / "predictions.csv", rows.y, predictions, confidences)
    metrics = {
        f"{split}/loss": cross_entropy(logits, rows.y).item(),
        f"{split}/accuracy": (predictions == rows.y).double().mean().item(),
    }
    log.info(f"{split} rows   {len(rows.y)}")
    log.info(f"loss       {metrics[f'{split}/loss']:.4f}")
    log.info(f"accuracy   {metrics[f'{split}/accuracy']:.1%}")
    log.info(f"every row  {folder / 'predictions.csv'}")
    return metrics


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
