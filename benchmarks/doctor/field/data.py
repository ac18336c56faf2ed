"""Small data sets of many kinds, and mistakes that are made with data. Nothing here knows the project."""

from collections.abc import Callable
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


def padded(rng: Rng) -> Arrays:
    """Texts of 4 to 24 of 59 words, with zeros behind them."""
    weight = rng.normal(0, 1, 60)
    x = rng.integers(1, 60, (1800, 24))
    x[np.arange(24) >= rng.integers(4, 25, (1800, 1))] = 0
    weight -= weight[1:].mean()
    weight[0] = 0
    return {"x": x, "y": (weight[x].sum(1) > 0).astype(int)}


def names(rng: Rng) -> Arrays:
    """Words of 5 to 12 letters of four languages, which differ in what follows what; zeros behind them."""
    follow = rng.dirichlet(np.full(20, 0.3), (4, 20)).cumsum(2)
    y, x = rng.integers(0, 4, 1600), rng.integers(1, 21, (1600, 12))
    for place in range(1, 12):
        drawn = (follow[y, x[:, place - 1] - 1] < rng.random((1600, 1))).sum(1)
        x[:, place] = 1 + drawn.clip(max=19)
    x[np.arange(12) >= rng.integers(5, 13, (1600, 1))] = 0
    return {"x": x, "y": y}


def clicks(rng: Rng) -> Arrays:
    """Numbers of users and articles, as long as databases have them, an hour, and whether there was a click."""
    users, articles = rng.integers(0, 10**6, 40), rng.integers(0, 10**6, 60)
    user, article, hour = (rng.integers(0, count, 5000) for count in (40, 60, 24))
    score = 2 * (rng.normal(0, 1, (40, 2))[user] * rng.normal(0, 1, (60, 2))[article]).sum(1)
    score += rng.normal(0, 1, 60)[article] + np.sin(hour / 24 * 2 * np.pi)
    y = (score + rng.logistic(0, 0.4, 5000) > 0).astype(int)
    return {"x": np.stack([users[user], articles[article], hour], 1), "y": y}


def latest(rng: Rng) -> Arrays:
    """Which of three signs, of many among 24 tokens, came last."""
    x = rng.integers(3, 20, (2000, 24))
    x = np.where(rng.random(x.shape) < 0.2, rng.integers(0, 3, x.shape), x)
    x[:, 0] = rng.integers(0, 3, 2000)
    last = 23 - (x[:, ::-1] < 3).argmax(1)
    return {"x": x, "y": x[np.arange(2000), last]}


def stripes(rng: Rng) -> Arrays:
    """Waves of one of five directions in any colour: (3, 16, 16)."""
    y = rng.integers(0, 5, 1500)
    i, j = np.mgrid[:16, :16]
    angle, phase = (y * np.pi / 5)[:, None, None], rng.uniform(0, 6.28, (1500, 1, 1))
    wave = np.sin(1.2 * (np.cos(angle) * i + np.sin(angle) * j) + phase)
    return {"x": wave[:, None] * rng.normal(0, 1, (1500, 3, 1, 1)) + rng.normal(0, 0.5, (1500, 3, 16, 16)), "y": y}


def points(rng: Rng) -> Arrays:
    """Points of a ball, of a cube, of a tube or of a cone, of any size and turned about its axis: (32, 3)."""
    y, u = rng.integers(0, 4, 1500), rng.uniform(-1, 1, (1500, 32, 3))
    ball = rng.normal(0, 1, u.shape)
    ball /= np.linalg.norm(ball, axis=2, keepdims=True)
    cube = u / np.abs(u).max(2, keepdims=True)
    tube = np.stack([np.cos(np.pi * u[..., 0]), np.sin(np.pi * u[..., 0]), u[..., 1]], 2)
    cone = tube * np.stack([(1 - u[..., 1]) / 2, (1 - u[..., 1]) / 2, np.ones((1500, 32))], 2)
    x = np.stack([ball, cube, tube, cone])[y, np.arange(1500)]
    angle = rng.uniform(0, 6.28, (1500, 1))
    x[..., 0], x[..., 1] = (
        np.cos(angle) * x[..., 0] - np.sin(angle) * x[..., 1],
        np.sin(angle) * x[..., 0] + np.cos(angle) * x[..., 1],
    )
    return {"x": x * rng.uniform(0.7, 1.3, (1500, 1, 1)) + rng.normal(0, 0.03, x.shape), "y": y}


