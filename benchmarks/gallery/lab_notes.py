"""Lab notes: the comment at the head of an experiment's file, with question, command, result and claims.

    # Question: do units recover if they let a hundredth through where ReLU lets nothing?
    # Command:  python train.py -m seed=0,1,2,3,4 +experiment=gallery/leaky_relu
    # Result:   val/accuracy 0.331 ± 0.020 (5 seeds, one CPU core, 2 s a run, 2026-11); text added by hand is kept
    # Claim:    val/accuracy at least 0.10 above dead_relu
    # Shown:    0.229 above, 95 % interval 0.204 to 0.254

A result names its metrics: those of the best epoch, whose weights are kept, or after ``last`` those of the last one.
Each combination of a sweep has a line of its own. A claim may start with the overrides that choose runs of a sweep. It
compares them, seed by seed, with the same runs under another experiment or other overrides:

    # Claim:    residual.depth=64: val/accuracy at least 0.20 above residual.connection=plain
"""

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import dropwhile, takewhile
from math import sqrt
from pathlib import Path
from statistics import mean, stdev

from scipy.stats import t

from ..project import PLAIN, Job, Run

FOLDER = PLAIN / "configs" / "experiment"
INDENT = " " * 10
CLAIM = re.compile(
    r"((?P<own>.+): )?(?P<metric>(last )?\S+) "
    r"at (?P<bound>least|most) (?P<margin>[\d.]+) (?P<side>above|below) (?P<other>.+)"
)
METRIC = re.compile(r"(last )?[\w/]+")


class Claim:
    """How far ``metric`` of the runs with the ``own`` overrides is on one side of that of the ``other`` runs."""

    def __init__(self, text: str) -> None:
        found = CLAIM.fullmatch(text)
        if not found:
            form = "[OVERRIDES: ][last ]METRIC at least|most MARGIN above|below EXPERIMENT or OVERRIDES"
            raise ValueError(f"a claim must be {form}, got {text}")
        self.text, self.metric, self.bound, self.side = text, found["metric"], found["bound"], found["side"]
        self.margin = float(found["margin"])
        self.own, self.other = (found["own"] or "").split(), found["other"].split()

    def pair(self, note: str, seed: int) -> tuple[Job, Job]:
        """The run that the claim of a note is about, and the one that it is compared with."""
        mine = by_key([experiment_of(note), f"seed={seed}", *self.own])
        theirs = by_key(part if "=" in part else experiment_of(part) for part in self.other)
        return frozenset(mine.values()), frozenset((mine | theirs).values())

    def differences(self, pairs: Iterable[tuple[Run, Run]]) -> list[float]:
        """The difference for each seed, positive on the side that is claimed."""
        sign = 1 if self.side == "above" else -1
        return [sign * (number(mine, self.metric) - number(theirs, self.metric)) for mine, theirs in pairs]

    def holds(self, differences: Sequence[float]) -> bool:
        return mean(differences) >= self.margin if self.bound == "least" else mean(differences) <= self.margin


@dataclass(frozen=True)
class Note:
    """The head of one experiment's file."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def lines(self) -> list[str]:
        return self.path.read_text("utf-8").splitlines()

    def under(self, heading: str) -> list[str]:
        """The text of each line that begins with the heading."""
        return [line.partition(":")[2].strip() for line in self.lines if line.startswith(f"# {heading}:")]

    @property
    def overrides(self) -> list[str]:
        (command,) = self.under("Command")
        return [argument for argument in shlex.split(command)[2:] if argument != "-m"]

    @property
    def result(self) -> list[str]:
        """The line of the result, and those of a sweep below it."""
        start, *below = dropwhile(lambda line: not line.startswith("# Result:"), self.lines)
        lines = [start, *takewhile(lambda line: line.startswith(f"# {INDENT}"), below)]
        return [line[2 + len(INDENT) :] for line in lines]

    @property
    def metrics(self) -> list[str]:
        named = self.result[0].partition(" (")[0] or "val/accuracy"
        return [METRIC.match(part).group() for part in named.split(", ")]

    @property
    def claims(self) -> list[Claim]:
        return [Claim(text) for text in self.under("Claim")]


def all_notes() -> list[Note]:
    return [Note(path) for path in sorted(FOLDER.glob("**/*.yaml"), key=lambda path: path.stem)]


def experiment_of(note: str) -> str:
    """The override that chooses the experiment of a note: those of the gallery are in a folder of their own."""
    folder = "gallery/" if (FOLDER / "gallery" / f"{note}.yaml").exists() else ""
    return f"+experiment={folder}{note}"


def by_key(overrides: Iterable[str]) -> dict[str, str]:
    return {override.partition("=")[0]: override for override in overrides}


def number(run: Run, metric: str) -> float:
    """A metric of the run's best epoch, of its last one, or of the whole run; NaN if it was not finite."""
    part, _, name = metric.rpartition(" ")
    part = part or ("test" if name.startswith("test/") else "best")
    found = run.summary[name] if name in run.summary else (run.summary[part] or run.summary["last"])[name]
    return float("nan") if found is None else found


