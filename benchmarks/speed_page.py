"""What ``make bench`` found, as a page and a picture in ``docs/``."""

from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from drawing import CURED, GREY, SICK, panels, save
from gallery import processor, versions
from matplotlib.ticker import FuncFormatter

# Among the quickest of 90 tried on each data in a loop by hand: widths, depths, batch sizes, learning rates; one seed.
QUICK = {
    "mnist1d": ("network=cnn", "network.width=16", "residual=shallow", "residual.depth=1", "optimizer.lr=0.02"),
    "digits": ("network.width=128", "residual=shallow", "residual.depth=1", "optimizer.lr=0.01", "data.batch_size=128"),
}
QUICK = {data: (*words, "dropout=none", "scheduler=constant") for data, words in QUICK.items()}
OTHERS = {"bare": ("a loop by hand", CURED), "usual": ("the usual way", SICK)}
HEAD = """# Speed

A baked project as it is shipped (progress bar, clipping, gradient norms, diagnostics, metrics, checkpoints, early
stopping, W&B offline) beside the same network in a loop over tensors written by hand, with the same optimizer,
schedule, clipping and a validation after every epoch, and beside the usual way, which is that of popular templates: a
DataLoader that hands out samples one by one, each through its transforms, two torchmetrics objects fed and logged in
every step, a rich bar. The small MLP's rows are images of 28 by 28 pixels, all others are rows of 40 numbers.

Each lives in a process of its own, all on the same cores, and trains one epoch with its validation whenever it gets the
turn. Numbers are the median of the ratios of all rounds, with the middle half of them. Above 1 the project is faster.
{hardware} Made by `make bench`.

| network | batch | cores | step of the loop | of the loop's speed | of the usual way's speed | memory: project, loop |
|---|---|---|---|---|---|---|
"""


# Not measured by the command: py-spy 0.4.3 must be there, and what is on the stack be sorted.
PROFILE = """## Where the time goes

Shares of the time of all epochs at batch 64 on one core, as `py-spy record -r 500` saw them of `train.py` with
everything on (20 epochs of 50 steps of the default MLP, 10 of 200 of the small one; 2026-11-22). What a loop by hand
does as well is not in italics.

| | default MLP | small MLP |
|---|---|---|
| the network: forward, backward, optimizer | 72.8 % | 43.5 % |
| clipping | 6.6 % | 7.3 % |
| validation | 4.8 % | 5.8 % |
| cutting batches | 0.9 % | 5.7 % |
| *Lightning's own loop* | 7.4 % | 23.9 % |
| *diagnostics* | 3.6 % | 3.1 % |
| *checkpoints* | 1.7 % | 2.5 % |
| *W&B and metrics.csv* | 0.9 % | 2.9 % |
| *other callbacks* | 0.6 % | 2.4 % |
| *sums of loss and accuracy* | 0.8 % | 2.8 % |

Lightning takes about half a millisecond a step, in calls of hooks. It is spared two things, together 7 % of a step of
2.8 ms: to ask a profiler that is not there some seventy times, and torch's way of setting an attribute some fifty
times. The other ways around it take something away: with manual optimisation it refuses `trainer.gradient_clip_val` and
`trainer.accumulate_grad_batches`, and `barebones` leaves out all that is logged. Where steps take 25 to 50 ms that half
millisecond is 1 to 2 %, diagnostics are 3 to 4 %, and an epoch of these races, of 20 to 50 steps, carries a validation,
checkpoints and logs: that shrinks with longer epochs.

Of what a further job of a sweep takes beside its fit, cProfile saw about half in composing its configuration three
times (to check it before the first job starts, and twice by Hydra), and a quarter in W&B. What stays of a job that has
ended is W&B's, a `wandb.Run` and what hangs on it, some 70 KB as tracemalloc saw; without W&B nothing does.
"""


def write(
    path: Path,
    settings: Sequence[Any],
    races: Sequence[Any],
    cost: Sequence[tuple[Any, Any]],
    curves: dict[str, Any],
    waits: dict[str, Any],
) -> None:
    text = HEAD.format(hardware=f"Measured on an {processor().removeprefix('an ')}, with {versions()}.")
    text += "".join(f"| {' | '.join(row)} |\n" for row in map(race_row, settings, races))
    text += "\n![Speed beside a bare loop](speed.png)\n\n"
    sections = [[PROFILE], cost_lines(cost), accuracy_lines(curves), wait_lines(waits)]
    text += "\n".join(line for section in sections for line in [*section, ""])
    path.write_text(text, "utf-8")
    draw(path.with_suffix(".png"), settings, races)


def race_row(setting: Any, found: dict[str, Any]) -> tuple[str, ...]:
    seconds, memory = found["seconds"], found["memory"]
    step = median(seconds["bare"]) / setting.steps
    megabytes = [f"{memory[name] / 2**20:.0f} MB" for name in ("project", "bare")]
    ratios = [told(*ratio(seconds[name], seconds["project"])) for name in OTHERS]
    return (
        setting.name,
        str(setting.batch_size),
        str(setting.cores),
        f"{1000 * step:.1f} ms",
        *ratios,
        ", ".join(megabytes),
    )


