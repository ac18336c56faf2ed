"""Pictures of a training: how far gradients reach, layer by step, and what was measured over time."""

from collections.abc import Sequence
from math import inf, isfinite
from pathlib import Path

from .metrics_file import NAME, rows_of
from .signals import Numbers

FEWEST = 8  # measured steps; fewer show nothing, and drawing takes a second
CHARTS = {
    "gradient_norm": "norm of the gradient, before clipping",
    "update_ratio": "length of a step, beside that of the weights",
    "activation_std": "deviation of what leaves the layer",
    "dead_units": "share of dead units among those that arrive",
}
FLOOR = 1e-12  # what a logarithmic scale shows of zero


def measured(folder: Path) -> dict[int, Numbers]:
    """What the run's ``metrics.csv`` has of its layers, by step."""
    history: dict[int, Numbers] = {}
    for row in rows_of(folder / NAME):
        for name, value in row.items():
            kind, _, rest = name.partition("/")
            what, _, layer = rest.partition("/")
            if kind == "diagnostics":
                history.setdefault(int(row["step"]), {}).setdefault(what, {})[layer] = float(value)
    return {step: numbers for step, numbers in history.items() if "gradient_norm" in numbers}


def draw(folder: Path, order: Sequence[str]) -> list[Path]:
    """Write ``gradient_flow.png`` and ``diagnostics.png``; nothing of a run that was too short."""
    history = measured(folder)
    steps = sorted(history)
    if len(steps) < FEWEST:
        return []
    paths = [folder / "gradient_flow.png", folder / "diagnostics.png"]
    # Imported here: it takes a second, and only the end of a long enough run needs it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    known = list(history[steps[-1]]["gradient_norm"])
    layers = [*(layer for layer in order if layer in known), *(layer for layer in known if layer not in order)]
    flow = [[max(FLOOR, history[s]["gradient_norm"].get(layer, 0.0)) for s in steps] for layer in layers]
    finite = [norm for norms in flow for norm in norms if isfinite(norm)]
    figure = Figure(figsize=(8, 1.5 + 0.18 * len(layers)), layout="constrained")
    axes = figure.add_subplot(xlabel="step", title="gradient flow: norm of each layer's gradient, before clipping")
    scale = LogNorm(min(finite, default=FLOOR), max(finite, default=1.0))
    image = axes.imshow(flow, aspect="auto", norm=scale, cmap="viridis", interpolation="nearest")
    axes.set_yticks(range(len(layers)), layers, fontsize=6)
    shown = range(0, len(steps), max(1, len(steps) // 8))
    axes.set_xticks(shown, [str(steps[i]) for i in shown])
    figure.colorbar(image)
    FigureCanvasAgg(figure).print_png(paths[0])

    figure = Figure(figsize=(10, 7), layout="constrained")
    figure.suptitle("a line a layer, from the first (blue) to the last (pink)", fontsize=10)
    for place, (what, title) in enumerate(CHARTS.items(), start=1):
        axes = figure.add_subplot(2, 2, place, title=title, xlabel="step")
        for number, layer in enumerate(layers):
            points = [(s, history[s][what][layer]) for s in steps if layer in history[s].get(what, {})]
            if points:
                colour = (number / max(1, len(layers) - 1), 0.3, 0.6)
                axes.plot(*zip(*points, strict=True), color=colour, linewidth=1, label=layer)
        values = [numbers[what][layer] for numbers in history.values() for layer in numbers.get(what, {})]
        if what != "dead_units" and any(0 < value < inf for value in values):
            axes.set_yscale("log", nonpositive="clip")
    FigureCanvasAgg(figure).print_png(paths[1])
    return paths
