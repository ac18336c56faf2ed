"""What every run measures of itself: gradients, clipping, learning rate and speed."""

from array import array
from math import isfinite
from time import perf_counter
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor


class Measurement(Callback):
    """Keep the norm of every step's gradient; log norms, clipped fraction, learning rate and samples a second.

    Norms are fetched from the device every ``log_every_n_steps`` steps, all at once. Validation does not count as time.
    """

    def __init__(self) -> None:
        self.norms = array("f")
        self.waiting: list[Tensor] = []
        self.steps = 0
        self.rows = 0
        self.seconds = 0.0
        self.since = perf_counter()
        self.before = (0, 0, 0.0)  # norms, rows and seconds when the epoch began

    def state_dict(self) -> dict[str, Any]:
        self.fetch_norms()
        return {
            "norms": torch.from_numpy(np.array(self.norms)),
            "steps": self.steps,
            "rows": self.rows,
            "seconds": self.seconds + perf_counter() - self.since,
            "before": self.before,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.norms = array("f", state["norms"].tolist())
        self.steps, self.rows, self.seconds = state["steps"], state["rows"], state["seconds"]
        self.before = state["before"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.since = perf_counter()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.before = (len(self.norms), self.rows, self.seconds)
        self.since = perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.rows += len(batch.y)
        if trainer.global_step == self.steps:  # gradients are being accumulated
            return
        self.steps = trainer.global_step
        self.waiting.append(pl_module.gradient_norm)  # type: ignore[arg-type]
        if self.steps % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self.fetch_norms()
            self.tell_loggers(trainer, {"gradient/norm": self.norms[-1]})

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self.seconds += perf_counter() - self.since

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.since = perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.fetch_norms()
        self.seconds, self.since = self.seconds + perf_counter() - self.since, perf_counter()
        norms_before, rows_before, seconds_before = self.before
        self.tell_loggers(
            trainer,
            {
                "gradient/clipped_fraction": clipped_fraction(self.norms[norms_before:], trainer.gradient_clip_val),
                "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
                "throughput/samples_per_second": (self.rows - rows_before) / (self.seconds - seconds_before),
            },
        )

    def tell_loggers(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        for logger in trainer.loggers:
            logger.log_metrics({**metrics, "epoch": trainer.current_epoch}, step=trainer.global_step - 1)

    def fetch_norms(self) -> None:
        if self.waiting:
            self.norms.extend(torch.stack(self.waiting).tolist())
            self.waiting.clear()

    def gradient(self, clip_val: float | None) -> dict[str, float] | None:
        """The norms of the whole run in a few numbers, as far as they are finite; None before the first step."""
        finite = [norm for norm in self.norms if isfinite(norm)]
        if not finite:
            return None
        median, p90, largest = torch.tensor(finite).quantile(torch.tensor([0.5, 0.9, 1.0])).tolist()
        clipped = clipped_fraction(self.norms, clip_val)
        return {"median": median, "p90": p90, "max": largest, "clipped_fraction": clipped}

    def samples_per_second(self) -> float | None:
        return self.rows / self.seconds if self.seconds else None


def clipped_fraction(norms: array, clip_val: float | None) -> float:
    """Share of steps whose gradient was longer than ``clip_val`` and so was shortened."""
    return sum(norm > clip_val for norm in norms) / len(norms) if clip_val is not None and len(norms) else 0.0
