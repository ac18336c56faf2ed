"""How fast a baked project trains beside a bare PyTorch loop, the usual template and scikit-learn:  make bench

Every contestant lives in its own process on the same cores and trains one epoch whenever it gets the turn, so that all
meet the same machine; the order turns round after every round. What is told of two contestants is the median of their
ratios, round by round, with the middle half of them.
"""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, product
from pathlib import Path
from typing import Any

import numpy as np
import speed_page
import startup
from runs import PACKAGE, TEMPLATE, Project
from tqdm import tqdm

ROUNDS, WARM_UP = 15, 2
EPOCHS, SEEDS = 60, (0, 1, 2)  # of the race to an accuracy
HERE = Path(__file__).parent

Curve = list[tuple[float, float]]  # seconds and accuracy, after each epoch


@dataclass(frozen=True)
class Setting:
    """What all contestants train on: a network, a batch size, and so many cores."""

    name: str
    batch_size: int
    overrides: tuple[str, ...] = ()
    data: str = "arrays"
    shape: tuple[int, ...] = (40,)  # of a row
    steps: int = 50  # of an epoch, and so of a turn
    cores: int = 1
    against: tuple[str, ...] = ("bare", "usual")

    @property
    def title(self) -> str:
        return f"{self.name}, batch {self.batch_size}, {self.cores} core{'s' * (self.cores > 1)}"

    @property
    def folder(self) -> str:
        return re.sub(r"\W+", "_", " ".join([self.title, *self.against]))

    def words(self, folder: Path) -> list[str]:
        """The overrides, with rows to train on in the folder if the data are not the project's own."""
        words = [f"data={self.data}", f"data.batch_size={self.batch_size}", *self.overrides]
        return [*words, f"data.path={self.rows(folder / 'rows.npz')}"] if self.data == "arrays" else words

    def rows(self, path: Path) -> Path:
        """Random rows, a quarter as many for validation as for training; speed does not care what they mean."""
        if not path.exists():
            train = self.batch_size * self.steps
            x = np.random.default_rng(0).normal(size=(train * 5 // 4, *self.shape)).astype(np.float32)
            np.savez(path, x=x, y=np.arange(len(x)) % 10, x_test=x[:10], y_test=np.arange(10))
        return path


# Nearly the 784-64-128-64-10 with batch normalisation that the most popular template comes with.
SMALL = ("network.width=64", "residual=none", "residual.depth=1", "normalisation=batch", "dropout=none")
LARGE = ("network.width=512", "residual.depth=8")
SETTINGS = [
    Setting("small MLP", 64, SMALL, shape=(28, 28), steps=200),
    Setting("small MLP", 512, SMALL, shape=(28, 28)),
    Setting("default MLP", 64),
    Setting("default MLP", 512, steps=20),
    Setting("default MLP", 64, cores=2),
    Setting("default MLP", 512, steps=20, cores=2),
    Setting("large MLP", 64, LARGE),
    Setting("large MLP", 512, LARGE, steps=10),
    Setting("CNN", 64, ("network=cnn",), steps=20),
    Setting("CNN", 512, ("network=cnn",), steps=5),
    Setting("transformer", 64, ("network=transformer",), steps=20),
    Setting("transformer", 512, ("network=transformer",), steps=5),
]
# Of these the project races against itself: without diagnostics, and with rows that are read from disk.
ITSELF = ("undiagnosed", "mapped")
AGAINST_ITSELF = [
    Setting("default MLP", 64, against=ITSELF),
    Setting("small MLP", 64, SMALL, shape=(28, 28), steps=200, against=ITSELF),
]


class Contestant:
    """One process that waits for its turns."""

    def __init__(self, name: str, setting: Setting, project: Project, folder: Path) -> None:
        words = setting.words(folder)
        environment = {
            **os.environ,
            "PYTHONPATH": str(HERE),
            "PROJECT": str(project.folder),
            "WANDB_MODE": "offline",
            "OMP_NUM_THREADS": str(setting.cores),
        }
        shipped = [
            str(project.folder / "train.py"),
            *words,
            "trainer.max_epochs=1000000",
            "+callbacks.baton._target_=contestants.Baton",
        ]
        shipped += ["callbacks.early_stopping.patience=999999"]
        commands = {
            "project": shipped,
            "undiagnosed": [*shipped, "~callbacks.diagnostics"],
            "mapped": [word.replace("data=arrays", "data=mapped") for word in shipped],
        }
        command = commands.get(name, [str(HERE / "contestants.py"), PACKAGE, name, *words])
        theirs_in, self.go = os.pipe()
        self.told, theirs_out = os.pipe()
        ours, terminal = pty.openpty()  # so that bars are drawn
        cores = sorted(os.sched_getaffinity(0))[-setting.cores :]
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env={**environment, "TURN_IN": str(theirs_in), "TURN_OUT": str(theirs_out)},
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=terminal,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        for end in (theirs_in, theirs_out, terminal):
            os.close(end)
        self.said = b""
        threading.Thread(target=self.listen, args=(ours,), daemon=True).start()
        self.lines = os.fdopen(self.told)

    def listen(self, terminal: int) -> None:
        """Keep the last of what it says; what nobody read would stop it."""
        while True:
            try:
                self.said = (self.said + os.read(terminal, 65536))[-5000:]
            except OSError:  # it has ended
                return

    def turn(self) -> tuple[float, float]:
        """Seconds of one epoch, and the accuracy on validation rows after it."""
        os.write(self.go, b".")
        line = self.lines.readline()
        if not line:
            raise RuntimeError(self.said.decode(errors="replace"))
        seconds, accuracy = map(float, line.split())
        return seconds, accuracy

    def memory(self) -> int:
        """The most bytes of memory that it has held so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def end(self) -> None:
        os.close(self.go)
        self.lines.close()
        self.process.kill()
        self.process.wait()


def race(setting: Setting, project: Project, bar: tqdm, folder: Path) -> dict[str, Any]:
    """Seconds of every contestant's turns, round by round, and the memory that it held."""
    contestants = {name: Contestant(name, setting, project, folder) for name in ("project", *setting.against)}
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    try:
        for number in range(WARM_UP + ROUNDS):
            for name in list(contestants)[:: 1 if number % 2 else -1]:
                spent, _ = contestants[name].turn()
                if number >= WARM_UP:
                    seconds[name].append(spent)
            bar.update()
        memory = {name: contestant.memory() for name, contestant in contestants.items()}
    finally:
        for contestant in contestants.values():
            contestant.end()
    return {"seconds": seconds, "memory": memory}


def race_to_accuracy(data: str, project: Project, folder: Path) -> dict[str, list[Curve]]:
    """Seconds spent in training and validation accuracy, epoch by epoch, for each seed: ours, and scikit-learn's."""
    racers = {"default": ("project", ()), "quick": ("project", speed_page.QUICK[data]), "sklearn": ("sklearn", ())}
    curves: dict[str, list[Curve]] = {name: [] for name in racers}
    for seed in tqdm(SEEDS, desc=f"{data} to an accuracy", unit="seed"):
        contestants = {
            name: Contestant(kind, Setting(data, 64, (*words, f"seed={seed}"), data=data), project, folder)
            for name, (kind, words) in racers.items()
        }
        turns: dict[str, Curve] = {name: [] for name in racers}
        try:
            for _, (name, contestant) in product(range(EPOCHS), contestants.items()):
                turns[name].append(contestant.turn())
        finally:
            for contestant in contestants.values():
                contestant.end()
        for name, taken in turns.items():
            spent = accumulate(seconds for seconds, _ in taken)
            curves[name].append([(so_far, accuracy) for so_far, (_, accuracy) in zip(spent, taken, strict=True)])
    return curves


def kept(path: Path, make: Callable[..., Any], *arguments: Any) -> Any:
    """What was measured before with the same code, or else is measured now, in a folder of its own."""
    if not path.exists():
        shutil.rmtree(path.parent, ignore_errors=True)
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(make(*arguments, path.parent)))
    return json.loads(path.read_text())


def main() -> None:
    project = Project(TEMPLATE / "build" / "bench")
    measured = project.folder / "bench"
    races = []
    settings = SETTINGS + AGAINST_ITSELF
    with tqdm(total=len(settings) * (WARM_UP + ROUNDS), unit="round") as bar:
        for setting in settings:
            bar.set_description(setting.title)
            races.append(kept(measured / setting.folder / "result.json", race, setting, project, bar))
            bar.update(len(races) * (WARM_UP + ROUNDS) - bar.n)
    races, paired = races[: len(SETTINGS)], races[len(SETTINGS) :]
    curves = {
        data: kept(measured / data / "result.json", race_to_accuracy, data, project) for data in ("mnist1d", "digits")
    }
    waits = kept(measured / "waits" / "result.json", startup.measure, project)
    cost = list(zip(AGAINST_ITSELF, paired, strict=True))
    speed_page.write(TEMPLATE / "docs" / "speed.md", SETTINGS, races, cost, curves, waits)


if __name__ == "__main__":
    main()
