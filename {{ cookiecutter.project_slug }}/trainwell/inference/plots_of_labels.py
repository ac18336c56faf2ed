"""Plots of several labels: the ROC curve of each, and whether its probabilities are those of the data."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from .figures import new_figure, save
from .scores import Outputs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LABELS = 12  # that are drawn
BINS = 10  # of probability, equally wide


def write_labels(folder: Path, found: Outputs, x: Tensor | None) -> dict[str, float]:
    """Write ``roc.png`` and ``calibration.png``, a curve for each label that some samples have, and some not."""
    from sklearn.calibration import CalibrationDisplay
    from sklearn.metrics import RocCurveDisplay

    known = [place for place in range(found.y.shape[1]) if len(found.y[:, place].unique()) == 2][:MOST_LABELS]
    if known:
        save(curves(found, known, RocCurveDisplay.from_predictions), folder / "roc.png")
        save(curves(found, known, CalibrationDisplay.from_predictions, n_bins=BINS), folder / "calibration.png")
    return {}


def curves(found: Outputs, places: list[int], draw: Callable[..., Any], **options: Any) -> "Figure":
    figure = new_figure(6, 6)
    axes, probabilities = figure.subplots(), found.outputs.sigmoid()
    for place in places:
        draw(found.y[:, place].numpy(), probabilities[:, place].numpy(), name=found.name(place), ax=axes, **options)
    axes.legend(fontsize=8)
    return figure
