"""The pictures of the gallery, one for each phenomenon."""

from collections.abc import Callable
from pathlib import Path

import torch
from drawing import (
    CURED,
    GREEN,
    GREY,
    PINK,
    SICK,
    SKY,
    YELLOW,
    draw_band,
    draw_epochs,
    draw_steps,
    finish,
    panels,
    save,
)
from lab_notes import number
from matplotlib.figure import Figure
from runs import Project, Run
from torch import nn

Grouped = dict[str, list[Run]]  # the runs of a note by the overrides of its sweep; "" if it is none
ACCURACY, LOSS = "val/accuracy", "val/loss"


def cure(title: str, sick: str, cured: str) -> Callable[..., Figure]:
    """Accuracy while a sick network and a cured one train."""

    def draw(without: Grouped, with_it: Grouped) -> Figure:
        figure, (axes,) = panels(title)
        draw_epochs(axes, with_it[""], ACCURACY, cured, CURED)
        draw_epochs(axes, without[""], ACCURACY, sick, SICK)
        finish(axes, "epoch", ACCURACY)
        return figure

    return draw


def exploding_gradient(without: Grouped, with_it: Grouped) -> Figure:
    figure, (norms, accuracies) = panels("Length of the gradient, before clipping", "What comes of it, if clipped")
    norms.set_yscale("log")
    for runs, name, colour in ((with_it[""], "clipped at 1", CURED), (without[""], "not clipped", SICK)):
        draw_steps(norms, runs, "gradient/norm", name, colour)
    draw_epochs(accuracies, with_it[""], ACCURACY, "clipped at 1", CURED)
    finish(norms, "step", "gradient/norm")
    finish(accuracies, "epoch", ACCURACY)
    return figure


def sweep(title: str, key: str, *colours: str) -> Callable[[Grouped], Figure]:
    """Accuracy for each value of the one key that is swept, while the network trains."""

    def draw(runs: Grouped) -> Figure:
        figure, (axes,) = panels(title)
        for (own, of_value), colour in zip(runs.items(), colours, strict=True):
            draw_epochs(axes, of_value, ACCURACY, own.removeprefix(f"{key}="), colour)
        finish(axes, "epoch", ACCURACY)
        return figure

    return draw


def over(title: str, across: str, *lines: tuple[str, str, str]) -> Callable[[Grouped], Figure]:
    """Accuracy of the best epoch across one swept key, on a doubling axis; a line for each value of another.

    ``lines`` are of an override, a name and a colour each.
    """

    def draw(runs: Grouped) -> Figure:
        figure, (axes,) = panels(title)
        chosen = {frozenset(own.split()): of_value for own, of_value in runs.items()}
        at = sorted({int(part.partition("=")[2]) for own in chosen for part in own if part.startswith(f"{across}=")})
        for override, name, colour in lines:
            table = [[number(run, ACCURACY) for run in chosen[frozenset({override, f"{across}={x}"})]] for x in at]
            middle = draw_band(axes, at, list(zip(*table, strict=True)), colour)
            axes.plot(at, middle, "o-", color=colour, label=name)
        axes.set_xscale("log", base=2)
        axes.set_xticks(at, [str(x) for x in at])
        finish(axes, across, ACCURACY)
        return figure

    return draw


def overfitting(*notes: Grouped) -> Figure:
    names = ("nothing", "early stopping", "weight decay", "dropout", "all three")
    colours = (SICK, YELLOW, PINK, GREEN, CURED)
    figure, both = panels("40 % wrong classes: accuracy on right ones", "and the loss")
    for axes, metric in zip(both, (ACCURACY, LOSS), strict=True):
        for runs, name, colour in zip(notes, names, colours, strict=True):
            draw_epochs(axes, runs[""], metric, name, colour)
        finish(axes, "epoch", metric, lowest=0.5)
    return figure


def early_stopping_cost(runs: Grouped) -> Figure:
    figure, both = panels("Right classes: stopping helps the loss ...", "... and not the accuracy")
    for axes, metric in zip(both, (LOSS, ACCURACY), strict=True):
        for patience, name, colour in ((29, "to the end", SICK), (3, "stopped", CURED)):
            draw_epochs(axes, runs[f"callbacks.early_stopping.patience={patience}"], metric, name, colour)
        finish(axes, "epoch", metric)
    return figure


def activations(project: Project) -> Figure:
    """Every activation of the package with its derivative, as the code has them."""
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    files = sorted((project.folder / "configs" / "activation").glob("*.yaml"))
    figure, every = panels(*(path.stem for path in files), rows=3, size=(2.6, 2.1))
    z = torch.linspace(-4, 4, 401)
    for axes, path in zip(every, files, strict=True):
        activation: nn.Module = instantiate(OmegaConf.load(path))(project.module("network").Site(1, 0, 1))
        axes.plot(z, activation(z.clone()), color=CURED, label="value")
        axes.plot(z, project.module("activation").derivative(activation, z), color=SICK, label="derivative")
        axes.axhline(0, color=GREY, linewidth=0.8, zorder=0)
        axes.set_xticks([-4, -2, 0, 2, 4])
        axes.set_ylim(-2, 3)
    figure.legend(*every[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return figure


# Each with the notes whose runs it is drawn from.
PICTURES: dict[str, tuple[tuple[str, ...], Callable[..., Figure]]] = {
    "vanishing_gradient": (
        ("vanishing_gradient", "residual_rescue"),
        cure("Eight layers", "sigmoid, no short cuts", "relu, short cuts,\nidentity at the start"),
    ),
    "exploding_gradient": (("exploding_gradient", "gradient_clipping"), exploding_gradient),
    "dead_relu": (("dead_relu", "leaky_relu"), cure("First steps far too long", "relu", "leaky_relu")),
    "saturation": (("saturation", "xavier"), cure("Two layers of tanh", "normal, std 1", "xavier")),
    "residual_depth": (
        ("residual_depth",),
        over(
            "How deep can it be?",
            "residual.depth",
            ("residual.connection=skip", "x + F(x)", CURED),
            ("residual.connection=plain", "F(x)", SICK),
        ),
    ),
    "initialisation": (
        ("initialisation",),
        sweep("Sixteen layers without short cuts", "initialisation", SICK, YELLOW, GREEN, PINK, SKY, CURED),
    ),
    "overfitting": (("overfitting", "early_stopping", "weight_decay", "dropout", "regularisation"), overfitting),
    "early_stopping_cost": (("early_stopping_cost",), early_stopping_cost),
    "label_noise": (
        ("label_noise",),
        sweep("Share of the train rows with a wrong class", "data.label_noise", CURED, SKY, YELLOW, SICK),
    ),
    "architecture": (("architecture",), sweep("Three networks on MNIST-1D", "network", YELLOW, CURED, GREEN)),
    "width_or_depth": (
        ("width_or_depth",),
        over(
            "Wide or deep?",
            "residual.depth",
            ("network.width=128", "width 128", CURED),
            ("network.width=64", "width 64", SKY),
            ("network.width=32", "width 32", YELLOW),
        ),
    ),
}


def draw_all(project: Project, runs: dict[str, Grouped], folder: Path) -> None:
    """Draw every picture whose notes have been measured."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (needed, draw) in PICTURES.items():
        if runs.keys() >= set(needed):
            save(draw(*(runs[note] for note in needed)), folder / f"{name}.png")
    save(activations(project), folder / "activations.png")
