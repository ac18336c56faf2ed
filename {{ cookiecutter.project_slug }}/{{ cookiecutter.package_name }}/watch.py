"""A callback that measures chosen steps of any training; what comes of it is for those built on it."""

from math import isfinite
from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch.amp import GradScaler
from torch.optim import Optimizer

from .signals import Numbers, Signals


class Watch(Callback):
    """Measure each step that is ``chosen``, and hand on the numbers as soon as it is over.

    A step is one in which an optimizer steps, however many batches are accumulated for it and however many optimizers
    there are. With ``16-mixed``, steps that overflow are left out by the scaler of the gradients, and here as well.
    """

    signals: Signals
    step = 0
    measuring = stepped = False

    def chosen(self, step: int) -> bool:
        raise NotImplementedError

    def measured(self, trainer: Trainer, step: int, numbers: Numbers, norm: float) -> None:
        raise NotImplementedError

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.signals = Signals(pl_module)
        self.step = trainer.global_step // max(1, len(trainer.optimizers))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if not self.measuring and self.chosen(self.step):
            self.measuring = True
            self.signals.begin()

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        self.stepped = True
        if self.measuring:
            fused = getattr(optimizer, "_step_supports_amp_scaling", False)  # only its step itself will unscale
            scaler = scaler_of(trainer)
            self.signals.before_step(optimizer, scaler.get_scale() if scaler and fused else 1.0)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not self.stepped:  # gradients are being accumulated
            return
        if self.measuring:
            numbers, norm = self.signals.end()
            if isfinite(norm) or scaler_of(trainer) is None:
                self.measured(trainer, self.step, numbers, norm)
        self.measuring = self.stepped = False
        self.step += 1


def scaler_of(trainer: Trainer) -> GradScaler | None:
    return getattr(trainer.precision_plugin, "scaler", None)
