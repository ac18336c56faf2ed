"""Plots of a regression: predicted against true values, and what is left."""

from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from .figures import new_figure, save
from .scores import Outputs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_TARGETS = 9  # that are drawn
MOST_POINTS = 2000  # of each
FILES = {"predicted.png": "actual_vs_predicted", "residuals.png": "residual_vs_predicted"}


def write_numbers(folder: Path, found: Outputs, x: Tensor | None) -> dict[str, float]:
    """Write ``predicted.png`` and ``residuals.png``, with a plot for each target."""
    for name, kind in FILES.items():
        save(predictions(found, kind), folder / name)
    return {}


def predictions(found: Outputs, kind: str) -> "Figure":
    from sklearn.metrics import PredictionErrorDisplay

    count = min(found.y.shape[1], MOST_TARGETS)
    columns = min(3, count)
    rows = -(-count // columns)
    figure = new_figure(1 + 4 * columns, 4 * rows)
    for place in range(count):
        axes = figure.add_subplot(rows, columns, place + 1)
        true, predicted = found.y[:, place].numpy(), found.outputs[:, place].numpy()
        subsample = min(len(true), MOST_POINTS)
        PredictionErrorDisplay.from_predictions(
            true, predicted, kind=kind, subsample=subsample, random_state=0, ax=axes, scatter_kwargs={"s": 12}
        )
        if found.names is not None or count > 1:
            axes.set_title(found.name(place))
    return figure
