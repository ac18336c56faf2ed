"""Stop on a signal, but only after the step at hand."""

import os
import signal
import threading
from pathlib import Path
from typing import Any, NoReturn

from lightning import Trainer
from lightning.pytorch.plugins.environments import SLURMEnvironment

CLEAR = b"\r\x1b[J"  # clears the terminal from this line on; progress bars redraw themselves
MESSAGE = b"Stopping after this step or the validation in progress; repeat to stop at once\n"


class OutOfTime(Exception):
    """``trainer.max_time`` is over; the run can be resumed."""


class Interrupts:
    """Record SIGTERM, Ctrl-C and, under SLURM, SIGUSR1 as a request to stop; a second signal stops at once.

    The handlers replace Lightning's, which would stop in the middle of a step, when training starts. Lightning restores
    the original handlers after training.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self.requeue: Any = None  # Lightning's handler of SIGUSR1 under SLURM

    def listen(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self.asked = None
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self.record)
        if SLURMEnvironment.detect():
            self.requeue = signal.getsignal(signal.SIGUSR1)
            signal.signal(signal.SIGUSR1, self.record)

    def record(self, number: int, frame: Any) -> None:
        if self.asked is not None:
            raise SystemExit(1)
        self.asked = number
        os.write(2, (CLEAR if os.isatty(2) else b"\n") + MESSAGE)

    def stop(self, trainer: Trainer) -> NoReturn:
        """End the process, after Lightning has requeued a SLURM job. A checkpoint has been saved."""
        if any_process(trainer, self.asked == signal.SIGUSR1):
            self.requeue(signal.SIGUSR1, None)
            for path in Path(trainer.default_root_dir).glob("hpc_ckpt_*.ckpt"):
                path.unlink(missing_ok=True)  # a copy, which Lightning would prefer to any other checkpoint
        # Lightning kills the first process if another one of the same run fails.
        raise SystemExit(1 if trainer.is_global_zero else 0)


def any_process(trainer: Trainer, wanted: bool) -> bool:
    """Whether any process of the run wants this; all get the same answer."""
    return trainer.strategy.reduce_boolean_decision(wanted, all=False) if trainer.world_size > 1 else wanted
