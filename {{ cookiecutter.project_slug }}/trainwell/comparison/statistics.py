"""Group runs that differ only in seed or fold, and estimate how sure a mean or a difference of means is."""

import math
import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

import numpy as np

from .run_index import Run, folders_at, read_run

CONFIDENCE = 0.95
MISSING = "-"  # a key that a group's configuration does not have


class Interval(NamedTuple):
    """An estimate from ``size`` samples or pairs, with its 95 % confidence interval."""

    value: float
    low: float
    high: float
    size: int


def bootstrap(statistic: Callable[[np.ndarray], float], size: int, resamples: int = 1000) -> Interval:
    """Percentile interval of a statistic of ``size`` samples, which is called with indices into them.

    Source: Efron 1979, Bootstrap methods: another look at the jackknife.
    """
    from scipy import stats

    indices, batch = np.arange(size), max(1, 10**7 // size)  # a batch bounds the memory
    how = {"vectorized": False, "method": "percentile", "confidence_level": CONFIDENCE, "n_resamples": resamples}
    found = stats.bootstrap((indices,), statistic, batch=batch, rng=np.random.default_rng(0), **how)
    low, high = found.confidence_interval
    return Interval(float(statistic(indices)), float(low), float(high), size)


def paired_difference(baseline: Mapping[Hashable, float], other: Mapping[Hashable, float]) -> Interval:
    """``other`` minus ``baseline`` over their common keys, with Student's interval; NaN for fewer than two pairs."""
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    pairs = [other[key] - baseline[key] for key in baseline if key in other]
    if len(pairs) < 2:
        return Interval(math.nan, math.nan, math.nan, len(pairs))
    mean, margin = fmean(pairs), stdev(pairs) / math.sqrt(len(pairs))
    margin *= float(stdtrit(len(pairs) - 1, (1 + CONFIDENCE) / 2))
    return Interval(mean, mean - margin, mean + margin, len(pairs))


class Spread(NamedTuple):
    """Over seeds and folds; NaN where there are too few."""

    mean: float
    deviation: float = math.nan


class Group(NamedTuple):
    """Runs that differ only in seed or fold."""

    number: int
    label: str
    runs: Sequence[Run]

    def values(self, metric: str) -> dict[Hashable, float]:
        """The result of each seed and fold; the mean where one ran twice."""
        found: dict[Hashable, list[float]] = {}
        for run in self.runs:
            if metric in run.results:
                found.setdefault((run.seed, run.fold), []).append(run.results[metric])
        return {key: fmean(values) for key, values in found.items()}

    def spread(self, metric: str) -> Spread:
        values = self.values(metric).values()
        return Spread(fmean(values) if values else math.nan, stdev(values) if len(values) > 1 else math.nan)

    def setting(self, key: str) -> float | str:
        return self.runs[0].settings.get(key, MISSING)


class Comparison(NamedTuple):
    """Groups in the order of their runs, the baseline among them."""

    groups: Sequence[Group]
    baseline: Group
    differing: Sequence[str]  # settings
    metrics: Sequence[str]  # all that a run has a result of
    skipped: Sequence[str]  # runs that cannot be read, and why


def compare(places: Sequence[str], baseline: str | None = None) -> Comparison:
    """Group the runs found at ``places`` and compare them with ``baseline``, else with the first group.

    Raises: ValueError: a name is unknown, no run can be read, or there is no such baseline.
    """
    found = {place: folders_at(place) for place in places}
    skipped = [f"{place} is not a run folder and contains none" for place in places if not found[place]]
    runs = []
    for folder in dict.fromkeys(folder for place in places for folder in found[place]):
        try:
            runs.append(read_run(folder))
        except ValueError as error:
            skipped.append(str(error))
    if not runs:
        raise ValueError(f"no run to compare: {skipped[0]}")
    same: dict[Hashable, list[Run]] = {}
    for run in runs:
        same.setdefault(frozenset(run.settings.items()), []).append(run)
    firsts = [group[0] for group in same.values()]
    groups = list(map(Group, range(1, len(same) + 1), labels(firsts), same.values()))
    metrics = sorted({name: 0 for run in runs for name in run.results}, key=lambda name: name.startswith("test/"))
    return Comparison(groups, choose(groups, baseline), list(differing(firsts)), metrics, skipped)


def choose(groups: Sequence[Group], baseline: str | None) -> Group:
    folder = Path(os.path.normpath(baseline or ""))
    for group in groups:
        if baseline in (None, str(group.number), group.label) or folder in [run.folder for run in group.runs]:
            return group
    raise ValueError(f"--baseline must be 1 to {len(groups)}, a group's name or one of the runs, got {baseline:.100}")


def differing(runs: Sequence[Run]) -> dict[str, list[float | str]]:
    """The settings that are not the same in all runs, with the value in each, without those that repeat another."""
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    values = {key: [run.settings.get(key, MISSING) for run in runs] for key in keys}
    found = {key: column for key, column in values.items() if len(set(column)) > 1}
    return {key: found[key] for key in found if not any(repeats(key, other, found) for other in found)}


def repeats(key: str, other: str, values: Mapping[str, Sequence[float | str]]) -> bool:
    """Whether ``key`` says what ``other`` says: ``data.source.path`` after ``data.path``, a target after its name."""
    if key == f"{other}._target_":
        return settles(values[other], values[key])
    parts = iter(key.split("."))
    return key != other and values[key] == values[other] and all(part in parts for part in other.split("."))


def settles(values: Sequence[float | str], others: Sequence[float | str]) -> bool:
    """Whether runs that are equal in the one are equal in the other."""
    return len(set(values)) == len(set(zip(values, others, strict=True)))


def labels(runs: Sequence[Run]) -> list[str]:
    """A short name for each run: its experiment where these differ, and the settings that differ within it.

    Of three or more settings, only those that are not as in the experiment's first run. What the chosen option settles,
    such as the strength where only one is tried, is not said.
    """
    families: dict[str, list[Run]] = {}
    for run in runs:
        families.setdefault(str(run.summary.get("experiment", "null")), []).append(run)
    names = {}
    for experiment, family in families.items():
        found = differing(family)
        keys = [
            key for key in found if not any(key.startswith(f"{k}.") and settles(found[k], found[key]) for k in found)
        ]
        for run in family:
            shown = [key for key in keys if len(keys) < 3 or run.settings.get(key) != family[0].settings.get(key)]
            parts = [f"{key}={run.settings[key]!s:.60}" for key in shown if key in run.settings]
            if len(families) > 1 or not parts:
                parts.insert(0, "train" if experiment == "null" else experiment[:60])
            names[run.folder] = " ".join(parts)
    return [names[run.folder] for run in runs]
