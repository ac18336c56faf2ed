"""Small data sets of many kinds, and mistakes that are made with data. Nothing here knows the project."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule
from numpy.typing import NDArray
from sklearn.datasets import load_digits, make_friedman1
from torch.utils.data import DataLoader, TensorDataset

Arrays = dict[str, NDArray[Any]]
Rng = np.random.Generator


def digits(rng: Rng) -> Arrays:
    x, y = load_digits(return_X_y=True)
    return {"x": x.reshape(-1, 1, 8, 8) / 16, "y": y}


def margins(rng: Rng) -> Arrays:
    """Digits at the centre of images of 16 x 16 pixels: three of four pixels are always black."""
    x = np.zeros((1797, 1, 16, 16))
    made = digits(rng)
    x[:, :, 4:12, 4:12] = made["x"]
    return {"x": x, "y": made["y"]}


def shapes(rng: Rng) -> Arrays:
    """Bars, crosses and corners somewhere in an image of 12 x 12 noisy pixels."""
    y = rng.integers(0, 4, 1600)
    x = rng.normal(0, 0.3, (1600, 1, 12, 12))
    for image, kind in zip(x[:, 0], y, strict=True):
        i, j = rng.integers(1, 7, 2)
        if kind in (0, 2):
            image[i + 2, j : j + 5] += 1.5
        if kind in (1, 2):
            image[i : i + 5, j + 2] += 1.5
        if kind == 3:
            image[i, j : j + 5] += 1.5
            image[i : i + 5, j] += 1.5
    return {"x": x, "y": y}


def waves(rng: Rng) -> Arrays:
    """One of five frequencies with any phase, in noise: (1, 64)."""
    y = rng.integers(0, 5, 1500)
    phase, t = rng.uniform(0, 6.28, (1500, 1)), np.arange(64)
    x = np.sin(2 * np.pi * (y[:, None] + 2) * t / 64 + phase) + rng.normal(0, 0.6, (1500, 64))
    return {"x": x[:, None], "y": y}


def steps(rng: Rng) -> Arrays:
    """Which way the last steps of a walk go: (40, 3)."""
    y = rng.integers(0, 4, 1500)
    x = rng.normal(0, 0.5, (1500, 40, 3))
    x[:, -8:] += np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, -1, 0]])[y][:, None]
    return {"x": x, "y": y}


def order(rng: Rng) -> Arrays:
    """Which of two events, somewhere in the sequence, comes first: (20, 2)."""
    x = rng.normal(0, 0.2, (2400, 20, 2))
    places = np.stack([rng.choice(20, 2, replace=False) for _ in range(2400)])
    x[np.arange(2400), places[:, 0], 0] += 2
    x[np.arange(2400), places[:, 1], 1] += 2
    return {"x": x, "y": (places[:, 0] < places[:, 1]).astype(int)}


def reviews(rng: Rng) -> Arrays:
    """Texts of 20 of 80 words, of which some speak for a class and some against it."""
    weight = rng.normal(0, 1, 80) * (rng.random(80) < 0.5)
    x = rng.integers(0, 80, (1800, 20))
    score = weight[x].sum(1)
    return {"x": x, "y": (score > np.median(score)).astype(int)}


def phrases(rng: Rng) -> Arrays:
    """Texts of 16 of 40 words; a class says which of three pairs of words stands next to each other."""
    y = rng.integers(0, 3, 2000)
    x = rng.integers(6, 40, (2000, 16))
    at = rng.integers(0, 15, 2000)
    x[np.arange(2000), at], x[np.arange(2000), at + 1] = 2 * y, 2 * y + 1
    return {"x": x, "y": y}


def topics(rng: Rng) -> Arrays:
    """Relative counts of 300 words in short texts about five topics, as TF-IDF has them: sparse and small."""
    y = rng.integers(0, 5, 1500)
    shares = rng.dirichlet(np.full(300, 0.05), 5) * 0.5 + 0.5 / 300
    counts = np.stack([rng.multinomial(30, shares[label]) for label in y])
    tfidf = counts * np.log(1500 / (1 + (counts > 0).sum(0)))
    return {"x": tfidf / np.linalg.norm(tfidf, axis=1, keepdims=True), "y": y}


def customers(rng: Rng) -> Arrays:
    """A table of two categories, as numbers of 12 and 30 values, and four measurements."""
    ids = np.stack([rng.integers(0, 12, 2000), rng.integers(0, 30, 2000)], 1)
    numbers = rng.normal(0, 1, (2000, 4))
    effect = rng.normal(0, 1.5, 12)[ids[:, 0]] + rng.normal(0, 1.5, 30)[ids[:, 1]]
    y = (effect + numbers[:, 0] - numbers[:, 1] + rng.normal(0, 0.5, 2000) > 0).astype(int)
    return {"x": np.concatenate([ids, numbers], 1), "y": y}


def sensors(rng: Rng) -> Arrays:
    """A table of 12 measurements and six states, separated by curved borders."""
    x = rng.normal(0, 1, (1800, 12))
    centres = rng.normal(0, 1, (12, 12))
    nearest = ((x[:, None] - centres) ** 2).sum(2).argmin(1)
    return {"x": x, "y": nearest % 6}


def units(rng: Rng) -> Arrays:
    """The same in its own units: some features in thousands, others in thousandths, far from zero."""
    made = sensors(rng)
    return {**made, "x": made["x"] * 10.0 ** rng.integers(-2, 4, 12) + 5.0 ** rng.integers(0, 5, 12)}


def rare(rng: Rng) -> Arrays:
    """Four positives of a hundred samples, well separated from the others."""
    y = (rng.random(4000) < 0.04).astype(int)
    x = rng.normal(0, 1, (4000, 8))
    x[:, 0] += 1.2 * y
    x[:, 1] += y
    return {"x": x, "y": y}


def hundred(rng: Rng) -> Arrays:
    """A hundred classes, each a cloud."""
    y = rng.integers(0, 100, 5000)
    return {"x": rng.normal(0, 1, (100, 40))[y] + rng.normal(0, 0.9, (5000, 40)), "y": y}


def answers(rng: Rng) -> Arrays:
    """Six questions with three answers each: there are no more than 729 different rows."""
    x = rng.integers(0, 3, (2500, 6))
    y = ((x[:, 0] + 2 * x[:, 1] + x[:, 2] * x[:, 3]) % 3 + (rng.random(2500) < 0.05)) % 3
    return {"x": x.astype(float), "y": y}


def sign(rng: Rng) -> Arrays:
    """Whether a product of two of four numbers is positive: no single one of them says anything."""
    x = rng.uniform(-1, 1, (2000, 4))
    return {"x": x, "y": (x[:, 0] * x[:, 1] > 0).astype(int)}


def sums(rng: Rng) -> Arrays:
    """Whether three of 16 numbers, each named by a one of 16 bits, are even in sum: only arithmetic tells."""
    x = rng.integers(0, 2, (3000, 10))
    return {"x": 2.0 * x - 1, "y": x[:, :3].sum(1) % 2}


def friedman(rng: Rng) -> Arrays:
    x, y = make_friedman1(1500, 8, noise=0.5, random_state=0)
    return {"x": x, "y": y}


def prices(rng: Rng) -> Arrays:
    """The same in millions: targets with a few outliers."""
    x, y = make_friedman1(1500, 8, noise=0.5, random_state=1)
    y = 1e5 * y
    y[rng.choice(1500, 8, replace=False)] *= 300
    return {"x": x, "y": y}


def ripple(rng: Rng) -> Arrays:
    """A curve of many oscillations over one number."""
    x = rng.uniform(-1, 1, (1500, 1))
    return {"x": x, "y": np.sin(12 * x[:, 0]) + 0.5 * np.cos(25 * x[:, 0]) + rng.normal(0, 0.05, 1500)}


def tags(rng: Rng) -> Arrays:
    """Five labels of which any number applies."""
    x = rng.normal(0, 1, (1800, 10))
    hidden = np.tanh(x @ rng.normal(0, 1, (10, 16)))
    return {"x": x, "y": (hidden @ rng.normal(0, 1, (16, 5)) + 0.3 > 0).astype(int)}


def parts_of(count: int, rng: Rng) -> NDArray[Any]:
    return rng.choice(["train", "val", "test"], count, p=[0.64, 0.16, 0.2])


def sorted_then_cut(made: Arrays, rng: Rng) -> Arrays:
    """Sorted by a feature, then cut: the last fifth validates."""
    first = made["x"].reshape(len(made["y"]), -1)
    ranks = first[:, 0].argsort().argsort() / len(first)
    parts = np.where(ranks < 0.7, "train", np.where(ranks < 0.9, "val", "test"))
    return {**made, "part": parts}


def sorted_by_class(made: Arrays, rng: Rng) -> Arrays:
    ranks = made["y"].argsort(kind="stable").argsort() / len(made["y"])
    return {**made, "part": np.where(ranks < 0.7, "train", np.where(ranks < 0.9, "val", "test"))}


def val_scaled_otherwise(made: Arrays, rng: Rng) -> Arrays:
    """Only the train samples were scaled; the others are as they came."""
    part = parts_of(len(made["y"]), rng)
    x = made["x"].astype(float).copy()
    x[part != "train"] = 12 * x[part != "train"] + 6
    return {**made, "x": x, "part": part}


def leaking(made: Arrays, rng: Rng) -> Arrays:
    """One more column that is the answer in another unit."""
    answer = made["y"] * 3.0 + rng.normal(0, 0.1, len(made["y"]))
    return {**made, "x": np.concatenate([made["x"], answer[:, None]], 1)}


def nearly_copied(made: Arrays, rng: Rng) -> Arrays:
    """Each sample twice, once with a little noise, as after an augmentation before the split."""
    again = made["x"] + rng.normal(0, 0.01, made["x"].shape)
    return {"x": np.concatenate([made["x"], again]), "y": np.tile(made["y"], 2)}


CHANGES: dict[str, Callable[[Arrays, Rng], Arrays]] = {
    "sorted": sorted_then_cut,
    "by_class": sorted_by_class,
    "val_scaled": val_scaled_otherwise,
    "leaking": leaking,
    "copied": nearly_copied,
    "shuffled": lambda made, rng: {**made, "y": rng.permutation(made["y"])},
    "some": lambda made, rng: {name: values[:300] for name, values in made.items()},
    "wrong": lambda made, rng: {
        **made, "y": np.where(rng.random(len(made["y"])) < 0.4, rng.permutation(made["y"]), made["y"])
    },
    "times_1000": lambda made, rng: {**made, "x": 1000.0 * made["x"]},
    "thousandth": lambda made, rng: {**made, "x": made["x"] / 1000},
    "from_1": lambda made, rng: {**made, "y": made["y"] + 1},
    "doubled": lambda made, rng: {**made, "y": 2 * made["y"]},
    "without_2": lambda made, rng: {**made, "part": np.where(
        made["y"] == 2, rng.choice(["val", "test"], len(made["y"])), parts_of(len(made["y"]), rng)
    )},
    "floats": lambda made, rng: {**made, "x": made["x"].astype(float)},
    "flat": lambda made, rng: {**made, "x": made["x"].reshape(len(made["y"]), -1)},
}  # fmt: skip
SOURCES: dict[str, Callable[[Rng], Arrays]] = {
    made.__name__: made
    for made in (
        digits, margins, shapes, waves, steps, order, reviews, phrases, topics, customers, sensors, units, rare,
        hundred, answers, sign, sums, friedman, prices, ripple, tags,
    )
}  # fmt: skip


def arrays_of(name: str) -> Arrays:
    """``sensors`` as they are, ``sensors-leaking`` with a change."""
    source, *changes = name.split("-")
    made = SOURCES[source](np.random.default_rng(0))
    for change in changes:
        made = CHANGES[change](made, np.random.default_rng(1))
    return made


def write_file(folder: Path, name: str) -> Path:
    path = folder / f"{name}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(path, **arrays_of(name))
    return path


class Loaders(LightningDataModule):
    """A file by ordinary DataLoaders, with the parts that it names, and no check of anything."""

    def __init__(self, path: str, batch_size: int = 64) -> None:
        super().__init__()
        with np.load(path) as arrays:
            made = dict(arrays)
        parts = made.get("part", parts_of(len(made["y"]), np.random.default_rng(2)))
        x, y = torch.from_numpy(made["x"].astype(np.float32)), torch.from_numpy(made["y"].astype(np.int64))
        self.samples = {part: TensorDataset(x[parts == part], y[parts == part]) for part in ("train", "val")}
        self.batch_size, self.in_shape, self.num_classes = batch_size, tuple(x.shape[1:]), int(y.max()) + 1

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.samples["train"], self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.samples["val"], self.batch_size)