def spread(numbers: Sequence[float]) -> str:
    """Mean ± standard deviation, or how many were not finite."""
    lost = sum(number != number for number in numbers)
    if lost:
        return "not finite" if lost == len(numbers) else f"not finite in {lost} of {len(numbers)}"
    return f"{mean(numbers):.3f} ± {stdev(numbers):.3f}"


def combinations(jobs: Iterable[Job], run: Callable[[Job], Run]) -> dict[str, list[Run]]:
    """The runs of a sweep, by the overrides other than the seed in which they differ."""
    jobs = list(jobs)
    shared = frozenset.intersection(*jobs)
    grouped: dict[str, list[Run]] = {}
    for job in jobs:
        own = sorted(override for override in job - shared if not override.startswith("seed="))
        grouped.setdefault(" ".join(own), []).append(run(job))
    return grouped


def result_lines(note: Note, grouped: dict[str, list[Run]]) -> Iterator[str]:
    """The lines of a note's result, without their heading."""
    runs = [run for group in grouped.values() for run in group]
    seeds = len({run.summary["seed"] for run in runs})
    # Of each combination the fastest run, which other work on the machine has disturbed least.
    seconds = mean(min(run.summary["seconds"] for run in group) for group in grouped.values())
    month = datetime.fromtimestamp(max(run.folder.stat().st_mtime for run in runs)).strftime("%Y-%m")
    how = f"({seeds} seeds, one CPU core, {max(1, round(seconds))} s a run, {month})"
    by_hand = note.result[0].rpartition(")")[2] if ")" in note.result[0] else ""
    spreads = {own: [spread([number(run, m) for run in group]) for m in note.metrics] for own, group in grouped.items()}
    (first, *more), width = spreads.values(), max(map(len, spreads))
    values = (
        note.metrics if more else [f"{metric} {numbers}" for metric, numbers in zip(note.metrics, first, strict=True)]
    )
    yield f"{', '.join(values)} {how}{by_hand}"
    yield from (f"{own:{width}}  {', '.join(numbers)}" for own, numbers in spreads.items() if more)


def shown_line(differences: Sequence[float], claim: Claim) -> str:
    """The mean difference, positive, with its side and 95 % interval, by Student's t over the seeds."""
    middle, half = mean(differences), t.ppf(0.975, len(differences) - 1) * stdev(differences) / sqrt(len(differences))
    other_side = {"above": "below", "below": "above"}[claim.side]
    side = claim.side if middle >= 0 else other_side
    return f"{abs(middle):.3f} {side}, 95 % interval {abs(middle) - half:.3f} to {abs(middle) + half:.3f}"


def rewrite(note: Note, result: Sequence[str], shown: dict[str, str]) -> None:
    """Write a new result, and below each claim what was measured of it, into the note's file."""
    old = {f"# {INDENT}{line}" for line in note.result[1:]}
    new = []
    for line in note.lines:
        heading, _, text = line.partition(":")
        if heading == "# Result":
            new += [f"# Result:   {result[0]}", *(f"# {INDENT}{more}" for more in result[1:])]
        elif heading == "# Claim":
            new += [line, f"# Shown:    {shown[text.strip()]}"]
        elif heading != "# Shown" and line not in old:
            new.append(line)
    note.path.write_text("\n".join(new) + "\n", "utf-8")
