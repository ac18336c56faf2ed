"""Data and networks for the doctor's benchmark: healthy ones, and the same with one thing wrong.

The data are files for ``data=arrays``, the networks factories for ``network=own``, as a user would bring them; nothing
here knows the package. The stacks are the small models of AUTOTRAINER (Zhang et al. 2021, ICSE).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import prod, sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits, make_blobs, make_circles
from torch import Tensor, nn

Table = tuple[NDArray, NDArray]  # inputs and classes

WIDTH = 32
STACK_WIDTH = 5
STACK_INITIALISATIONS = ("scaled", "uniform")


@cache
def mnist1d() -> Table:
    from mnist1d.data import get_dataset_args, make_dataset

    made = make_dataset(get_dataset_args())
    return made["x"], made["y"]


def digits() -> Table:
    x, y = load_digits(return_X_y=True)
    return x.reshape(-1, 8, 8) / 16, y


def circles() -> Table:
    return make_circles(2000, noise=0.1, factor=0.5, random_state=0)


def blobs() -> Table:
    return make_blobs(2000, centers=8, n_features=10, cluster_std=4, random_state=0)


def shuffled(x: NDArray, y: NDArray) -> Table:
    return x, np.random.default_rng(0).permutation(y)


def noise(x: NDArray, y: NDArray) -> Table:
    return np.random.default_rng(0).standard_normal(x.shape), y


def copied(x: NDArray, y: NDArray, share: float) -> Table:
    """A ``share`` of the rows twice, as after a careless join: a split then tears copies apart."""
    again = np.random.default_rng(0).permutation(len(y))[: round(share * len(y))]
    return np.concatenate([x, x[again]]), np.concatenate([y, y[again]])


def few(x: NDArray, y: NDArray, of_each: int) -> Table:
    kept = np.concatenate([np.flatnonzero(y == label)[:of_each] for label in np.unique(y)])
    return x[kept], y[kept]


def stuck(x: NDArray, y: NDArray, working: int) -> Table:
    """All but the last few sensors always report the same."""
    flat = x.reshape(len(x), -1).copy()
    flat[:, : flat.shape[1] - working] = 0.5
    return flat.reshape(x.shape), y


def one_column(x: NDArray, y: NDArray, factor: float) -> Table:
    """One feature in another unit than the rest."""
    return np.concatenate([x[:, :1] * factor, x[:, 1:]], axis=1), y


FILES: dict[str, Callable[[], Table]] = {
    "mnist1d": mnist1d,
    "digits": digits,
    "circles": circles,
    "blobs": blobs,
    "mnist1d_shuffled": lambda: shuffled(*mnist1d()),
    "digits_shuffled": lambda: shuffled(*digits()),
    "blobs_shuffled": lambda: shuffled(*blobs()),
    "mnist1d_noise": lambda: noise(*mnist1d()),
    "circles_noise": lambda: noise(*circles()),
    "mnist1d_copied": lambda: copied(*mnist1d(), share=1.0),
    "digits_copied": lambda: copied(*digits(), share=0.2),
    "circles_copied": lambda: copied(*circles(), share=0.5),
    "blobs_copied": lambda: copied(*blobs(), share=0.1),
    "mnist1d_few": lambda: few(*mnist1d(), of_each=10),
    "digits_few": lambda: few(*digits(), of_each=15),
    "circles_few": lambda: few(*circles(), of_each=40),
    "blobs_few": lambda: few(*blobs(), of_each=12),
    "mnist1d_some": lambda: few(*mnist1d(), of_each=120),
    "blobs_some": lambda: few(*blobs(), of_each=40),
    "mnist1d_stuck": lambda: stuck(*mnist1d(), working=3),
    "mnist1d_all_stuck": lambda: stuck(*mnist1d(), working=0),
    "digits_stuck": lambda: stuck(*digits(), working=8),
    "blobs_stuck": lambda: stuck(*blobs(), working=1),
    "mnist1d_times_1000": lambda: (mnist1d()[0] * 1000, mnist1d()[1]),
    "mnist1d_plus_100": lambda: (mnist1d()[0] + 100, mnist1d()[1]),
    "mnist1d_one_column": lambda: one_column(*mnist1d(), factor=10_000),
    "mnist1d_huge": lambda: (mnist1d()[0] * 1e30, mnist1d()[1]),
    "digits_thousandth": lambda: (digits()[0] / 1000, digits()[1]),
    "circles_times_100": lambda: (circles()[0] * 100, circles()[1]),
    "circles_thousandth": lambda: (circles()[0] / 1000, circles()[1]),
    "blobs_times_100": lambda: (blobs()[0] * 100, blobs()[1]),
}


def write_files(folder: Path) -> None:
    """Make the files that are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in FILES.items():
        if not (folder / f"{name}.npz").exists():
            x, y = make()
            np.savez(folder / f"{name}.npz", x=x, y=y)


