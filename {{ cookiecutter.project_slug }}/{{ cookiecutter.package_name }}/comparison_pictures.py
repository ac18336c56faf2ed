"""A comparison in pictures: learning curves, the swept parameter, gradient norms; SVG that takes the page's colours."""

import csv
import io
import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

from .comparison import Comparison, Group
from .records import Run

GROUPS = 12  # drawn at most; more lines than that nobody can tell apart
POINTS = 200  # of a gradient's curve at most
LINES = 20  # of gradients a group at most
# Seen well on white and on black; after the last the lines are dashed.
COLOURS = ("#3f7fbf", "#d9722e", "#2e9e6b", "#c2527c", "#8a6bc4", "#a98a1f")
INK = "#010203"  # stands for the colour of the page's text until the picture is written
STYLE: dict[Any, Any] = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "font.size": 9,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text, in the page's font
    "svg.hashsalt": "comparison",
}

Values = dict[str, list[tuple[int, int, float]]]


def pictures(comparison: Comparison) -> Iterator[tuple[str, str]]:
    """Each picture with its caption, as far as there is something to see."""
    drawn = shown(comparison)
    values = {
        run.folder: logged(run, ("train/loss", "val/loss", "val/accuracy", "gradient/norm")) for run in runs_of(drawn)
    }
    left_out = len(comparison.groups) - len(drawn)
    which = f" The {GROUPS} best groups, with the baseline; {left_out} more are in the tables." if left_out else ""
    if any(values.values()):
        yield (
            f"Learning curves: mean over seeds, and one standard deviation around it.{which}",
            svg((9, 3.4 + 0.2 * rows_of_legend(drawn)), lambda figure: draw_curves(figure, drawn, values)),
        )
    if comparison.swept and len(comparison.groups) > 1:
        yield (
            f"Results over {comparison.swept}: a point a run, mean and one standard deviation a group.",
            svg((9, 3.2), lambda figure: draw_sweep(figure, comparison)),
        )
    if any("gradient/norm" in found for found in values.values()):
        yield (
            f"Norm of the whole gradient, before clipping: a line a run.{which}",
            svg((9, 2.3 * -(-len(drawn) // 4) + 0.3), lambda figure: draw_gradients(figure, drawn, values)),
        )


def shown(comparison: Comparison) -> list[Group]:
    """The groups that are drawn: all, or the baseline and the best by validation loss."""

    def badness(group: Group) -> tuple[bool, float]:
        mean = group.mean("val/loss")
        return group is not comparison.baseline, math.inf if math.isnan(mean) else mean

    best = sorted(comparison.groups, key=badness)[:GROUPS]
    return [group for group in comparison.groups if group in best]


def runs_of(groups: Sequence[Group]) -> list[Run]:
    return [run for group in groups for run in group.runs]


def logged(run: Run, names: Sequence[str]) -> Values:
    """Of each metric ``(epoch, step, value)`` in the order logged, finite values only."""
    path = run.folder / "metrics.csv"
    if not path.exists():
        return {}
    whole_lines = path.read_text("utf-8").rpartition("\n")[0].splitlines()  # a killed run may tear the last
    header, *rows = csv.reader(whole_lines) if whole_lines else [[]]
    wanted = [(header.index(name), name) for name in names if name in header]
    found: Values = {}
    for row in rows:
        for column, name in wanted:
            if column < len(row) and row[column] and math.isfinite(value := float(row[column])):
                found.setdefault(name, []).append((int(row[0]), int(row[1]), value))
    return found


def svg(size: tuple[float, float], draw: Callable[["Figure"], None]) -> str:
    """Draw on a figure of ``size`` inches, and return an SVG element without a word of any other place."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser has more fonts
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True)
    element = file.getvalue()[file.getvalue().index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", element, flags=re.DOTALL)
    return re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*"', r"\1", element, count=2).replace(INK, "currentColor")


def look(position: int) -> dict[str, str]:
    """Colour and dashes of the group at a position among those drawn."""
    return {"color": COLOURS[position % len(COLOURS)], "linestyle": ("-", "--")[position // len(COLOURS) % 2]}


def draw_curves(figure: "Figure", groups: Sequence[Group], values: dict[Path, Values]) -> None:
    panels = figure.subplots(1, 3)
    for axes, name in zip(panels, ("train/loss", "val/loss", "val/accuracy"), strict=True):
        axes.set(title=name, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        for position, group in enumerate(groups):
            epochs = by_epoch([values[run.folder].get(name, []) for run in group.runs])
            means = [fmean(epochs[epoch]) for epoch in epochs]
            margins = [stdev(epochs[epoch]) if len(epochs[epoch]) > 1 else 0 for epoch in epochs]
            axes.plot(list(epochs), means, **look(position), label=name_of(group))
            low, high = ([m + sign * margin for m, margin in zip(means, margins, strict=True)] for sign in (-1, 1))
            axes.fill_between(list(epochs), low, high, color=look(position)["color"], alpha=0.2, linewidth=0)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower left", ncols=columns_of_legend(groups))


def name_of(group: Group, longest: int = 110) -> str:
    """Its number and label, which are not to be taken for a formula."""
    name = f"{group.number}  {group.label}"
    return (name if len(name) <= longest else f"{name[: longest - 3]}...").replace("$", r"\$")


def columns_of_legend(groups: Sequence[Group]) -> int:
    return max(1, min(4, 110 // (8 + max(len(group.label) for group in groups))))


def rows_of_legend(groups: Sequence[Group]) -> int:
    return -(-len(groups) // columns_of_legend(groups))


def by_epoch(curves: Sequence[list[tuple[int, int, float]]]) -> dict[int, list[float]]:
    """Each epoch's values over the runs, up to where more than half of the runs have stopped."""
    last_values = [{epoch: value for epoch, _, value in curve} for curve in curves if curve]
    epochs = sorted({epoch for curve in last_values for epoch in curve})
    found = {epoch: [curve[epoch] for curve in last_values if epoch in curve] for epoch in epochs}
    return {epoch: reached for epoch, reached in found.items() if 2 * len(reached) >= len(last_values)}


def draw_sweep(figure: "Figure", comparison: Comparison) -> None:
    metrics = [metric for metric in ("val/loss", "val/accuracy") if metric in comparison.metrics]
    swept = str(comparison.swept)
    groups = sorted(comparison.groups, key=lambda group: comparison.setting(group, swept))
    x = [comparison.setting(group, swept) for group in groups]
    for axes, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
        axes.set(title=metric, xlabel=swept, xscale="log" if x[0] > 0 and x[-1] / x[0] > 20 else "linear")
        points = [(at, one) for at, group in zip(x, groups, strict=True) for one in group.by_seed(metric).values()]
        axes.plot(*zip(*points, strict=True), ".", color=COLOURS[0], alpha=0.6, markersize=7, markeredgewidth=0)
        means = [group.mean(metric) for group in groups]
        margins = [0 if math.isnan(group.deviation(metric)) else group.deviation(metric) for group in groups]
        axes.errorbar(x, means, margins, color=COLOURS[0], marker="_", markersize=9, capsize=3, linewidth=1.2)


def draw_gradients(figure: "Figure", groups: Sequence[Group], values: dict[Path, Values]) -> None:
    columns = min(4, len(groups))
    panels = figure.subplots(-(-len(groups) // columns), columns, sharex=True, sharey=True, squeeze=False)
    for axes in panels.flat[len(groups) :]:
        axes.remove()
    for position, (axes, group) in enumerate(zip(panels.flat, groups, strict=False)):
        axes.set_title(name_of(group, longest=30), loc="left")
        axes.set_yscale("log")
        if position + columns >= len(groups):  # nothing below it
            axes.set_xlabel("step")
            axes.tick_params(labelbottom=True)
        for run in group.runs[:LINES]:
            norms = [(step, norm) for _, step, norm in values[run.folder].get("gradient/norm", []) if norm > 0]
            steps = norms[:: -(-len(norms) // POINTS) or 1]
            axes.plot(*zip(*steps, strict=True) if steps else ([], []), color=look(position)["color"], linewidth=0.8)
