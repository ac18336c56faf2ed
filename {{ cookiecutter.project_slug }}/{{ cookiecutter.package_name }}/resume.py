"""Going on where a run stopped, to the end that it would have come to: bit for bit on the same processor.

Lightning restores weights, optimizer, schedulers and callbacks. What it leaves out is here: random states, the place in
the epoch's batches and the sums over them, the latest metrics, the wish to stop.
"""

import logging
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.environments import SLURMEnvironment
from omegaconf import DictConfig, OmegaConf

from . import check, checkpoint, metrics_file, runs

log = logging.getLogger(__name__)

MAY_DIFFER = (
    runs.EPOCHS,
    "trainer.enable_progress_bar",
    "callbacks.progress_bar._target_",
    "trainer.callbacks",  # the same as callbacks
)


STOPPING = b"\nStopping after this step, or after the validation that is going on; once more to stop at once\n"


@dataclass(frozen=True)
class Stopped:
    """A run that has stopped, and the checkpoint to go on from; None if it stopped before the first."""

    folder: Path
    path: Path | None = None
    step: int = 0
    rows: int = 0  # of metrics.csv
    seconds: float = 0.0


def stopped(config: DictConfig, module: torch.nn.Module) -> Stopped:
    """Find the newest checkpoint of a run that can be read.

    Raises: ValueError: there are some and none can be read, or configuration or network are not the run's any more.
    """
    folder = Path(config.run_folder)
    unreadable = []
    for path, found in checkpoint.saved_in(folder):
        if isinstance(found, str):
            unreadable.append(f"{path} {found}")
            continue
        refuse_another_configuration(folder, found["resume"]["config"], plain(config))
        refuse_another_network(folder, shapes_of(found["state_dict"]), shapes_of(module.state_dict()))
        for reason in unreadable:
            log.warning(f"{reason}; so this goes on from the one before, {path.name}")
        kept = found["resume"]
        return Stopped(folder, path, found["global_step"], kept["rows"], kept["seconds"])
    if unreadable:
        again = f"to begin it again in a folder of its own:  python train.py reproduce={folder}"
        raise ValueError("\n".join([f"resume={folder}: there is nothing to go on from", *unreadable, again]))
    return Stopped(folder)


def refuse_another_configuration(folder: Path, then: dict[str, Any], now: dict[str, Any]) -> None:
    was, is_ = (dict(check.leaves(OmegaConf.create(config))) for config in (then, now))
    odd = [key for key in {**was, **is_} if was.get(key) != is_.get(key) and key not in MAY_DIFFER]
    if odd:
        changed = ", ".join(f"{key} was {was.get(key)}, is {is_.get(key)}" for key in odd)
        raise ValueError(f"resume={folder}: config.yaml has been changed since the run began ({changed}); put it back")


def refuse_another_network(folder: Path, then: dict[str, tuple[int, ...]], now: dict[str, tuple[int, ...]]) -> None:
    odd = next((name for name in {**then, **now} if then.get(name) != now.get(name)), None)
    if odd is not None:
        raise ValueError(
            f"resume={folder}: the code has changed since the run began: {odd} was {then.get(odd, 'not there')}, is "
            f"{now.get(odd, 'not there')}; go on with the code of that time, whose commit is in origin.json"
        )


