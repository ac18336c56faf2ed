"""A picture for each finding: a training with the fault beside the same training without it, epoch by epoch."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from tqdm import tqdm

from ...pages import COLOURS, panels, save
from ..cases import Case, faulty_cases
from ..measurements import Measurements, Metrics
from ..results import SCORES
from .cases import all_cases

LINES = {"with it": COLOURS["worse"], "without": COLOURS["better"]}


def draw(measurements: Measurements, folder: Path, drawn: set[str]) -> None:
    """Draw the first configuration of each code that has a curve, but those of ``drawn``."""
    first: dict[str, Case] = {}
    for case in [*all_cases(), *faulty_cases()]:  # the second for what the field does not have
        if case.codes and case.codes[0] != "non_finite":  # a loss that is not finite has no curve
            first.setdefault(case.codes[0], case)
    folder.mkdir(exist_ok=True)
    for code in tqdm(sorted(first.keys() - drawn), unit="picture"):
        case = first[code]
        both = [measurements.epochs(each) for each in (case, case.twin)]
        score = next((name for name in SCORES if all(name in epochs[-1] for epochs in both)), None)
        figure, axes = panels(case.name.partition(" | ")[0], *([""] if score else []), size=(4.0, 2.8))
        lines(axes[0], both, "val/loss", "validation loss")
        if score:
            lines(axes[1], both, score, f"validation {SCORES[score]}")
        axes[0].legend(frameon=False)
        save(figure, folder / f"{code}.png")


def lines(axes: Axes, both: list[list[Metrics]], metric: str, label: str) -> None:
    for epochs, (name, colour) in zip(both, LINES.items(), strict=True):
        axes.plot([metrics[metric] for metrics in epochs], color=colour, label=name)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(label)
