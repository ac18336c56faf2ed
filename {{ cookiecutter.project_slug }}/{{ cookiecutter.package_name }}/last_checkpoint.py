"""The checkpoint from which a run goes on exactly.

Lightning restores weights, optimizer, schedulers and callbacks. What it leaves out is here: random states, the place in
the epoch's batches and the sums over them, the latest metrics, the wish to stop.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from omegaconf import OmegaConf

from . import checkpoint, metrics_file
from .random_states import random_states, set_random_states
from .stopping import Stopping, agreed


class LastCheckpoint(Checkpoint):
    """Keep ``checkpoints/last.ckpt``, from which a run goes on exactly, and the one before it as ``previous.ckpt``.

    Saved where nothing is half done: as an epoch begins, when training ends, and after so many ``minutes`` or ``steps``
    behind the next step that neither accumulates gradients nor is followed by validation. A wish to
    stop is obeyed at the same places. Epochs are passed over as long as saving would take more than ``share`` of the
    time.
    """

    def __init__(self, folder: str, *, share: float, minutes: float | None, steps: int | None) -> None:
        self.folder = Path(folder)
        self.pause = 1 / share - 1  # between two saves, in units of what one takes
        self.took = 0.0
        self.seconds = float("inf") if minutes is None else 60 * minutes
        self.steps = float("inf") if steps is None else steps
        self.restored: dict[str, Any] | None = None
        self.stopping = Stopping()
        self.taken_before = 0.0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.began = self.saved_at = time.monotonic()
        self.saved_step = trainer.global_step
        self.config = OmegaConf.to_container(OmegaConf.load(self.folder / "config.yaml"), resolve=True)

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["resume"] = {
            "config": self.config,
            "ranks": of_all_ranks({"random": random_states(), "sums": pl_module.tallies["train"].state_dict()}),
            "batches": trainer.train_dataloader.state_dict(),
            "metrics": {name: value.cpu() for name, value in trainer.callback_metrics.items()},
            "rows": metrics_file.count(self.folder / metrics_file.NAME),
            "should_stop": trainer.should_stop,
            "seconds": self.taken_before + time.monotonic() - self.began,
        }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn == "fit":
            self.restored = checkpoint["resume"]
            self.taken_before = self.restored["seconds"]
            trainer.should_stop = self.restored["should_stop"]
            for state in checkpoint["callbacks"].values():
                follow_the_folder(state, str((self.folder / "checkpoints").resolve()))

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.saved_step = trainer.global_step
        self.stopping.listen()
        if self.restored is not None:
            mine = self.restored["ranks"][trainer.global_rank]
            pl_module.tallies["train"].load_state_dict(mine["sums"])
            trainer.callback_metrics.update(self.restored["metrics"])
            # Lightning would, had it not made the loader ready before, to tell the scheduler how many steps there are.
            trainer.train_dataloader.load_state_dict(self.restored["batches"])
            set_random_states(mine["random"])

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        if self.restored is not None:  # others may have drawn numbers again since on_train_start
            set_random_states(self.restored["ranks"][trainer.global_rank]["random"])
            self.restored = None
            # With max_steps Lightning takes every start for one in the middle of an epoch.
            trainer.fit_loop._restarting = trainer.fit_loop.epoch_loop.restarting = False
        elif trainer.global_step and agreed(trainer, time.monotonic() - self.saved_at >= self.pause * self.took):
            # Saved as the end of the last epoch: of one that has begun Lightning would count the batches on from there.
            with not_begun(trainer.fit_loop.epoch_progress):
                self.save(trainer)
        if self.stopping.wished(trainer):
            self.stopping.stop(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.restored is not None:
            self.restored = None
            # Lightning would leave out the plateau scheduler at the end of this epoch, for want of metrics.
            trainer.fit_loop._restarting = False
        late = time.monotonic() - self.saved_at >= self.seconds or trainer.global_step - self.saved_step >= self.steps
        if (agreed(trainer, late) or self.stopping.wished(trainer)) and nothing_is_half_done(trainer, batch_idx):
            self.save(trainer)
            if self.stopping.wished(trainer):
                self.stopping.stop(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        began = time.monotonic()
        place = self.folder / "checkpoints"
        trainer.save_checkpoint(place / checkpoint.NEXT)
        if trainer.is_global_zero:
            checkpoint.move_up(place)
        self.saved_at, self.saved_step = time.monotonic(), trainer.global_step
        self.took = self.saved_at - began


@contextmanager
def not_begun(epochs: Any) -> Iterator[None]:
    for progress in (epochs.total, epochs.current):
        progress.ready -= 1
    yield
    for progress in (epochs.total, epochs.current):
        progress.ready += 1


def nothing_is_half_done(trainer: Trainer, batch_idx: int) -> bool:
    """Whether Lightning can go on from the end of this batch as if it had never stopped."""
    every = trainer.val_check_batch
    counts = (batch_idx + 1, trainer.fit_loop.total_batch_idx + 1)
    validates = isinstance(every, int) and any(count % every == 0 for count in counts)
    accumulates = (batch_idx + 1) % trainer.accumulate_grad_batches != 0
    ends = trainer.is_last_batch or trainer.should_stop or trainer.global_step == trainer.max_steps
    return not (validates or accumulates or ends)


def of_all_ranks(state: dict[str, Any]) -> list[Any]:
    if not torch.distributed.is_initialized():
        return [state]
    states: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(states, state)
    return states


def follow_the_folder(state: dict[str, Any], place: str) -> None:
    """Let ModelCheckpoint find its files where they are now, if the whole project has been moved."""
    before = state.get("dirpath")
    if before in (None, place):
        return
    for key in ("dirpath", "best_model_path", "kth_best_model_path", "last_model_path"):
        state[key] = state[key].replace(before, place)
    state["best_k_models"] = {path.replace(before, place): score for path, score in state["best_k_models"].items()}
