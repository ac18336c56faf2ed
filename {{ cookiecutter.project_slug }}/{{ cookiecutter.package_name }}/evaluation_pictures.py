"""An evaluation in pictures: which classes are taken for which, how honest confidences are, the surest mistakes."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from .data import Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 15  # of confidence, equally wide; as in Guo et al. 2017
MISTAKES = 16
NUMBERED = 15  # classes up to which a confusion matrix holds its numbers
COLOUR = "#3f7fbf"


def write(
    folder: Path, rows: Rows, predictions: Tensor, confidences: Tensor, num_classes: int, calibration_error: float
) -> None:
    """Write ``confusion.png``, ``reliability.png`` and, if there is a mistake, ``mistakes.png``."""
    said, sure, targets = predictions.numpy(), confidences.numpy(), rows.y.numpy()
    save(confusion(confusion_matrix(targets, said, num_classes)), folder / "confusion.png")
    save(reliability(sure, said == targets, calibration_error), folder / "reliability.png")
    wrong = np.flatnonzero(said != targets)
    surest = wrong[np.argsort(-sure[wrong], kind="stable")][:MISTAKES]
    (folder / "mistakes.png").unlink(missing_ok=True)  # of an earlier evaluation
    if len(surest):
        save(mistakes(surest, rows, said, sure), folder / "mistakes.png")


def confusion_matrix(targets: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """How many rows of each class (first axis) were taken for each (second axis)."""
    return np.bincount(targets * num_classes + predictions, minlength=num_classes**2).reshape(num_classes, num_classes)


def bin_of(confidences: np.ndarray) -> np.ndarray:
    return np.minimum((confidences * BINS).astype(int), BINS - 1)


def confusion(counts: np.ndarray) -> "Figure":
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    size = min(9.0, 2.5 + 0.45 * len(counts))
    figure = new_figure(size + 0.8, size)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted class", ylabel="true class", title="Rows of each class, and what they are taken for")
    figure.colorbar(image, label="share of the class's rows", shrink=0.8)
    if len(counts) <= NUMBERED:
        axes.set(xticks=range(len(counts)), yticks=range(len(counts)))
        for (true, said), count in np.ndenumerate(counts):
            ink = "white" if shares[true, said] > 0.5 else "black"
            axes.text(said, true, count or "", color=ink, ha="center", va="center", fontsize=8)
    return figure


def reliability(confidences: np.ndarray, right: np.ndarray, calibration_error: float) -> "Figure":
    bins = bin_of(confidences)
    counts = np.bincount(bins, minlength=BINS)
    filled = counts > 0
    middles, accuracies = (
        np.bincount(bins, of, minlength=BINS)[filled] / counts[filled] for of in (confidences, right)
    )
    figure = new_figure(5, 5)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color="gray", linestyle="--", linewidth=1, label="as sure as right")
    above.plot(middles, accuracies, "o-", color=COLOUR, label="rows of like confidence")
    above.set(ylabel="accuracy", ylim=(0, 1.02), title=f"Expected calibration error {calibration_error:.3f}")
    above.legend(loc="upper left", frameon=False)
    below.bar((np.arange(BINS) + 0.5) / BINS, counts, width=0.9 / BINS, color=COLOUR)
    below.set(xlabel="confidence", ylabel="rows", xlim=(0, 1))
    return figure


def mistakes(surest: np.ndarray, rows: Rows, predictions: np.ndarray, confidences: np.ndarray) -> "Figure":
    columns = min(4, len(surest))
    lines = -(-len(surest) // columns)
    figure = new_figure(2.2 * columns, 2.1 * lines + 0.3)
    panels = figure.subplots(lines, columns, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for axes, row in zip(panels.flat, surest, strict=False):
        draw(axes, rows.x[row].numpy())
        told = f"row {row}: taken for {predictions[row]}\nis {rows.y[row]}, confidence {confidences[row]:.2f}"
        axes.set_title(told, fontsize=8)
    figure.suptitle("The surest mistakes")
    return figure


def draw(axes: "Axes", x: np.ndarray) -> None:
    """An image as one, anything else as a line over its numbers."""
    if x.ndim == 3 and x.shape[0] in (1, 3):
        x = x.transpose(1, 2, 0)
        x = (x - x.min()) / (np.ptp(x) or 1)
    if x.ndim == 2 or (x.ndim == 3 and x.shape[2] in (1, 3)):
        axes.imshow(x, cmap="gray")
    else:
        axes.plot(x.reshape(-1), color=COLOUR, linewidth=1)


def new_figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save(figure: "Figure", path: Path) -> None:
    figure.savefig(path, dpi=120)
