"""Statistics of every run: gradient norms, clipping, learning rate and speed."""

from array import array
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer


class TrainingStats(Callback):
    """Record the gradient norm of every step; log norms, clipped fraction, learning rate and samples per second.

    Norms are copied from the device every ``log_every_n_steps`` steps, all at once. Validation does not count as time.
    """

    def __init__(self) -> None:
        self.norms = array("f")
        self.pending: list[Tensor] = []  # norms that are still on the device
        self.latest: tuple[int, Tensor] | None = None  # the optimizer it belongs to, and the norm
        self.known: Tensor | None = None  # the norm of the step that a graph has just done
        self.logged_steps = 0
        self.samples = 0
        self.seconds = 0.0
        self.since = perf_counter()
        self.epoch_start = (0, 0, 0.0)  # norms, samples and seconds at the start of the epoch

    def state_dict(self) -> dict[str, Any]:
        self.fetch_norms()
        return {
            "norms": torch.from_numpy(np.array(self.norms)),
            "logged_steps": self.logged_steps,
            "samples": self.samples,
            "seconds": self.seconds + perf_counter() - self.since,
            "epoch_start": self.epoch_start,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.norms = array("f", state_dict["norms"].numpy().tobytes())
        self.logged_steps, self.samples = state_dict["logged_steps"], state_dict["samples"]
        self.seconds, self.epoch_start = state_dict["seconds"], state_dict["epoch_start"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.since = perf_counter()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.epoch_start = (len(self.norms) + len(self.pending), self.samples, self.seconds)
        self.since = perf_counter()

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        norm, self.known = norm_of_gradient(optimizer) if self.known is None else self.known, None
        self.latest = (id(optimizer), norm)
        self.pending.append(norm)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.samples += batch_size_of(batch)
        self.latest = None
        steps = trainer.global_step
        if steps // trainer.log_every_n_steps > self.logged_steps // trainer.log_every_n_steps:  # type: ignore[attr-defined]
            self.logged_steps = steps
            self.fetch_norms()
            if self.norms:
                log_to_all(trainer, {"gradient/norm": self.norms[-1]}, steps - 1)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self.seconds += perf_counter() - self.since

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.since = perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.fetch_norms()
        self.seconds, self.since = self.seconds + perf_counter() - self.since, perf_counter()
        norms, samples, seconds = self.epoch_start
        values = {"gradient/clipped_fraction": clipped_fraction(self.norms[norms:], trainer.gradient_clip_val)}
        if trainer.optimizers:
            values["learning_rate"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        values["throughput/samples_per_second"] = (self.samples - samples) / max(self.seconds - seconds, 1e-9)
        log_to_all(trainer, values, trainer.global_step - 1)

    def fetch_norms(self) -> None:
        if self.pending:
            self.norms.extend(torch.stack(self.pending).tolist())
            self.pending.clear()

    def summary(self, trainer: Trainer) -> dict[str, Any]:
        """What ``summary.json`` says of the gradient and the speed; null before the first step."""
        self.fetch_norms()
        speed = self.samples / self.seconds if self.seconds else None
        return {"samples_per_second": speed, "gradient": gradient_summary(self.norms, trainer.gradient_clip_val)}


def log_to_all(trainer: Trainer, metrics: dict[str, float], step: int) -> None:
    for logger in trainer.loggers:
        logger.log_metrics({**metrics, "epoch": trainer.current_epoch}, step=step)


def gradient_summary(norms: array, clip_val: float | None) -> dict[str, float] | None:
    """Median, 90th percentile and maximum of the finite norms, and the share of steps that were clipped."""
    values = np.array(norms)
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    median, p90, largest = np.quantile(finite, [0.5, 0.9, 1.0]).tolist()
    return {"median": median, "p90": p90, "max": largest, "clipped_fraction": clipped_fraction(norms, clip_val)}


def clipped_fraction(norms: array, clip_val: float | int | None) -> float:
    """Share of steps whose gradient was longer than ``clip_val``."""
    return float(np.mean(np.array(norms) > clip_val)) if clip_val is not None and len(norms) else 0.0


def gradient_norm(trainer: Trainer, optimizer: Optimizer) -> Tensor:
    """Norm of the whole gradient that ``optimizer`` is about to apply, before clipping.

    For ``configure_gradient_clipping``: what ``TrainingStats`` has measured in this step is not computed again.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, TrainingStats) and callback.latest and callback.latest[0] == id(optimizer):
            return callback.latest[1]
    return norm_of_gradient(optimizer)


def norm_of_gradient(optimizer: Optimizer) -> Tensor:
    return get_total_norm([p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None])


def batch_size_of(batch: Any) -> int:
    """The length of the first tensor in a batch; 0 if there is none."""
    return next((len(tensor) for tensor in tensors_in(batch) if tensor.ndim and len(tensor)), 0)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor in a batch or in the output of a module, be it a tensor or a nested tuple, list or dict."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | tuple | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(part)
