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


tanh_logits = partial(ending_in, networks.Gated, nn.Tanh)
sigmoid_labels = partial(ending_in, mlp, nn.Sigmoid)
relu_regression = partial(ending_in, networks.WideAndDeep, nn.ReLU)
softmax_words = partial(ending_in, networks.TextCNN, lambda: Of(lambda x: nn.functional.softmax(x, 1)))
by_argmax = partial(Cut, cut=lambda x: nn.functional.one_hot(x.argmax(1), x.shape[1]).float())
by_data = partial(Cut, cut=lambda x: x.data)


class WithoutGradient(nn.Module):
    """A convolutional trunk under ``no_grad``, as if it had been trained before."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(shape[0], 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 2), nn.ReLU())
        self.head = nn.LazyLinear(outputs)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.trunk(x)
        return self.head(x.flatten(1))


class MeanOfBatch(nn.Module):
    """A pooling along the wrong axis."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.each, self.head = nn.Linear(shape[1], 32), nn.Linear(32, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.each(x))
        return self.head(x.mean(1) + x.mean((0, 1)))


class ViewedWrongly(nn.Module):
    """(B, T, F) is viewed as (T, B, F), which mixes samples and steps."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.recurrent, self.head = nn.GRU(shape[1], 24), nn.Linear(24, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.recurrent(x.reshape(x.shape[1], x.shape[0], x.shape[2]))[0][-1])


class AttentionOfBatch(nn.Module):
    """A softmax along the samples."""

    def __init__(self, shape: Shape, outputs: int, words: int = 80) -> None:
        super().__init__()
        self.words, self.score, self.head = nn.Embedding(words, 16), nn.Linear(16, 1), nn.Linear(16, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.words(x)
        return self.head((self.score(x).softmax(0) * x).sum(1))


def linear_with_norms(shape: Shape, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(prod(shape), 48), nn.BatchNorm1d(48), nn.Linear(48, 48), nn.BatchNorm1d(48),
        nn.Identity(), nn.Linear(48, outputs),
    )  # fmt: skip


class DictOfLayers(nn.Module):
    """Experts in a plain dict."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.parts = {"first": nn.Linear(prod(shape), 6), "second": nn.Linear(6, 6)}
        self.head = nn.Linear(6, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(relu(self.parts["second"](relu(self.parts["first"](x.flatten(1))))))


def two_units(shape: Shape, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(prod(shape), 48), nn.Tanh(), nn.Linear(48, 2), nn.Linear(2, 48), nn.Tanh(),
        nn.Linear(48, outputs),
    )  # fmt: skip


class NoisyInEvaluation(nn.Module):
    """Noise on the features whatever the mode."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(shape[0], 48), nn.Linear(48, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.first(x))
        return self.head(x * (1 + torch.randn_like(x)))


def much_dropped(shape: Shape, outputs: int) -> nn.Module:
    network = networks.dropped_mlp(shape, outputs)
    for part in network.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.97
    return network


def growing_recurrence(shape: Shape, outputs: int) -> nn.Module:
    network = Recurrent(shape, outputs, nn.RNN)
    network.recurrent.nonlinearity = "relu"
    recurrent = nn.RNN(shape[1], 32, nonlinearity="relu", batch_first=True)
    nn.init.normal_(recurrent.weight_hh_l0, std=0.6)
    network.recurrent = recurrent
    return network


def deep_sigmoid_cnn(shape: Shape, outputs: int) -> nn.Module:
    layers = [part for n in range(7) for part in (nn.Conv2d(8 if n else shape[0], 8, 3, padding=1), nn.Sigmoid())]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, outputs))


def zeros(shape: Shape, outputs: int) -> nn.Module:
    network = networks.UNet(shape, outputs)
    for part in network.parameters():
        nn.init.zeros_(part)
    return network


def sure(shape: Shape, outputs: int) -> nn.Module:
    network = networks.Classified(shape, outputs)
    nn.init.normal_(network.head.weight, std=60.0)
    return network


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


class LogForgotten(Plain):
    """Probabilities where log-probabilities belong."""

    def loss(self, batch: Any) -> Tensor:
        return nll_loss(self(batch[0]).softmax(dim=1), batch[1])


class TwoOptimizers(ByHand):
    """One for the trunk and one for the head, rightly."""

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        loss = self.loss(batch)
        for optimizer in self.optimizers():
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in self.optimizers():
            optimizer.step()
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.net[:3].parameters(), lr=3e-3), torch.optim.Adam(
            self.net[3:].parameters(), lr=1e-3
        )


class WarmRestarts(Plain):
    """The rate falls to zero and starts again, over and over."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=5e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 40)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class DecayedEachBatch(Plain):
    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        return [optimizer], [{"scheduler": torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8), "interval": "step"}]


