"""How long a user waits before, between and after training, and what a sweep saves: seconds of whole processes."""

import os
import subprocess
import sys
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, sleep
from typing import Any

from runs import Project
from tqdm import tqdm

HERE = Path(__file__).parent
REPEATS = 5
JOBS = 16
MISTAKE = "activation=relo"
SMALL = ["trainer=smoke", "network.width=16", "residual=shallow"]
SMALL += ["~callbacks.progress_bar", "trainer.enable_progress_bar=false"]
NEEDED = "import torch, lightning, hydra, wandb, numpy, mnist1d.data"
FIRST_STEP = "+callbacks.first._target_=contestants.EndAtFirstStep"
FIT_SECONDS = "+callbacks.clock._target_=contestants.FitSeconds"


def measure(project: Project, folder: Path) -> dict[str, Any]:
    """Medians and quarters of the seconds of each command, in turn again and again; then the sweep and the memory."""
    train = [sys.executable, str(project.folder / "train.py")]
    commands = {
        "import hydra": [sys.executable, "-c", "import hydra"],
        "--cfg job": [*train, "--cfg", "job"],
        "--help": [*train, "--help"],
        "a mistake": [*train, MISTAKE],
        "what training imports": [sys.executable, "-c", NEEDED],
        "to the first step": [*train, FIRST_STEP],
        "a whole small run": [*train, *SMALL],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for number in tqdm(range(REPEATS + 1), desc="start-up", unit="round"):
        for name, command in commands.items():
            spent = timed(command, folder)
            if number:  # the first fills the caches of the disk
                seconds[name].append(spent)
    sweep = [*train, "-m", *SMALL, FIT_SECONDS]
    first = median(timed([*sweep, "seed=0"], folder) for _ in range(REPEATS))
    one = timed([*sweep, f"seed=range({JOBS})"], folder)
    fits = [float(line) for line in (folder / "fit_seconds.txt").read_text().split()]
    many = sum(timed([*train, *SMALL, f"seed={seed}"], folder) for seed in tqdm(range(JOBS), desc="16 processes"))
    return {
        "commands": {name: quantiles(spent, n=4) for name, spent in seconds.items()},
        "sweep": {
            "one process": one,
            "16 processes": many,
            "a further job": (one - first) / (JOBS - 1),
            "its fit": median(fits[1 - JOBS :]),
        },
        "memory": memory_over(project, folder),
    }


def timed(command: list[str], folder: Path) -> float:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "PYTHONPATH": str(HERE)}
    since = perf_counter()
    subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return perf_counter() - since


def memory_over(project: Project, folder: Path) -> dict[str, list[float]]:
    """Megabytes held, every so often, over a hundred epochs of one run and over a hundred jobs of one sweep."""
    train = [sys.executable, str(project.folder / "train.py")]
    longer = ["trainer.max_epochs=100", "callbacks.early_stopping.patience=99", "trainer.limit_train_batches=20"]
    return {
        "a hundred epochs": watched([*train, *SMALL, *longer], folder, begun="metrics.csv"),
        "a hundred jobs": watched([*train, "-m", *SMALL, "seed=range(100)"], folder, begun="summary.json"),
        "a hundred jobs without W&B": watched(
            [*train, "-m", *SMALL, "logger=none", "seed=range(100)"], folder, begun="summary.json"
        ),
    }


def watched(command: list[str], folder: Path, begun: str) -> list[float]:
    """From when a run has left the file ``begun``: till then it is mostly libraries that are loaded."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
    before = set(folder.glob(f"runs/*/*/{begun}"))
    held = []
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            found = [line for line in status_of(process.pid) if line.startswith("VmRSS")]
            if found and set(folder.glob(f"runs/*/*/{begun}")) - before:
                held.append(int(found[0].split()[1]) / 1024)
            sleep(0.2)
    return held


def status_of(pid: int) -> list[str]:
    path = Path(f"/proc/{pid}/status")
    return path.read_text().splitlines() if path.exists() else []
