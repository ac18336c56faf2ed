"""What W&B can show beside curves: histograms of weights and gradients, and the rows that are predicted worst."""

from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn.functional import cross_entropy

from .data import Rows
from .signals import layers_of, weights_of
from .tracking import harmless

WORST = 8
BINS = 32


class Showcase(Callback):
    """Show W&B, after every ``every_n_validations``th validation, the weights and the worst of a batch of rows.

    Without a W&B logger nothing is done.
    """

    def __init__(self, *, every_n_validations: int) -> None:
        self.every_n_validations = every_n_validations
        self.validations = 0
        self.rows: Rows | None = None

    def state_dict(self) -> dict[str, Any]:
        return {"validations": self.validations}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.validations = state["validations"]

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *args: Any
    ) -> None:
        if batch_idx == 0:
            self.rows = batch

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self.validations += 1
        loggers = harmless(trainer)
        if not loggers or (self.validations - 1) % self.every_n_validations or self.rows is None:
            return
        import wandb

        shown: dict[str, Any] = {
            f"weights/{name}": wandb.Histogram(np_histogram=histogram(weights_of(layer)[0].detach()))
            for name, layer in layers_of(pl_module).items()
        }
        shown["worst predictions"] = wandb.Table(
            columns=["target", "prediction", "confidence", "loss", "input"], data=worst(pl_module, self.rows)
        )
        for logger in loggers:
            logger.show({**shown, "trainer/global_step": trainer.global_step - 1})


def histogram(values: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """How many there are in each of some equal ranges, and the ranges' borders."""
    finite = values[values.isfinite()].float().flatten().cpu()
    counts, borders = torch.histogram(finite if len(finite) else torch.zeros(1), bins=BINS)
    return counts.numpy(), borders.numpy()


@torch.no_grad()
def worst(module: LightningModule, rows: Rows) -> list[list[Any]]:
    """The rows with the largest loss, the worst first, with what was predicted for them."""
    logits = module(rows.x).float()
    losses = cross_entropy(logits, rows.y, reduction="none")
    confidences, predictions = logits.softmax(dim=-1).max(dim=-1)
    chosen = losses.argsort(descending=True)[:WORST]
    columns = [each[chosen].tolist() for each in (rows.y, predictions, confidences, losses)]
    inputs = [" ".join(f"{value:.2f}" for value in x.flatten()[:40].tolist()) for x in rows.x[chosen]]
    return [list(row) for row in zip(*columns, inputs, strict=True)]
