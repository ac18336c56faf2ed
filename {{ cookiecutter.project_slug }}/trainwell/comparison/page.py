"""A comparison as ``comparison.html``: one file, with its picture of the curves, that needs no network."""

import base64
import csv
import io
import math
import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import table
from .run_index import number_or_text
from .statistics import Comparison, Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GROUPS = 12  # drawn at most: nobody can tell more lines apart
GRADIENT = "gradient/norm"  # drawn over steps and not epochs, for its peaks
STYLE: dict[Any, Any] = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9, "axes.titlesize": 10}

Curve = dict[float, float]  # value by epoch or step
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Comparison of runs</title>
<style>
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
div { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem 1rem .3rem .3rem; white-space: nowrap; border-bottom: 1px solid #8884; }
img { max-width: 100%; background: white; }
</style>
"""
CAPTION = f"Mean and one standard deviation over seeds and folds; of more than {GROUPS} groups, the best are drawn."


def write(comparison: Comparison, path: Path) -> None:
    parts = [PAGE, element("h1", table.headline(comparison))]
    note, skipped = " ".join(table.notes(comparison)), " ".join(f"Skipped: {why}." for why in comparison.skipped)
    for title, rows, remark in (
        ("Groups", table.group_rows(comparison), note),
        ("Runs", table.run_rows(comparison), skipped),
    ):
        parts += [element("h2", title), f"<div>{html_table(rows)}</div>", element("p", remark)]
    if picture := draw(comparison):
        source = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
        parts += [
            element("h2", "Plots"),
            element("p", CAPTION),
            f'<img src="{source}" alt="Learning curves, gradient norms">',
        ]
    path.write_text("\n".join(parts), encoding="utf-8")


def element(name: str, text: str) -> str:
    return f"<{name}>{escape(table.cell(text))}</{name}>"


def html_table(rows: Sequence[table.Row]) -> str:
    import pandas

    cells = [[table.cell(value) for value in row.values()] for row in rows]
    with pandas.option_context("display.max_colwidth", None):
        return pandas.DataFrame(cells, columns=[table.cell(name) for name in rows[0]]).to_html(index=False, border=0)


def draw(comparison: Comparison) -> bytes | None:
    """Learning curves and gradient norms, as a PNG; None if there are none."""
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
        labels = [plot_text(f"{group.number}  {group.label}", 45 * columns) for group in groups]
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
    axes.set(title=plot_text(name, 45), xlabel="epoch")
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


def plot_text(value: str, longest: int) -> str:
    """Shortened, and not taken for a formula."""
    return table.cell(value if len(value) <= longest else f"{value[: longest - 3]}...").replace("$", r"\$")
