"""What the pages in ``docs/`` share: how figures look, and what measurements were made on."""

import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

import matplotlib
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Colours that nearly everyone can tell apart, by Okabe and Ito.
COLOURS = {"worse": "#D55E00", "better": "#0072B2", "green": "#009E73", "pink": "#CC79A7", "yellow": "#E69F00"}
COLOURS |= {"sky": "#56B4E9", "grey": "#767676"}
STYLE = Path(__file__).with_name("figures.mplstyle")


def panels(*titles: str, rows: int = 1, size: tuple[float, float] = (6.4, 3.7)) -> tuple[Figure, list[Axes]]:
    """A figure with a panel for each title, each of the given size in inches."""
    matplotlib.use("Agg")
    columns = len(titles) // rows
    with pyplot.style.context(STYLE):
        figure, grid = pyplot.subplots(rows, columns, figsize=(size[0] * columns, size[1] * rows), squeeze=False)
        for axes, title in zip(grid.flat, titles, strict=True):
            axes.set_title(title)
    return figure, list(grid.flat)


def save(figure: Figure, path: Path) -> None:
    with pyplot.style.context(STYLE):
        figure.savefig(path, metadata={"Software": None}, pil_kwargs={"optimize": True})
    pyplot.close(figure)


def row(*cells: object) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(map(str, cells))} |"


def filled(template: Path, sections: Mapping[str, Iterable[str]], **values: object) -> str:
    """The text of a page: its template with the lines of each section, further values, and what ``machine`` says."""
    texts = {name: "\n".join(lines) for name, lines in sections.items()}
    return template.read_text("utf-8").format(**texts, **values, **machine())


def machine() -> dict[str, str]:
    """``processor`` and ``versions``, for the templates of the pages."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    packages = ", ".join(f"{name} {version(name).partition('+')[0]}" for name in ("torch", "lightning", "numpy"))
    processor = f"an {names[0]}" if names else platform.processor()
    return {"processor": processor, "versions": f"Python {platform.python_version()}, {packages}"}
