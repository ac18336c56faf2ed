"""How long one waits before, between and after training, and what a sweep saves: seconds of whole processes."""

import os
import subprocess
import sys
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, sleep
from typing import Any

from tqdm import tqdm

from ..project import TEMPLATE, Project
from .settings import tables

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "PYTHONPATH": str(TEMPLATE)}


def measure(project: Project, folder: Path) -> dict[str, Any]:
    """Quartiles of the seconds of each command, in turn again and again; then the sweep and the memory."""
    table = tables()["waiting"]
    repeats, jobs, small, python = table["repeats"], table["jobs"], table["small_run"].split(), [sys.executable]
    train = [*python, str(project.folder / "train.py")]
    commands = {name: [*train, *typed.split()] for name, typed in table["train.py"].items()}
    commands |= {name: [*python, "-c", code] for name, code in table["python"].items()}
    commands["a whole small run"] = [*train, *small]
    seconds: dict[str, list[float]] = {name: [] for name in table["order"]}
    for number in tqdm(range(repeats + 1), desc="start-up", unit="round"):
        for name in seconds:
            spent = timed(commands[name], folder)
            if number:  # the first fills the caches of the disk
                seconds[name].append(spent)
    sweep = [*train, "-m", *small, table["fit_seconds"]]
    first = median(timed([*sweep, "seed=0"], folder) for _ in range(repeats))
    one = timed([*sweep, f"seed=range({jobs})"], folder)
    fits = [float(line) for line in (folder / "fit_seconds.txt").read_text().split()]
    many = sum(timed([*train, *small, f"seed={seed}"], folder) for seed in tqdm(range(jobs), desc="processes"))
    return {
        "commands": {name: quantiles(spent, n=4) for name, spent in seconds.items()},
        **{"one": one, "many": many, "job": (one - first) / (jobs - 1), "fit": median(fits[1 - jobs :])},
        "memory": {
            name: memory_of([*train, *small, *typed.split()], folder) for name, typed in table["memory"].items()
        },
    }


def timed(command: list[str], folder: Path) -> float:
    since = perf_counter()
    subprocess.run(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return perf_counter() - since


def memory_of(command: list[str], folder: Path) -> list[float]:
    """Megabytes held, every so often, from the end of the first run or, if there is only one, of its first epoch."""
    begun = "summary.json" if "-m" in command else "metrics.csv"
    before = set(folder.glob(f"runs/*/*/{begun}"))
    held = []
    with subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            found = [line for line in status if line.startswith("VmRSS")]  # none when it has just ended
            if found and set(folder.glob(f"runs/*/*/{begun}")) - before:
                held.append(int(found[0].split()[1]) / 1024)
            sleep(0.2)
    return held
