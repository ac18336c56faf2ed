"""Figures without a screen, in files that are whole or absent."""

from pathlib import Path
from typing import TYPE_CHECKING

from .command import draft

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save(figure: "Figure", path: Path) -> None:
    with draft(path) as unfinished:
        figure.savefig(unfinished, dpi=120)
