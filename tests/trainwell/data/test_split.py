"""Splits: every sample in one part, shares kept, groups whole, time in order, folds that cover all, faults by key."""

from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold
from trainwell.data.split import SPLIT_SEED, SplitRule, group_choice, split_samples, stratified_choice

GENERATOR = np.random.default_rng(0)
CLASSES = GENERATOR.integers(0, 4, 500)
NONE = np.zeros(500, dtype=int)  # targets that are no classes
GROUPS = GENERATOR.integers(0, 40, 500).astype(str)
TIMES = GENERATOR.permutation(500)


def test_a_stratified_choice_takes_the_share_of_every_class() -> None:
    y = np.repeat([0, 1, 2], [100, 50, 6])
    assert np.bincount(y[stratified_choice(y, 0.2)]).tolist() == [20, 10, 1]


@pytest.mark.parametrize("classes", [CLASSES, NONE])
@pytest.mark.parametrize("keys", [{}, {"group": "groups"}, {"time": "times"}, {"test": 0.1, "val": 0.3}])
@pytest.mark.parametrize("fold", [None, 0, 2])
def test_every_sample_is_in_one_split_and_always_in_the_same(
    classes: np.ndarray, keys: dict[str, Any], fold: int | None
) -> None:
    rule, columns = SplitRule(**keys, fold=fold, folds=3), {"groups": GROUPS, "times": TIMES}
    train, val, test = split_samples(classes, rule, columns)
    of_each = np.sum([train, val, test], axis=0)
    assert of_each.max() == 1
    assert of_each.min() == (0 if "time" in keys and fold == 0 else 1)  # a fold by time does not learn from later rows
    assert np.array_equal([train, val, test], split_samples(classes, rule, columns))
    assert np.array_equal(test, split_samples(classes, rule._replace(fold=None), columns)[2])
    assert test.mean() == pytest.approx(keys.get("test", 0.2), abs=0.03)
    if fold is None:
        assert val.sum() / (train | val).sum() == pytest.approx(keys.get("val", 0.2), abs=0.03)


def test_the_default_split_is_that_of_earlier_versions_bit_for_bit() -> None:
    test = stratified_choice(CLASSES, 0.2)
    val = np.zeros(500, dtype=bool)
    val[~test] = stratified_choice(CLASSES[~test], 0.2)
    assert np.array_equal(split_samples(CLASSES), [~test & ~val, val, test])
    _, val, none = split_samples(CLASSES, given=["test"])
    assert np.array_equal(val, stratified_choice(CLASSES, 0.2))
    assert not none.any()


def test_no_group_is_in_two_parts_and_classes_keep_their_shares() -> None:
    masks = split_samples(CLASSES, SplitRule(group="g"), {"g": GROUPS})
    parts = [set(GROUPS[mask]) for mask in masks]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 40
    for mask in masks:
        assert np.bincount(CLASSES[mask]) / mask.sum() == pytest.approx(np.bincount(CLASSES) / 500, abs=0.1)


def test_a_single_large_group_does_not_leave_a_part_empty() -> None:
    groups = np.repeat(["a", "b", "c"], [80, 15, 5])
    assert set(groups[group_choice(np.zeros(100, dtype=int), groups, 0.02)]) == {"c"}


@pytest.mark.parametrize(
    "times", [TIMES, np.datetime64("2026-01-01") + TIMES, (np.datetime64("2026") + TIMES).astype(str)]
)
def test_by_time_the_last_rows_test_and_those_before_validate(times: np.ndarray) -> None:
    train, val, test = split_samples(NONE, SplitRule(time="t"), {"t": times})
    assert TIMES[train].max() + 1 == TIMES[val].min() == 320
    assert TIMES[val].max() + 1 == TIMES[test].min() == 400
    train, val, same = split_samples(NONE, SplitRule(time="t", fold=1, folds=4), {"t": times})
    assert TIMES[train].max() + 1 == TIMES[val].min() == 160
    assert TIMES[val].max() == 239
    assert np.array_equal(test, same)


