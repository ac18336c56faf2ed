"""The figures of the gallery, one for each phenomenon, as ``figures.yaml`` describes them."""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import yaml
from hydra.utils import instantiate
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from torch import nn
from torch.autograd.functional import jacobian

from ..pages import COLOURS, panels, save
from ..project import PACKAGE, Project, Run
from .curves import draw_band, draw_epochs, draw_steps, finish
from .lab_notes import number

Grouped = dict[str, list[Run]]  # the runs of a note by the overrides of its sweep; "" if it is none
ACCURACY = "val/accuracy"
FIGURES: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("figures.yaml").read_text("utf-8"))


def curves(*notes: Grouped, titles: Sequence[str], lines: Sequence[Sequence[str]], lowest: float = 0.0) -> Figure:
    """Validation accuracy during training, and in a second panel the loss."""
    runs = notes * len(lines) if len(notes) == 1 else notes
    figure, every = panels(*titles)
    for axes, metric in zip(every, (ACCURACY, "val/loss"), strict=False):
        for of_note, (label, colour, *override) in zip(runs, lines, strict=True):
            draw_epochs(axes, of_note["".join(override)], metric, label, COLOURS[colour])
        finish(axes, "epoch", metric, lowest=lowest)
    return figure


def exploding_gradient(without: Grouped, with_it: Grouped) -> Figure:
    figure, (norms, accuracies) = panels("Norm of the gradient, before clipping", "Accuracy with clipping")
    norms.set_yscale("log")
    draw_steps(norms, with_it[""], "gradient/norm", "clipped at 1", COLOURS["better"])
    draw_steps(norms, without[""], "gradient/norm", "not clipped", COLOURS["worse"])
    draw_epochs(accuracies, with_it[""], ACCURACY, "clipped at 1", COLOURS["better"])
    finish(norms, "step", "gradient/norm")
    finish(accuracies, "epoch", ACCURACY)
    return figure


def over(runs: Grouped, *, title: str, across: str, lines: Sequence[Sequence[str]]) -> Figure:
    """Accuracy of the best epoch across one swept key, on a doubling axis; a line for each value of another."""
    figure, (axes,) = panels(title)
    chosen = {frozenset(own.split()): of_value for own, of_value in runs.items()}
    at = sorted({int(part.partition("=")[2]) for own in chosen for part in own if part.startswith(f"{across}=")})
    for label, colour, override in lines:
        table = [[number(run, ACCURACY) for run in chosen[frozenset({override, f"{across}={x}"})]] for x in at]
        middle = draw_band(axes, at, list(zip(*table, strict=True)), COLOURS[colour])
        axes.plot(at, middle, "o-", color=COLOURS[colour], label=label)
    axes.set_xscale("log", base=2)
    axes.set_xticks(at, [str(x) for x in at])
    finish(axes, across, ACCURACY)
    return figure


KINDS: dict[str, Callable[..., Figure]] = {"exploding_gradient": exploding_gradient, "over": over}


def activations(project: Project) -> Figure:
    """Every activation of the project with its derivative, as the code has them."""
    context = import_module(f"{PACKAGE}.networks.layers").LayerContext(width=1, layer=0, depth=1)
    files = sorted((project.folder / "configs" / "activation").glob("*.yaml"))
    figure, every = panels(*(path.stem for path in files), rows=3, size=(2.6, 2.1))
    z = torch.linspace(-4, 4, 401)
    for axes, path in zip(every, files, strict=True):
        activation: nn.Module = instantiate(OmegaConf.load(path))(context)
        axes.plot(z, activation(z.clone()), color=COLOURS["better"], label="value")
        slopes = jacobian(lambda z, activation=activation: activation(z.clone()), z).diagonal()
        axes.plot(z, slopes, color=COLOURS["worse"], label="derivative")
        axes.axhline(0, color=COLOURS["grey"], linewidth=0.8, zorder=0)
        axes.set_xticks([-4, -2, 0, 2, 4])
        axes.set_ylim(-2, 3)
    figure.legend(*every[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def draw_all(project: Project, runs: dict[str, Grouped], folder: Path) -> None:
    """Draw every figure whose notes have been measured."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, settings in FIGURES.items():
        options = {key: value for key, value in settings.items() if key not in ("notes", "kind")}
        if runs.keys() >= set(settings["notes"]):
            figure = KINDS.get(settings.get("kind"), curves)(*(runs[note] for note in settings["notes"]), **options)
            save(figure, folder / f"{name}.png")
    save(activations(project), folder / "activations.png")
