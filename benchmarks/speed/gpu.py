"""Measure on a GPU what ``compile=graph`` is worth, in under six minutes:

    python -m benchmarks.speed.gpu

First 200 steps are trained one by one and as a graph, without dropout, and their losses compared; then each race is run
in turns, as those of ``docs/speed.md``. Prints a table with the card's name and writes it to ``build/bench/gpu.md``.
Without a GPU it runs all the same, where steps cannot be captured, and says so.
"""

import os
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
import torch
from pandas import read_csv

from ..pages import filled, row
from ..project import TEMPLATE, Project, write
from .page import ratio, spread
from .race import race
from .settings import TABLES, Setting, races

STEPS, BATCHES = 200, 10  # of the comparison, and of one of its epochs
AS_A_GRAPH = "compile=graph"
# How many times as fast as the hand-written loop each of these is.
KINDS = {"graph": "compile=graph", "project": "as shipped", "compiled": "compile=true", "bare_graph": "loop as a graph"}


def main() -> None:
    table = TABLES["gpu"]
    TABLES.update(rounds=table["rounds"], warm_up=table["warm_up"])
    project = Project(TEMPLATE / "build" / "bench")
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU, so no step was captured"
    differ = f"{disagreement(project):.1g}"
    rows = [row("network", "batch", "step of the loop", *KINDS.values()), row(*["---"] * (3 + len(KINDS)))]
    for setting in races("gpu_races"):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(gpu_row(setting, race(setting, project, Path(folder))["seconds"]))
        print(rows[-1], flush=True)
    numbers = {"card": card, "cuda": torch.version.cuda, "steps": STEPS, "differ": differ}
    text = filled(Path(__file__).with_suffix(".md"), {"table": rows}, **numbers)
    write(TEMPLATE / "build" / "bench" / "gpu.md", text)
    print(text)


def gpu_row(setting: Setting, seconds: dict[str, list[float]]) -> str:
    """The time of a step of the loop, and how many times as fast as it the others are."""
    step = f"{1000 * median(seconds['bare']) / setting.steps:.2f} ms"
    ratios = [spread(*ratio(seconds["bare"], seconds[kind])) if kind in seconds else "" for kind in KINDS]
    return row(setting.network, setting.batch_size, step, *ratios)


def disagreement(project: Project) -> float:
    """The largest relative difference of a train loss, of a short training with and without the graph."""
    os.chdir(project.folder)
    graph, plain = losses(AS_A_GRAPH), losses("compile=false")
    return float(np.abs(graph / plain - 1).max())


def losses(way: str) -> np.ndarray:
    import trainwell

    epochs = [f"trainer.max_epochs={STEPS // BATCHES}", f"trainer.limit_train_batches={BATCHES}"]
    short = [*epochs, "~callbacks.early_stopping", "logger=csv"]
    trainwell.train([way, "dropout=none", "scheduler=constant", *short])
    run = max(Path("runs", "train").iterdir(), key=os.path.getmtime)
    return read_csv(run / "metrics.csv")["train/loss"].dropna().to_numpy()


if __name__ == "__main__":
    sys.exit(main())
