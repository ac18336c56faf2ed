"""Numbers and labels from a user's file, and every way to split its samples, in memory and on disk alike."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trainwell.data.files.npz import load_npz, map_npz
from trainwell.data.split import SplitRule

OwnFile = Callable[..., str]
READ = pytest.mark.parametrize("read", [load_npz, map_npz])
NUMBERS = np.random.default_rng(0).normal(1e6, 10, (60, 2))
LABELS = np.random.default_rng(1).integers(0, 2, (60, 3))
GROUPS = np.arange(60) // 4


@READ
@pytest.mark.parametrize(
    ("targets", "y", "kept"),
    [
        ("numbers", NUMBERS, NUMBERS),
        ("numbers", NUMBERS[:, 0], NUMBERS[:, :1]),
        ("numbers", np.arange(60, dtype="i2"), np.arange(60)[:, None]),
        ("labels", LABELS, LABELS),
        ("labels", LABELS > 0, LABELS),
    ],
)
def test_numbers_and_labels_stay_beside_their_inputs(
    targets: str, y: np.ndarray, kept: np.ndarray, read: Callable[..., Any], own_file: OwnFile
) -> None:
    x = np.arange(60, dtype="f4")[:, None]
    splits, _ = read(own_file(x=x, y=y), False, targets)
    assert [len(split.y) for split in splits] == [38, 10, 12]
    for split in splits:
        assert split.y.dtype == (torch.float32 if targets == "numbers" else torch.int64)
        assert np.array_equal(split.y, kept[split.x[:][:, 0].long()].astype("f4"))


@READ
def test_groups_folds_and_given_files(read: Callable[..., Any], own_file: OwnFile, tmp_path: Path) -> None:
    given = {"x": np.full((9, 2, 3), 5.0), "y": np.arange(9) % 3}
    np.savez(tmp_path / "given.npz", **given)
    path = own_file(patient=GROUPS, x=np.arange(360.0).reshape(60, 2, 3))

    def groups_of(rule: SplitRule) -> list[set[int]]:
        return [set((split.x[:][:, 0, 0] // 24).int().tolist()) for split in read(path, False, "classes", rule)[0]]

    train, val, test = groups_of(SplitRule(group="patient"))
    assert not train & val | val & test | train & test
    folds = [groups_of(SplitRule(group="patient", fold=fold, folds=3)) for fold in range(3)]
    assert all(fold[2] == test and not fold[0] & fold[1] for fold in folds)
    assert set.union(*(fold[1] for fold in folds)) == train | val
    splits, _ = read(path, False, "classes", SplitRule(val_path=str(tmp_path / "given.npz")))
    assert np.array_equal(splits[1].x[:], given["x"])
    assert len(splits[0].y) + len(splits[2].y) == 60


@READ
def test_two_folds_on_disk_do_not_replace_each_other(read: Callable[..., Any], own_file: OwnFile) -> None:
    path = own_file()
    (first, *_), _ = read(path, True, "classes", SplitRule(fold=0, folds=3))
    kept = first.x[:].clone()
    (second, *_), _ = read(path, True, "classes", SplitRule(fold=1, folds=3))
    assert torch.equal(first.x[:], kept)
    assert not torch.equal(second.x[:], kept)


HOLE = np.where(np.arange(60) == 4, np.nan, np.arange(60))
FAULTS: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "fractions": ("classes", {"y": np.arange(60) / 3}, {}, "these are no classes; for numbers type task=regression"),
    "a hole": ("classes", {"y": HOLE}, {}, "y has missing or infinite values in 1 sample, the first is sample 4"),
    "labels": ("classes", {"y": LABELS}, {}, "save y.argmax(axis=1), or type task=multilabel"),
    "columns": ("classes", {"y": NUMBERS.astype(int)}, {}, "save y.argmax(axis=1), or type task=regression"),
    "counts": ("classes", {"y": np.arange(60) * 50}, {}, "for numbers type task=regression"),
    "text": ("numbers", {"y": np.full(60, "a")}, {}, "y must hold numbers, it holds <U1; for classes type task=class"),
    "a hole in numbers": ("numbers", {"y": HOLE}, {}, "the first is sample 4"),
    "a constant": ("numbers", {"y": np.ones((60, 2))}, {}, "column 0 of y is 1.0 in every sample"),
    "too large": ("numbers", {"y": np.arange(60) * 1e39}, {}, "y has values beyond the range of float32"),
    "classes": ("labels", {"y": np.arange(60) % 3}, {}, "y must have the shape (samples, labels), it has (60,)"),
    "other numbers": ("labels", {"y": LABELS + 1}, {}, "y must hold 1 where a sample has the label and 0 elsewhere"),
    "no array": ("classes", {}, {"group": "patient"}, "data.split.group=patient: "),
    "two test sets": (
        "classes",
        {"x_test": np.ones((3, 2, 3)), "y_test": np.arange(3)},
        {"test_path": "own.npz"},
        "already",
    ),
    "other columns": (
        "numbers",
        {"y": NUMBERS, "x_test": np.ones((3, 2, 3)), "y_test": np.arange(3)},
        {},
        "as many columns",
    ),
}


@READ
@pytest.mark.parametrize(("targets", "changes", "keys", "said"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_one_sentence(
    targets: str,
    changes: dict[str, Any],
    keys: dict[str, Any],
    said: str,
    read: Callable[..., Any],
    own_file: OwnFile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = own_file(**changes)
    monkeypatch.chdir(Path(path).parent)
    with pytest.raises(ValueError, match=r"^data\.") as refusal:
        read(path, True, targets, SplitRule(**keys))
    assert said in str(refusal.value)
