"""AUTOTRAINER's small models (Zhang et al. 2021, ICSE): plain stacks of narrow layers, on two simple problems."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, count, islice, pairwise, product
from math import sqrt
from typing import Any

import torch
from lightning import LightningModule
from sklearn.datasets import make_blobs, make_circles
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from .cases import TABLES
from .datasets import Arrays

WIDTH = 5
STEPS = 2000  # of a stack's whole training
BATCH_SIZE = 128
LEARNING_RATE = 1e-3


class Exponential(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.exp()


ACTIVATIONS = {"exponential": Exponential, "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
DATA: dict[str, Callable[[], Arrays]] = {
    "circles": lambda: make_circles(1000, noise=0.1, random_state=1),
    "blobs": lambda: make_blobs(1000, centers=3, n_features=2, cluster_std=2, random_state=2),
}


@dataclass(frozen=True)
class Stack:
    depth: int
    activation: str
    initialisation: str
    data: str
    factor: int  # of the inputs

    @property
    def name(self) -> str:
        return f"{self.depth} {self.activation} {self.initialisation}, {self.data} times {self.factor}"

    def arrays(self) -> Arrays:
        x, y = DATA[self.data]()
        return x * self.factor, y

    def network(self, num_classes: int) -> nn.Module:
        widths = [2, *[WIDTH] * self.depth]
        network = nn.Sequential()
        for before, width in pairwise(widths):
            network.extend([self.linear(before, width), ACTIVATIONS[self.activation]()])
        return network.append(self.linear(WIDTH, num_classes))

    def linear(self, before: int, width: int) -> nn.Linear:
        """As Keras makes it: biases of zero, and weights of VarianceScaling(1, fan_in) or RandomUniform."""
        linear = nn.Linear(before, width)
        if self.initialisation == "scaled":
            nn.init.trunc_normal_(linear.weight, std=1 / sqrt(before) / 0.8796, a=-2 / sqrt(before), b=2 / sqrt(before))
        else:
            nn.init.uniform_(linear.weight, -0.05, 0.05)
        nn.init.zeros_(linear.bias)
        return linear


def all_stacks() -> list[Stack]:
    return [Stack(*values) for values in product(*TABLES["stacks"].values())]


def held_out_half(stacks: Iterable[Stack]) -> set[Stack]:
    """Every second one in the order of a hash of their names: a fixed half that nobody has chosen."""
    return set(sorted(stacks, key=lambda stack: sha256(stack.name.encode()).hexdigest())[1::2])


class PlainTraining(LightningModule):
    """Cross-entropy and one optimizer, which is called with the parameters of the network."""

    def __init__(self, network: nn.Module, optimizer: Callable[..., Optimizer]) -> None:
        super().__init__()
        self.network = network
        self.optimizer = optimizer

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        x, y = batch
        return cross_entropy(self(x), y)

    def configure_optimizers(self) -> Optimizer:
        return self.optimizer(self.network.parameters())


def data_of(stack: Stack) -> Any:
    """A datamodule with a fifth of the samples for validation and inputs as they are."""
    from trainwell.data.batches import Samples
    from trainwell.data.in_memory import InMemoryDataModule
    from trainwell.data.split import VALIDATION_FRACTION, stratified_choice

    x, y = stack.arrays()
    val = stratified_choice(y, VALIDATION_FRACTION)
    data = InMemoryDataModule(batch_size=BATCH_SIZE, seed=0)
    data.train = Samples.from_numpy(x[~val], y[~val])
    data.val = data.test = Samples.from_numpy(x[val], y[val])
    data.num_classes, data.loaded = int(y.max()) + 1, True
    return data


def train(stack: Stack) -> dict[str, Any]:
    """Train with Adam on batches in a new order every epoch, and nothing else.

    Returns: the accuracy on the train samples, that of always naming the commonest class, and the number of samples.
    """
    data = data_of(stack)
    torch.manual_seed(0)
    network = stack.network(data.num_classes)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True)
    x, y = data.train
    batches = chain.from_iterable(torch.randperm(len(y)).split(BATCH_SIZE) for _ in count())
    for index in islice(batches, STEPS):
        optimizer.zero_grad()
        cross_entropy(network(x[index]), y[index]).backward()
        optimizer.step()
    accuracy = (network.eval()(x).argmax(dim=1) == y).double().mean().item()
    return {"accuracy": accuracy, "chance": y.bincount().max().item() / len(y), "samples": len(y)}
