"""Split samples into train, validation and test: by fractions, a column, groups or time, or into folds.

The split has a seed of its own, so that techniques are compared on the same samples whatever ``seed`` is.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

VALIDATION_FRACTION = 0.2
SPLIT_SEED = 20_240
PARTS = ("train", "val", "test")


class SplitRule(NamedTuple):
    """The keys of ``data.split`` with ``data.fold`` and ``data.folds``.

    ``test`` is a share of all samples, ``val`` one of those that are left. ``column`` names a column that says train,
    val or test. No value of the column ``group`` is in two parts. By the column ``time``, the last samples are the test
    samples and those before them validate. ``val_path`` and ``test_path`` are files of the same form as the data's own.
    With a ``fold``, the samples that are not test samples are cut into ``folds`` parts; part ``fold`` validates.
    """

    val: float = VALIDATION_FRACTION
    test: float = VALIDATION_FRACTION
    column: str | None = None
    group: str | None = None
    time: str | None = None
    val_path: str | None = None
    test_path: str | None = None
    fold: int | None = None
    folds: int = 5

    def column_keys(self) -> dict[str, str]:
        """The columns that it names, each with its key."""
        named = {"column": self.column, "group": self.group, "time": self.time}
        return {str(name): f"data.split.{key}" for key, name in named.items() if name is not None}


def split_samples(
    classes: np.ndarray,
    rule: SplitRule | None = None,
    columns: Mapping[str, np.ndarray] | None = None,
    *,
    names: Sequence[str] | None = None,
    given: Sequence[str] = (),
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks (N,) of the train, validation and test samples; the shares of all classes are alike in all parts.

    Args:
        classes: (N,), integers; all 0 where the targets are no classes.
        rule: None: a fifth of the samples for ``test``, a fifth of the others for ``val``.
        columns: among others those that the rule names, (N,) each.
        names: of the classes, for messages.
        given: parts that other samples are given for, of ``val`` and ``test``; their masks are empty.

    Raises: ValueError: the samples cannot be split like that, or a part lacks a class.
    """
    rule = rule or SplitRule()
    columns = {name: (columns or {})[name] for name in rule.column_keys()}
    if faults := [*faults_of_rule(classes, rule, columns, given)]:
        raise ValueError("\n".join(faults))
    test, val, unused = np.zeros((3, len(classes)), dtype=bool)
    if rule.column is not None:
        val, test = (columns[rule.column] == part for part in ("val", "test"))
    elif "test" not in given:
        test = choice(classes, rule.test, rule, columns)
    rest = np.flatnonzero(~test)
    columns = {name: values[rest] for name, values in columns.items()}
    if rule.fold is not None:
        learnt, held_out = fold(classes[rest], rule, columns)
        val, unused = np.zeros_like(test), ~test  # by time, a fold does not learn from what comes after it
        val[rest[held_out]], unused[rest[learnt]] = True, False
    elif rule.column is None and "val" not in given:
        val[rest] = choice(classes[rest], rule.val, rule, columns)
    train = ~test & ~val & ~unused
    masks = dict(zip(PARTS, (train, val, test), strict=True))
    made = {part: mask for part, mask in masks.items() if part not in given}
    if faults := [*faults_of_parts(classes, made, rule, names)]:
        raise ValueError("\n".join(faults))
    return train, val, test