class OwnRegression(lightning.LightningModule):
    """Squares of one standardized number; the subclasses get it wrong."""

    shift, scale = 14.0, 5.0

    def __init__(self, data: lightning.LightningDataModule) -> None:
        super().__init__()
        self.net = mlp(data.in_shape, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def loss(self, batch: Any) -> Tensor:
        y = (batch[1].reshape(-1) - self.shift) / self.scale
        return nn.functional.mse_loss(self(batch[0]).squeeze(1), y)

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_index: int) -> None:
        error = (self(batch[0]).reshape(-1) * self.scale + self.shift - batch[1].reshape(-1)).square().mean()
        self.log_dict({"val/loss": self.loss(batch), "val/r2": 1 - error / 25.0})

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=3e-3)


class Broadcast(OwnRegression):
    def loss(self, batch: Any) -> Tensor:
        y = (batch[1].reshape(-1) - self.shift) / self.scale
        return nn.functional.mse_loss(self(batch[0]), y)


class InItsUnits(OwnRegression):
    """The target in a thousandth of its unit."""

    shift, scale = 0.0, 1e-3


class ClassesAsNumbers(Plain):
    """Squares of class numbers."""

    def __init__(self, data: lightning.LightningDataModule) -> None:
        super().__init__(data)
        self.net = mlp(data.in_shape, 1)

    def loss(self, batch: Any) -> Tensor:
        return nn.functional.mse_loss(self.net(batch[0]).squeeze(1), batch[1].float())

    def validation_step(self, batch: Any, batch_index: int) -> None:
        correct = (self.net(batch[0]).squeeze(1).round() == batch[1]).float().mean()
        self.log_dict({"val/accuracy": correct, "val/loss": self.loss(batch)})


class ProbabilitiesOfAnEnsemble(networks.Ensemble):
    """The mean probabilities of the networks, before a loss that takes logits."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([member(x).softmax(1) for member in self.members]).mean(0)


class WordsByData(networks.TextCNN):
    """The vectors of the words are read past the graph."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__(shape, outputs)
        self.words = nn.Embedding(40, 2)
        self.wide, self.wider = nn.Conv1d(2, 24, 2), nn.Conv1d(2, 24, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.words.weight.data[x.long()].transpose(1, 2)
        return self.head(torch.cat([relu(conv(x)).amax(2) for conv in (self.wide, self.wider)], 1))


class RowsAsTokens(nn.Module):
    """Attention reads (B, F) as one sequence of B tokens."""

    def __init__(self, shape: Shape, outputs: int, width: int = 32) -> None:
        super().__init__()
        self.stem, self.attention = nn.Linear(prod(shape), width), nn.MultiheadAttention(width, 2)
        self.rest = mlp([width], outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.flatten(1))
        return self.rest(self.attention(x, x, x)[0])


class StraightCurves(networks.Additive):
    """A network for each feature, without activations."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__(shape, outputs)
        self.curves = nn.Sequential(*(part for part in self.curves if isinstance(part, nn.Conv1d)))


one_channel = partial(resnet, channels=1)


class Block:
    """Two layers, by somebody who forgot to derive from ``nn.Module``."""

    def __init__(self, width: int) -> None:
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)

    def __call__(self, x: Tensor) -> Tensor:
        return relu(self.second(relu(self.first(x))))


class PlainBlocks(nn.Module):
    def __init__(self, shape: Shape, outputs: int, width: int = 6) -> None:
        super().__init__()
        self.first, self.second = Block(prod(shape)), Block(width)
        self.between, self.head = nn.Linear(prod(shape), width), nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(relu(self.between(self.first(x.flatten(1))))))


def small_weights(shape: Shape, outputs: int) -> nn.Module:
    """Every weight is drawn with a deviation of 0.01."""
    network = networks.deep(shape, outputs)
    for part in network:
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=0.01)
            nn.init.zeros_(part.bias)
    return network


class MissingHats(networks.Radial):
    """Units that fire only near their centres, where no samples are."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(relu(1 - (x[:, None] - 4 * self.centres).square().sum(2)))


class Sharp(nn.Module):
    """A temperature, meant for the softmax, before each activation."""

    def __init__(self, shape: Shape, outputs: int, temperature: float = 0.02) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(prod(shape), 48), nn.Linear(48, 48), nn.Linear(48, outputs)
        self.temperature = temperature

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x.flatten(1)) / self.temperature)
        return self.head(torch.tanh(self.second(x) / self.temperature))