def test_a_column_says_where_each_row_belongs() -> None:
    said = GENERATOR.choice(["train", "val", "test"], 500).astype(object)
    masks = split_samples(CLASSES, SplitRule(column="part"), {"part": said})
    assert all(np.array_equal(mask, said == part) for mask, part in zip(masks, ("train", "val", "test"), strict=True))
    _, val, test = split_samples(CLASSES, SplitRule(column="part", fold=0), {"part": said})
    assert np.array_equal(test, said == "test")
    assert val.sum() == pytest.approx((~test).sum() / 5, abs=1)


def test_folds_are_scikit_learns_and_validate_on_every_sample_once() -> None:
    rest = ~split_samples(CLASSES)[2]
    expected = StratifiedKFold(4, shuffle=True, random_state=SPLIT_SEED).split(CLASSES[rest], CLASSES[rest])
    validated = []
    for fold, (_, places) in enumerate(expected):
        val = split_samples(CLASSES, SplitRule(fold=fold, folds=4))[1]
        assert np.array_equal(np.flatnonzero(val), np.flatnonzero(rest)[places])
        validated.append(val)
    assert np.array_equal(np.sum(validated, axis=0), rest)


FEW = np.repeat([0, 1], [490, 10])
FAULTS: dict[str, tuple[np.ndarray, dict[str, Any], str]] = {
    "length": (
        CLASSES,
        {"group": "short"},
        "data.split.group=short must have a value for each of the 500 samples, it has 3",
    ),
    "hole": (CLASSES, {"group": "holes"}, "data.split.group=holes must have a value in every row, row 7 has none"),
    "other words": (
        CLASSES,
        {"column": "groups"},
        "data.split.column=groups must say train, val or test in every row, row 0 ",
    ),
    "one group": (
        CLASSES,
        {"group": "same"},
        "data.split.group=same must have at least 3 groups, one for each part, it has 1",
    ),
    "no time": (
        CLASSES,
        {"time": "words"},
        "data.split.time=words must hold numbers or dates such as 2026-01-31, row 0 has b",
    ),
    "folds": (
        NONE,
        {"fold": 0, "folds": 401},
        "data.folds must be at most the number of samples that are no test samples, 400",
    ),
    "folds of a class": (FEW, {"fold": 0, "folds": 9}, "samples of every class that are no test samples, 8, got 9"),
    "folds of groups": (
        NONE,
        {"group": "groups", "fold": 0, "folds": 99},
        "the number of groups that are no test samples, 3",
    ),
    "an absent class": (
        FEW,
        {"time": "order"},
        "data.split.time=order: every class must be in every split, the val split lacks no",
    ),
    "an empty part": (NONE, {"column": "all"}, "data.split.column=all: no sample is left for the val split"),
}
COLUMNS = {
    "short": np.arange(3),
    "holes": np.where(np.arange(500) == 7, None, GROUPS),
    "groups": GROUPS,
    "same": np.full(500, "a"),
    "words": np.full(500, "b"),
    "order": -np.arange(500),
    "all": np.full(500, "train", dtype=object),
}


@pytest.mark.parametrize(("classes", "keys", "said"), FAULTS.values(), ids=FAULTS.keys())
def test_what_cannot_be_split_is_one_sentence_with_the_key(
    classes: np.ndarray, keys: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match="data") as refusal:
        split_samples(classes, SplitRule(**keys), COLUMNS, names=["yes", "no", "2", "3"])
    assert said in str(refusal.value)


def test_a_share_of_a_part_that_is_given_is_refused() -> None:
    with pytest.raises(ValueError, match=r"data.split.test=0.3 would be ignored, as the test samples are given"):
        split_samples(CLASSES, SplitRule(test=0.3), given=["test"])
    assert not split_samples(CLASSES, SplitRule(val=0.3), given=["test"])[2].any()
