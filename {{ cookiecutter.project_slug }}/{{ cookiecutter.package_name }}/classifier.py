"""The training step, the same for every network: cross-entropy, penalty, clipping, and the means of an epoch."""

import logging
from collections.abc import Callable
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_value_, get_total_norm
from torch.optim import Optimizer

from .data import Rows
from .weight_decay import WeightDecay, split

log = logging.getLogger(__name__)


class Tally:
    """Sums over the rows of an epoch, kept as tensors: nothing waits for the device before the epoch ends."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.loss = self.right = torch.zeros(())
        self.rows = 0

    def add(self, loss: Tensor, logits: Tensor, y: Tensor) -> None:
        self.loss = self.loss + loss.detach() * len(y)
        self.right = self.right + (logits.detach().argmax(dim=-1) == y).sum()
        self.rows += len(y)

    def state_dict(self) -> dict[str, Any]:
        return {"loss": self.loss.cpu(), "right": self.right.cpu(), "rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.loss, self.right, self.rows = state["loss"], state["right"], state["rows"]

    def means(self) -> tuple[float, float]:
        """Mean loss and accuracy over the rows of all processes since the last call."""
        sums = torch.stack([self.loss, self.right, torch.full_like(self.loss, self.rows)])
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(sums)
        self.clear()
        loss, right, rows = sums.tolist()
        return loss / rows, right / rows


class Classifier(lightning.LightningModule):
    """Train ``network``, from rows to logits, by cross-entropy.

    ``optimizer`` is called with the parameter groups, ``scheduler`` with the optimizer and the number of steps to come.
    After each step ``gradient_norm`` is the length of the whole gradient before clipping.
    """

    gradient_norm: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        optimizer: Callable[[list[dict[str, Any]]], Optimizer],
        scheduler: Callable[[Optimizer, int], dict[str, Any] | None],
        weight_decay: WeightDecay,
    ) -> None:
        super().__init__()
        self.network = network
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.weight_decay = weight_decay
        self.weights, self.others = split(network)
        self.tallies = {"train": Tally(), "val": Tally(), "test": Tally()}

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_current_fx_name":  # Lightning says so fifty times a step; torch would look for parameters in it
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def training_step(self, batch: Rows, batch_index: int) -> Tensor:
        loss = self.loss(batch, "train")
        if self.weight_decay.penalty is not None:
            loss = loss + self.weight_decay.penalty(self.weights, len(batch.y))
        return loss

    def validation_step(self, batch: Rows, batch_index: int) -> None:
        self.loss(batch, "val")

    def test_step(self, batch: Rows, batch_index: int) -> None:
        self.loss(batch, "test")

    def loss(self, batch: Rows, name: str) -> Tensor:
        """Mean cross-entropy of the batch, without a penalty; counted for the means of the epoch."""
        logits = self.network(batch.x)
        loss = cross_entropy(logits, batch.y)
        self.tallies[name].add(loss, logits, batch.y)
        return loss

    def configure_optimizers(self) -> Any:
        groups = [
            {"params": self.weights, "weight_decay": self.weight_decay.shrinkage},
            {"params": self.others, "weight_decay": 0.0},
        ]
        optimizer = self.optimizer([group for group in groups if group["params"]])
        scheduler = self.scheduler(optimizer, int(self.trainer.estimated_stepping_batches))
        if scheduler is None:
            return optimizer
        if "monitor" in scheduler:  # there is nothing to see in epochs without validation
            scheduler["frequency"] = self.trainer.check_val_every_n_epoch
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Shorten the whole gradient to ``gradient_clip_val`` where it is longer, and keep how long it was.

        Source: Pascanu, Mikolov and Bengio 2013, arXiv:1211.5063, algorithm 1.
        """
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        gradients = [p.grad for p in parameters]
        self.gradient_norm = get_total_norm(gradients)
        if gradient_clip_val is None:
            return
        if gradient_clip_algorithm == "value":
            clip_grad_value_(parameters, gradient_clip_val)
        else:  # not clip_grad_norm_, which divides by the norm plus a millionth
            torch._foreach_mul_(gradients, (gradient_clip_val / self.gradient_norm).clamp(max=1.0))

    def on_fit_start(self) -> None:
        count, of_others = sum(p.numel() for p in self.weights), sum(p.numel() for p in self.others)
        log.info(f"parameters: {count:,} weights that may decay, {of_others:,} biases and scales that never do")

    def on_train_epoch_end(self) -> None:
        self.log_means("train")

    def on_validation_epoch_end(self) -> None:
        self.log_means("val")

    def on_test_epoch_end(self) -> None:
        self.log_means("test")

    def log_means(self, name: str) -> None:
        loss, accuracy = self.tallies[name].means()
        self.log_dict({f"{name}/loss": loss, f"{name}/accuracy": accuracy}, sync_dist=True)
