"""The data modules: what they make of their source, and what they refuse."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler
from trainwell.data.in_memory import InMemoryDataModule

from your_package.data.arrays import Arrays
from your_package.data.augment import Augment
from your_package.data.digits import Digits
from your_package.data.images import Images
from your_package.data.mnist1d import MNIST1D, published
from your_package.data.table import Table

SPLITS = ("train", "val", "test")
OFF = ("flip", "shift", "erase", "mixup")


def made(kind: type[InMemoryDataModule], **keys: Any) -> InMemoryDataModule:
    data = kind(batch_size=64, seed=0, label_noise=keys.pop("label_noise", 0.0), **keys)
    data.prepare_data()
    data.setup("fit")
    return data


def own(
    folder: Path, *, standardize: bool = True, memory: str = "load", keys: dict[str, Any] | None = None, **changes: Any
) -> InMemoryDataModule:
    """60 samples of shape (2, 3) in 3 classes, from a file."""
    x = np.random.default_rng(0).normal(3, 5, (60, 2, 3))
    x[:, 0, 0] = 7
    arrays = {"x": x, "y": np.arange(60) % 3} | changes
    np.savez(folder / "own.npz", **{name: array for name, array in arrays.items() if array is not None})
    keys = {"targets": "classes", "split": {}, "fold": None, "folds": 5} | (keys or {})
    return made(Arrays, path=str(folder / "own.npz"), standardize=standardize, memory=memory, **keys)


TABLE = {"target": "kind", "targets": "classes", "drop": [], "as_numbers": [], "as_categories": [], "fold": None}


def own_table(folder: Path, **keys: Any) -> Table:
    """100 rows with a number that is sometimes missing, a category, two numbers to predict and two classes."""
    generator = np.random.default_rng(0)
    size = generator.normal(50, 10, 100).round(3)
    rows = {"size": np.where(size > 62, np.nan, size), "colour": generator.choice(["red", "blue", ""], 100)}
    rows |= {"kind": np.where(size > 50, "large", "small"), "price": 2 * size, "weight": size - 3}
    pandas.DataFrame(rows).to_csv(folder / "own.csv", index=False)
    given = TABLE | {"categories": "onehot", "split": {}, "folds": 5, "drop": ["price", "weight"]} | keys
    data = made(Table, path=str(folder / "own.csv"), **given)
    assert isinstance(data, Table)
    return data


@pytest.mark.parametrize("kind", [MNIST1D, Digits])
def test_splits_are_disjoint_stratified_and_always_the_same(kind: type[InMemoryDataModule]) -> None:
    data, again = made(kind), made(kind)
    train, val, test = ({sample.numpy().tobytes() for sample in getattr(data, split).x} for split in SPLITS)
    assert not train & val
    assert not (train | val) & test
    learnt, held_out = (torch.bincount(split.y) / len(split.y) for split in (data.train, data.val))
    assert torch.allclose(learnt, held_out, atol=0.005)  # a validation sample is a share of 0.0013 to 0.0035
    assert torch.equal(data.val.x, again.val.x)


def test_mnist1d_has_the_published_samples_and_tests_on_the_published_test_samples() -> None:
    data, source = made(MNIST1D), published()
    assert [len(getattr(data, split).y) for split in SPLITS] == [3200, 800, 1000]
    assert np.array_equal(data.test.x.numpy(), source["x_test"].astype("f4"))
    assert np.array_equal(data.test.y.numpy(), source["y_test"])
    learnt = torch.cat([data.train.x, data.val.x]).numpy()
    assert {sample.tobytes() for sample in learnt} == {sample.tobytes() for sample in source["x"].astype("f4")}


def test_digits_are_standardized_by_their_train_pixels() -> None:
    data = made(Digits)
    assert data.in_shape == (8, 8)
    assert [len(getattr(data, split).y) for split in SPLITS] == [1151, 287, 359]
    assert data.train.x.mean().item() == pytest.approx(0, abs=1e-6)
    assert data.train.x.std(correction=0).item() == pytest.approx(1, abs=1e-6)
    assert data.val.x.mean().item() != pytest.approx(0, abs=1e-6)
    prepared = data.prepared(load_digits().images)
    assert {sample.numpy().tobytes() for sample in data.test.x} <= {sample.numpy().tobytes() for sample in prepared}


@pytest.mark.parametrize("memory", ["load", "map"])
def test_own_arrays_are_standardized_by_their_train_samples_alone(memory: str, tmp_path: Path) -> None:
    raw = own(tmp_path, standardize=False)
    scaled = own(tmp_path, memory=memory)
    scaler = StandardScaler().fit(raw.train.x.double().flatten(1).numpy())
    for split in SPLITS:
        expected = scaler.transform(getattr(raw, split).x.double().flatten(1).numpy())
        assert np.allclose(getattr(scaled, split).x[:].flatten(1).numpy(), expected, atol=1e-6)


def test_every_fault_in_own_arrays_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="data.path=") as refusal:
        own(tmp_path, x=np.full((60, 4), np.nan), y=np.arange(60) % 3 * 2)
    assert "x has missing or infinite values in 60 samples" in str(refusal.value)
    assert "no sample has class 1, 3" in str(refusal.value)


@pytest.mark.parametrize("memory", ["load", "map"])
def test_own_arrays_may_hold_numbers_or_labels(memory: str, tmp_path: Path) -> None:
    y = np.random.default_rng(3).normal(size=(60, 2))
    numbers = own(tmp_path, memory=memory, y=y, keys={"targets": "numbers"})
    assert numbers.train.y.dtype == torch.float32
    assert numbers.num_outputs == 2
    labels = own(tmp_path, memory=memory, y=y > 0, keys={"targets": "labels"})
    assert labels.train.y.dtype == torch.int64
    assert (labels.val.y == (numbers.val.y > 0)).all()


def test_own_table_is_numbers_what_is_missing_and_categories(tmp_path: Path) -> None:
    data = own_table(tmp_path)
    assert data.target_names == ["large", "small"]
    assert data.in_shape == (1 + 1 + 3,)
    size, missing, *colours = torch.cat([data.train.x, data.val.x, data.test.x]).T
    assert data.train.x[:, 0].mean().item() == pytest.approx(0, abs=1e-6)
    assert torch.equal(torch.stack(colours).sum(dim=0), torch.ones(100))
    assert 0 < missing.sum() < 30
    assert size[missing.bool()].unique().numel() == 1


def test_own_table_gives_its_embeddings_to_the_task(tmp_path: Path) -> None:
    data = own_table(tmp_path, categories="embed")
    assert data.in_shape == (1 + 1 + 1,)
    embedded = data.input_layer()(data.val.x)
    assert torch.equal(embedded[:, :2], data.val.x[:, :2])
    assert embedded.shape == (16, 2 + 3)
    assert isinstance(own_table(tmp_path).input_layer(), torch.nn.Identity)


def photos(folder: Path, *, memory: str = "load", augmented: bool = False, splits: tuple[str, ...] = ("",)) -> Images:
    """30 images of two classes and three sizes, in each of the splits."""
    generator = np.random.default_rng(0)
    for split, label, number in product(splits, ("cat", "dog"), range(15)):
        path = folder / "photos" / split / label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 200, (8 + number % 3, 9, 3), dtype=np.uint8) // [1, 2, 4]
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    keys = {"flip": 0.5, "shift": 1, "erase": 0.5, "mixup": 0.2} if augmented else dict.fromkeys(OFF, 0)
    augment = Augment(**keys, erase_area=0.33)
    own: Any = {"path": str(folder / "photos"), "size": 8, "channels": 3, "cache": None, "memory": memory}
    return made(Images, **own, augment=augment, split={}, fold=None, folds=5)


@pytest.mark.parametrize("memory", ["load", "map"])
def test_images_are_standardized_by_the_channels_of_their_train_images(memory: str, tmp_path: Path) -> None:
    data = photos(tmp_path, memory=memory)
    assert (data.in_shape, data.num_classes, data.target_names) == ((3, 8, 8), 2, ["cat", "dog"])
    assert [len(getattr(data, split).y) for split in SPLITS] == [20, 4, 6]
    assert [getattr(data, split).y.sum() for split in SPLITS] == [10, 2, 3]
    x = torch.cat([x for x, _ in data.train_dataloader()]).double()
    assert x.mean(dim=(0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert x.std(dim=(0, 2, 3), correction=0).tolist() == pytest.approx([1, 1, 1], abs=1e-6)
    (batch,) = data.test_dataloader()
    assert torch.allclose(batch.x, data.prepared(data.test.x[:].numpy()), atol=1e-6)
