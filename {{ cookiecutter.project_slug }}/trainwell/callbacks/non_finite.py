"""Stop at a loss or gradient that is not finite, before it can spoil a checkpoint."""

from functools import partial
from math import isfinite
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import RunFailed
from ..findings import Finding
from .training_stats import gradient_norm, tensors_in

USUAL_RATE = 0.01  # learning rates above it are the likeliest cause


class StopOnNonFinite(Callback):
    """End a run as failed at the first loss or gradient that is not finite, and say where it came from.

    On a processor every step is checked; on a GPU, where each check waits for the device, every ``log_every_n_steps``
    steps and at the end of an epoch.
    """

    norm: Tensor | None = None  # of the gradient of this step; none while gradients are accumulated

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.batch, self.batch_idx = batch, batch_idx

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        # One of several processes must not stop alone; they share the gradient.
        if trainer.world_size == 1 and is_checked(trainer, loss) and not isfinite(loss.item()):
            stop(trainer, "loss", first_non_finite(pl_module, self.batch, self.batch_idx))

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        self.norm = gradient_norm(trainer, optimizer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        norm, self.norm = self.norm, None
        # With 16-mixed, the scaler skips steps that overflow and lowers the scale.
        skips = trainer.precision == "16-mixed"
        if norm is not None and not skips and is_checked(trainer, norm) and not isfinite(norm.item()):
            stop(trainer, "gradient", None)


def is_checked(trainer: Trainer, tensor: Tensor) -> bool:
    due = trainer.global_step % trainer.log_every_n_steps == 0  # type: ignore[attr-defined]
    return tensor.device.type == "cpu" or due or trainer.is_last_batch


def stop(trainer: Trainer, what: str, origin: str | None) -> None:
    """Raises: RunFailed: always."""
    where = f", first in {origin}" if origin else ""
    evidence = f"the {what} is not finite at step {trainer.global_step}, epoch {trainer.current_epoch}{where}"
    raise RunFailed(evidence, Finding("non_finite", "error", origin or what, evidence, remedies(trainer)))


def remedies(trainer: Trainer) -> list[str]:
    """The likeliest first; clipping only where it is not as strict already."""
    groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
    rate = max((float(group.get("initial_lr", group.get("lr", 0.0))) for group in groups), default=0.0)
    lower = [f"optimizer.lr={min(rate, USUAL_RATE) / 10:g}"] if rate > 0 else []
    clipped = trainer.gradient_clip_val is not None and trainer.gradient_clip_val <= 1
    clipping = [] if clipped else ["trainer.gradient_clip_val=1.0"]
    first, second = (lower, clipping) if rate > USUAL_RATE else (clipping, lower)
    return [*first, *second, "initialisation=zero_residual"]


def first_non_finite(module: LightningModule, batch: Any, batch_idx: int) -> str | None:
    """The innermost module with the first output that is not finite, found by running the training step once more."""
    if not all(bool(tensor.isfinite().all()) for tensor in tensors_in(batch) if tensor.is_floating_point()):
        return "the data"
    if not module.automatic_optimization:  # its training step would step the optimizers
        return None
    found: list[str] = []

    def note(name: str, part: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, Tensor) and not output.isfinite().all():
            found.append(f"{name.removeprefix('network.')} ({type(part).__name__})")

    hooks = [part.register_forward_hook(partial(note, name)) for name, part in module.named_modules() if name]
    with torch.no_grad():
        module.training_step(batch, batch_idx)
    for handle in hooks:
        handle.remove()
    return found[0] if found else None
