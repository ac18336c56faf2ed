"""What W&B shows beside curves: histograms of weights and the samples that are predicted worst."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor

from ..loggers.wandb import STEP, safe_wandb_loggers
from ..outputs import kind_of, losses_of, names_of, targets_and_predictions
from ..rng import preserved_random_states

if TYPE_CHECKING:
    from pandas import DataFrame

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
            table = worst_predictions(pl_module, batch, trainer.datamodule)  # type: ignore[attr-defined]
            if table is not None:
                media["worst predictions"] = wandb.Table(dataframe=table)
        for logger in loggers:
            logger.log_objects({**media, STEP: trainer.global_step - 1})


def histogram(values: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Counts in 32 equal ranges and the ranges' borders; of a very large tensor, evenly spaced values are counted."""
    sample = values.flatten()[:: 1 + values.numel() // LARGEST_SAMPLE].float().cpu()
    finite = sample[sample.isfinite()]
    counts, borders = torch.histogram(finite if len(finite) else torch.zeros(1), bins=BINS)
    return counts.numpy(), borders.numpy()


@torch.no_grad()
def worst_predictions(module: LightningModule, batch: Any, data: Any = None) -> "DataFrame | None":
    """The samples with the largest loss, or of numbers error; None if this cannot be.

    ``data`` may have ``target_names``.
    """
    if not (isinstance(batch, tuple | list) and len(batch) == 2 and all(isinstance(part, Tensor) for part in batch)):
        return None
    x, y = batch
    if x.ndim < 1 or y.ndim < 1 or len(x) != len(y):
        return None
    try:
        with preserved_random_states():
            outputs = module(x)
    except (NotImplementedError, TypeError, RuntimeError):  # no forward, or one that takes something else
        return None
    if not isinstance(outputs, Tensor) or (kind := kind_of(outputs, y)) is None:
        return None
    outputs = outputs.float()  # tables hold no bfloat16
    y = y.float() if kind == "numbers" else y
    losses = losses_of(kind, outputs, y)
    chosen = losses.argsort(descending=True)[:WORST]
    inputs = [" ".join(f"{value:.2f}" for value in sample.flatten()[:SHOWN_INPUTS].tolist()) for sample in x[chosen]]
    table = targets_and_predictions(outputs[chosen].cpu(), y[chosen].cpu(), names_of(data, outputs.shape[1]))
    table["error" if kind == "numbers" else "loss"] = losses[chosen].tolist()
    table["input"] = inputs
    return table
