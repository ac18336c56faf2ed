import random
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from your_package import data
from your_package.data import Data, arrays, digits, mnist1d, with_label_noise


@pytest.fixture(scope="module")
def lines() -> Data:
    return mnist1d()


def own_file(folder: Path, **changes: object) -> str:
    generator = np.random.default_rng(0)
    found = {"x": generator.normal(3, 5, (60, 2, 3)).astype("f4"), "y": np.arange(60) % 3} | changes
    np.savez(folder / "own.npz", **{name: array for name, array in found.items() if array is not None})
    return str(folder / "own.npz")


@pytest.mark.slow
def test_the_published_test_rows_of_mnist1d_are_untouched(lines: Data) -> None:
    from mnist1d.data import get_dataset_args, make_dataset

    published = make_dataset(get_dataset_args())
    assert np.array_equal(lines.test.x.numpy(), published["x_test"].astype("f4"))
    assert np.array_equal(lines.test.y.numpy(), published["y_test"])
    learnt = torch.cat([lines.train.x, lines.val.x]).numpy()
    assert {row.tobytes() for row in learnt} == {row.tobytes() for row in published["x"].astype("f4")}


@pytest.mark.slow
def test_making_mnist1d_leaves_the_global_random_states_alone() -> None:
    np.random.seed(5)
    random.seed(5)
    expected = np.random.rand(), random.random()
    np.random.seed(5)
    random.seed(5)
    mnist1d.__wrapped__()  # as if it were made for the first time
    assert (np.random.rand(), random.random()) == expected


@pytest.mark.parametrize("source", [mnist1d.__wrapped__, digits])
def test_splits_are_disjoint_stratified_and_always_the_same(source) -> None:
    made, again = source(), source()
    rows = [{row.numpy().tobytes() for row in split.x} for split in (made.train, made.val, made.test)]
    assert not rows[0] & rows[1]
    assert not (rows[0] | rows[1]) & rows[2]
    shares = [torch.bincount(split.y) / len(split.y) for split in (made.train, made.val)]
    assert torch.allclose(*shares, atol=0.005)  # one row of the validation set is a share of 0.0013 to 0.0035
    assert torch.equal(made.val.x, again.val.x)


def test_digits_are_scaled_by_their_train_pixels() -> None:
    made = digits()
    assert made.in_shape == (8, 8)
    assert sum(len(split.y) for split in (made.train, made.val, made.test)) == len(load_digits().target)
    assert made.train.x.mean().item() == pytest.approx(0, abs=1e-6)
    assert made.train.x.std(correction=0).item() == pytest.approx(1, abs=1e-6)
    assert made.val.x.mean().item() != pytest.approx(0, abs=1e-6)


def test_own_arrays_are_standardised_by_their_train_rows_alone(tmp_path: Path) -> None:
    constant = np.random.default_rng(1).normal(3, 5, (60, 2, 3))
    constant[:, 0, 0] = 7
    path = own_file(tmp_path, x=constant)
    raw, scaled = arrays(path=path, standardise=False), arrays(path=path, standardise=True)
    scaler = StandardScaler().fit(raw.train.x.double().flatten(1).numpy())
    for name in ("train", "val", "test"):
        expected = scaler.transform(getattr(raw, name).x.double().flatten(1).numpy())
        assert np.allclose(getattr(scaled, name).x.flatten(1).numpy(), expected, atol=1e-6)


def test_own_test_rows_are_kept_as_given(tmp_path: Path) -> None:
    given = np.random.default_rng(2).normal(size=(7, 2, 3)).astype("f4")
    made = arrays(path=own_file(tmp_path, x_test=given, y_test=np.arange(7) % 3), standardise=False)
    assert np.array_equal(made.test.x.numpy(), given)
    assert len(made.train.y) + len(made.val.y) == 60


HOLE = np.ones((60, 4))
HOLE[17, 2] = np.nan
FAULTS = {
    "no y": ({"y": None}, "lacks the array y"),
    "half a test set": ({"x_test": np.ones((3, 2, 3))}, "lacks the array y_test"),
    "words": ({"x": np.full((60, 4), "a")}, "x must hold numbers"),
    "one axis": ({"x": np.ones(60)}, "x must have the shape (rows, features...), it has (60,)"),
    "a hole": ({"x": HOLE}, "x has missing or infinite values in 1 rows, the first is row 17"),
    "lengths": ({"y": np.arange(59) % 3}, "x has 60 rows and y has 59"),
    "broken classes": ({"y": np.arange(60) / 3}, "y must hold whole numbers"),
    "classes below 0": ({"y": np.arange(60) % 3 - 1}, "y must hold classes from 0, it holds -1"),
    "a class left out": ({"y": np.arange(60) % 3 * 2}, "no row has class 1, 3"),
    "one class": ({"y": np.zeros(60, int)}, "at least two classes"),
    "a scarce class": ({"y": np.r_[np.zeros(57, int), np.ones(3, int)]}, "class 1 has 3"),
    "one-hot classes": ({"y": np.eye(60, 3, dtype=int)}, "y must have the shape (rows,), it has (60, 3)"),
    "another shape": ({"x_test": np.ones((3, 5)), "y_test": np.arange(3)}, "rows of x_test have shape (5,)"),
    "an unknown class": (
        {"x_test": np.ones((3, 2, 3)), "y_test": np.arange(3) + 1},
        "y_test has classes that y lacks: 3",
    ),
}


@pytest.mark.parametrize(("changes", "said"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_in_own_arrays_is_named(changes: dict, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="data.path=") as refusal:
        arrays(path=own_file(tmp_path, **changes), standardise=True)
    assert said in str(refusal.value)


def test_several_faults_are_reported_together(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="data.path=") as refusal:
        arrays(path=own_file(tmp_path, x=HOLE[:50], y=np.arange(60) / 3), standardise=True)
    assert len(str(refusal.value).splitlines()) == 3


def test_pickled_objects_in_own_arrays_are_never_loaded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle=False"):
        arrays(path=own_file(tmp_path, x=np.array([object()] * 60)), standardise=True)


def test_a_stratified_choice_takes_the_share_of_every_class() -> None:
    y = np.repeat([0, 1, 2], [100, 50, 6])
    assert np.bincount(y[data.stratified_choice(y, 0.2)]).tolist() == [20, 10, 1]


def test_label_noise_makes_its_share_of_the_train_classes_wrong_and_no_other(lines: Data) -> None:
    noisy = with_label_noise(lines, 0.4)
    wrong = noisy.train.y != lines.train.y
    assert wrong.sum() == round(0.4 * len(wrong))
    assert noisy.train.y.unique().tolist() == lines.train.y.unique().tolist()
    assert torch.equal(with_label_noise(lines, 0.4).train.y, noisy.train.y)
    assert all(getattr(noisy, split) is getattr(lines, split) for split in ("val", "test"))


def test_without_label_noise_every_class_is_right(lines: Data) -> None:
    assert torch.equal(with_label_noise(lines, 0.0).train.y, lines.train.y)