keras_momentum = partial(networks.normed_mlp, momentum=0.99)


class StaysInTraining(nn.Module):
    """``eval()`` does nothing, as samples of the dropout are wanted later."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.net = networks.dropped_mlp(shape, outputs)

    def train(self, mode: bool = True) -> "StaysInTraining":
        return super().train(True)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def hot_cosines(shape: Shape, outputs: int) -> nn.Module:
    """Cosines that are scaled twice."""
    return nn.Sequential(networks.Cosines(shape, outputs), Of(lambda x: 100 * x))


class SmoothedByHand(Plain):
    """Label smoothing by hand, and features that are pushed towards zero."""

    def loss(self, batch: Any) -> Tensor:
        features = self.net[:-1](batch[0])
        logs = self.net[-1](features).log_softmax(1)
        smooth = -0.9 * logs.gather(1, batch[1][:, None]).mean() - 0.1 * logs.mean()
        return smooth + 1e-3 * features.abs().mean()


class Mixup(Plain):
    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        x, y = batch
        share, other = float(torch.distributions.Beta(0.4, 0.4).sample()), torch.randperm(len(x), device=x.device)
        logits = self(share * x + (1 - share) * x[other])
        return share * cross_entropy(logits, y) + (1 - share) * cross_entropy(logits, y[other])


class Averaged(Plain):
    """An exponential average of the weights validates."""

    def __init__(self, data: lightning.LightningDataModule) -> None:
        super().__init__(data)
        average = torch.optim.swa_utils.get_ema_multi_avg_fn(0.98)
        self.average = torch.optim.swa_utils.AveragedModel(self.net, multi_avg_fn=average).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) if self.training else self.average(x)

    def on_train_batch_end(self, *_: Any) -> None:
        self.average.update_parameters(self.net)

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.net.parameters(), lr=self.lr)


class WarmUp(Plain):
    """The rate rises, then falls with the root of the steps."""

    def __init__(self, data: lightning.LightningDataModule) -> None:
        super().__init__(data)
        self.net = networks.SwiGlu(data.in_shape, data.num_classes)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=5e-3, betas=(0.9, 0.98), weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / 60, (60 / (step + 1)) ** 0.5)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Contrastive(Plain):
    """Pairs of a class are drawn together by a head of their own, beside the classifier."""

    def __init__(self, data: lightning.LightningDataModule) -> None:
        super().__init__(data)
        self.trunk = nn.Sequential(mlp(data.in_shape, 32), nn.ReLU())
        self.project, self.net = nn.Linear(32, 16), nn.Linear(32, data.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.trunk(x))

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        features = self.trunk(batch[0])
        z = nn.functional.normalize(self.project(features), dim=1)
        itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
        logs = (z @ z.T / 0.2).masked_fill(itself, -1e9).log_softmax(1)
        same = (batch[1][:, None] == batch[1]) & ~itself
        contrast = -((same * logs).sum(1) / same.sum(1).clamp(min=1)).mean()
        return cross_entropy(self.net(features), batch[1]) + 0.3 * contrast


class RareWords(Plain):
    """Words by Adagrad, which takes longer steps for rare ones."""

    def __init__(self, data: lightning.LightningDataModule) -> None:
        super().__init__(data)
        self.net = networks.MaskedMean(data.in_shape, data.num_classes)

    def configure_optimizers(self) -> Any:
        return torch.optim.Adagrad(self.parameters(), lr=0.05)


class RootMeanSquares(Plain):
    """RMSprop with a step of the schedule each epoch."""

    def __init__(self, data: lightning.LightningDataModule) -> None:
        super().__init__(data)
        self.net = networks.PackedLSTM(data.in_shape, data.num_classes)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.RMSprop(self.parameters(), lr=3e-3, alpha=0.95, momentum=0.5)
        return [optimizer], [torch.optim.lr_scheduler.MultiStepLR(optimizer, [8, 12], 0.3)]


class Counts(lightning.LightningModule):
    """The logarithm of a Poisson rate."""

    def __init__(self, data: lightning.LightningDataModule) -> None:
        super().__init__()
        self.net = mlp(data.in_shape, 1, activation=nn.Softplus)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def loss(self, batch: Any) -> Tensor:
        return nn.functional.poisson_nll_loss(self(batch[0]), batch[1].reshape(-1, 1))

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_index: int) -> None:
        y = batch[1].reshape(-1, 1)
        self.log_dict({"val/loss": self.loss(batch), "val/mae": (self(batch[0]).exp() - y).abs().mean()})

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=5e-3)


class CountsInARow(Counts):
    """Rates (B, 1) against counts (B,)."""

    def loss(self, batch: Any) -> Tensor:
        return nn.functional.poisson_nll_loss(self(batch[0]), batch[1].reshape(-1))


class Quantiles(OwnRegression):
    """The 10th, 50th and 90th of a hundred, by the pinball loss."""

    def __init__(self, data: lightning.LightningDataModule) -> None:
        super().__init__(data)
        self.net = mlp(data.in_shape, 3)
        self.register_buffer("shares", torch.tensor([0.1, 0.5, 0.9]))

    def loss(self, batch: Any) -> Tensor:
        off = (batch[1].reshape(-1, 1) - self.shift) / self.scale - self(batch[0])
        return torch.maximum(self.shares * off, (self.shares - 1) * off).mean()

    def validation_step(self, batch: Any, batch_index: int) -> None:
        error = (self(batch[0])[:, 1] * self.scale + self.shift - batch[1].reshape(-1)).square().mean()
        self.log_dict({"val/loss": self.loss(batch), "val/r2": 1 - error / 25.0})


class OneAgainstAll(Plain):
    """A yes or no for each class."""

    def loss(self, batch: Any) -> Tensor:
        wanted = nn.functional.one_hot(batch[1], self.net[-1].out_features).float()
        return nn.functional.binary_cross_entropy_with_logits(self(batch[0]), wanted)


class SigmoidTwice(OneAgainstAll):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).sigmoid()


class Transferred(Plain):
    """The first layer of another network is kept, and those behind it are made anew."""

    def __init__(self, data: lightning.LightningDataModule) -> None:
        super().__init__(data)
        self.renew()

    def renew(self) -> None:
        width, outputs = self.net[1].out_features, self.net[-1].out_features
        self.net = nn.Sequential(
            self.net[0], self.net[1], nn.ReLU(), nn.Linear(width, 12), nn.ReLU(), nn.Linear(12, outputs)
        )

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)


class RenewedTooLate(Transferred):
    """They are made when the optimizer already has the old ones."""

    def on_train_start(self) -> None:
        self.renew()


class Polynomial(Plain):
    """A rate that falls to zero over the epochs."""

    interval = "epoch"

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, 15, 0.9)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": self.interval}}


class PolynomialOfBatches(Polynomial):
    interval = "step"


class Descent(Plain):
    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)


class KeptGradients(Descent):
    """A hook that was to clear gradients more cheaply clears none."""

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
        pass


class DecayedSteps(Plain):
    decay = 0.01

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), lr=self.lr, weight_decay=self.decay)


class DecayedHard(DecayedSteps):
    decay = 30.0
