"""The progress of a whole training: a few lines in a terminal that are kept up to date, elsewhere a line an epoch."""

import logging
import shutil
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar
from tqdm import tqdm

from ..console import quiet_terminal, terminal_is_quiet
from ..metrics import VALIDATION

log = logging.getLogger(__name__)

SHOWN = 3  # metrics
SECONDS = 0.5  # between two updates of the terminal; the loss is read no more often, for a GPU would wait for it
BAR = "{desc}{bar} {percentage:3.0f}%  step {n_fmt}/{total_fmt}  {remaining} left  {rate_fmt}"
ENDLESS = "{desc} step {n_fmt}  {elapsed}  {rate_fmt}"


class Progress(ProgressBar):
    """Show the epoch, the steps, the time left, the speed, and the losses and metrics: the last and the best.

    In a terminal these are four lines. Without one, such as in Jupyter, each epoch is a line, as in ``train.log``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bar = tqdm(disable=True)
        self.rows: dict[str, tqdm] = {}  # the lines below the bar, by their first word
        self.enabled = True

    def disable(self) -> None:
        self.enabled = False

    def enable(self) -> None:
        self.enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        in_epochs = trainer.num_training_batches * (trainer.max_epochs or 0)
        in_steps = trainer.max_steps * trainer.accumulate_grad_batches if pl_module.automatic_optimization else -1
        known = [int(batches) for batches in (in_epochs, in_steps) if 0 < batches < float("inf")]
        total = min(known, default=None)
        self.bar = tqdm(
            desc=epoch_text(trainer),
            total=total,
            initial=trainer.fit_loop.epoch_loop.total_batch_idx + 1,
            unit=" steps",
            bar_format=BAR if total else ENDLESS,
            mininterval=SECONDS,
            leave=False,
            dynamic_ncols=True,
            disable=not self.enabled or not sys.stderr.isatty() or terminal_is_quiet(),  # one of several jobs at once
        )
        if not self.bar.disable:
            rows = enumerate(("train", "val", "best"), start=1)
            self.rows = {name: tqdm(position=place, bar_format="{desc}", leave=False) for place, name in rows}
            checkpoint = best_checkpoint(trainer)
            if checkpoint is not None and checkpoint.best_model_score is not None:  # of a resumed run
                self.show("best", {str(checkpoint.monitor): float(checkpoint.best_model_score)})

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.bar.update() and isinstance(outputs, Mapping) and "loss" in outputs:
            self.show("train", {"train/loss": float(outputs["loss"])})

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.bar.set_description_str(epoch_text(trainer), refresh=False)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        metrics = validation_metrics(trainer)
        checkpoint = best_checkpoint(trainer)
        monitor = "" if checkpoint is None else str(checkpoint.monitor)
        value = trainer.callback_metrics.get(monitor)
        if checkpoint is not None and value is not None and checkpoint.check_monitor_top_k(trainer, value):
            self.show("best", {**metrics, monitor: float(value)}, f"epoch {trainer.current_epoch}")
        self.show("val", metrics)
        if not self.enabled:
            return
        line = "  ".join(f"{name} {value:.3f}" for name, value in metrics.items())
        line = f"epoch {trainer.current_epoch:3}  step {trainer.global_step:6}  {line}"
        with nullcontext() if self.bar.disable else quiet_terminal():  # train.log has the line, the terminal the bar
            log.info(line)

    def show(self, name: str, metrics: Mapping[str, float], note: str = "") -> None:
        """Write a row below the bar, which is one line whatever the width of the terminal."""
        if name in self.rows and metrics:
            values = [f"{metric.rpartition('/')[2]} {value:.3f}" for metric, value in metrics.items()]
            text = "  ".join([f"{name:5}", *values, *([note] if note else [])])
            self.rows[name].set_description_str(text[: shutil.get_terminal_size().columns - 1])

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.close()

    def close(self) -> None:
        for row in [*reversed(self.rows.values()), self.bar]:
            row.close()
        self.rows = {}


def epoch_text(trainer: Trainer) -> str:
    last = f"/{trainer.max_epochs}" if (trainer.max_epochs or 0) > 0 else ""
    return f"epoch {trainer.current_epoch}{last} "


def validation_metrics(trainer: Trainer) -> dict[str, float]:
    """The first few of the validation metrics that were logged last, the loss first."""
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if VALIDATION.match(name)}
    names = sorted(metrics, key=lambda name: not name.endswith("loss"))[:SHOWN]
    return {name: metrics[name] for name in names}


def best_checkpoint(trainer: Trainer) -> ModelCheckpoint | None:
    """The callback that keeps the best weights."""
    callbacks = (callback for callback in trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint))
    return next((callback for callback in callbacks if callback.monitor), None)
