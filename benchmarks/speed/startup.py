"""How long one waits before, between and after training, and what a sweep saves: seconds of whole processes."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, sleep
from typing import Any

from tqdm import tqdm

from ..project import TEMPLATE, Project
from .settings import TABLES

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "PYTHONPATH": str(TEMPLATE)}


def measure(project: Project, folder: Path) -> dict[str, Any]:
    """Quartiles of the seconds of each command, in turn again and again; then the sweep and the memory."""
    table = TABLES["waiting"]
    repeats, jobs = table["repeats"], table["jobs"]
    places = {"python": sys.executable, "train.py": str(project.folder / "train.py")}

    def command(typed: str) -> list[str]:
        return [places.get(word, word) for word in shlex.split(typed.format(small=table["small"]))]

    seconds: dict[str, list[float]] = {name: [] for name in table["commands"]}
    for name in tqdm([*seconds] * (1 + repeats), desc="start-up", unit="command"):
        seconds[name].append(timed(command(table["commands"][name]), folder))
    sweep, single = command(table["sweep"]), command(table["commands"]["a whole small run"])
    first = median(timed([*sweep, "seed=0"], folder) for _ in range(repeats))
    one = timed([*sweep, f"seed=range({jobs})"], folder)
    fits = [float(line) for line in (folder / "fit_seconds.txt").read_text().split()]
    many = sum(timed([*single, f"seed={seed}"], folder) for seed in tqdm(range(jobs), desc="processes"))
    return {
        # The first of each fills the caches of the disk.
        "commands": {name: quantiles(spent[1:], n=4) for name, spent in seconds.items()},
        **{"one": one, "many": many, "job": (one - first) / (jobs - 1), "fit": median(fits[1 - jobs :])},
        "memory": {name: memory_of(command(typed), folder) for name, typed in table["memory"].items()},
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
            status = Path(f"/proc/{process.pid}/status").read_text()
            if "VmRSS:" in status and set(folder.glob(f"runs/*/*/{begun}")) - before:  # not if it has just ended
                held.append(int(status.partition("VmRSS:")[2].split()[0]) / 1024)
            sleep(0.2)
    return held
