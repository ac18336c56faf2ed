"""``docs/speed.md`` and its figure, from ``page.md`` and what was measured."""

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from matplotlib.ticker import FuncFormatter

from ..pages import COLOURS, filled, panels, row, save
from ..project import write
from .settings import TABLES, Setting

OTHERS = {"bare": ("a hand-written loop", COLOURS["better"]), "usual": ("the usual way", COLOURS["worse"])}


def write_page(path: Path, found: Mapping[Setting, Any], curves: dict[str, Any], waits: dict[str, Any]) -> None:
    settings = [setting for setting in found if "bare" in setting.against]
    paired = [setting for setting in found if "bare" not in setting.against]
    races = [found[setting] for setting in settings]
    small = {data: table["small_network"] for data, table in TABLES["to_an_accuracy"].items() if data in curves}
    sections = {
        "races": map(race_row, settings, races),
        "costs": (cost_row(setting, found[setting]) for setting in paired),
        "accuracies": (row for data, found in curves.items() for row in accuracy_rows(data, found)),
        "small_networks": (f"The small network for {data} is `{network}`." for data, network in small.items()),
        "commands": command_rows(waits["commands"]),
        "memory": (memory_line(name, held) for name, held in waits["memory"].items()),
    }
    numbers = {name: waits[name] for name in ("one", "many", "job", "fit")} | {"factor": waits["many"] / waits["one"]}
    write(path, filled(Path(__file__).with_name("page.md"), sections, **numbers))
    draw(path.with_suffix(".png"), settings, races)


def race_row(setting: Setting, found: dict[str, Any]) -> str:
    seconds, memory = found["seconds"], found["memory"]
    step = median(seconds["bare"]) / setting.steps
    megabytes = ", ".join(f"{memory[name] / 2**20:.0f} MB" for name in ("project", "bare"))
    ratios = [spread(*ratio(seconds[name], seconds["project"])) for name in OTHERS]
    return row(setting.network, setting.batch_size, setting.cores, f"{1000 * step:.1f} ms", *ratios, megabytes)


def ratio(slower: Sequence[float], faster: Sequence[float]) -> tuple[float, float, float]:
    """Quartiles of ``slower / faster``, round by round."""
    low, middle, high = quantiles([a / b for a, b in zip(slower, faster, strict=True)], n=4)
    return low, middle, high


def spread(low: float, middle: float, high: float, digits: int = 2) -> str:
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def cost_row(setting: Setting, found: dict[str, Any]) -> str:
    """What diagnostics and data on disk cost, from rounds of turns."""
    seconds = found["seconds"]
    pairs = (("project", "undiagnosed"), ("mapped", "project"))
    ratios = [spread(*ratio(seconds[a], seconds[b]), digits=3) for a, b in pairs]
    return row(setting.network, setting.batch_size, *ratios)


def accuracy_rows(data: str, found: dict[str, Any]) -> Iterator[str]:
    """How soon each reaches some accuracies, the last of them the best that scikit-learn reaches."""
    best = median(max(accuracy for _, accuracy in curve) for curve in found["sklearn"])
    for goal in (*TABLES["to_an_accuracy"][data]["goals"], best):
        yield row(data, f"{goal:.1%}", *(reached(found[name], goal) for name in ("default", "quick", "sklearn")))


def reached(curves: Sequence[Sequence[tuple[float, float]]], goal: float) -> str:
    """The median over seeds of the seconds to the first epoch with such an accuracy."""
    times = [next((seconds for seconds, accuracy in curve if accuracy >= goal), inf) for curve in curves]
    return f"{median(times):.2f} s" if median(times) < inf else f"not in {len(curves[0])} epochs"


def command_rows(waits: Mapping[str, Sequence[float]]) -> Iterator[str]:
    hydra = waits["import hydra"][1]
    for name, quartiles in waits.items():
        yield row(name, spread(*quartiles), f"{quartiles[1] / hydra:.1f}")


def memory_line(name: str, held: Sequence[float]) -> str:
    quarters = [held[len(held) * part // 4] for part in (0, 1, 2, 3)] + [held[-1]]
    megabytes = ", ".join(f"{value:.0f}" for value in quarters)
    return f"Over {name}, from the first one on: {megabytes} MB, after each quarter.\n"


def draw(path: Path, settings: Sequence[Setting], races: Sequence[Any]) -> None:
    """A dot for each ratio, a line for the middle half, on a doubling axis."""
    figure, (axes,) = panels("How many times as fast as ...", size=(8.5, 0.42 * len(settings) + 1.2))
    for name, (label, colour) in OTHERS.items():
        for at, found in enumerate(races):
            low, middle, high = ratio(found["seconds"][name], found["seconds"]["project"])
            axes.plot([low, high], [at, at], color=colour, linewidth=3, alpha=0.4)
            axes.plot(middle, at, "o", color=colour, label=None if at else label)
    axes.axvline(1, color=COLOURS["grey"], linewidth=1)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_yticks(range(len(settings)), [setting.title for setting in settings])
    axes.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    save(figure, path)