def ratio(slower: Sequence[float], faster: Sequence[float]) -> tuple[float, float, float]:
    """The median of ``slower / faster`` round by round, and the quarters around it."""
    low, middle, high = quantiles([a / b for a, b in zip(slower, faster, strict=True)], n=4)
    return middle, low, high


def told(middle: float, low: float, high: float, digits: int = 2) -> str:
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def cost_lines(cost: Sequence[tuple[Any, Any]]) -> Iterator[str]:
    """What diagnostics and rows on disk cost, from rounds of turns."""
    yield "## Diagnostics, and rows that are read from disk\n"
    yield "Time of an epoch as shipped over that with `~callbacks.diagnostics`, and with `data=mapped` over that with"
    yield "`data=arrays`, in rounds as above. The mapped rows have been read before, so that the system holds them.\n"
    yield "| network | batch | with over without diagnostics | mapped over in memory |"
    yield "|---|---|---|---|"
    for setting, found in cost:
        seconds = found["seconds"]
        pairs = (("project", "undiagnosed"), ("mapped", "project"))
        told_pairs = [told(*ratio(seconds[a], seconds[b]), digits=3) for a, b in pairs]
        yield f"| {setting.name} | {setting.batch_size} | {' | '.join(told_pairs)} |"


GOALS = {"mnist1d": (0.5, 0.6), "digits": (0.95, 0.97)}


def accuracy_lines(curves: dict[str, Any]) -> Iterator[str]:
    """How long each takes to some accuracies, the last of them the best that scikit-learn comes to."""
    yield "## To an accuracy\n"
    yield "Seconds of training, on one core, to an accuracy on the validation rows, the median of three seeds: of the"
    yield "project as shipped, of a small network in it (among the quickest of 90 that were tried with seed 0), and of"
    yield "scikit-learn's `MLPClassifier` at its best settings (of 27, seed 0); an epoch each in turn. The last line is"
    yield "the accuracy of scikit-learn's best epoch, the median of the seeds.\n"
    yield "| data | accuracy | as shipped | small network | scikit-learn |"
    yield "|---|---|---|---|---|"
    for data, found in curves.items():
        best = median(max(accuracy for _, accuracy in curve) for curve in found["sklearn"])
        for goal in (*GOALS[data], best):
            at = [reached(found[name], goal) for name in ("default", "quick", "sklearn")]
            yield f"| {data} | {goal:.1%} | {' | '.join(at)} |"
    yield from ["", *(f"The small network for {data} is `{' '.join(words)}`." for data, words in QUICK.items())]


def reached(curves: Sequence[Sequence[tuple[float, float]]], goal: float) -> str:
    """The median over seeds of the seconds to the first epoch with such an accuracy."""
    times = [next((seconds for seconds, accuracy in curve if accuracy >= goal), inf) for curve in curves]
    return f"{median(times):.2f} s" if median(times) < inf else f"not in {len(curves[0])} epochs"


def wait_lines(waits: dict[str, Any]) -> Iterator[str]:
    yield "## Waiting\n"
    yield "Seconds of a whole process on one core: the median of five, and the middle half.\n"
    yield "| command | seconds |"
    yield "|---|---|"
    for name, (low, middle, high) in waits["commands"].items():
        yield f"| {name} | {middle:.2f} ({low:.2f} to {high:.2f}) |"
    sweep = waits["sweep"]
    one, many = sweep["one process"], sweep["16 processes"]
    yield f"\nSixteen small runs take {one:.0f} s as one sweep in one process, and {many:.0f} s as sixteen processes:"
    yield f"{many / one:.1f} times as long. Each run after the first adds {sweep['a further job']:.2f} s to a sweep, of"
    yield f"which {sweep['its fit']:.2f} s are Lightning's `fit`.\n"
    yield "## Memory\n"
    for name, held in waits["memory"].items():
        quarters = [held[len(held) * part // 4] for part in (0, 1, 2, 3)] + [held[-1]]
        told = ", ".join(f"{megabytes:.0f}" for megabytes in quarters)
        yield f"Over {name}, from the first one on: {told} MB, after each quarter.\n"


def draw(path: Path, settings: Sequence[Any], races: Sequence[Any]) -> None:
    """A dot for each ratio, a line for the middle half, on a doubling axis."""
    figure, (axes,) = panels("How many times as fast as ...", size=(8.5, 0.42 * len(settings) + 1.2))
    for name, (label, colour) in OTHERS.items():
        for at, found in enumerate(races):
            middle, low, high = ratio(found["seconds"][name], found["seconds"]["project"])
            axes.plot([low, high], [at, at], color=colour, linewidth=3, alpha=0.4)
            axes.plot(middle, at, "o", color=colour, label=None if at else label)
    axes.axvline(1, color=GREY, linewidth=1)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_yticks(range(len(settings)), [setting.title for setting in settings])
    axes.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    save(figure, path)