def choice(classes: np.ndarray, fraction: float, rule: SplitRule, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Choose ``fraction`` of the samples: a mask (N,)."""
    if rule.group is not None:
        return group_choice(classes, columns[rule.group], fraction)
    if rule.time is None:
        return stratified_choice(classes, fraction)
    chosen = np.zeros(len(classes), dtype=bool)
    chosen[np.argsort(as_times(columns[rule.time]), kind="stable")[-max(1, round(fraction * len(classes))) :]] = True
    return chosen


def stratified_choice(y: np.ndarray, fraction: float) -> np.ndarray:
    """Choose ``fraction`` of the samples of every class, rounded, at random but always the same: a mask (N,)."""
    generator = np.random.default_rng(SPLIT_SEED)
    chosen = np.zeros(len(y), dtype=bool)
    for label in np.unique(y):
        members = generator.permutation(np.flatnonzero(y == label))
        chosen[members[: max(1, round(fraction * len(members)))]] = True
    return chosen


def group_choice(classes: np.ndarray, groups: np.ndarray, fraction: float) -> np.ndarray:
    """Choose whole groups, large ones first, each if it brings every class closer to ``fraction``: a mask (N,)."""
    _, members = np.unique(groups.astype(str), return_inverse=True)
    counts = np.zeros((members.max() + 1, int(classes.max()) + 1))
    np.add.at(counts, (members, classes), 1)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    left, chosen = fraction * counts.sum(axis=0), []
    for group in order:
        if np.linalg.norm(left - counts[group]) < np.linalg.norm(left):
            left -= counts[group]
            chosen.append(group)
    return np.isin(members, chosen or order[-1:])


def fold(classes: np.ndarray, rule: SplitRule, columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The places of the train and of the validation samples of one fold.

    Raises: ValueError: there are too few samples for so many folds.
    """
    from sklearn import model_selection

    if faults := [*faults_of_folds(classes, rule, columns)]:
        raise ValueError("\n".join(faults))
    seeded: dict[str, Any] = {"n_splits": rule.folds, "shuffle": True, "random_state": SPLIT_SEED}
    several, groups = classes.max() > 0, columns[rule.group].astype(str) if rule.group is not None else None
    if rule.time is not None:
        order = np.argsort(as_times(columns[rule.time]), kind="stable")
        folds = [(order[a], order[b]) for a, b in model_selection.TimeSeriesSplit(rule.folds).split(order)]
    elif groups is not None:
        splitter = (model_selection.StratifiedGroupKFold if several else model_selection.GroupKFold)(**seeded)
        folds = [*splitter.split(classes, classes, groups)]
    else:
        splitter = (model_selection.StratifiedKFold if several else model_selection.KFold)(**seeded)
        folds = [*splitter.split(classes, classes)]
    assert rule.fold is not None
    return folds[rule.fold]


def as_times(times: np.ndarray) -> np.ndarray:
    """Numbers as they are, or dates of ISO 8601 as numbers; NaN where a value is neither."""
    import pandas

    column = pandas.Series(times)
    numbers = pandas.to_numeric(column, errors="coerce") if column.dtype.kind != "M" else column.astype("int64")
    if numbers.notna().all():
        return numbers.to_numpy(np.float64)
    dates = pandas.to_datetime(column, format="ISO8601", errors="coerce", utc=True)
    return np.where(dates.notna(), dates.to_numpy("M8[us]").astype("int64"), np.nan)


def faults_of_rule(
    classes: np.ndarray, rule: SplitRule, columns: Mapping[str, np.ndarray], given: Sequence[str]
) -> Iterator[str]:
    """Shares that would be ignored, and columns that cannot split these samples."""
    for part in given:
        if (share := getattr(rule, part)) != VALIDATION_FRACTION:
            yield f"data.split.{part}={share} would be ignored, as the {part} samples are given; leave it out"
    for name, key in rule.column_keys().items():
        values = columns[name]
        if len(values) != len(classes):
            yield f"{key}={name} must have a value for each of the {len(classes)} samples, it has {len(values)}"
        elif (missing := np.array([value is None or value != value for value in values])).any():
            yield f"{key}={name} must have a value in every row, row {missing.argmax()} has none"
        elif name == rule.column and not (known := np.isin(values, PARTS)).all():
            place = (~known).argmax()
            yield f"{key}={name} must say train, val or test in every row, row {place} says {values[place]}"
        elif name == rule.group and (found := len(np.unique(values.astype(str)))) < 3 - len(given):
            yield f"{key}={name} must have at least {3 - len(given)} groups, one for each part, it has {found}"
        elif name == rule.time and (bad := np.isnan(as_times(values))).any():
            detail = f"row {bad.argmax()} has {values[bad.argmax()]}"
            yield f"{key}={name} must hold numbers or dates such as 2026-01-31, {detail}"


def faults_of_folds(classes: np.ndarray, rule: SplitRule, columns: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Too few samples, groups or samples of a class for that many folds."""
    counts = np.bincount(classes)
    if rule.group is not None:
        count, of = len(np.unique(columns[rule.group].astype(str))), "groups"
    elif rule.time is not None:
        count, of = len(classes) - 1, "samples after the first"
    else:
        count, of = int(counts[counts > 0].min()), "samples of every class" if len(counts) > 1 else "samples"
    if count < rule.folds:
        yield f"data.folds must be at most the number of {of} that are no test samples, {count}, got {rule.folds}"


def faults_of_parts(
    classes: np.ndarray, masks: Mapping[str, np.ndarray], rule: SplitRule, names: Sequence[str] | None
) -> Iterator[str]:
    """Parts without samples, and classes that a part lacks."""
    how = " ".join(f"{key}={name}" for name, key in rule.column_keys().items())
    how += f" data.fold={rule.fold}" if rule.fold is not None else ""
    how = f"{how.strip()}: " if how else ""
    for part, mask in masks.items():
        absent = np.setdiff1d(classes, classes[mask])
        if not mask.any():
            yield f"{how}no sample is left for the {part} split"
        elif len(absent):
            shown = ", ".join(str(names[label] if names is not None else label) for label in absent[:5])
            yield f"{how}every class must be in every split, the {part} split lacks {shown}"
