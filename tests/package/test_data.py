"""The data modules: folds, given splits, noise, and what they leave alone."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from my_network.data.digits import Digits
from my_network.data.mnist1d import MNIST1D, published
from tests.test_data import SPLITS, made, own, own_table, photos


def test_generating_mnist1d_leaves_the_global_random_states_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = (np.random.get_state()[1].copy(), random.getstate())
    names = ("x", "y", "x_test", "y_test")
    monkeypatch.setattr("mnist1d.data.make_dataset", lambda _: dict.fromkeys(names, np.random.rand() + random.random()))
    monkeypatch.setattr("trainwell.data.on_disk.user_cache_path", lambda _: tmp_path)
    assert set(published.__wrapped__()) == set(names)
    assert (np.random.get_state()[1] == drawn[0]).all()
    assert random.getstate() == drawn[1]


def test_label_noise_changes_its_share_of_the_train_labels_and_nothing_else() -> None:
    right, noisy = made(Digits), made(Digits, label_noise=0.4)
    assert (noisy.train.y != right.train.y).sum() == round(0.4 * 1151)
    assert torch.equal(noisy.train.x, right.train.x)
    assert torch.equal(noisy.val.y, right.val.y)


def test_own_test_samples_are_kept_as_given(tmp_path: Path) -> None:
    given = np.random.default_rng(2).normal(size=(7, 2, 3)).astype("f4")
    data = own(tmp_path, standardize=False, x_test=given, y_test=np.arange(7) % 3)
    assert np.array_equal(data.test.x.numpy(), given)
    assert len(data.train.y) + len(data.val.y) == 60
    assert data.num_classes == 3


def test_token_ids_stay_integers(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 50, (60, 12))
    assert own(tmp_path, standardize=False, x=ids).train.x.dtype == torch.int64
    assert own(tmp_path, x=ids).train.x.dtype == torch.float32


def test_folds_validate_on_every_sample_once_and_test_on_the_same() -> None:
    whole, folds = made(MNIST1D), [made(MNIST1D, fold=fold, folds=3) for fold in range(3)]
    samples = [{sample.numpy().tobytes() for sample in data.val.x} for data in folds]
    assert sum(map(len, samples)) == len(set.union(*samples)) == 4000
    assert all(torch.equal(data.test.x, whole.test.x) for data in folds)
    assert [len(made(Digits, fold=fold, folds=3).val.y) for fold in range(3)] == [480, 479, 479]


def test_own_table_has_several_numbers_to_predict(tmp_path: Path) -> None:
    data = own_table(tmp_path, target=["price", "weight"], targets="numbers", drop=["kind"])
    assert data.num_outputs == 2
    assert data.target_names == ["price", "weight"]
    assert torch.allclose(data.train.y[:, 0] / 2 - 3, data.train.y[:, 1], atol=1e-4)


def test_only_train_images_are_augmented(tmp_path: Path) -> None:
    plain, augmented = photos(tmp_path), photos(tmp_path, augmented=True)
    for name in ("val_dataloader", "test_dataloader"):
        assert all(
            torch.equal(a.x, b.x) for a, b in zip(getattr(plain, name)(), getattr(augmented, name)(), strict=True)
        )
    a, b = (next(iter(data.train_dataloader())) for data in (plain, augmented))
    assert (a.x != b.x).flatten(1).any(dim=1).all()
    assert b.y.shape == (20, 2)
    assert torch.equal(next(iter(augmented.batches("train"))).x, next(iter(plain.batches("train"))).x)


def test_given_splits_are_kept_and_others_are_drawn_from_the_train_images(tmp_path: Path) -> None:
    for splits, expected in (
        (("train", "val", "test"), [30, 30, 30]),
        (("train", "val"), [24, 30, 6]),
        (("train", "test"), [24, 6, 30]),
        (("train",), [20, 4, 6]),
    ):
        data = photos(tmp_path / "_".join(splits), splits=splits)
        assert [len(getattr(data, split).y) for split in SPLITS] == expected
