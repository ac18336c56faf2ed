"""A comparison in one picture: learning curves and gradient norms."""

import csv
import io
import math
import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .run_index import number_or_text
from .statistics import Comparison, Group
from .table import cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GROUPS = 12  # drawn at most: nobody can tell more lines apart
GRADIENT = "gradient/norm"  # drawn over steps and not epochs, for its peaks
STYLE: dict[Any, Any] = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9, "axes.titlesize": 10}

Curve = dict[float, float]  # value by epoch or step


def draw(comparison: Comparison) -> bytes | None:
    """A PNG; None if there is nothing to draw."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    groups = shown(comparison)
    monitored = [run.monitor for group in groups for run in group.runs]
    names = list(dict.fromkeys(["train/loss", "val/loss", *monitored, GRADIENT]))
    logs = {run.folder: logged(run.folder, names) for group in groups for run in group.runs}
    curves = [name for name in names if any(name in log for log in logs.values())]
    if not curves:
        return None
    columns = min(3, len(curves))
    rows = math.ceil(len(curves) / columns)
    with rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = Figure((4.2 * columns, 3.2 * rows + 0.2 * len(groups)), dpi=120, layout="constrained")
        for place, name in enumerate(curves, start=1):
            axes = figure.add_subplot(rows, columns, place)
            draw_curves(axes, name, [[logs[run.folder].get(name, {}) for run in group.runs] for group in groups])
        labels = [text(f"{group.number}  {group.label}", 45 * columns) for group in groups]
        figure.legend(figure.axes[0].lines, labels, loc="outside lower left", frameon=False)
        file = io.BytesIO()
        figure.savefig(file, format="png")
    return file.getvalue()


def shown(comparison: Comparison) -> list[Group]:
    """The groups that are drawn: all, or the baseline and the best by its monitored metric."""
    run = comparison.baseline.runs[0]

    def badness(group: Group) -> tuple[bool, bool, float]:
        mean = group.spread(run.monitor).mean
        return group is not comparison.baseline, math.isnan(mean), -mean if run.higher_is_better else mean

    return sorted(sorted(comparison.groups, key=badness)[:GROUPS], key=lambda group: group.number)


def logged(folder: Path, names: Sequence[str]) -> dict[str, Curve]:
    """Each metric of ``metrics.csv`` with its last value in every epoch, the gradient norm in every step."""
    found: dict[str, Curve] = {}
    if not os.path.isfile(folder / "metrics.csv"):  # reading a pipe could wait for ever
        return found
    with (folder / "metrics.csv").open(newline="", encoding="utf-8", errors="replace") as file, suppress(csv.Error):
        for row in csv.DictReader(line for line in file if line.endswith("\n")):  # a kill can tear the last line
            for name in names:
                x, y = (number_or_text(row.get(key) or "") for key in ("step" if name == GRADIENT else "epoch", name))
                if not isinstance(x, str) and not isinstance(y, str):
                    found.setdefault(name, {})[x] = y
    return found


def draw_curves(axes: "Axes", name: str, groups: Sequence[Sequence[Curve]]) -> None:
    """Mean over the runs of each group, and one standard deviation around it."""
    axes.set(title=text(name, 45), xlabel="epoch")
    axes.locator_params(axis="x", integer=True)
    if name == GRADIENT:
        axes.set(xlabel="step", yscale="log")
    for position, curves in enumerate(groups):
        points = over_runs([curve for curve in curves if curve])
        means, color = np.array([np.mean(values) for values in points.values()]), f"C{position % 6}"
        axes.plot(list(points), means, color=color, linestyle="-" if position < 6 else "--", linewidth=1.2)
        if name != GRADIENT:
            margins = [np.std(values, ddof=1) if len(values) > 1 else 0 for values in points.values()]
            axes.fill_between(list(points), means - margins, means + margins, color=color, alpha=0.2, linewidth=0)


def over_runs(curves: Sequence[Curve]) -> dict[float, list[float]]:
    """The values of all runs at each epoch or step that at least half of them reached."""
    every = sorted({x for curve in curves for x in curve})
    found = {x: [curve[x] for curve in curves if x in curve] for x in every}
    return {x: values for x, values in found.items() if 2 * len(values) >= len(curves)}


def text(value: str, longest: int) -> str:
    """Shortened, and not taken for a formula."""
    return cell(value if len(value) <= longest else f"{value[: longest - 3]}...").replace("$", r"\$")
