"""Curves over the seeds of an experiment: mean and band."""

from collections.abc import Sequence
from math import isfinite

import numpy as np
import yaml
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter
from pandas import read_csv

from ..pages import COLOURS
from ..project import Run

CHANCE = 0.1  # accuracy of guessing, in every experiment of the gallery
FIRST_STEPS = 60  # of what is drawn by step


def values(run: Run, metric: str, count: str) -> dict[int, float]:
    """A metric as ``metrics.csv`` has it by epoch or step, from 1, as far as it is finite."""
    logged = read_csv(run.folder / "metrics.csv").set_index(count)[metric].dropna()
    return {int(at) + 1: value for at, value in logged.items() if isfinite(value)}


def draw_epochs(axes: Axes, runs: Sequence[Run], metric: str, name: str, colour: str) -> None:
    """The mean over the seeds and a band of one deviation; dotted after the first run has stopped."""
    curves = [values(run, metric, "epoch") for run in runs]
    configs = [yaml.safe_load((run.folder / "config.yaml").read_text()) for run in runs]
    at = range(1, 1 + max(config["trainer"]["max_epochs"] for config in configs))
    all_train = min(map(max, curves))
    middle = draw_band(axes, at, [[curve[min(x, max(curve))] for x in at] for curve in curves], colour)
    axes.plot(at, middle, ":", color=colour)
    axes.plot(at[:all_train], middle[:all_train], color=colour, label=name)


def draw_steps(axes: Axes, runs: Sequence[Run], metric: str, name: str, colour: str) -> None:
    """The mean over the seeds and a band of one deviation, as long as all are finite."""
    curves = [values(run, metric, "step") for run in runs]
    at = [x for x in sorted(set.intersection(*map(set, curves))) if x <= FIRST_STEPS]
    axes.plot(at, draw_band(axes, at, [[curve[x] for x in at] for curve in curves], colour), color=colour, label=name)


def draw_band(axes: Axes, at: Sequence[float], curves: Sequence[Sequence[float]], colour: str) -> np.ndarray:
    """Shade one deviation around the mean of the curves, and return that mean; of logarithms on such an axis."""
    forth, back = (np.log, np.exp) if axes.get_yscale() == "log" else (np.asarray, np.asarray)
    table = forth(np.array(curves))
    middle, deviation = table.mean(axis=0), table.std(axis=0, ddof=1)
    axes.fill_between(at, back(middle - deviation), back(middle + deviation), color=colour, alpha=0.18, linewidth=0)
    return back(middle)


def finish(axes: Axes, x: str, y: str, lowest: float = 0.0) -> None:
    """Label the axes, show accuracies in percent and chance as a line, and a legend."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.margins(x=0)
    if x == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if y == "val/accuracy":
        axes.set_ylim(lowest, None)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    if y == "val/accuracy" and lowest < CHANCE:
        axes.axhline(CHANCE, color=COLOURS["grey"], linewidth=1, zorder=0)
        at_the_right = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "top", "size": 9}
        axes.annotate("chance ", (1, CHANCE), color=COLOURS["grey"], **at_the_right)
    axes.legend()
