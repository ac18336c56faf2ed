"""A callback that measures chosen steps of a training; its subclasses use the numbers."""

from math import isfinite
from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch.amp import GradScaler
from torch.optim import Optimizer

from .layer_statistics import LayerStatistics, Numbers


class Probe(Callback):
    """Measure every ``chosen`` step and call ``measured`` with the numbers when the step ends.

    A step is a batch after which some optimizer stepped, however many batches are accumulated and however many
    optimizers there are. Steps that overflow under ``16-mixed`` are skipped by the gradient scaler, and here as well.
    """

    statistics: LayerStatistics
    step = 0
    measuring = stepped = False

    def chosen(self, step: int) -> bool:
        raise NotImplementedError

    def measured(self, trainer: Trainer, step: int, numbers: Numbers, norm: float) -> None:
        raise NotImplementedError

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.statistics = LayerStatistics(pl_module)
        if self.step == 0:  # else a checkpoint has restored it
            self.step = trainer.global_step // max(1, len(trainer.optimizers))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if not self.measuring and self.chosen(self.step):
            self.measuring = True
            self.statistics.begin()

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        self.stepped = True
        if self.measuring:
            fused = optimizer.param_groups[0].get("fused")  # it unscales inside its own step
            scaler = scaler_of(trainer)
            self.statistics.before_step(optimizer, scaler.get_scale() if scaler and fused else 1.0)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not self.stepped:  # gradients are being accumulated
            return
        if self.measuring:
            numbers, norm = self.statistics.end()
            if isfinite(norm) or scaler_of(trainer) is None:
                self.measured(trainer, self.step, numbers, norm)
        self.measuring = self.stepped = False
        self.step += 1


def scaler_of(trainer: Trainer) -> GradScaler | None:
    return getattr(trainer.precision_plugin, "scaler", None)
