"""Measure on a GPU what ``compile=graph`` is worth, in under six minutes:

    python -m benchmarks.speed.gpu

First 200 steps are trained one by one and as a graph, without dropout, and their losses compared; then each race is run
in turns, as those of ``docs/speed.md``. Prints a table with the card's name and writes it to ``build/bench/gpu.md``.
Without a GPU it runs all the same, where steps cannot be captured, and says so.
"""

import csv
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import torch

from ..pages import machine, row
from ..project import TEMPLATE, Project, write
from .page import ratio, spread
from .race import race
from .settings import Setting, races, tables

STEPS, BATCHES = 200, 10  # of the comparison, and of one of its epochs
AS_A_GRAPH = "compile=graph"
# How many times as fast as the hand-written loop each of these is.
KINDS = {"graph": "compile=graph", "project": "as shipped", "compiled": "compile=true", "bare_graph": "loop as a graph"}


def main() -> None:
    table = tables()["gpu"]
    tables().update(rounds=table["rounds"], warm_up=table["warm_up"])
    project = Project(TEMPLATE / "build" / "bench")
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU, so no step was captured"
    differ = f"{disagreement(project):.1g}"
    lines = [
        f"{card}; {machine()['versions']}, CUDA {torch.version.cuda}.",
        "",
        f"Largest relative difference of losses over {STEPS} steps, as a graph and one by one: {differ}.",
        "",
        row("network", "batch", "step of the loop", *KINDS.values()),
        row(*["---"] * (3 + len(KINDS))),
    ]
    for setting in races("gpu_races"):
        with tempfile.TemporaryDirectory() as folder:
            lines.append(gpu_row(setting, race(setting, project, Path(folder))["seconds"]))
        print(lines[-1], flush=True)
    text = "\n".join(lines) + "\n"
    write(TEMPLATE / "build" / "bench" / "gpu.md", text)
    print(text)


def gpu_row(setting: Setting, seconds: dict[str, list[float]]) -> str:
    """The time of a step of the loop, and how many times as fast as it the others are."""
    step = f"{1000 * median(seconds['bare']) / setting.steps:.2f} ms"
    ratios = [spread(*ratio(seconds["bare"], seconds[kind])) if kind in seconds else "" for kind in KINDS]
    return row(setting.network, setting.batch_size, step, *ratios)


def disagreement(project: Project) -> float:
    """The largest relative difference of a train loss, of a short training with and without the graph."""
    steps = {way: list(losses(project, way)) for way in (AS_A_GRAPH, "compile=false")}
    pairs = zip(steps[AS_A_GRAPH], steps["compile=false"], strict=True)
    return max(abs(graph - plain) / plain for graph, plain in pairs)


def losses(project: Project, way: str) -> Iterator[float]:
    import trainwell

    os.chdir(project.folder)
    known = set(Path("runs").glob("train/*"))
    epochs = [f"trainer.max_epochs={STEPS // BATCHES}", f"trainer.limit_train_batches={BATCHES}"]
    short = [*epochs, "~callbacks.early_stopping", "logger=csv"]
    trainwell.train([way, "dropout=none", "scheduler=constant", *short])
    (run,) = set(Path("runs").glob("train/*")) - known
    with (run / "metrics.csv").open() as file:
        yield from (float(line["train/loss"]) for line in csv.DictReader(file) if line["train/loss"])


if __name__ == "__main__":
    sys.exit(main())
