"""Races: every contestant lives in a process of its own, all on the same cores, and trains one epoch at each turn.

So all meet the same machine; the order is reversed after every round.
"""

import os
import pty
import subprocess
import sys
from contextlib import ExitStack, closing
from itertools import accumulate
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..project import TEMPLATE, Project
from .settings import FOREVER, TABLES, Setting

LAST_FOREVER = (f"trainer.max_epochs={FOREVER}", f"callbacks.early_stopping.patience={FOREVER - 1}")
TAKE_TURNS = "+callbacks.turns._target_=benchmarks.speed.callbacks.TakeTurns"

Turn = tuple[float, float]  # seconds of one epoch, and the accuracy on validation samples after it


class Contestant:
    """One process that waits for its turns; ``kind`` is the project, a variant of it, or another way to train."""

    def __init__(self, kind: str, setting: Setting, project: Project, folder: Path) -> None:
        self.pipe, theirs = Pipe()
        screen, terminal = pty.openpty()  # so that bars are drawn
        cores = sorted(os.sched_getaffinity(0))[-setting.cores :]
        environment = {"PYTHONPATH": str(TEMPLATE), "PROJECT": str(project.folder), "WANDB_MODE": "offline"}
        environment |= {"OMP_NUM_THREADS": str(setting.cores), "TURNS": str(theirs.fileno())}
        self.process = subprocess.Popen(
            [sys.executable, *command(kind, project, setting.arguments(folder))],
            cwd=folder,
            env={**os.environ, **environment},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=terminal,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        self.output = folder / f"{kind}.txt"
        with self.output.open("wb") as file:  # output that nobody read would block it
            self.reader = subprocess.Popen(["cat"], stdin=screen, stdout=file, stderr=subprocess.DEVNULL)
        theirs.close()
        os.close(terminal)
        os.close(screen)

    def turn(self) -> Turn:
        """Raises: RuntimeError: the process has ended."""
        try:
            self.pipe.send("go")
            return self.pipe.recv()
        except (EOFError, OSError) as error:
            raise RuntimeError(self.output.read_text(errors="replace")[-5000:]) from error

    def memory(self) -> int:
        """The most bytes of memory that it has held so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def close(self) -> None:
        self.pipe.close()
        for process in (self.process, self.reader):
            process.kill()
            process.wait()


def command(kind: str, project: Project, arguments: list[str]) -> list[str]:
    variants = TABLES["variants"]
    if kind not in variants:
        return ["-m", "benchmarks.speed.contestants", kind, *arguments]
    own = [str(project.folder / "train.py"), *arguments, *LAST_FOREVER, TAKE_TURNS]
    return own + variants[kind]


def race(setting: Setting, project: Project, folder: Path) -> dict[str, Any]:
    """Seconds of every contestant's turns, round by round, and the memory that it held."""
    kinds = ("project", *setting.against)
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    warm_up, rounds = TABLES["warm_up"], TABLES["rounds"]
    with ExitStack() as stack:
        started = {kind: stack.enter_context(closing(Contestant(kind, setting, project, folder))) for kind in kinds}
        for number in tqdm(range(warm_up + rounds), desc=setting.title, unit="round", leave=False):
            for kind in kinds[:: 1 if number % 2 else -1]:
                seconds[kind].append(started[kind].turn()[0])
        memory = {kind: contestant.memory() for kind, contestant in started.items()}
    return {"seconds": {kind: spent[warm_up:] for kind, spent in seconds.items()}, "memory": memory}


def race_to_accuracy(data: str, project: Project, folder: Path) -> dict[str, list[list[Turn]]]:
    """Seconds since the start and validation accuracy, epoch by epoch, for each seed: the project and scikit-learn."""
    table = TABLES["to_an_accuracy"]
    small = tuple(table[data]["small_network"].split())
    racers = {"default": ("project", ()), "quick": ("project", small), "sklearn": ("sklearn", ())}
    curves: dict[str, list[list[Turn]]] = {name: [] for name in racers}
    for seed in tqdm(table["seeds"], desc=f"{data} to an accuracy", unit="seed"):
        with ExitStack() as stack:
            started = {}
            for name, (kind, overrides) in racers.items():
                setting = Setting(data, 64, (*overrides, f"seed={seed}"), data=data)
                started[name] = stack.enter_context(closing(Contestant(kind, setting, project, folder)))
            rounds = [{name: started[name].turn() for name in started} for _ in range(table["epochs"])]
        for name in racers:
            spent = accumulate(turns[name][0] for turns in rounds)
            curves[name].append([(so_far, turns[name][1]) for so_far, turns in zip(spent, rounds, strict=True)])
    return curves
