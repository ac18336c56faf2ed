"""What is seen of networks, modules and splits: a sick training of each kind, and its healthy twin."""

import copy
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest
import torch
from doctor_examples import DictBatches, InMemory
from lightning import LightningDataModule, LightningModule
from test_examine import CLASSES, FEATURES, SICK, decayed, found, problem, scaled, stack, with_x
from torch import Tensor, nn
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    dropout,
    mse_loss,
    nll_loss,
    poisson_nll_loss,
    softplus,
)
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import StepLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from trainwell.data.batches import Samples
from trainwell.doctor.examine import examine
from trainwell.doctor.history import History
from trainwell.doctor.inspection import Inspection
from trainwell.doctor.rules.forward_pass import lagging_statistics, linear_network
from trainwell.doctor.trial import trial
from trainwell.findings import WHY, Finding, healthy

from benchmarks.doctor.stacks import PlainTraining

WIDTH = 24


class Through(nn.Module):
    """A trunk, something done to its outputs, and a head."""

    def __init__(self, between: Callable[[Tensor], Tensor] = lambda x: x, width: int = WIDTH) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(FEATURES, WIDTH), nn.ReLU(), nn.Linear(WIDTH, width), nn.ReLU())
        self.between, self.head = between, nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.between(self.trunk(x)))


def frozen_trunk(width: int) -> nn.Module:
    network = Through(width=width)
    for parameter in network.trunk.parameters():
        parameter.requires_grad_(False)
    return network


class Listed(nn.Module):
    """Layers in a list, of torch or of Python."""

    def __init__(self, of: type) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = of([nn.Linear(FEATURES, 8), nn.Linear(8, 8)])
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x).relu()
        return self.head(x)


class Dropping(nn.Module):
    """Dropout as a function, in evaluation too or not."""

    def __init__(self, always: bool) -> None:
        super().__init__()
        self.network, self.always = Through(self.drop), always

    def drop(self, x: Tensor) -> Tensor:
        return dropout(x, 0.3, training=self.always or self.training)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)


def normalised(momentum: float) -> nn.Module:
    network = Through(nn.BatchNorm1d(WIDTH, momentum=momentum))
    nn.init.constant_(network.trunk[0].bias, 4.0)
    return network


def linear_stack(*activations: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, 48), *activations, nn.Linear(48, 48), *activations, nn.Linear(48, CLASSES))


def of_rings(count: int) -> Samples:
    """How far from the centre a sample lies, in two of its features: no linear map separates the classes."""
    x = torch.randn(count, FEATURES, generator=torch.Generator().manual_seed(count))
    distance = x[:, :2].norm(dim=1)
    return Samples(x, torch.bucketize(distance, torch.tensor([0.76, 1.18, 1.67])))


RINGS = InMemory(of_rings(1500), of_rings(400), CLASSES)


class Own(LightningModule):
    """Trains rightly; subclasses do not."""

    automatic = True

    def __init__(self) -> None:
        super().__init__()
        self.network = Through()
        self.automatic_optimization = self.automatic

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def loss(self, batch: Any) -> Tensor:
        return cross_entropy(self(batch[0]), batch[1])

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        return self.loss(batch)

    def configure_optimizers(self) -> Any:
        return Adam(self.parameters(), lr=0.003)


class ByHand(Own):
    automatic = False
    clears = steps = True

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        loss = self.loss(batch)
        if self.clears:
            self.optimizers().zero_grad()
        self.manual_backward(loss)
        if self.steps:
            self.optimizers().step()
        return loss

    def configure_optimizers(self) -> Any:
        return SGD(self.parameters(), lr=0.05)


class NeverSteps(ByHand):
    steps = False


class NeverClears(ByHand):
    clears = False


class OfACopy(Own):
    def configure_optimizers(self) -> Any:
        return Adam(copy.deepcopy(self.network).parameters(), lr=0.003)


class Penalized(Own):
    """So much weight decay that little is learned, by a penalty that no optimizer knows of."""

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        return self.loss(batch) + sum(p.square().sum() for p in self.parameters())


class OfLogits(Own):
    def loss(self, batch: Any) -> Tensor:
        return nll_loss(self(batch[0]), batch[1])


class OfLikelihoods(Own):
    def loss(self, batch: Any) -> Tensor:
        return nll_loss(self(batch[0]).log_softmax(dim=1), batch[1])


class Scheduled(Own):
    interval = "epoch"

    def configure_optimizers(self) -> Any:
        optimizer = Adam(self.parameters(), lr=0.003)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": StepLR(optimizer, 5, 0.3), "interval": self.interval},
        }


