"""What the baked project is given for the experiment: this file is copied into its root."""

import json
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from my_network.data.digits import Digits
from trainwell.data.loader import ResumableLoader


class Interruption(Callback):
    """Send signals to this process soon after the n-th event of a kind, as the variable ``INTERRUPTION`` says.

    It holds, as JSON, ``event``, ``count``, ``delay`` and ``pause`` in seconds, ``signals`` and ``rank``. Without it,
    events are only counted; their numbers are written to the file that ``EVENTS`` names.
    """

    def __init__(self) -> None:
        self.plan = json.loads(os.environ.get("INTERRUPTION", "null"))
        self.counts = Counter[str]()

    def happened(self, trainer: Trainer, event: str) -> None:
        self.counts[event] += 1
        now = {"event": event, "count": self.counts[event], "rank": trainer.global_rank}
        if self.plan and now.items() <= self.plan.items():
            threading.Thread(target=interrupt, args=(self.plan,), daemon=True).start()

    def on_train_batch_start(self, trainer: Trainer, *arguments: Any) -> None:
        self.happened(trainer, "step")

    def on_validation_batch_start(self, trainer: Trainer, *arguments: Any) -> None:
        self.happened(trainer, "sanity" if trainer.sanity_checking else "validation")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.happened(trainer, "validated")

    def on_save_checkpoint(self, trainer: Trainer, *arguments: Any) -> None:
        self.happened(trainer, "saving")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.happened(trainer, "end")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if "EVENTS" in os.environ and trainer.is_global_zero:
            Path(os.environ["EVENTS"]).write_text(json.dumps(self.counts))


def interrupt(plan: dict[str, Any]) -> None:
    time.sleep(plan["delay"])
    for name in plan["signals"]:
        os.kill(os.getpid(), getattr(signal, name))
        time.sleep(plan["pause"])


class AugmentedDigits(Digits):
    """The digits from a DataLoader, each time with other noise."""

    def train_dataloader(self) -> Any:
        return ResumableLoader(Noisy(zip(*self.train, strict=True)), self.batch_size, seed=self.seed)


class Noisy(list[Any]):
    """Pairs of an image, to which noise is added whenever it is read, and its class."""

    def __getitem__(self, index: Any) -> Any:
        x, y = super().__getitem__(index)
        return x + 0.1 * torch.randn(8, 8), y
