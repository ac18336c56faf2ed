"""The progress of a whole training: one bar in a terminal, elsewhere a line an epoch."""

import logging
import sys
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm

log = logging.getLogger(__name__)

SHOWN = 3  # metrics


class Progress(ProgressBar):
    """Show the epoch, the step and the validation metrics.

    In a terminal, one bar runs over all steps. Without one, such as in a log file, each epoch is a line.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bar = tqdm(disable=True)
        self.enabled = True

    def disable(self) -> None:
        self.enabled = False

    def enable(self) -> None:
        self.enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        steps = trainer.num_training_batches * (trainer.max_epochs or 0)
        self.bar = tqdm(
            total=int(steps) if 0 < steps < float("inf") else None,
            initial=trainer.fit_loop.epoch_loop.total_batch_idx + 1,
            unit=" steps",
            leave=False,
            dynamic_ncols=True,
            disable=not self.enabled or not sys.stderr.isatty(),
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.bar.update()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.bar.set_description(f"epoch {trainer.current_epoch}", refresh=False)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        metrics = {name: f"{value:.3f}" for name, value in validation_metrics(trainer).items()}
        self.bar.set_postfix(metrics, refresh=False)
        if self.enabled and self.bar.disable:
            line = "  ".join(f"{name} {value}" for name, value in metrics.items())
            log.info(f"epoch {trainer.current_epoch:3}  step {trainer.global_step:6}  {line}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.bar.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.bar.close()


def validation_metrics(trainer: Trainer) -> dict[str, float]:
    """The first few of the validation metrics that were logged last, the loss first."""
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
    names = sorted(metrics, key=lambda name: name != "val/loss")[:SHOWN]
    return {name: metrics[name] for name in names}