class ScheduledByBatches(Scheduled):
    interval = "step"


class Numbers(Own):
    """Squares of numbers, which are behind an activation or not."""

    def __init__(self, last: nn.Module) -> None:
        super().__init__()
        self.last = last

    def loss(self, batch: Any) -> Tensor:
        return mse_loss(self.last(self(batch[0]))[:, 0], batch[1])


class Broadcasting(Numbers):
    """Compares each output with every target of the batch."""

    def loss(self, batch: Any) -> Tensor:
        return mse_loss(self(batch[0])[:, :1], batch[1])


class BroadcastingByHand(Numbers):
    def loss(self, batch: Any) -> Tensor:
        return (self(batch[0])[:, :1] - batch[1]).square().mean()


class SquaredByHand(Numbers):
    def loss(self, batch: Any) -> Tensor:
        return (self(batch[0])[:, 0] - batch[1]).square().mean()


class Rates(Numbers):
    """Counts, whose rates have another shape or the same."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(nn.Identity())
        self.shape = shape

    def loss(self, batch: Any) -> Tensor:
        return poisson_nll_loss(self(batch[0])[:, :1].reshape(self.shape), batch[1].exp().floor())


class ReplacedAfterOptimizer(Own):
    """Layers are replaced when the optimizer already has the old ones."""

    def on_train_start(self) -> None:
        self.network.head = nn.Linear(WIDTH, CLASSES)
        self.network.trunk[2] = nn.Linear(WIDTH, WIDTH)


class TwoNumbers(Numbers):
    """The sum of two losses, of which one is in other units."""

    def __init__(self, unit: float) -> None:
        super().__init__(nn.Identity())
        self.unit, self.head = unit, nn.Linear(FEATURES, 1)

    def loss(self, batch: Any) -> Tensor:
        x, y = batch
        return mse_loss(self.head(x)[:, 0], self.unit * y) + mse_loss(self(x)[:, 0], y)


class Taught(Own):
    """Learns from a larger network too, which stays as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.teacher = nn.Sequential(nn.Linear(FEATURES, 200), nn.ReLU(), nn.Linear(200, CLASSES)).requires_grad_(False)

    def loss(self, batch: Any) -> Tensor:
        return super().loss(batch) + 0.01 * mse_loss(self(batch[0]), self.teacher(batch[0]))


class Embedded(Own):
    """Returns an embedding, in which samples of a class lie closer together."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(FEATURES, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 8))

    def loss(self, batch: Any) -> Tensor:
        x, y = self(batch[0]), batch[1]
        distances, same = torch.cdist(x, x + 1e-6), y[:, None] == y
        furthest, nearest = (distances - 99 * ~same).amax(dim=1), (distances + 99 * same).amin(dim=1)
        return (furthest - nearest + 1).relu().mean()


class RateAsFactor(Own):
    """A schedule that returns the learning rate, by which torch multiplies the learning rate."""

    def configure_optimizers(self) -> Any:
        optimizer = Adam(self.parameters(), lr=1e-3)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1e-3)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class Recurrent(nn.Module):
    """Reads sequences, and classifies them by the last state or by the mean over all."""

    def __init__(self, by_last: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.reader, self.head, self.by_last = nn.RNN(2, WIDTH, batch_first=True), nn.Linear(WIDTH, CLASSES), by_last

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.reader(x)
        return self.head(states[:, -1] if self.by_last else states.mean(dim=1))


def of_sequences(count: int) -> Samples:
    """The class is in the first two of forty steps."""
    generator = torch.Generator().manual_seed(count)
    x, y = torch.randn(count, 40, 2, generator=generator), torch.randint(CLASSES, (count,), generator=generator)
    corners = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    x[:, :2] = 0.3 * x[:, :2] + 1.5 * corners[y, None]
    return Samples(x, y)


SEQUENCES = InMemory(of_sequences(1500), of_sequences(400), CLASSES)


class NoModule:
    def __init__(self) -> None:
        self.layer = nn.Linear(FEATURES, 8)


class WithoutModule(nn.Module):
    """A layer is held by a plain object."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.block, self.head = NoModule(), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block.layer(x).relu())


