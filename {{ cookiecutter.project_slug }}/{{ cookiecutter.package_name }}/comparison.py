"""Many runs side by side: which differ only in seed, what else differs, and by how much one does better than another.

Works on folders alone, and imports nothing that takes long.
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from .records import Run, folders_at, read_run

METRICS = ("val/loss", "val/accuracy", "test/loss", "test/accuracy")
CONFIDENCE = 0.95
MISSING = "-"  # a key that a group's configuration does not have


@dataclass(frozen=True, eq=False)
class Group:
    """Runs that differ only in seed."""

    runs: Sequence[Run]
    number: int
    label: str

    @cached_property
    def endings(self) -> dict[str, int]:
        statuses = [run.status for run in self.runs]
        return {status: statuses.count(status) for status in dict.fromkeys(statuses)}

    @cache  # noqa: B019 - groups live as long as the command
    def by_seed(self, metric: str) -> dict[int, float]:
        """Each seed's value; of a seed that ran twice, the mean."""
        found: dict[int, list[float]] = {}
        for run in self.runs:
            if (value := run.value(metric)) is not None:
                found.setdefault(run.seed, []).append(value)
        return {seed: fmean(values) for seed, values in found.items()}

    def mean(self, metric: str) -> float:
        values = self.by_seed(metric).values()
        return fmean(values) if values else math.nan

    def deviation(self, metric: str) -> float:
        """The sample's standard deviation over seeds; NaN for fewer than two."""
        values = self.by_seed(metric).values()
        return stdev(values) if len(values) > 1 else math.nan


class Difference(NamedTuple):
    """The mean of paired differences, and the interval that holds the true one with 95 % confidence."""

    seeds: int
    mean: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, eq=False)
class Comparison:
    """Groups in the order in which their runs were given, the settings that tell them apart, and the baseline."""

    groups: Sequence[Group]
    differing: Sequence[str]
    baseline: Group

    @cached_property
    def metrics(self) -> list[str]:
        """Those that any run has."""
        return [metric for metric in METRICS if any(group.by_seed(metric) for group in self.groups)]

    def setting(self, group: Group, key: str) -> Any:
        return group.runs[0].settings.get(key, MISSING)

    @cache  # noqa: B019
    def difference(self, group: Group, metric: str) -> Difference | None:
        return None if group is self.baseline else difference(self.baseline.by_seed(metric), group.by_seed(metric))

    @property
    def swept(self) -> str | None:
        """The one setting that differs, if its values are numbers."""
        values = [self.setting(group, key) for group in self.groups for key in self.differing]
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        return self.differing[0] if len(self.differing) == 1 and numbers else None


def compare(places: Sequence[str], baseline: str | None = None) -> Comparison:
    """Group the runs found at ``places`` and compare them with ``baseline``, else with the first group.

    Raises: ValueError: a place holds no run, or there is no such baseline.
    """
    folders = dict.fromkeys(folder for place in places for folder in folders_at(place))
    if not folders:
        raise ValueError(f"{' '.join(places)} holds no run")
    return grouped(list(map(read_run, folders)), baseline)


def grouped(runs: Sequence[Run], baseline: str | None = None) -> Comparison:
    """Put runs with the same settings together, and name what tells the groups apart."""
    same: dict[Any, list[Run]] = {}
    for run in runs:
        same.setdefault(frozenset(run.settings.items()), []).append(run)
    members = list(same.values())
    names = labels([group[0] for group in members])
    groups = [Group(group, number, names[number - 1]) for number, group in enumerate(members, start=1)]
    return Comparison(groups, differing([group[0] for group in members]), chosen(groups, baseline))


def chosen(groups: Sequence[Group], baseline: str | None) -> Group:
    if baseline is None:
        return groups[0]
    folder = Path(os.path.normpath(baseline))
    for group in groups:
        if baseline in (str(group.number), group.label) or any(folder == run.folder for run in group.runs):
            return group
    raise ValueError(f"--baseline must be 1 to {len(groups)}, a group's name or one of the runs, got {baseline}")


def differing(runs: Iterable[Run]) -> list[str]:
    """The settings that are not the same in all runs, without those that only repeat another's value."""
    runs = list(runs)
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    values = {key: [run.settings.get(key, MISSING) for run in runs] for key in keys}
    found = {key: column for key, column in values.items() if any(value != column[0] for value in column)}
    return [key for key in found if not any(found[key] == found.get(ending) for ending in endings_of(key))]


def endings_of(key: str) -> list[str]:
    """Of ``a.b.c``: ``b.c`` and ``c``, whose values a configuration repeats under longer names."""
    words = key.split(".")
    return [".".join(words[start:]) for start in range(1, len(words))]


def labels(runs: Sequence[Run]) -> list[str]:
    """A short name for each: its experiment where several differ, and the settings that differ within that.

    Where these are more than two, only those that are not as in the experiment's first.
    """
    families: dict[str, list[Run]] = {}
    for run in runs:
        families.setdefault(run.summary.get("experiment") or "train", []).append(run)
    names = {}
    for experiment, family in families.items():
        keys = differing(family)
        for run in family:
            told = [key for key in keys if len(keys) < 3 or run.settings.get(key) != family[0].settings.get(key)]
            words = [f"{key}={run.settings[key]}" for key in told if key in run.settings]
            several = len(families) > 1 or not words
            names[run.folder] = " ".join([experiment, *words] if several else words)
    return [names[run.folder] for run in runs]


def difference(baseline: Mapping[int, float], other: Mapping[int, float]) -> Difference | None:
    """``other`` minus ``baseline``, seed by seed, with Student's interval; None for fewer than two common seeds."""
    from scipy.special import stdtrit

    pairs = [other[seed] - baseline[seed] for seed in baseline if seed in other]
    if len(pairs) < 2:
        return None
    margin = stdtrit(len(pairs) - 1, (1 + CONFIDENCE) / 2) * stdev(pairs) / math.sqrt(len(pairs))
    return Difference(len(pairs), fmean(pairs), fmean(pairs) - float(margin), fmean(pairs) + float(margin))
