"""A loss or gradient that is not finite ends the run before it can spoil a checkpoint."""

from math import isfinite
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from .failure import Failed
from .findings import Finding

REMEDIES = ["trainer.gradient_clip_val=1.0", "optimizer.lr=0.0001", "initialisation=zero_residual"]


class Finite(Callback):
    """End a run as failed at the first loss, or the first gradient, that is not finite, and say where it came from.

    Looks at every step on a processor; on a GPU, where looking means waiting, every ``log_every_n_steps`` steps and at
    the end of an epoch.
    """

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.batch = batch

    def on_before_backward(self, trainer: Trainer, pl_module: Any, loss: Tensor) -> None:
        # Of several processes one alone must not stop; they share the gradient.
        if trainer.world_size == 1 and looks(trainer, loss) and not isfinite(loss.item()):
            end(trainer, "loss", first_not_finite(pl_module.network, self.batch.x))

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        norm = getattr(pl_module, "gradient_norm", None)  # none before the first step, with accumulated gradients
        # With 16-mixed, steps that overflow are left out and the next ones are scaled down.
        if norm is not None and trainer.precision != "16-mixed" and looks(trainer, norm) and not isfinite(norm.item()):
            end(trainer, "gradient", None)


def looks(trainer: Trainer, tensor: Tensor) -> bool:
    due = trainer.global_step % trainer.log_every_n_steps == 0  # type: ignore[attr-defined]
    return tensor.device.type == "cpu" or due or trainer.is_last_batch


def end(trainer: Trainer, what: str, layer: str | None) -> None:
    """Raises: Failed: always."""
    where = f", first in {layer}" if layer else ""
    evidence = f"the {what} is not finite at step {trainer.global_step}, epoch {trainer.current_epoch}{where}"
    raise Failed(evidence, Finding("non_finite", "error", layer or what, evidence, REMEDIES))


@torch.no_grad()
def first_not_finite(network: nn.Module, x: Tensor) -> str | None:
    """The innermost module whose output is the first that is not finite, in the order of computation."""
    if not x.isfinite().all():
        return "the data"
    found: list[str] = []

    def watch(name: str) -> Any:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            if isinstance(output, Tensor) and not output.isfinite().all():
                found.append(f"{name} ({type(module).__name__})")

        return hook

    hooks = [module.register_forward_hook(watch(name)) for name, module in network.named_modules() if name]
    network(x)
    for handle in hooks:
        handle.remove()
    return found[0] if found else None
