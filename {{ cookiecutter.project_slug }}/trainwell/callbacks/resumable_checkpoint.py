"""The checkpoint from which a run resumes exactly.

Lightning restores weights, optimizers, schedulers and callbacks. The rest is saved here: random states, the position in
the epoch's batches, metrics of a part of an epoch, the latest metrics, the decision to stop.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Checkpoint, Timer

from ..lightning_internals import (
    add_running_means,
    before_the_epoch,
    draw_batches_again,
    forget_restart,
    forget_restart_of_batches,
    running_means,
)
from ..metrics import metric_states, restore_metric_states
from ..rng import random_states, set_random_states
from .interrupts import Interrupts, OutOfTime, any_process

NEXT, LAST, PREVIOUS = "next.ckpt", "last.ckpt", "previous.ckpt"  # the first exists only while the others are renamed


class ResumableCheckpoint(Checkpoint):
    """Keep ``last.ckpt``, from which a run resumes exactly, and the one before it as ``previous.ckpt``.

    Saved where no step is half done: when an epoch starts, when training ends, and every so many ``minutes`` or
    ``steps`` after a step that neither accumulates gradients nor is followed by validation. Interrupts and
    the time limit take effect at the same points. Epochs are skipped as long as saving would take more than ``share``
    of the time. Batches of a loader without ``state_dict`` cannot be skipped: then only epochs are resumed.

    Args:
        folder: where the files go.
        share: of the time, in (0, 1].
        minutes, steps: between two checkpoints in a long epoch; None: no limit.
    """

    def __init__(self, folder: str, *, share: float, minutes: float | None, steps: int | None) -> None:
        self.folder = Path(folder)
        self.pause = 1 / share - 1  # between two checkpoints, in units of the time that saving takes
        self.saving_time = 0.0
        self.seconds = float("inf") if minutes is None else 60 * minutes
        self.steps = float("inf") if steps is None else steps
        self.timer: Timer | None = None  # set by `limit`
        self.interrupts = Interrupts()
        self.run_state: Callable[[], dict[str, Any]] = dict  # what the owner of the run adds to a checkpoint
        self.restored: dict[str, Any] | None = None

    def limit(self, max_time: Any) -> None:
        """Stop after ``max_time``, as Lightning's Timer takes it; None: no limit.

        Raises: ValueError: it is no such time.
        """
        try:
            self.timer = Timer(max_time) if max_time is not None else None
        except MisconfigurationException as error:
            rule = "trainer.max_time must be days:hours:minutes:seconds, such as 00:08:00:00"
            raise ValueError(f"{rule}, got {max_time}") from error

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.saved_at = time.monotonic()
        self.saved_step = trainer.global_step

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        loader: Any = trainer.train_dataloader
        mine = {"random": random_states(), "metrics": metric_states(pl_module), "results": running_means(trainer)}
        checkpoint["resume"] = {
            **self.run_state(),
            "ranks": of_all_processes(mine),
            "batches": loader.state_dict() if has_position(loader) else None,
            "callback_metrics": {name: value.cpu() for name, value in trainer.callback_metrics.items()},
            "should_stop": trainer.should_stop,
        }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn == "fit":
            self.restored = checkpoint["resume"]
            trainer.should_stop = checkpoint["resume"]["should_stop"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.saved_step = trainer.global_step
        self.interrupts.listen()
        if self.timer is not None:
            self.timer.on_train_start(trainer, pl_module)
        if self.restored is not None:
            mine = self.restored["ranks"][trainer.global_rank]
            restore_metric_states(pl_module, mine["metrics"], pl_module.device)
            trainer.callback_metrics.update(self.restored["callback_metrics"])
            # Lightning would, had it not set up the loader before, to tell the scheduler how many steps there are.
            loader: Any = trainer.train_dataloader
            if self.restored["batches"] is not None:
                loader.load_state_dict(self.restored["batches"])
            set_random_states(mine["random"])

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        due = time.monotonic() - self.saved_at >= self.pause * self.saving_time
        if self.restored is not None:  # random numbers may have been drawn since on_train_start
            set_random_states(self.restored["ranks"][trainer.global_rank]["random"])
            if self.restored["batches"] is None:
                draw_batches_again(trainer)
            self.restored = None
            forget_restart_of_batches(trainer)
        elif trainer.global_step and any_process(trainer, due):
            with before_the_epoch(trainer):
                self.save(trainer)
        self.stop_if_asked(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.restored is not None:
            add_running_means(trainer, self.restored["ranks"][trainer.global_rank]["results"])
            self.restored = None
            forget_restart(trainer)
        late = time.monotonic() - self.saved_at >= self.seconds or trainer.global_step - self.saved_step >= self.steps
        wanted = late or self.interrupts.asked is not None or self.is_out_of_time()
        if not any_process(trainer, wanted) or not no_step_is_half_done(trainer, batch_idx):
            return
        if has_position(trainer.train_dataloader):
            self.save(trainer)
        self.stop_if_asked(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer)

    def is_out_of_time(self) -> bool:
        left = self.timer.time_remaining() if self.timer is not None else None
        return left is not None and left <= 0

    def stop_if_asked(self, trainer: Trainer) -> None:
        """Raises: SystemExit: after a signal. OutOfTime: at the time limit."""
        if any_process(trainer, self.interrupts.asked is not None):
            self.interrupts.stop(trainer)
        if any_process(trainer, self.is_out_of_time()):
            raise OutOfTime

    def save(self, trainer: Trainer) -> None:
        start = time.monotonic()
        trainer.save_checkpoint(self.folder / NEXT)
        if trainer.is_global_zero:
            rotate(self.folder)
        self.saved_at, self.saved_step = time.monotonic(), trainer.global_step
        self.saving_time = self.saved_at - start


def has_position(loader: Any) -> bool:
    """Whether a loader can say at which batch it is, and be put there."""
    return hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict")


def no_step_is_half_done(trainer: Trainer, batch_idx: int) -> bool:
    """Whether Lightning can resume from the end of this batch as if it had not been interrupted."""
    every = trainer.val_check_batch
    counts = (batch_idx + 1, trainer.fit_loop.total_batch_idx + 1)
    validates = isinstance(every, int) and any(count % every == 0 for count in counts)
    accumulates = (batch_idx + 1) % trainer.accumulate_grad_batches != 0
    ends = trainer.is_last_batch or trainer.should_stop or trainer.global_step == trainer.max_steps
    return not (validates or accumulates or ends)


def of_all_processes(state: dict[str, Any]) -> list[Any]:
    if not torch.distributed.is_initialized():
        return [state]
    states: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(states, state)
    return states


def rotate(folder: Path) -> Path:
    if (folder / LAST).exists():
        (folder / LAST).replace(folder / PREVIOUS)
    return (folder / NEXT).replace(folder / LAST)
