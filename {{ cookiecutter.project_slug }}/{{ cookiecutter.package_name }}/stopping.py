"""Stopping when asked to: signals are kept until nothing is half done."""

import os
import signal
import threading
from pathlib import Path
from typing import Any, NoReturn

from lightning import Trainer
from lightning.pytorch.plugins.environments import SLURMEnvironment

SENTENCE = b"\nStopping after this step, or after the validation that is going on; once more to stop at once\n"


class Stopping:
    """Take SIGTERM, Ctrl-C and, under SLURM, SIGUSR1 for a wish to stop; a second one is obeyed at once.

    Lightning, from which they are taken over when training begins, would stop in the middle. It takes them back when
    training is done.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self.requeue: Any = None  # what Lightning does at SIGUSR1 under SLURM

    def listen(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self.asked = None
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self.note)
        if SLURMEnvironment.detect():
            self.requeue = signal.getsignal(signal.SIGUSR1)
            signal.signal(signal.SIGUSR1, self.note)

    def note(self, number: int, frame: Any) -> None:
        if self.asked is not None:
            raise SystemExit(1)
        self.asked = number
        os.write(2, SENTENCE)

    def wished(self, trainer: Trainer) -> bool:
        return agreed(trainer, self.asked is not None)

    def stop(self, trainer: Trainer) -> NoReturn:
        """End the process, after Lightning has put a SLURM job back into the queue; a checkpoint has been saved."""
        if agreed(trainer, self.asked == signal.SIGUSR1):
            self.requeue(signal.SIGUSR1, None)
            for path in Path(trainer.default_root_dir).glob("hpc_ckpt_*.ckpt"):
                path.unlink(missing_ok=True)  # the same once more, which Lightning would prefer to any other
        # Lightning kills the first process if another of the same run has failed.
        raise SystemExit(1 if trainer.is_global_zero else 0)


def agreed(trainer: Trainer, wish: bool) -> bool:
    """Whether any process wishes so; all get the same answer."""
    return trainer.strategy.reduce_boolean_decision(wish, all=False) if trainer.world_size > 1 else wish
