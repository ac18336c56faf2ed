"""A picture for each finding: a training with the fault beside the same training without it, epoch by epoch."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning import Callback, LightningModule, Trainer
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from tqdm import tqdm

from ...pages import COLOURS, panels, save
from ...project import hashed, kept
from ..cases import Case, faulty_cases
from .cases import FieldCase, all_cases

if TYPE_CHECKING:
    from ..measurements import Measurements

AnyCase = FieldCase | Case
SCORES = {"val/accuracy": "accuracy", "val/r2": "R²", "val/f1": "F1"}


class Curves(Callback):
    """The metrics of every epoch."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self.rows.append({name: float(value) for name, value in trainer.callback_metrics.items()})


def draw(measurements: "Measurements", folder: Path, drawn: set[str]) -> None:
    """Draw the first configuration of each code that has a curve, but those of ``drawn``."""
    first: dict[str, tuple[AnyCase, AnyCase]] = {}
    for case in all_cases():
        if case.codes and case.twin:
            first.setdefault(case.codes[0], (case, case.twin))
    for other in faulty_cases():  # for what the field does not have
        if other.code and other.code != "non_finite":  # a loss that is not finite has no curve
            first.setdefault(other.code, (other, other.unchanged))
    folder.mkdir(exist_ok=True)
    for code in tqdm(sorted(first.keys() - drawn), unit="picture"):
        case, twin = first[code]
        both = {label: curves(measurements, each) for label, each in (("with it", case), ("without", twin))}
        score = next((name for name in SCORES if all(name in rows[-1] for rows in both.values())), None)
        figure, axes = panels(
            case.name if isinstance(case, FieldCase) else case.base, *([""] if score else []), size=(4.0, 2.8)
        )
        line(axes[0], both, "val/loss", "validation loss")
        if score:
            line(axes[1], both, score, f"validation {SCORES[score]}")
        axes[0].legend(frameon=False)
        save(figure, folder / f"{code}.png")


def curves(measurements: "Measurements", case: AnyCase) -> list[dict[str, float]]:
    name = measurements.field_name(case) if isinstance(case, FieldCase) else f"{hashed(case.name)[:24]}.json"
    return kept(measurements.trainings / f"curves_{name}", lambda: trained(measurements, case))


def trained(measurements: "Measurements", case: AnyCase) -> list[dict[str, float]]:
    found = Curves()
    built = (
        measurements.built_field(case) if isinstance(case, FieldCase) else measurements.built(case.overrides, seed=0)
    )
    measurements.train_field(*built, callbacks=[found])
    return found.rows


def line(axes: Axes, both: dict[str, Any], metric: str, label: str) -> None:
    for (name, rows), colour in zip(both.items(), (COLOURS["worse"], COLOURS["better"]), strict=True):
        axes.plot(range(len(rows)), [row[metric] for row in rows], color=colour, label=name)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(label)
