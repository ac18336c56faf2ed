"""How the pictures look: curves with a band over the seeds, each named at its right end in its own colour."""

import csv
from collections.abc import Sequence
from math import isfinite
from pathlib import Path

import matplotlib
import numpy as np
import yaml
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from runs import Run

# Okabe and Ito's colours, which nearly everyone can tell apart.
SICK, CURED, GREY = "#D55E00", "#0072B2", "#767676"
GREEN, PINK, YELLOW, SKY = "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
DOTS_AN_INCH = 110
NAMES_APART = 0.085  # of the height of a panel
CHANCE = 0.1  # of accuracy, in every experiment of the gallery
FIRST_STEPS = 60  # of what is drawn by step

LOOK = {
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "lines.linewidth": 2,
}
matplotlib.use("Agg")


def panels(*titles: str, rows: int = 1, size: tuple[float, float] = (6.4, 3.7)) -> tuple[Figure, list[Axes]]:
    """A figure with a panel for each title, each of the given size in inches."""
    pyplot.rcParams.update(LOOK)
    columns = len(titles) // rows
    figure, grid = pyplot.subplots(rows, columns, figsize=(size[0] * columns, size[1] * rows), squeeze=False)
    for axes, title in zip(grid.flat, titles, strict=True):
        axes.set_title(title)
    return figure, list(grid.flat)


def save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=DOTS_AN_INCH, metadata={"Software": None}, pil_kwargs={"optimize": True})
    pyplot.close(figure)


def values(run: Run, metric: str, count: str) -> dict[int, float]:
    """A metric as ``metrics.csv`` has it by epoch or step, from 1, as far as it is finite."""
    with (run.folder / "metrics.csv").open(newline="") as file:
        logged = {int(row[count]) + 1: float(row[metric]) for row in csv.DictReader(file) if row.get(metric)}
    return {at: value for at, value in logged.items() if isfinite(value)}


def draw_epochs(axes: Axes, runs: Sequence[Run], metric: str, name: str, colour: str) -> None:
    """The mean over the seeds and a band of one deviation; dotted from where the first run stops and stays as it is."""
    curves = [values(run, metric, "epoch") for run in runs]
    at = range(
        1, 1 + max(yaml.safe_load((run.folder / "config.yaml").read_text())["trainer"]["max_epochs"] for run in runs)
    )
    all_go_on = min(map(max, curves))
    middle = draw_band(axes, at, [[curve[min(x, max(curve))] for x in at] for curve in curves], colour)
    axes.plot(at, middle, ":", color=colour, label=name)
    axes.plot(at[:all_go_on], middle[:all_go_on], color=colour)


def draw_steps(axes: Axes, runs: Sequence[Run], metric: str, name: str, colour: str) -> None:
    """The mean over the seeds and a band of one deviation, as long as all are finite."""
    curves = [values(run, metric, "step") for run in runs]
    at = [x for x in sorted(set.intersection(*map(set, curves))) if x <= FIRST_STEPS]
    axes.plot(at, draw_band(axes, at, [[curve[x] for x in at] for curve in curves], colour), color=colour, label=name)


def draw_band(axes: Axes, at: Sequence[float], curves: Sequence[Sequence[float]], colour: str) -> np.ndarray:
    """Shade one deviation around the mean of the curves, and return that mean; of logarithms on such an axis."""
    there, back = (np.log, np.exp) if axes.get_yscale() == "log" else (np.asarray, np.asarray)
    table = there(np.array(curves))
    middle, deviation = table.mean(axis=0), table.std(axis=0, ddof=1)
    axes.fill_between(at, back(middle - deviation), back(middle + deviation), color=colour, alpha=0.18, linewidth=0)
    return back(middle)


def finish(axes: Axes, x: str, y: str, lowest: float = 0.0) -> None:
    """Label the axes, show accuracies in percent and chance as a line, and name the curves."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.margins(x=0)
    if x == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if y == "val/accuracy":
        axes.set_ylim(lowest, None)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    if y == "val/accuracy" and lowest < CHANCE:
        axes.axhline(CHANCE, color=GREY, linewidth=1, zorder=0)
        axes.annotate(
            "chance ", (1, CHANCE), xycoords=("axes fraction", "data"), color=GREY, ha="right", va="top", size=9
        )
    name_curves(axes)


def name_curves(axes: Axes) -> None:
    """Write each name beside the right end of its curve, none upon another, or below an end that is further left."""
    axes.autoscale_view()  # else the limits are worked out when it is drawn
    to_panel = axes.transData + axes.transAxes.inverted()
    lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    ends = [(*to_panel.transform(line.get_xydata()[-1]), line) for line in lines]
    highest_free = 1.0
    for right, height, line in sorted(ends, key=lambda end: -end[1]):
        if right > 0.99:
            height = highest_free = min(height, highest_free)
            highest_free -= NAMES_APART
            beside = {"xytext": (7, 0), "va": "center"}
        else:
            beside = {"xytext": (5, -7), "va": "top"}
            axes.plot(*line.get_xydata()[-1], "o", color=line.get_color(), clip_on=False, zorder=3)
        axes.annotate(
            str(line.get_label()),
            (right, height),
            xycoords="axes fraction",
            textcoords="offset points",
            color=line.get_color(),
            annotation_clip=False,
            **beside,
        )