class Logarithm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.log()


class Exponential(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.exp()


def layers(
    in_shape: Sequence[int], num_classes: int, activation: type[nn.Module] = nn.ReLU, gain: float = 1.4
) -> nn.Sequential:
    widths = [prod(in_shape), WIDTH, WIDTH, WIDTH]
    network = nn.Sequential(nn.Flatten())
    for before, width in pairwise(widths):
        linear = nn.Linear(before, width)
        nn.init.normal_(linear.weight, std=gain / sqrt(before))
        nn.init.zeros_(linear.bias)
        network.extend([linear, activation()])
    return network.append(nn.Linear(WIDTH, num_classes))


def linears(network: nn.Module) -> list[nn.Linear]:
    return [module for module in network.modules() if isinstance(module, nn.Linear)]


def relu(in_shape: Sequence[int], num_classes: int) -> nn.Module:
    return layers(in_shape, num_classes)


def tanh(in_shape: Sequence[int], num_classes: int) -> nn.Module:
    return layers(in_shape, num_classes, nn.Tanh, gain=1.0)


def never_firing(in_shape: Sequence[int], num_classes: int) -> nn.Module:
    """Biases so low that hardly a unit of the second layer ever fires."""
    network = layers(in_shape, num_classes)
    nn.init.constant_(linears(network)[1].bias, -20.0)
    return network


def hardly_firing(in_shape: Sequence[int], num_classes: int) -> nn.Module:
    network = layers(in_shape, num_classes)
    for linear in linears(network)[:-1]:
        nn.init.constant_(linear.bias, -3.0)
    return network


def flat_tanh(in_shape: Sequence[int], num_classes: int) -> nn.Module:
    return layers(in_shape, num_classes, nn.Tanh, gain=30.0)


def flat_sigmoid(in_shape: Sequence[int], num_classes: int) -> nn.Module:
    return layers(in_shape, num_classes, nn.Sigmoid, gain=60.0)


def growing(in_shape: Sequence[int], num_classes: int) -> nn.Module:
    return layers(in_shape, num_classes, gain=30.0)


def loud_head(in_shape: Sequence[int], num_classes: int) -> nn.Module:
    network = layers(in_shape, num_classes)
    nn.init.normal_(linears(network)[-1].weight, std=10.0)
    return network


def sure_head(in_shape: Sequence[int], num_classes: int) -> nn.Module:
    """Sure of the first class whatever the input."""
    network = layers(in_shape, num_classes)
    nn.init.constant_(linears(network)[-1].bias[:1], 30.0)
    return network


def constant(in_shape: Sequence[int], num_classes: int) -> nn.Module:
    network = layers(in_shape, num_classes)
    for linear in linears(network):
        nn.init.constant_(linear.weight, 0.1)
    return network


def zero(in_shape: Sequence[int], num_classes: int) -> nn.Module:
    network = layers(in_shape, num_classes)
    for linear in linears(network):
        nn.init.zeros_(linear.weight)
    return network


def of_negative_numbers(in_shape: Sequence[int], num_classes: int) -> nn.Module:
    return layers(in_shape, num_classes, Logarithm)


STACK_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "exponential": Exponential,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}
STACK_DATA: dict[str, Callable[[], Table]] = {
    "circles": lambda: make_circles(1000, noise=0.1, random_state=1),
    "blobs": lambda: make_blobs(1000, centers=3, n_features=2, cluster_std=2, random_state=2),
}


@dataclass(frozen=True)
class Stack:
    """One of AUTOTRAINER's small models on one of its problems."""

    depth: int
    activation: str
    initialisation: str
    data: str
    factor: int  # of the inputs

    @property
    def name(self) -> str:
        return f"{self.depth} {self.activation} {self.initialisation}, {self.data} times {self.factor}"

    def rows(self) -> Table:
        x, y = STACK_DATA[self.data]()
        return x * self.factor, y

    def network(self, num_classes: int) -> nn.Module:
        widths = [2, *[STACK_WIDTH] * self.depth]
        network = nn.Sequential()
        for before, width in pairwise(widths):
            network.extend([self.linear(before, width), STACK_ACTIVATIONS[self.activation]()])
        return network.append(self.linear(STACK_WIDTH, num_classes))

    def linear(self, before: int, width: int) -> nn.Linear:
        """As Keras makes it: no bias at first, and weights of VarianceScaling(1, fan_in) or RandomUniform."""
        linear = nn.Linear(before, width)
        if self.initialisation == "scaled":
            nn.init.trunc_normal_(linear.weight, std=1 / sqrt(before) / 0.8796, a=-2 / sqrt(before), b=2 / sqrt(before))
        else:
            nn.init.uniform_(linear.weight, -0.05, 0.05)
        nn.init.zeros_(linear.bias)
        return linear