class Lookup(nn.Module):
    """The weights of a layer are read with the graph or, by ``.data``, without it."""

    def __init__(self, detached: bool) -> None:
        super().__init__()
        self.network, self.detached = Through(), detached
        self.first = nn.Linear(FEATURES, FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.first.weight.data if self.detached else self.first.weight
        return self.network(x @ weight)


class Unused(nn.Module):
    """A layer is called, and nothing is done with what it returns."""

    def __init__(self) -> None:
        super().__init__()
        self.network, self.unused = Through(), nn.Linear(FEATURES, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        self.unused(x)
        return self.network(x)


class StochasticDepth(nn.Module):
    """Most layers are skipped at random in training."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Through()
        self.layers = nn.ModuleList(nn.Linear(FEATURES, FEATURES) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            if not self.training or torch.rand(()) < 0.1:
                x = x + 0.1 * layer(x).relu()
        return self.network(x)


class Ensemble(nn.Module):
    def __init__(self, logits: bool) -> None:
        super().__init__()
        self.members, self.logits = nn.ModuleList([Through(), Through()]), logits

    def forward(self, x: Tensor) -> Tensor:
        mean = torch.stack([member(x).softmax(dim=1) for member in self.members]).mean(dim=0)
        return mean.log() if self.logits else mean


class Scaled(nn.Module):
    """What a network returns times a number, over unit length."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x / x.norm(dim=1, keepdim=True)


class Sharp(nn.Module):
    """Tanh units behind a temperature."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(FEATURES, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.head, self.temperature = nn.Linear(WIDTH, CLASSES), temperature

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x) / self.temperature)
        return self.head(torch.tanh(self.second(x) / self.temperature))


def numbers(outlier: float, unit: float = 1.0) -> InMemory:
    def samples(count: int) -> Samples:
        x = torch.randn(count, FEATURES, generator=torch.Generator().manual_seed(count))
        y = x[:, 0] + 0.3 * x[:, 1]
        y[:3] *= outlier
        return Samples(x, unit * y)

    return InMemory(samples(600), samples(200), 0)


def without_class(part: Samples, label: int) -> Samples:
    return part.at((part.y != label).nonzero()[:, 0])


def labelled(change: Callable[[Tensor], Tensor], classes: int) -> InMemory:
    data = problem()
    return InMemory(*(Samples(part.x, change(part.y)) for part in (data.train, data.val)), classes)


def leaking(noise: float) -> InMemory:
    data, generator = problem(), torch.Generator().manual_seed(0)
    parts = (data.train, data.val)
    answers = [part.y[:, None] + noise * torch.randn(len(part.y), 1, generator=generator) for part in parts]
    both = [
        Samples(torch.cat([part.x, answer], dim=1)[:, 1:], part.y) for part, answer in zip(parts, answers, strict=True)
    ]
    return InMemory(*both, CLASSES)


def nearly_copied() -> InMemory:
    data = problem()
    noise = 0.01 * torch.randn(60, FEATURES, generator=torch.Generator().manual_seed(0))
    val = Samples(torch.cat([data.train.x[:60] + noise, data.val.x]), torch.cat([data.train.y[:60], data.val.y]))
    return InMemory(data.train, val, CLASSES)


def only_train_scaled() -> InMemory:
    data = problem()
    return InMemory(Samples(data.train.x / 6 - 1, data.train.y), data.val, CLASSES)


def answered(kinds: int) -> InMemory:
    """Questions with so many answers each."""
    x = torch.randint(kinds, (900, 4), generator=torch.Generator().manual_seed(0)).float()
    y = (x.sum(dim=1) > 2 * (kinds - 1)).long()
    return InMemory(Samples(x[:700], y[:700]), Samples(x[700:], y[700:]), 2)


def copied_often() -> InMemory:
    """One class in twenty is copied nine times, nearly, before a split at random."""
    data, generator = problem(), torch.Generator().manual_seed(0)
    copies = [data.train.x[:30] + 0.02 * torch.randn(30, FEATURES, generator=generator) for _ in range(9)]
    x = torch.cat([data.train.x[:200], *copies])
    order, y = torch.randperm(len(x), generator=generator), torch.cat([data.train.y[:200], data.train.y[:30].repeat(9)])
    both = Samples(x, y).at(order)
    return InMemory(both.at(torch.arange(370)), both.at(torch.arange(370, 470)), CLASSES)


def frozen_in_time() -> InMemory:
    """Every train sample has the inputs of the first; the validation samples have others."""
    data = problem()
    return InMemory(Samples(data.train.x[:1].expand_as(data.train.x), data.train.y), data.val, CLASSES)


PAIRS = torch.cartesian_prod(torch.arange(30), torch.arange(30))


def liked(part: slice) -> Samples:
    """Whether people like things, by what both are like."""
    generator = torch.Generator().manual_seed(0)
    people, things = (torch.randn(30, 3, generator=generator) for _ in range(2))
    pairs = PAIRS[torch.randperm(900, generator=generator)][part]
    return Samples(pairs, ((people[pairs[:, 0]] * things[pairs[:, 1]]).sum(dim=1) > 0).long())


LIKED = InMemory(liked(slice(700)), liked(slice(700, 900)), 2)


class Factors(Own):
    """One logit, of two embeddings."""

    def __init__(self, deviation: float, all_given: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network, self.all_given = nn.ModuleList([nn.Embedding(30, 32), nn.Embedding(30, 32)]), all_given
        for embedding in self.network:
            nn.init.normal_(embedding.weight, std=deviation)

    def forward(self, x: Tensor) -> Tensor:
        person, thing = self.network
        return (person(x[:, 0]) * thing(x[:, 1])).sum(dim=1)

    def loss(self, batch: Any) -> Tensor:
        return binary_cross_entropy_with_logits(self(batch[0]), batch[1].float())

    def configure_optimizers(self) -> Any:
        return Adam((self if self.all_given else self.network[0]).parameters(), lr=0.02)


class WrongPrior(Numbers):
    """The bias of rare labels has the wrong sign."""

    def __init__(self) -> None:
        super().__init__(nn.Identity())
        nn.init.constant_(self.network.head.bias, 6.0)

    def loss(self, batch: Any) -> Tensor:
        return binary_cross_entropy_with_logits(self(batch[0])[:, 0], (batch[1] > 1.5).float())


class LaggingNumbers(Numbers):
    def __init__(self) -> None:
        super().__init__(nn.Identity())
        self.network = normalised(1e-4)


class Steps(LightningModule):
    """Has no ``forward``: its steps call the network."""

    def __init__(self, rate: float = 0.003) -> None:
        super().__init__()
        self.net, self.rate = stack(), rate

    def loss(self, batch: Any) -> Tensor:
        return cross_entropy(self.net(batch[0]), batch[1])

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_index: int) -> None:
        self.log("val/loss", self.loss(batch))

    def configure_optimizers(self) -> Any:
        return Adam(self.net.parameters(), lr=self.rate)


class Averaged(Steps):
    """Trains on mixed samples, and validates an average of the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.average = AveragedModel(self.net, multi_avg_fn=get_ema_multi_avg_fn(0.9))
        self.average.requires_grad_(False)

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        share, other = torch.rand(()), torch.randperm(len(batch[0]))
        logits = self.net(share * batch[0] + (1 - share) * batch[0][other])
        return share * cross_entropy(logits, batch[1]) + (1 - share) * cross_entropy(logits, batch[1][other])

    def on_train_batch_end(self, *arguments: Any) -> None:
        self.average.update_parameters(self.net)

    def validation_step(self, batch: Any, batch_index: int) -> None:
        self.log("val/loss", cross_entropy(self.average(batch[0]), batch[1]))


class Reconstructed(Steps):
    """Labels are in the batch, and nothing reads them; a network with more outputs than there are classes."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, FEATURES))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def loss(self, batch: Any) -> Tensor:
        return mse_loss(self(batch[0]), batch[0])


class Contrasted(Reconstructed):
    """A contrastive loss: the positive of a sample is its noisy copy, the negatives are the rest of the batch."""

    def loss(self, batch: Any) -> Tensor:
        noise = 0.1 * torch.randn_like(batch[0])
        return cross_entropy(self(batch[0]) @ self(batch[0] + noise).T, torch.arange(len(batch[0])))


class Tagged(Steps):
    """Several labels of each sample at once, as those of a single one."""

    def loss(self, batch: Any) -> Tensor:
        return cross_entropy(self.net(batch[0]), (batch[0][:, :CLASSES] > 0).float())


class Masks(Steps):
    """Targets as images store them, 0 and 255."""

    def loss(self, batch: Any) -> Tensor:
        return binary_cross_entropy_with_logits(self.net(batch[0])[:, 0], 255.0 * (batch[1] > 1))


class MadeInForward(Steps):
    def loss(self, batch: Any) -> Tensor:
        return cross_entropy(nn.Linear(CLASSES, CLASSES)(self.net(batch[0])), batch[1])


class DroppingSteps(Steps):
    """Drops units of something that it has made of its input."""

    def __init__(self, always: bool) -> None:
        super().__init__()
        self.always = always

    def loss(self, batch: Any) -> Tensor:
        return cross_entropy(dropout(self.net(batch[0] * 1.0), 0.3, self.always or self.training), batch[1])


class HeadOfDicts(Steps):
    """The optimizer has the head alone; batches are dicts."""

    def __init__(self, all_given: bool, rate: float = 0.003) -> None:
        super().__init__(rate)
        self.net, self.head, self.all_given = nn.Linear(4, 8), nn.Linear(8, 1), all_given

    def loss(self, batch: Any) -> Tensor:
        return mse_loss(self.head(self.net(batch["signal"]).relu())[:, 0], batch["target"])

    def configure_optimizers(self) -> Any:
        return Adam((self if self.all_given else self.head).parameters(), lr=self.rate)


class EqualFactors(Factors):
    def __init__(self) -> None:
        super().__init__(0.1)
        for embedding in self.network:
            nn.init.constant_(embedding.weight, 0.2)


class PositiveRates(Rates):
    """Rates as numbers above 0, of which the loss takes the exponential."""

    def forward(self, x: Tensor) -> Tensor:
        return softplus(super().forward(x))


def exchanged(part: Samples) -> Samples:
    order = torch.randperm(len(part.y), generator=torch.Generator().manual_seed(0))
    return Samples(part.x, part.y[order])


def copied_with_noise() -> InMemory:
    """Six copies of each sample, with noise, before a split at random."""
    data, generator = problem(), torch.Generator().manual_seed(0)
    x, y = data.train.x[:150].repeat(6, 1), data.train.y[:150].repeat(6)
    both = Samples(x + 0.15 * torch.randn(x.shape, generator=generator), y)
    both = both.at(torch.randperm(len(y), generator=generator))
    return InMemory(both.at(torch.arange(700)), both.at(torch.arange(700, 900)), CLASSES)


def same_states() -> InMemory:
    """A tenth of the samples are one and the same, such as an empty image."""
    data = problem()
    parts = [Samples(part.x.clone(), part.y) for part in (data.train, data.val)]
    for part in parts:
        part.x[::10] = 1.0
    return InMemory(*parts, CLASSES)


def windows(every: int) -> InMemory:
    """Windows of a noisy series, begun at every so many steps, split at random."""
    generator = torch.Generator().manual_seed(0)
    series = torch.randn(600 * every + 40, generator=generator).cumsum(0)
    series = series - torch.nn.functional.avg_pool1d(series[None], 41, 1, 20, count_include_pad=False)[0]
    starts = torch.randperm(600, generator=generator) * every
    x = torch.stack([series[start : start + 32] for start in starts])
    both = Samples(x, (x[:, -8:].mean(dim=1) > x.mean(dim=1)).long())
    return InMemory(both.at(torch.arange(400)), both.at(torch.arange(400, 600)), 2)


def with_two_outputs(features: int = 4) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(features, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 2))


def ending(*last: nn.Module) -> nn.Module:
    return nn.Sequential(stack(), *last)


def by(module: LightningModule, data: LightningDataModule | None = None, **settings: Any) -> list[Finding]:
    return examine(module, data or problem(), accelerator="cpu", **settings)


SICK_NETWORKS: dict[str, tuple[str, Callable[[], list[Finding]]]] = {
    "softmax": ("output_activation", lambda: found(ending(nn.Softmax(dim=1)))),
    "sigmoid": ("output_activation", lambda: found(ending(nn.Sigmoid()))),
    "relu": ("output_activation", lambda: found(ending(nn.ReLU()))),
    "log-softmax of the batch": ("output_activation", lambda: found(ending(nn.LogSoftmax(dim=0)))),
    "penalty in the loss": ("excess_weight_decay", lambda: by(Penalized())),
    "likelihood of logits": ("output_activation", lambda: by(OfLogits())),
    "squares behind a sigmoid": ("output_activation", lambda: by(Numbers(nn.Sigmoid()), numbers(1.0))),
    "detached": ("frozen_parameters", lambda: found(Through(lambda x: x.detach()))),
    "rounded": ("frozen_parameters", lambda: found(Through(lambda x: x.round()))),
    "frozen": ("frozen_parameters", lambda: found(frozen_trunk(2))),
    "optimizer of a copy": ("frozen_parameters", lambda: by(OfACopy())),
    "never stepped": ("optimizer_never_steps", lambda: by(NeverSteps())),
    "never cleared": ("accumulated_gradients", lambda: by(NeverClears())),
    "replaced after the optimizer was made": ("frozen_parameters", lambda: by(ReplacedAfterOptimizer())),
    "weights read without the graph": ("frozen_parameters", lambda: found(Lookup(detached=True))),
    "in a plain object": ("unregistered_layers", lambda: found(WithoutModule())),
    "mean probabilities": ("output_activation", lambda: found(Ensemble(logits=False))),
    "in a list": ("unregistered_layers", lambda: found(Listed(list))),
    "mean of the batch": ("mixed_samples", lambda: found(Through(lambda x: x - x.mean(dim=0)))),
    "always dropping": ("dropout_in_evaluation", lambda: found(Dropping(always=True))),
    "slow statistics": ("batch_norm", lambda: found(normalised(1e-4))),
    "scaled twice": ("bad_initial_loss", lambda: found(ending(Scaled(1000.0)))),
    "linear": ("linear_network", lambda: found(linear_stack(), RINGS)),
    "one unit": ("too_narrow", lambda: found(Through(width=1))),
    "by batches": ("schedule_too_fast", lambda: by(ScheduledByBatches(), max_epochs=60)),
    "class missing": (
        "class_missing",
        lambda: found(stack(), InMemory(without_class(problem().train, 2), problem().val, CLASSES)),
    ),
    "gap in the labels": ("outputs_without_class", lambda: found(Through(), labelled(lambda y: y % 3 + 1, CLASSES))),
    "only train samples scaled": ("shifted_validation", lambda: found(stack(), only_train_scaled())),
    "leaking": ("target_leak", lambda: found(stack(), leaking(0.05))),
    "nearly copied": ("validation_leak", lambda: found(stack(), nearly_copied())),
    "broadcast": ("loss_mismatch", lambda: by(Broadcasting(nn.Identity()), numbers(1.0))),
    "broadcast by hand": ("loss_mismatch", lambda: by(BroadcastingByHand(nn.Identity()), numbers(1.0))),
    "broadcast rates": ("loss_mismatch", lambda: by(Rates((-1, 1)), numbers(1.0))),
    "thousands": ("unscaled_target", lambda: by(Numbers(nn.Identity()), numbers(1.0, unit=5000.0))),
    "one of two numbers in thousands": ("unscaled_target", lambda: by(TwoNumbers(5000.0), numbers(1.0))),
    "rate as factor": ("learning_rate_too_low", lambda: by(RateAsFactor(), max_epochs=10)),
    "early in a sequence": ("vanishing_gradient", lambda: found(Recurrent(by_last=True), SEQUENCES)),
    "outliers in thousands": ("target_outliers", lambda: by(Numbers(nn.Identity()), numbers(300.0, unit=0.001))),
    "copied often": ("validation_leak", lambda: found(stack(), copied_often())),
    "frozen in time": ("constant_input", lambda: found(stack(), frozen_in_time())),
    "wide embeddings": ("bad_initial_loss", lambda: by(Factors(1.0), LIKED)),
    "people alone": ("frozen_parameters", lambda: by(Factors(0.1, all_given=False), LIKED)),
    "wrong prior": ("bad_initial_loss", lambda: by(WrongPrior(), numbers(1.0))),
    "slow statistics of numbers": ("batch_norm", lambda: by(LaggingNumbers(), numbers(1.0))),
    "small weights": ("vanishing_gradient", lambda: found(stack(5, start=scaled(0.2)), optimizer=decayed(0.0))),
    "half dropped": ("vanishing_gradient", lambda: found(stack(10, nn.Sigmoid, start=scaled(0.5), dropout=0.5))),
    "steps without forward, short": ("learning_rate_too_low", lambda: by(Steps(rate=1e-7))),
    "masks of 255": ("loss_mismatch", lambda: by(Masks())),
    "short steps over dicts": ("learning_rate_too_low", lambda: by(HeadOfDicts(True, rate=1e-7), DictBatches())),
    "a fifth of the weights in each step": (
        "excess_weight_decay",
        lambda: found(stack(), optimizer=partial(AdamW, lr=0.01, weight_decay=20.0)),
    ),
    "several labels as one": ("loss_mismatch", lambda: by(Tagged())),
    "made in every step": ("unregistered_layers", lambda: by(MadeInForward())),
    "dropping in every step": ("dropout_in_evaluation", lambda: by(DroppingSteps(always=True))),
    "head of dicts": ("frozen_parameters", lambda: by(HeadOfDicts(all_given=False), DictBatches())),
    "equal factors": ("symmetric_units", lambda: by(EqualFactors(), LIKED)),
    "positive rates": ("output_activation", lambda: by(PositiveRates((-1,)), numbers(1.0))),
    "numbers in another order": (
        "unlearnable_labels",
        lambda: by(Numbers(nn.Identity()), InMemory(exchanged(numbers(1.0).train), numbers(1.0).val, 0)),
    ),
    "copied with noise": ("validation_leak", lambda: found(stack(), copied_with_noise())),
    "overlapping windows": ("validation_leak", lambda: found(with_two_outputs(32), windows(1))),
    "outliers": ("target_outliers", lambda: by(Numbers(nn.Identity()), numbers(300.0))),
}
HEALTHY_NETWORKS: dict[str, Callable[[], list[Finding]]] = {
    "log-softmax": lambda: found(ending(nn.LogSoftmax(dim=1))),
    "likelihood of log-softmax": lambda: by(OfLikelihoods()),
    "mean probabilities, logarithm": lambda: found(Ensemble(logits=True)),
    "squares by hand": lambda: by(SquaredByHand(nn.Identity()), numbers(1.0)),
    "rates": lambda: by(Rates((-1,)), numbers(1.0)),
    "two numbers": lambda: by(TwoNumbers(1.0), numbers(1.0)),
    "a teacher": lambda: by(Taught()),
    "an embedding": lambda: by(Embedded()),
    "a mean over a sequence": lambda: found(Recurrent(by_last=False), SEQUENCES),
    "squares": lambda: by(Numbers(nn.Identity()), numbers(1.0)),
    "through": lambda: found(Through()),
    "straight through": lambda: found(Through(lambda x: x + (x.round() - x).detach())),
    "frozen random features": lambda: found(frozen_trunk(200)),
    "own module": lambda: by(Own()),
    "by hand": lambda: by(ByHand()),
    "weights that are read": lambda: found(Lookup(detached=False)),
    "stochastic depth": lambda: found(StochasticDepth()),
    "a layer that is not used": lambda: found(Unused()),
    "scaled once": lambda: found(ending(Scaled(5.0))),
    "sharp": lambda: found(Sharp(1.0)),
    "in a ModuleList": lambda: found(Listed(nn.ModuleList)),
    "dropping in training": lambda: found(Dropping(always=False)),
    "fast statistics": lambda: found(normalised(0.1)),
    "linear, for clouds": lambda: found(linear_stack()),
    "bent": lambda: found(linear_stack(nn.ReLU()), RINGS),
    "by epochs": lambda: by(Scheduled(), max_epochs=60),
    "one column among others": lambda: found(stack(), leaking(1.0)),
    "small embeddings": lambda: by(Factors(0.1), LIKED),
    "steps without forward": lambda: by(Steps()),
    "average of the weights": lambda: by(Averaged()),
    "reconstructed": lambda: by(Reconstructed()),
    "contrasted": lambda: by(Contrasted()),
    "dropping in training steps": lambda: by(DroppingSteps(always=False)),
    "all of dicts": lambda: by(HeadOfDicts(all_given=True), DictBatches()),
    "the same states again": lambda: found(stack(), same_states()),
    "windows apart": lambda: found(with_two_outputs(32), windows(40)),
    "few possible rows": lambda: found(with_two_outputs(), answered(3)),
}


# Further guises of a mistake, and their twins: for make test-all.
GUISES = {
    *("sigmoid", "relu", "mean probabilities", "mean probabilities, logarithm", "broadcast by hand", "broadcast rates"),
    *("squares by hand", "rates", "two numbers", "a mean over a sequence", "fast statistics", "scaled once", "bent"),
    *("in a plain object", "weights that are read", "likelihood of log-softmax", "one column among others", "sharp"),
    *("rounded", "replaced after the optimizer was made", "weights read without the graph", "optimizer of a copy"),
    *("log-softmax of the batch", "squares behind a sigmoid", "one of two numbers in thousands", "few possible rows"),
    *("a layer that is not used", "an embedding", "in a ModuleList", "straight through", "outliers in thousands"),
}


def test_advice_is_what_the_trial_has_shown_to_help() -> None:
    (finding, *_) = by(Factors(1.0), LIKED)
    assert finding.advice == ("start embeddings small:", "    nn.init.normal_(embedding.weight, std=0.05)")


def test_sparse_gradients_and_a_penalty_are_examined() -> None:
    class Sparse(Penalized):
        def __init__(self) -> None:
            super().__init__()
            self.network = nn.Sequential(nn.EmbeddingBag(20, WIDTH, sparse=True), nn.Linear(WIDTH, CLASSES))

        def training_step(self, batch: Any, batch_index: int) -> Tensor:
            return self.loss(batch) + 1e-4 * self.network[1].weight.square().sum()

        def configure_optimizers(self) -> Any:
            return SGD(self.parameters(), lr=0.5)

    generator = torch.Generator().manual_seed(0)
    x = torch.randint(20, (800, 6), generator=generator)
    samples = Samples(x, x[:, 0] % CLASSES)
    data = InMemory(samples.at(torch.arange(600)), samples.at(torch.arange(600, 800)), CLASSES)
    assert "non_finite" not in [finding.code for finding in by(Sparse(), data, gradient_clip_val=None)]


def some_slow(names: Iterable[str]) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.slow if name in GUISES else ()) for name in names]


@pytest.mark.parametrize(("momentum", "codes"), [(0.1, []), (0.99, ["batch_norm"])])
def test_statistics_of_the_last_batches_alone_are_named_by_what_they_cost(momentum: float, codes: list[str]) -> None:
    # measured of "momentum as in keras" in the field, which ends at an accuracy of 0.578 instead of 0.969
    seen = Inspection(batch_norm=(1.68, 1.54))
    momenta = {"lowest_norm_momentum": momentum, "highest_norm_momentum": momentum}
    history = History(100, inspection=seen, measured={190: {}}, **momenta)
    assert [finding.code for finding in lagging_statistics(history)] == codes


@pytest.mark.parametrize(("dead", "codes"), [({}, ["linear_network"]), ({"b": 1.0}, [])])
def test_a_network_whose_units_were_killed_is_not_called_linear(dead: dict[str, float], codes: list[str]) -> None:
    seen, shapes = Inspection(curvature=0.0), {"a": (8, 8), "b": (4, 8)}
    history = History(CLASSES, inspection=seen, order=["a", "b"], shapes=shapes, dead=dead)
    assert [finding.code for finding in linear_network(history)] == codes


def test_there_is_a_sick_training_for_every_code() -> None:
    assert set(SICK) | {code for code, _ in SICK_NETWORKS.values()} == set(WHY)


@pytest.mark.parametrize("sick", some_slow(SICK_NETWORKS))
def test_a_mistake_is_named_first_and_says_what_to_change(sick: str) -> None:
    code, examination = SICK_NETWORKS[sick]
    findings = examination()
    assert findings, "nothing was found"
    assert (findings[0].code, healthy(findings)) == (code, False), findings
    assert any(letter.isdigit() for letter in findings[0].evidence), "evidence is in numbers"
    assert findings[0].advice or findings[0].remedies


@pytest.mark.parametrize("twin", some_slow(HEALTHY_NETWORKS))
def test_its_healthy_twin_gets_notes_at_most(twin: str) -> None:
    findings = HEALTHY_NETWORKS[twin]()
    assert healthy(findings), findings


def test_a_leak_is_not_called_a_shift_as_well() -> None:
    _, examination = SICK_NETWORKS["overlapping windows"]
    assert "shifted_validation" not in [finding.code for finding in examination()]


def test_a_penalty_in_the_loss_is_measured() -> None:
    (first, *_) = by(Penalized())
    assert "the loss adds 1 times their squares" in first.evidence


def test_a_suspicion_that_no_remedy_confirms_is_a_note() -> None:
    """Weights that grow from a small start, of a network that learns well."""
    small = stack(start=lambda network: [parameter.mul_(0.1) for parameter in network.parameters()])
    findings = found(small, optimizer=partial(Adam, lr=0.01))
    assert healthy(findings), findings


def test_a_remedy_says_what_it_gains() -> None:
    (first, *_) = found(stack(), optimizer=partial(Adam, lr=1.0))
    assert 1 <= len(first.remedies) <= 3
    assert "instead of" in first.gains[first.remedies[0]]
    assert any(first.gains[first.remedies[0]] in line for line in first.lines())


def test_inputs_that_the_network_scales_itself_are_a_note() -> None:
    inside = nn.Sequential(nn.BatchNorm1d(FEATURES), stack())
    findings = found(inside, with_x(lambda x: 300 * x + 50))
    assert healthy(findings), findings


@pytest.mark.parametrize("of", [list, nn.ModuleList])
def test_layers_that_stay_behind_on_the_cpu_are_named(of: type, monkeypatch: pytest.MonkeyPatch) -> None:
    def on_a_gpu(*args: Any, **settings: Any) -> History:
        if settings["accelerator"] != "cpu":
            raise RuntimeError("Expected all tensors to be on the same device")
        return trial(*args, **settings)

    monkeypatch.setattr("trainwell.doctor.examine.trial", on_a_gpu)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    module = PlainTraining(Listed(of), optimizer=partial(Adam, lr=0.003))
    if of is list:
        assert examine(module, problem(), accelerator="gpu")[0].code == "unregistered_layers"
    else:  # then it is another mistake
        with pytest.raises(RuntimeError, match="same device"):
            examine(module, problem(), accelerator="gpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("forward", [False, True], ids=["in a list", "made in every step"])
def test_layers_that_stay_behind_on_the_cpu_are_named_on_a_gpu(forward: bool) -> None:
    module = MadeInForward() if forward else PlainTraining(Listed(list), optimizer=partial(Adam, lr=0.003))
    assert examine(module, problem(), accelerator="gpu", devices=1)[0].code == "unregistered_layers"
