"""Networks with a mistake, as people report them, and modules that are trained wrongly."""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, dropout, nll_loss, relu

from . import networks
from .networks import Of, Recurrent, mlp, resnet

Shape = Sequence[int]
Factory = Callable[[Shape, int], nn.Module]


def ending_in(factory: Factory, last: Callable[[], nn.Module], shape: Shape, outputs: int) -> nn.Module:
    return nn.Sequential(factory(shape, outputs), last())


softmax_twice = partial(ending_in, mlp, lambda: nn.Softmax(dim=1))
softmax_cnn = partial(ending_in, resnet, lambda: Of(lambda x: x.softmax(-1)))
sigmoid_logits = partial(ending_in, networks.tcn, nn.Sigmoid)
relu_logits = partial(ending_in, networks.tanh, nn.ReLU)
log_softmax_of_batch = partial(ending_in, mlp, lambda: nn.LogSoftmax(dim=0))
sigmoid_regression = partial(ending_in, mlp, nn.Sigmoid)
dropout_logits = partial(ending_in, mlp, lambda: nn.Dropout(0.9))


class Cut(nn.Module):
    """A trunk whose output is cut from the graph, in one of several ways."""

    def __init__(self, shape: Shape, outputs: int, cut: Callable[[Tensor], Tensor], width: int = 4) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), 16), nn.ReLU(), nn.Linear(16, width), nn.ReLU())
        self.head, self.cut = nn.Linear(width, outputs), cut

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cut(self.trunk(x)))


detached = partial(Cut, cut=lambda x: x.detach())
rounded = partial(Cut, cut=lambda x: x.round())
by_numpy = partial(Cut, cut=lambda x: torch.from_numpy(x.detach().numpy()))
whole = partial(Cut, cut=lambda x: x, width=16)


def frozen(shape: Shape, outputs: int) -> nn.Module:
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(prod(shape), 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, outputs)
    )
    for parameter in network[:4].parameters():
        parameter.requires_grad_(False)
    return network


def attention_over_the_batch(shape: Shape, outputs: int) -> nn.Module:
    return networks.ViT(shape, outputs, batch_first=False)


class SequenceOfBatch(nn.Module):
    """A recurrent network that takes the samples for the steps of one sequence."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.recurrent, self.head = nn.LSTM(prod(shape), 32), nn.Linear(32, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.recurrent(x.flatten(1)[:, None])[0][:, 0])


class NormedOverBatch(nn.Module):
    """Scaled by mean and deviation of the batch, in evaluation as well."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.first, self.rest = nn.Linear(prod(shape), 32), mlp([32], outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.flatten(1))
        return self.rest((x - x.mean(0)) / (x.std(0) + 1e-5))


def linear_stack(shape: Shape, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(prod(shape), 64), nn.Linear(64, 64), nn.Dropout(0.1), nn.Linear(64, outputs)
    )


class LinearConvolutions(nn.Module):
    """Somebody forgot the activations between the convolutions."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(shape[0], 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(x)).mean((2, 3)))


class PlainList(nn.Module):
    """Layers in a list that torch does not know of."""

    def __init__(self, shape: Shape, outputs: int, depth: int = 3) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(prod(shape), 8), nn.Linear(8, outputs)
        self.layers = [nn.Linear(8, 8) for _ in range(depth)]

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.stem(x.flatten(1)))
        for layer in self.layers:
            x = relu(layer(x))
        return self.head(x)


class AlwaysDropping(nn.Module):
    """Functional dropout without ``training=self.training``."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.first, self.rest = nn.Linear(prod(shape), 48), mlp([48], outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(dropout(relu(self.first(x.flatten(1))), 0.5))


def lagging(shape: Shape, outputs: int) -> nn.Module:
    """Running statistics that take ten thousand steps to follow."""
    network = resnet(shape, outputs)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1e-4
    return network


def one_unit(shape: Shape, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(prod(shape), 64), nn.ReLU(), nn.Linear(64, 1), nn.ReLU(), nn.Linear(1, 64), nn.ReLU(),
        nn.Linear(64, outputs),
    )  # fmt: skip


def deep_sigmoid(shape: Shape, outputs: int) -> nn.Module:
    layers = [part for _ in range(6) for part in (nn.Linear(24, 24), nn.Sigmoid())]
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), 24), nn.Sigmoid(), *layers, nn.Linear(24, outputs))


def never_firing(shape: Shape, outputs: int) -> nn.Module:
    network = networks.TextCNN(shape, outputs)
    for part in (network.wide, network.wider):
        nn.init.constant_(part.bias, -6.0)
    return network


def huge_start(shape: Shape, outputs: int) -> nn.Module:
    network = networks.tcn(shape, outputs)
    for part in network.parameters():
        if part.ndim > 1:
            nn.init.normal_(part, std=1.5)
    return network


def saturated(shape: Shape, outputs: int) -> nn.Module:
    network = networks.tanh(shape, outputs)
    nn.init.normal_(network[1].weight, std=6.0)
    nn.init.normal_(network[3].weight, std=6.0)
    return network


def all_equal(shape: Shape, outputs: int) -> nn.Module:
    network = networks.mlp(shape, outputs)
    for part in network.parameters():
        nn.init.constant_(part, 0.05)
    return network


class ReadFromTheStart(nn.Module):
    """A plain recurrent network whose signal has to pass a hundred steps."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.rest = Recurrent([0, shape[1]], outputs, nn.RNN)

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(torch.cat([x.flip(1), 0 * x, 0 * x], 1))


class Plain(lightning.LightningModule):
    """A healthy module of one's own; the classes below make one mistake each."""

    def __init__(self, data: lightning.LightningDataModule, lr: float = 3e-3) -> None:
        super().__init__()
        self.net, self.lr = mlp(data.in_shape, data.num_classes), lr

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def loss(self, batch: Any) -> Tensor:
        return cross_entropy(self(batch[0]), batch[1])

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_index: int) -> None:
        correct = (self(batch[0]).argmax(1) == batch[1]).float().mean()
        self.log_dict({"val/accuracy": correct, "val/loss": self.loss(batch)})

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class ByHand(Plain):
    """Steps by hand, rightly."""

    rate = 3e-3

    def __init__(self, data: lightning.LightningDataModule) -> None:
        super().__init__(data)
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        loss = self.loss(batch)
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        return loss


class NeverSteps(ByHand):
    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        loss = self.loss(batch)
        self.optimizers().zero_grad()
        self.manual_backward(loss)
        return loss


class NeverClears(ByHand):
    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        loss = self.loss(batch)
        self.manual_backward(loss)
        self.optimizers().step()
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class OptimizerOfACopy(Plain):
    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(copy.deepcopy(self.net).parameters(), lr=self.lr)


class HeadAlone(Plain):
    """The optimizer is given the last layer only."""

    def __init__(self, data: lightning.LightningDataModule) -> None:
        super().__init__(data)
        self.net = nn.Sequential(mlp(data.in_shape, 3, 8), nn.Linear(3, data.num_classes))

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.net[1].parameters(), lr=self.lr)


class LikelihoodOfLogits(Plain):
    def loss(self, batch: Any) -> Tensor:
        return nll_loss(self(batch[0]), batch[1])


class EpochsTakenForSteps(Plain):
    """A schedule over 20 epochs that moves with every batch."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 5, 0.3)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
