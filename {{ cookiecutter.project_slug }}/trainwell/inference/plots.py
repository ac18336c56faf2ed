"""The plots of an evaluation, by what the targets are: classes, labels or numbers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error, multiclass_confusion_matrix

from ..runs.folder import draft
from .scores import Outputs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 15  # of confidence, equally wide; as in Guo et al. 2017, arXiv:1706.04599
MISTAKES = 16
NUMBERED = 15  # classes up to which a confusion matrix holds its numbers
MOST_LABELS = 12  # that are drawn
LABEL_BINS = 8  # of a label's probability
MOST_TARGETS = 9  # of a regression that are drawn
MOST_POINTS = 2000  # of each


def write_classes(folder: Path, found: Outputs, x: Tensor | None) -> dict[str, float]:
    """Write ``confusion.png``, ``reliability.png``, of two classes ``roc.png``, of known inputs ``mistakes.png``.

    Returns: ``calibration_error``, the expected one.
    """
    probabilities, y = found.outputs.softmax(dim=-1), found.y
    confidences, predictions = probabilities.max(dim=-1)
    num_classes = probabilities.shape[1]
    error = multiclass_calibration_error(probabilities, y, num_classes, n_bins=BINS, norm="l1").item()
    counts = multiclass_confusion_matrix(predictions, y, num_classes).numpy()
    save(confusion(counts, [found.name(place) for place in range(num_classes)]), folder / "confusion.png")
    save(reliability(confidences.numpy(), (predictions == y).numpy(), error), folder / "reliability.png")
    if num_classes == 2 and len(y.unique()) == 2:
        save(roc(y.numpy(), probabilities[:, 1].numpy(), found.name(1)), folder / "roc.png")

    by_confidence = confidences.argsort(descending=True, stable=True)
    wrong = by_confidence[(predictions != y)[by_confidence]][:MISTAKES].tolist()
    (folder / "mistakes.png").unlink(missing_ok=True)  # of an earlier evaluation
    if wrong and x is not None:
        names = [(found.name(int(predictions[n])), found.name(int(y[n]))) for n in wrong]
        titles = [
            f"sample {n}: {predicted} for {true}\nconfidence {confidences[n]:.2f}"
            for n, (predicted, true) in zip(wrong, names, strict=True)
        ]
        save(mistakes([x[n].numpy() for n in wrong], titles), folder / "mistakes.png")
    return {"calibration_error": error}


def confusion(counts: np.ndarray, names: Sequence[str]) -> "Figure":
    from sklearn.metrics import ConfusionMatrixDisplay

    size = min(9.0, 3.0 + 0.45 * len(counts))
    figure = new_figure(size + 0.8, size)
    few, upright = len(counts) <= NUMBERED, max(map(len, names)) <= 3
    ConfusionMatrixDisplay(counts, display_labels=names).plot(
        ax=figure.subplots(), include_values=few, cmap="Blues", xticks_rotation="horizontal" if upright else "vertical"
    )
    return figure


def roc(y: np.ndarray, probabilities: np.ndarray, name: str) -> "Figure":
    from sklearn.metrics import RocCurveDisplay

    figure = new_figure(5, 5)
    RocCurveDisplay.from_predictions(y, probabilities, name=name, plot_chance_level=True, ax=figure.subplots())
    return figure


def reliability(confidences: np.ndarray, right: np.ndarray, calibration_error: float) -> "Figure":
    from sklearn.calibration import CalibrationDisplay

    figure = new_figure(5, 5)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    CalibrationDisplay.from_predictions(right, confidences, n_bins=BINS, name="mean of each bin", ax=above)
    above.set(xlabel="", ylabel="accuracy", title=f"Expected calibration error {calibration_error:.3f}")
    above.legend(loc="upper left")  # below are the points of a network that is too confident
    below.hist(confidences, BINS, range=(0, 1), rwidth=0.9)
    below.set(xlabel="confidence", ylabel="samples", xlim=(0, 1))
    return figure


def mistakes(inputs: Sequence[np.ndarray], titles: Sequence[str]) -> "Figure":
    columns = min(4, len(inputs))
    rows = -(-len(inputs) // columns)
    figure = new_figure(2.2 * columns, 2.1 * rows + 0.3)
    for number, (x, title) in enumerate(zip(inputs, titles, strict=True), start=1):
        axes = figure.add_subplot(rows, columns, number)
        axes.set_axis_off()
        draw(axes, x)
        axes.set_title(title, fontsize=8)
    figure.suptitle("Most confident mistakes: predicted for true class")
    return figure


def draw(axes: "Axes", x: np.ndarray) -> None:
    """Draw an image as an image, anything else as a line through its values."""
    if x.ndim == 3 and x.shape[0] in (1, 3):
        x = x.transpose(1, 2, 0)
        x = (x - x.min()) / (np.ptp(x) or 1)
    if x.ndim == 2 or (x.ndim == 3 and x.shape[2] in (1, 3)):
        axes.imshow(x, cmap="gray")
    else:
        axes.plot(x.reshape(-1), linewidth=1)


def write_labels(folder: Path, found: Outputs, x: Tensor | None) -> dict[str, float]:
    """Write ``roc.png`` and ``calibration.png``, a curve for each label that some samples have, and some not."""
    from sklearn.calibration import CalibrationDisplay
    from sklearn.metrics import RocCurveDisplay

    known = [place for place in range(found.y.shape[1]) if len(found.y[:, place].unique()) == 2][:MOST_LABELS]
    if known:
        save(curves(found, known, RocCurveDisplay.from_predictions), folder / "roc.png")
        calibration = {"n_bins": LABEL_BINS, "strategy": "quantile"}  # as many samples in each
        save(curves(found, known, CalibrationDisplay.from_predictions, **calibration), folder / "calibration.png")
    return {}


def curves(found: Outputs, places: list[int], draw: Callable[..., Any], **options: Any) -> "Figure":
    figure = new_figure(6, 6)
    axes, probabilities = figure.subplots(), found.outputs.sigmoid()
    for place in places:
        draw(found.y[:, place].numpy(), probabilities[:, place].numpy(), name=found.name(place), ax=axes, **options)
    axes.legend(fontsize=8)
    return figure


def write_numbers(folder: Path, found: Outputs, x: Tensor | None) -> dict[str, float]:
    """Write ``predicted.png`` and ``residuals.png``, with a plot for each target."""
    save(predictions(found, "actual_vs_predicted"), folder / "predicted.png")
    save(predictions(found, "residual_vs_predicted"), folder / "residuals.png")
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


def new_figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save(figure: "Figure", path: Path) -> None:
    with draft(path) as unfinished:
        figure.savefig(unfinished, dpi=120)


WRITERS = {"classes": write_classes, "numbers": write_numbers, "labels": write_labels}
