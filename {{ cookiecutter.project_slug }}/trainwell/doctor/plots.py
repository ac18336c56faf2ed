"""Plots of a training: the gradient of each layer over the steps, and other statistics of the layers."""

from collections.abc import Sequence
from math import inf, isfinite, nan
from pathlib import Path
from typing import Any

from ..runs.metrics_csv import rows_of
from .layer_statistics import Numbers

FEWEST = 8  # measured steps; fewer show nothing, and plotting takes a second
TITLES = {
    "gradient_norm": "norm of the gradient, before clipping",
    "update_ratio": "length of a step relative to the weights",
    "activation_std": "standard deviation of the layer's output",
    "dead_units": "share of dead units at the layer's input",
}


def draw(folder: Path, order: Sequence[str]) -> list[Path]:
    """Plot what ``metrics.csv`` has into ``gradient_flow.png`` and ``diagnostics.png``; nothing for a short run."""
    history = measured(folder / "metrics.csv")
    if len(history) < FEWEST:
        return []
    from matplotlib.figure import Figure  # takes a second to import

    last = history[max(history)]["gradient_norm"]
    layers = [*(layer for layer in order if layer in last), *(layer for layer in last if layer not in order)]
    flow = Figure(figsize=(8, 1.5 + 0.18 * len(layers)), layout="constrained")
    draw_gradient_flow(flow, history, layers)
    statistics = Figure(figsize=(10, 7), layout="constrained")
    statistics.suptitle("one line per layer, from the first (blue) to the last (pink)", fontsize=10)
    for place, (what, title) in enumerate(TITLES.items(), start=1):
        draw_statistic(statistics.add_subplot(2, 2, place, title=title, xlabel="step"), history, layers, what)
    paths = [folder / "gradient_flow.png", folder / "diagnostics.png"]
    for path, figure in zip(paths, (flow, statistics), strict=True):
        figure.savefig(path)
    return paths


def measured(path: Path) -> dict[int, Numbers]:
    """The statistics of the layers in a ``metrics.csv``, by step in order."""
    history: dict[int, Numbers] = {}
    for row in rows_of(path):
        for name in row:
            if name.startswith("diagnostics/"):
                _, what, layer = name.split("/", 2)
                history.setdefault(int(row["step"]), {}).setdefault(what, {})[layer] = float(row[name])
    return {step: history[step] for step in sorted(history) if "gradient_norm" in history[step]}


def draw_gradient_flow(figure: Any, history: dict[int, Numbers], layers: Sequence[str]) -> None:
    flow = [[or_gap(numbers["gradient_norm"].get(layer, 0.0)) for numbers in history.values()] for layer in layers]
    finite = [norm for norms in flow for norm in norms if isfinite(norm)]
    axes = figure.add_subplot(xlabel="step", title="gradient norm of each layer, before clipping (white: 0)")
    ends = {"vmin": min(finite, default=0.1), "vmax": max(finite, default=1.0)}
    figure.colorbar(axes.imshow(flow, aspect="auto", norm="log", interpolation="nearest", **ends))
    axes.set_yticks(range(len(layers)), layers, fontsize=6)
    ticks = range(0, len(history), max(1, len(history) // 8))
    axes.set_xticks(ticks, [str(list(history)[tick]) for tick in ticks])


def draw_statistic(axes: Any, history: dict[int, Numbers], layers: Sequence[str], what: str) -> None:
    values = [numbers.get(what, {}) for numbers in history.values()]
    for number, layer in enumerate(layers):
        curve = [of_layers.get(layer, nan) for of_layers in values]
        curve = curve if what == "dead_units" else [or_gap(value) for value in curve]
        axes.plot(list(history), curve, color=(number / max(1, len(layers) - 1), 0.3, 0.6), linewidth=1)
    if what == "dead_units":
        axes.set_ylim(-0.02, 1.02)
    elif any(0 < value < inf for of_layers in values for value in of_layers.values()):
        axes.set_yscale("log")


def or_gap(value: float) -> float:
    """NaN instead of 0, which a logarithmic scale cannot show."""
    return value if value > 0 else nan
