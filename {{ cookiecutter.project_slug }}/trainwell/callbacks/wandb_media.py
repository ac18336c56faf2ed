"""What W&B shows beside curves: histograms of weights and the samples that are predicted worst."""

from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..loggers.wandb import STEP, safe_wandb_loggers
from ..rng import preserved_random_states

WORST = 8
BINS = 32
LARGEST_SAMPLE = 1_000_000  # of the values in a histogram
SHOWN_INPUTS = 40


class WandbMedia(Callback):
    """Log media to W&B after every ``every_n_validations``-th validation, beginning with the first.

    Of every parameter with at least two dimensions a histogram; of the first validation batch a table of the samples
    with the largest loss, if the task is a classification: a batch (x, y) with one class index for each sample, and a
    module that turns x into logits. Without a W&B logger this callback does nothing.

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
            rows = worst_predictions(pl_module, batch)
            if rows:
                columns: list[str | int] = ["target", "prediction", "confidence", "loss", "input"]
                media["worst predictions"] = wandb.Table(columns=columns, data=rows)
        for logger in loggers:
            logger.log_objects({**media, STEP: trainer.global_step - 1})


def histogram(values: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Counts in 32 equal ranges and the ranges' borders; of a very large tensor, evenly spaced values are counted."""
    sample = values.flatten()[:: 1 + values.numel() // LARGEST_SAMPLE].float().cpu()
    finite = sample[sample.isfinite()]
    counts, borders = torch.histogram(finite if len(finite) else torch.zeros(1), bins=BINS)
    return counts.numpy(), borders.numpy()


@torch.no_grad()
def worst_predictions(module: LightningModule, batch: Any) -> list[list[Any]]:
    """Target, prediction, confidence, loss and input of the samples with the largest loss; empty if this cannot be."""
    if not is_classification_batch(batch):
        return []
    x, y = batch
    try:
        with preserved_random_states():
            logits = module(x)
    except (NotImplementedError, TypeError, RuntimeError):  # no forward, or one that takes something else
        return []
    if not (isinstance(logits, Tensor) and logits.ndim == 2 and len(logits) == len(y) and logits.shape[1] > y.max()):
        return []
    losses = cross_entropy(logits.float(), y, reduction="none")
    confidences, predictions = logits.float().softmax(dim=-1).max(dim=-1)
    chosen = losses.argsort(descending=True)[:WORST]
    columns = [values[chosen].tolist() for values in (y, predictions, confidences, losses)]
    inputs = [" ".join(f"{value:.2f}" for value in sample.flatten()[:SHOWN_INPUTS].tolist()) for sample in x[chosen]]
    return [list(row) for row in zip(*columns, inputs, strict=True)]


def is_classification_batch(batch: Any) -> bool:
    if not (isinstance(batch, tuple | list) and len(batch) == 2 and all(isinstance(part, Tensor) for part in batch)):
        return False
    x, y = batch
    return y.dtype == torch.int64 and y.ndim == 1 and x.ndim >= 1 and len(x) == len(y) > 0 and bool(y.min() >= 0)
