"""What W&B shows beside curves: histograms of weights and the samples that are predicted worst."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor

from ..loggers.wandb import STEP, safe_wandb_loggers
from ..outputs import kind_of, losses_of
from ..rng import preserved_random_states

WORST = 8
BINS = 32
LARGEST_SAMPLE = 1_000_000  # of the values in a histogram
SHOWN_INPUTS = 40


class WandbMedia(Callback):
    """Log media to W&B after every ``every_n_validations``-th validation, beginning with the first.

    Of every parameter with at least two dimensions a histogram; of the first validation batch a table of the samples
    with the largest loss, if it is a pair (x, y), the module turns x into outputs, and ``outputs.kind_of`` knows what
    these mean. Without a W&B logger this callback does nothing.

    Raises: ValueError: every_n_validations is below 1.
    """

    def __init__(self, *, every_n_validations: int) -> None:
        if every_n_validations < 1:
            raise ValueError(f"every_n_validations must be at least 1, got {every_n_validations}")
        self.every_n_validations = every_n_validations
        self.validations = 0
        self.batch: Any = None

    def state_dict(self) -> dict[str, Any]:
        return {"validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.validations = state_dict["validations"]

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if batch_idx == dataloader_idx == 0:
            self.batch = batch

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        batch, self.batch = self.batch, None
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self.validations += 1
        loggers = [logger for logger in safe_wandb_loggers(trainer) if logger.works]
        if not loggers or (self.validations - 1) % self.every_n_validations:
            return
        import wandb

        media: dict[str, Any] = {
            f"weights/{name.removesuffix('.weight')}": wandb.Histogram(np_histogram=histogram(parameter.detach()))
            for name, parameter in pl_module.named_parameters()
            if parameter.ndim >= 2
        }
        if isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy):  # others call all processes together
            data = trainer.datamodule  # type: ignore[attr-defined]
            columns = worst_predictions(pl_module, batch, getattr(data, "target_names", None))
            if columns:
                rows = [list(row) for row in zip(*columns.values(), strict=True)]
                media["worst predictions"] = wandb.Table(columns=list(columns), data=rows)
        for logger in loggers:
            logger.log_objects({**media, STEP: trainer.global_step - 1})


def histogram(values: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Counts in 32 equal ranges and the ranges' borders; of a very large tensor, evenly spaced values are counted."""
    sample = values.flatten()[:: 1 + values.numel() // LARGEST_SAMPLE].float().cpu()
    finite = sample[sample.isfinite()]
    counts, borders = torch.histogram(finite if len(finite) else torch.zeros(1), bins=BINS)
    return counts.numpy(), borders.numpy()


@torch.no_grad()
def worst_predictions(module: LightningModule, batch: Any, names: Sequence[str] | None = None) -> dict[str, list[Any]]:
    """Columns of a table of the samples with the largest loss, or of numbers error; empty if this cannot be.

    ``names`` are those of classes, numbers or labels.
    """
    if not (isinstance(batch, tuple | list) and len(batch) == 2 and all(isinstance(part, Tensor) for part in batch)):
        return {}
    x, y = batch
    if x.ndim < 1 or y.ndim < 1 or len(x) != len(y):
        return {}
    try:
        with preserved_random_states():
            outputs = module(x)
    except (NotImplementedError, TypeError, RuntimeError):  # no forward, or one that takes something else
        return {}
    if not isinstance(outputs, Tensor) or (kind := kind_of(outputs, y)) is None:
        return {}
    losses = losses_of(kind, outputs.float(), y)
    chosen = losses.argsort(descending=True)[:WORST]
    table = COLUMNS[kind](outputs[chosen].float(), y[chosen], names)
    inputs = [" ".join(f"{value:.2f}" for value in sample.flatten()[:SHOWN_INPUTS].tolist()) for sample in x[chosen]]
    return {**table, "error" if kind == "numbers" else "loss": losses[chosen].tolist(), "input": inputs}


def of_classes(outputs: Tensor, y: Tensor, names: Sequence[str] | None) -> dict[str, list[Any]]:
    confidences, predictions = outputs.softmax(dim=-1).max(dim=-1)
    target, prediction = (values.tolist() for values in (y, predictions))
    if names is not None:
        target, prediction = ([names[place] for place in places] for places in (target, prediction))
    return {"target": target, "prediction": prediction, "confidence": confidences.tolist()}


def of_numbers(outputs: Tensor, y: Tensor, names: Sequence[str] | None) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for place in range(y.shape[1]):
        name = "" if y.shape[1] == 1 else f" {place if names is None else names[place]}"
        columns |= {f"target{name}": y[:, place].tolist(), f"prediction{name}": outputs[:, place].tolist()}
    return columns


def of_labels(outputs: Tensor, y: Tensor, names: Sequence[str] | None) -> dict[str, list[Any]]:
    def named(given: Tensor) -> list[str]:
        places = [row.nonzero().flatten().tolist() for row in given]
        return [", ".join(str(place) if names is None else names[place] for place in row) for row in places]

    return {"target": named(y), "prediction": named(outputs > 0)}


COLUMNS = {"classes": of_classes, "numbers": of_numbers, "labels": of_labels}