def curves(rng: Rng) -> Arrays:
    """Six measurements, each of which speaks for or against a class along a curve of its own."""
    x = rng.normal(0, 1, (2400, 6))
    score = 2 * np.sin(2 * x[:, 0]) + 2 * np.abs(x[:, 1]) - x[:, 2] ** 2 + np.tanh(3 * x[:, 3]) + x[:, 4]
    return {"x": x, "y": (score + rng.logistic(0, 0.2, 2400) > np.median(score)).astype(int)}


def visits(rng: Rng) -> Arrays:
    """Counts of none to some dozens."""
    x = rng.normal(0, 1, (2000, 8))
    rate = np.exp(1 + 0.6 * x[:, 0] - 0.5 * x[:, 1] + 0.6 * np.sin(2 * x[:, 2]) + 0.4 * x[:, 3] * x[:, 4])
    return {"x": x, "y": rng.poisson(rate).astype(float)}


def arm(rng: Rng) -> Arrays:
    """Where an arm of three joints ends, and how high it stands: three numbers in units of their own."""
    x = rng.uniform(-1.5, 1.5, (1800, 4))
    bend = x[:, :3].cumsum(1)
    y = np.stack([np.cos(bend).sum(1), 100 * np.sin(bend).sum(1), 3 + x[:, 3] * bend[:, 2]], 1)
    return {"x": x, "y": y + rng.normal(0, 0.03, y.shape) * y.std(0)}


def tides(rng: Rng) -> Arrays:
    """The next of 30 numbers, which are two waves and noise."""
    t = np.arange(31)
    speed, phase, size = rng.uniform(0.2, 0.9, (1600, 2, 1)), rng.uniform(0, 6.28, (1600, 2, 1)), [[[1.0], [0.5]]]
    x = (np.array(size) * np.sin(speed * t + phase)).sum(1) + rng.normal(0, 0.1, (1600, 31))
    return {"x": x[:, :30], "y": x[:, 30]}


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


def val_inverted(made: Arrays, rng: Rng) -> Arrays:
    """Black on white validates what was trained on white on black."""
    part = parts_of(len(made["y"]), rng)
    x = made["x"].copy()
    x[part != "train"] = x.max() - x[part != "train"]
    return {**made, "x": x, "part": part}


def known_afterwards(made: Arrays, rng: Rng) -> Arrays:
    """A column that is filled only once the class is known: days since the contract ended, or zero."""
    days = np.where(made["y"] == 1, rng.integers(1, 90, len(made["y"])), 0)
    return {**made, "x": np.concatenate([made["x"], days[:, None]], 1)}


CHANGES: dict[str, Callable[[Arrays, Rng], Arrays]] = {
    "sorted": sorted_then_cut,
    "by_class": sorted_by_class,
    "val_scaled": val_scaled_otherwise,
    "leaking": leaking,
    "copied": nearly_copied,
    "inverted": val_inverted,
    "afterwards": known_afterwards,
    "far": lambda made, rng: {**made, "x": made["x"] + np.array([4000.0, 7000.0, 300.0])},
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
        hundred, answers, sign, sums, friedman, prices, ripple, tags, padded, names, clicks, latest,
        stripes, points, curves, visits, arm, tides,
    )
}  # fmt: skip


def arrays_of(name: str) -> Arrays:
    """``sensors`` as they are, ``sensors-leaking`` with a change."""
    source, *changes = name.split("-")
    made = SOURCES[source](np.random.default_rng(0))
    for change in changes:
        made = CHANGES[change](made, np.random.default_rng(1))
    return made


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