def shapes_of(state: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def plain(config: Any) -> dict[str, Any]:
    found: Any = OmegaConf.to_container(config, resolve=True)
    return found


class LastCheckpoint(Checkpoint):
    """Keep ``checkpoints/last.ckpt``, from which a run goes on exactly, and the one before it as ``previous.ckpt``.

    Saved where nothing is half done: as an epoch begins, when training ends, and after so many ``minutes`` or ``steps``
    behind the next step that neither accumulates gradients nor is followed by validation. SIGTERM, Ctrl-C and,
    under SLURM, SIGUSR1 are obeyed at the same places; a second one at once.
    """

    def __init__(self, folder: str, *, minutes: float | None, steps: int | None) -> None:
        self.folder = Path(folder)
        self.seconds = float("inf") if minutes is None else 60 * minutes
        self.steps = float("inf") if steps is None else steps
        self.restored: dict[str, Any] | None = None
        self.asked_to_stop: int | None = None
        self.requeue: Any = None  # what Lightning does at SIGUSR1 under SLURM
        self.taken_before = 0.0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.began = self.saved_at = time.monotonic()
        self.saved_step = trainer.global_step
        self.config = plain(OmegaConf.load(self.folder / "config.yaml"))

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
        self.listen()
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
        elif trainer.global_step:
            # Saved as the end of the last epoch: of one that has begun Lightning would count the batches on from there.
            with not_begun(trainer.fit_loop.epoch_progress):
                self.save(trainer)
        if agreed(trainer, self.asked_to_stop is not None):
            self.stop(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.restored is not None:
            self.restored = None
            # Lightning would leave out the plateau scheduler at the end of this epoch, for want of metrics.
            trainer.fit_loop._restarting = False
        late = time.monotonic() - self.saved_at >= self.seconds or trainer.global_step - self.saved_step >= self.steps
        if agreed(trainer, late or self.asked_to_stop is not None) and nothing_is_half_done(trainer, batch_idx):
            self.save(trainer)
            if agreed(trainer, self.asked_to_stop is not None):
                self.stop(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        place = self.folder / "checkpoints"
        trainer.save_checkpoint(place / "next.ckpt")
        if trainer.is_global_zero:
            if (place / checkpoint.LAST).exists():
                (place / checkpoint.LAST).replace(place / checkpoint.PREVIOUS)
            (place / "next.ckpt").replace(place / checkpoint.LAST)
        self.saved_at, self.saved_step = time.monotonic(), trainer.global_step

    def listen(self) -> None:
        """Take over SIGTERM and Ctrl-C from Lightning, which would stop in the middle; it takes them back when done."""
        if threading.current_thread() is not threading.main_thread():
            return
        self.asked_to_stop = None
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self.note)
        if SLURMEnvironment.detect():
            self.requeue = signal.getsignal(signal.SIGUSR1)
            signal.signal(signal.SIGUSR1, self.note)

    def note(self, number: int, frame: Any) -> None:
        if self.asked_to_stop is not None:
            raise SystemExit(1)
        self.asked_to_stop = number
        os.write(2, STOPPING)

    def stop(self, trainer: Trainer) -> None:
        if agreed(trainer, self.asked_to_stop == signal.SIGUSR1):
            self.requeue(signal.SIGUSR1, None)
        # Lightning kills the first process if another of the same run has failed.
        raise SystemExit(1 if trainer.is_global_zero else 0)


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


def agreed(trainer: Trainer, wish: bool) -> bool:
    """Whether any process wishes so; all get the same answer."""
    return trainer.strategy.reduce_boolean_decision(wish, all=False) if trainer.world_size > 1 else wish


def of_all_ranks(state: dict[str, Any]) -> list[Any]:
    if not torch.distributed.is_initialized():
        return [state]
    states: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(states, state)
    return states


def random_states() -> dict[str, Any]:
    """Of torch, numpy and Python, as tensors and plain numbers."""
    state: Any = np.random.get_state()
    name, key, *rest = state
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
        "numpy": [name, key.tolist(), *rest],
        "python": random.getstate(),
    }


def set_random_states(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
    np.random.set_state(tuple(states["numpy"]))
    random.setstate(states["python"])


def follow_the_folder(state: dict[str, Any], place: str) -> None:
    """Let ModelCheckpoint find its files where they are now, if the whole project has been moved."""
    before = state.get("dirpath")
    if before in (None, place):
        return
    for key in ("dirpath", "best_model_path", "kth_best_model_path", "last_model_path"):
        state[key] = state[key].replace(before, place)
    state["best_k_models"] = {path.replace(before, place): score for path, score in state["best_k_models"].items()}
