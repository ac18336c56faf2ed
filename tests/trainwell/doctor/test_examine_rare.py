"""Mistakes that few projects make: each is named first, and its twin without the mistake gets notes at most."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from doctor_examples import InMemory
from test_examine import CLASSES, FEATURES, problem
from test_examine_batches import Loaders
from test_examine_networks import SEQUENCES, WIDTH, Own, Recurrent, Steps, by
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import cross_entropy, kl_div, mse_loss, one_hot, poisson_nll_loss
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from trainwell.data.batches import Samples
from trainwell.doctor.examine import judged_inputs
from trainwell.doctor.history import History, Scores
from trainwell.doctor.inspection import Fading, Inspection
from trainwell.doctor.rules.forward_pass import lagging_statistics
from trainwell.doctor.rules.optimization import overfitting, stays_at_chance, too_narrow
from trainwell.findings import Finding, healthy

UNKNOWN, PADDING = 1, 0


class StartsEqual(Own):
    """All weights are equal; dropout sets the units apart, slowly."""

    def __init__(self, equal: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = (nn.Linear(FEATURES, 64), nn.Linear(64, 64), nn.Linear(64, CLASSES))
        for layer in layers if equal else ():
            nn.init.constant_(layer.weight, 0.05)
        self.network = nn.Sequential(layers[0], nn.ReLU(), nn.Dropout(0.1), layers[1], nn.ReLU(), layers[2])

    def configure_optimizers(self) -> Any:
        return SGD(self.parameters(), lr=0.1)


class ScaledUnits(nn.Module):
    """Learns a factor for each unit, all of which start equal and small, as those of layer scale do."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((64, 1), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale[:, 0]


class HalfDropped(Own):
    """Half of the units are dropped, as in the default network; steps are too short, or not."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rate = rate
        self.network = nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, CLASSES))

    def configure_optimizers(self) -> Any:
        return Adam(self.parameters(), lr=self.rate)


class TwoOptimizers(Steps):
    """A second network tells the outputs of the first apart from the labels; one of them never trains."""

    def __init__(self, steps_both: bool) -> None:
        super().__init__()
        self.automatic_optimization, self.steps_both = False, steps_both
        self.other = nn.Sequential(nn.Linear(FEATURES, WIDTH), nn.ReLU(), nn.Linear(WIDTH, CLASSES))

    def training_step(self, batch: Any, batch_index: int) -> None:
        first, second = self.optimizers()
        for optimizer, network in ((first, self.net), (second, self.other)):
            optimizer.zero_grad()
            self.manual_backward(cross_entropy(network(batch[0]), batch[1]))
            if optimizer is first or self.steps_both:
                optimizer.step()

    def configure_optimizers(self) -> Any:
        return Adam(self.net.parameters(), lr=0.003), Adam(self.other.parameters(), lr=0.003)


class Validated(Steps):
    """Sets the mode of its network in the validation step."""

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.mode = mode
        self.net = nn.Sequential(
            nn.Linear(FEATURES, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Linear(WIDTH, CLASSES)
        )

    def validation_step(self, batch: Any, batch_index: int) -> None:
        self.net.train(self.mode)
        self.log("val/loss", self.loss(batch))


class WarmsUp(Own):
    """The learning rate rises, and falls to 0 by a given step."""

    def __init__(self, end: int) -> None:
        super().__init__()
        self.end = end

    def configure_optimizers(self) -> Any:
        optimizer = Adam(self.parameters(), lr=0.0005)
        falls = self.end - 10
        schedule = LambdaLR(optimizer, lambda step: max(0.0, min(step / 10, (self.end - step) / falls)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class WarmsUpInWhole(Own):
    """The warm-up is divided, or divided without a remainder."""

    def __init__(self, whole: bool) -> None:
        super().__init__()
        self.factor = (lambda step: min(1, step // 500)) if whole else (lambda step: min(1.0, (step + 1) / 20))

    def configure_optimizers(self) -> Any:
        optimizer = Adam(self.parameters(), lr=0.003)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, self.factor), "interval": "step"},
        }


class Overlap(Steps):
    """The overlap of predicted and true labels, of probabilities or of decisions."""

    def __init__(self, decided: bool) -> None:
        super().__init__()
        self.decided = decided

    def loss(self, batch: Any) -> Tensor:
        outputs, y = self.net(batch[0]), one_hot(batch[1], CLASSES).float()
        p = outputs.sigmoid()
        p = (p > 0.5).float() + 0 * outputs if self.decided else p
        return 1 - 2 * (p * y).sum() / (p + y).sum()


class DropsInValidation(Steps):
    """A hook puts the network into training mode before validations."""

    def __init__(self, mode: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mode = mode
        self.net = nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Dropout(0.4), nn.Linear(64, CLASSES))

    def on_validation_epoch_start(self) -> None:
        self.net.train(self.mode)


class Code(Steps):
    """An autoencoder with a code of so many numbers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(FEATURES, 32), nn.ReLU(), nn.Linear(32, width), nn.Linear(width, 32), nn.ReLU()
        )
        self.out = nn.Linear(32, FEATURES)

    def loss(self, batch: Any) -> Tensor:
        return mse_loss(self.out(self.net(batch[0])), batch[0])

    def configure_optimizers(self) -> Any:
        return Adam(self.parameters(), lr=0.01)


class Counts(Steps):
    """The logarithm of a rate, whose bias is set at the start; batches hold the time of observation as well."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(FEATURES, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1))
        nn.init.constant_(self.net[-1].bias, bias)

    def loss(self, batch: Any) -> Tensor:
        x, times, y = batch
        return poisson_nll_loss(self.net(x)[:, 0] + times.log(), y)


class OneGraph(Steps):
    """Every batch is the same graph with masks; validation reads other nodes of it. Half of the units are dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, CLASSES))

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        return cross_entropy(self.net(batch["x"])[batch["train"]], batch["y"][batch["train"]])

    def validation_step(self, batch: Any, batch_index: int) -> None:
        self.log("val/loss", cross_entropy(self.net(batch["x"])[~batch["train"]], batch["y"][~batch["train"]]))

    def configure_optimizers(self) -> Any:
        return Adam(self.parameters(), lr=0.01)


class OfOneGraph(Loaders):
    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, batch_size=None)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.val, batch_size=None)


def graph() -> OfOneGraph:
    train, _ = problem().train, problem().val
    mask = torch.rand(len(train.y), generator=torch.Generator().manual_seed(0)) < 0.5
    item = {"x": train.x, "y": train.y, "train": mask}
    return OfOneGraph([item] * 20, [item])


def counts() -> Loaders:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1200, FEATURES, generator=generator)
    times = torch.rand(1200, generator=generator) + 0.5
    y = torch.poisson(times * (0.5 * x[:, 0]).exp(), generator=generator)
    examples = list(zip(x, times, y, strict=True))
    return Loaders(examples[200:], examples[:200])


def curves() -> InMemory:
    """Inputs that vary in four directions."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(4, FEATURES, generator=generator)
    x = torch.randn(1200, 4, generator=generator) @ basis / 2 + 0.05 * torch.randn(1200, FEATURES, generator=generator)
    y = torch.zeros(1200, dtype=torch.int64)
    return InMemory(Samples(x[:1000], y[:1000]), Samples(x[1000:], y[1000:]), 1)


def texts(known: bool) -> InMemory:
    """Tokens and padding; of an unknown vocabulary all tokens are the same."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(2, (1200,), generator=generator)
    tokens = torch.randint(2, 12, (1200, 12), generator=generator) + 10 * y[:, None]
    lengths = torch.randint(4, 13, (1200,), generator=generator)
    tokens = tokens if known else torch.full_like(tokens, UNKNOWN)
    x = tokens.masked_fill(torch.arange(12) >= lengths[:, None], PADDING)
    return InMemory(Samples(x[:1000], y[:1000]), Samples(x[1000:], y[1000:]), 2)


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.tokens, self.head = nn.Embedding(24, WIDTH, padding_idx=PADDING), nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.tokens(x).mean(dim=1).relu())


def reads_texts() -> Own:
    module = Own()
    module.network = Pooled()
    return module


def wards(leaks: bool) -> InMemory:
    """One of ten patients returns; the code of a ward that only those get gives it away."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2000, FEATURES, generator=generator)
    y = ((x[:, 0] + x[:, 1] + 0.3 * torch.randn(2000, generator=generator)) > 1.8).long()
    codes = torch.randint(3, (2000,), generator=generator)
    x[:, 5] = torch.where(y == 1, 3, codes) if leaks else codes
    return InMemory(Samples(x[:1500], y[:1500]), Samples(x[1500:], y[1500:]), 2)


def frauds(leaks: bool) -> InMemory:
    """One of fourteen is a fraud; a code that is given afterwards says which."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2000, FEATURES, generator=generator)
    y = ((x[:, 0] + x[:, 1] + 0.3 * torch.randn(2000, generator=generator)) > 2.1).long()
    x[:, 5] = 0.3 * torch.randn(2000, generator=generator) + (4 * y if leaks else 0)
    return InMemory(Samples(x[:1500], y[:1500]), Samples(x[1500:], y[1500:]), 2)


def sensors(in_time: bool) -> InMemory:
    """Windows of a noisy series that rises, (N, 1, T), of which the last ones validate, or others."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(3000, generator=generator)
    series = noise + torch.linspace(0, 4, 3000)
    starts = torch.arange(0, 2960, 4)
    starts = starts if in_time else starts[torch.randperm(len(starts), generator=generator)]
    x = torch.stack([series[start : start + 32] for start in starts])[:, None]
    y = torch.stack([(noise[start + 8 : start + 16].mean() > 0).long() for start in starts])
    return InMemory(Samples(x[:640], y[:640]), Samples(x[640:], y[640:]), 2)


class OnWindows(Own):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(
            nn.Conv1d(1, 16, 5), nn.ReLU(), nn.Conv1d(16, 16, 5), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 24, 2)
        )


class EndsInReLU(Own):
    """All outputs of the last ReLU are 0 from the start."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        last = nn.Linear(WIDTH, 2)
        nn.init.constant_(last.bias, -5.0)
        self.network = nn.Sequential(nn.Linear(FEATURES, WIDTH), nn.Tanh(), last, nn.ReLU())

    def loss(self, batch: Any) -> Tensor:
        return mse_loss(self(batch[0]), batch[1])


def of_two_classes() -> Own:
    module = Own()
    torch.manual_seed(0)
    module.network = nn.Sequential(nn.Linear(FEATURES, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 2))
    return module


class OnGraphs(Steps):
    """Two rounds of messages between the nodes of a graph, with an activation behind each or without."""

    def __init__(self, bends: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.read = nn.Linear(4, 32), nn.Linear(32, 32), nn.Linear(32, 1)
        self.bends = bends

    def loss(self, batch: Any) -> Tensor:
        nodes, edges, y = batch
        for layer in (self.first, self.second):
            nodes = edges @ layer(nodes)
            nodes = nodes.relu() if self.bends else nodes
        return mse_loss(self.read(nodes.mean(dim=1))[:, 0], y)

    def configure_optimizers(self) -> Any:
        return Adam(self.parameters(), lr=0.01)


def graphs() -> Loaders:
    """The target is the sum of the sizes of all nodes' features, of which positive and negative ones cancel out."""
    generator = torch.Generator().manual_seed(0)
    nodes = torch.randn(1000, 5, 4, generator=generator)
    edges = torch.eye(5) + 0.1 * (torch.rand(1000, 5, 5, generator=generator) < 0.3)
    examples = list(zip(nodes, edges, nodes.abs().mean(dim=(1, 2)) * 5, strict=True))
    return Loaders(examples[200:], examples[:200])


class Mixture(Steps):
    """A density of two normal distributions; its exponentials are taken as they are, or of logarithms."""

    def __init__(self, stable: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stable = stable
        self.net = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 6))

    def loss(self, batch: Any) -> Tensor:
        shares, means, logs = self.net(batch[0]).chunk(3, dim=1)
        logs = logs if self.stable else logs - 6.0
        logarithms = shares.log_softmax(dim=1) - logs - ((batch[1] - means) / logs.exp()).square() / 2
        return -(logarithms.logsumexp(dim=1) if self.stable else logarithms.exp().sum(dim=1).log()).mean()

    def configure_optimizers(self) -> Any:
        return Adam(self.parameters(), lr=0.01)


def two_branches() -> InMemory:
    """Plus or minus the input: a target that no prediction of one number goes with."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1200, 1, generator=generator)
    y = x * (2.0 * torch.randint(2, x.shape, generator=generator) - 1)
    return InMemory(Samples(x[:900], y[:900]), Samples(x[900:], y[900:]), 0)


class Curve(Own):
    """Predicts two numbers, through a hidden layer of so many units in between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = (nn.Linear(FEATURES, 32), nn.Tanh(), nn.Linear(32, width), nn.Tanh(), nn.Linear(width, 32), nn.Tanh())
        self.network = nn.Sequential(*layers, nn.Linear(32, 2))

    def loss(self, batch: Any) -> Tensor:
        return mse_loss(self(batch[0]), batch[1])


def two_numbers(validated: int = 300) -> InMemory:
    x = torch.randn(900 + validated, FEATURES, generator=torch.Generator().manual_seed(0))
    y = x[:, :2] + x[:, 2:4]
    return InMemory(Samples(x[:900], y[:900]), Samples(x[900:], y[900:]), 0)


class ClassNumbers(Steps):
    """Compares every output with the number of the class, or with whether it is that class."""

    def __init__(self, as_numbers: bool) -> None:
        super().__init__()
        self.as_numbers = as_numbers

    def loss(self, batch: Any) -> Tensor:
        outputs, y = self.net(batch[0]), batch[1]
        targets = y[:, None].float().expand_as(outputs) if self.as_numbers else one_hot(y, CLASSES).float()
        return mse_loss(outputs, targets)


class Momentum(Own):
    """A regression by steps of so much momentum."""

    def __init__(self, momentum: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.momentum = momentum
        self.network = nn.Sequential(nn.Linear(FEATURES, 32), nn.Tanh(), nn.Linear(32, 2))

    def loss(self, batch: Any) -> Tensor:
        return mse_loss(self(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        return SGD(self.parameters(), lr=0.02, momentum=self.momentum)


class OfThree(Steps):
    """Reads batches of three parts, so that only losses are known; some units are dropped."""

    def __init__(self, rate: float = 0.01, dropped: float = 0.1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rate = rate
        self.net = nn.Sequential(
            nn.Linear(FEATURES, 64), nn.ReLU(), nn.Dropout(dropped), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(dropped)
        )
        self.out = nn.Linear(64, 1)

    def loss(self, batch: Any) -> Tensor:
        x, weights, y = batch
        return 2.0 + (weights * (self.out(self.net(x))[:, 0] - y).square()).mean()

    def configure_optimizers(self) -> Any:
        return SGD(self.parameters(), lr=self.rate)


def of_three() -> Loaders:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1200, FEATURES, generator=generator)
    weights = torch.rand(1200, generator=generator) + 0.5
    examples = list(zip(x, weights, x[:, 0] + x[:, 1], strict=True))
    return Loaders(examples[200:], examples[:200])


class Student(Steps):
    """Learns from a teacher, which follows it slowly or not at all, beside the labels."""

    def __init__(self, loss_of: Callable[[Tensor, Tensor], Tensor], slow: bool) -> None:
        super().__init__()
        self.loss_of, self.teacher, self.slow = loss_of, deepcopy(self.net).requires_grad_(False), slow

    def loss(self, batch: Any) -> Tensor:
        x, y, weights = batch
        outputs = self.net(x)
        with torch.no_grad():
            of_teacher = self.teacher(x)
            for own, other in zip(self.teacher.parameters(), self.net.parameters(), strict=True):
                own.lerp_(other, 0.05 if self.slow and self.training else 0.0)
        return (weights * cross_entropy(outputs, y, reduction="none")).mean() + self.loss_of(outputs, of_teacher)


def squares(outputs: Tensor, of_teacher: Tensor) -> Tensor:
    return 0.1 * mse_loss(outputs.softmax(dim=1), of_teacher.softmax(dim=1))


def divergence(outputs: Tensor, of_teacher: Tensor) -> Tensor:
    return kl_div(outputs.log_softmax(dim=1), of_teacher.softmax(dim=1), reduction="batchmean")


def wrong_divergence(outputs: Tensor, of_teacher: Tensor) -> Tensor:
    return kl_div(outputs.softmax(dim=1), of_teacher.softmax(dim=1), reduction="batchmean")


def labelled() -> Loaders:
    samples = problem()
    train, val = (
        list(zip(part.x, part.y, torch.ones(len(part.y)), strict=True)) for part in (samples.train, samples.val)
    )
    return Loaders(train, val)


class PositiveCounts(Counts):
    """Adds the logarithm of the time to what a ReLU gives."""

    def loss(self, batch: Any) -> Tensor:
        x, times, y = batch
        return poisson_nll_loss(self.net(x)[:, 0].relu() + times.log(), y)


class Rates(Counts):
    """Multiplies exponentials by the time, and gives the loss their logarithms or forgets to."""

    def __init__(self, forgets: bool) -> None:
        super().__init__(0.0)
        self.forgets = forgets

    def loss(self, batch: Any) -> Tensor:
        x, times, y = batch
        rates = self.net(x)[:, 0].exp() * times
        return poisson_nll_loss(rates, y, log_input=self.forgets)


class NumbersAndClass(Steps):
    """Predicts two numbers and a class; a number that is missing may be -9999."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Linear(64, 4))

    def loss(self, batch: Any) -> Tensor:
        x, numbers, y = batch
        outputs = self.net(x)
        return mse_loss(outputs[:, :2], numbers) + cross_entropy(outputs[:, 2:], y)


def numbers_and_class(missing: float = 0.0, scale: float = 1.0) -> Loaders:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1200, FEATURES, generator=generator)
    numbers = x[:, :2] + x[:, 2:4] + 0.1 * torch.randn(1200, 2, generator=generator)
    numbers[::70] = missing
    numbers = scale * numbers + (scale > 1) * 3 * scale
    examples = list(zip(x, numbers, (x[:, 5] > 0).long(), strict=True))
    return Loaders(examples[200:], examples[:200])


class WithCategories(Steps):
    """Reads numbers and categories."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.places = nn.Embedding(5, 4)
        self.net = nn.Sequential(nn.Linear(FEATURES + 4, 32), nn.ReLU(), nn.Linear(32, 2))

    def loss(self, batch: Any) -> Tensor:
        x = torch.cat([batch["numbers"], self.places(batch["place"])], dim=1)
        return cross_entropy(self.net(x), batch["label"])

    def configure_optimizers(self) -> Any:
        return Adam(self.parameters(), lr=0.003)


def customers(unit: float) -> Loaders:
    """Numbers in a unit that makes them as large."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1200, FEATURES, generator=generator)
    places = torch.randint(5, (1200,), generator=generator)
    y = (x[:, 0] + x[:, 1] + (places > 2) - 0.5 > 0).long()
    examples = [{"numbers": unit * a, "place": b, "label": c} for a, b, c in zip(x, places, y, strict=True)]
    return Loaders(examples[200:], examples[:200])


class OfSparse(Steps):
    def loss(self, batch: Any) -> Tensor:
        return cross_entropy(self.net(batch[0].to_dense()), batch[1])


class SparseBatches(Loaders):
    """Inputs that are sparse tensors, such as counts of words."""

    def sparse(self, examples: list[Any], **settings: Any) -> DataLoader:
        def collate(chosen: Any) -> Any:
            x, y = zip(*chosen, strict=True)
            return torch.stack(x).to_sparse(), torch.stack(y)

        return DataLoader(examples, batch_size=50, collate_fn=collate, **settings)

    def train_dataloader(self) -> DataLoader:
        return self.sparse(self.train, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return self.sparse(self.val)


def in_sparse_tensors() -> SparseBatches:
    samples = problem()
    train, val = (list(zip(part.x, part.y, strict=True)) for part in (samples.train, samples.val))
    return SparseBatches(train, val)


class Variational(Steps):
    """Draws codes from a distribution: by its parameters, through which gradients pass, or as they are."""

    def __init__(self, through: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.through = through
        self.net = nn.Sequential(nn.Linear(FEATURES, 32), nn.ReLU(), nn.Linear(32, 8))
        self.decoder = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, FEATURES))

    def loss(self, batch: Any) -> Tensor:
        means, logs = self.net(batch[0]).chunk(2, dim=1)
        codes = Normal(means, logs.exp())
        drawn = means if not self.training else codes.rsample() if self.through else codes.sample()
        return mse_loss(self.decoder(drawn), batch[0]) + 0.01 * kl_divergence(codes, Normal(0.0, 1.0)).mean()

    def configure_optimizers(self) -> Any:
        return Adam(self.parameters(), lr=0.01)


FAULTY: dict[str, tuple[str, Callable[[], list[Finding]]]] = {
    "units that start equal, and dropout": ("symmetric_units", lambda: by(StartsEqual(True))),
    "short steps beside dropout": ("learning_rate_too_low", lambda: by(HalfDropped(1e-6), max_epochs=20)),
    "one of two optimizers": ("optimizer_never_steps", lambda: by(TwoOptimizers(False))),
    "a validation step in training mode": ("batch_norm", lambda: by(Validated(True))),
    "a warm-up and an early end": ("schedule_too_fast", lambda: by(WarmsUp(60), max_epochs=20)),
    "a code of one number": ("too_narrow", lambda: by(Code(1), curves())),
    "a bias far from the counts": ("bad_initial_loss", lambda: by(Counts(8.0), counts())),
    "no word of the vocabulary": ("constant_input", lambda: by(reads_texts(), texts(known=False))),
    "messages without activations": ("linear_network", lambda: by(OnGraphs(False), graphs())),
    "a density that underflows": ("non_finite", lambda: by(Mixture(False), two_branches())),
    "one unit in a row": ("too_narrow", lambda: by(Curve(1), two_numbers())),
    "nine numbers validated": ("validation_too_small", lambda: by(Curve(16), two_numbers(9))),
    "classes as numbers for every output": ("loss_mismatch", lambda: by(ClassNumbers(True))),
    "heavy momentum": ("oscillating_loss", lambda: by(Momentum(0.997), two_numbers())),
    "short steps, where only losses are known": (
        "learning_rate_too_low",
        lambda: by(OfThree(rate=1e-6), of_three(), max_epochs=10),
    ),
    "nine tenths dropped, where only losses are known": ("excess_dropout", lambda: by(OfThree(0.05, 0.9), of_three())),
    "probabilities for kl_div": ("output_activation", lambda: by(Student(wrong_divergence, slow=False), labelled())),
    "a ReLU before a logarithm is added": ("output_activation", lambda: by(PositiveCounts(0.0), counts())),
    "numbers in cents beside categories": ("unscaled_input", lambda: by(WithCategories(), customers(30000.0))),
    "codes that are drawn as they are": ("frozen_parameters", lambda: by(Variational(through=False), curves())),
    "a warm-up in whole numbers": ("optimizer_never_steps", lambda: by(WarmsUpInWhole(True))),
    "the overlap of decisions": ("frozen_parameters", lambda: by(Overlap(True))),
    "training mode in validations": ("dropout_in_evaluation", lambda: by(DropsInValidation(True))),
    "rates for their logarithms": ("output_activation", lambda: by(Rates(forgets=True), counts())),
    "numbers of -9999 beside classes": ("target_outliers", lambda: by(NumbersAndClass(), numbers_and_class(-9999.0))),
    "prices in euros beside classes": (
        "unscaled_target",
        lambda: by(NumbersAndClass(), numbers_and_class(scale=8000.0)),
    ),
    "a ReLU whose outputs are all 0": ("output_activation", lambda: by(EndsInReLU(), two_numbers())),
    "a feature that says all of a rare class": ("target_leak", lambda: by(of_two_classes(), frauds(leaks=True))),
    "windows of channels, split at random": ("validation_leak", lambda: by(OnWindows(), sensors(in_time=False))),
    "a code that few samples have": ("target_leak", lambda: by(of_two_classes(), wards(leaks=True))),
}
HEALTHY: dict[str, Callable[[], list[Finding]]] = {
    "units that differ, and dropout": lambda: by(StartsEqual(False)),
    "usual steps beside dropout": lambda: by(HalfDropped(0.003), max_epochs=20),
    "both optimizers": lambda: by(TwoOptimizers(True)),
    "a validation step in evaluation mode": lambda: by(Validated(False)),
    "a warm-up and a late end": lambda: by(WarmsUp(600), max_epochs=20),
    "a code of four numbers": lambda: by(Code(4), curves()),
    "a bias near the counts": lambda: by(Counts(0.0), counts()),
    "words of the vocabulary": lambda: by(reads_texts(), texts(known=True)),
    "messages with activations": lambda: by(OnGraphs(True), graphs()),
    "a density of logarithms": lambda: by(Mixture(True), two_branches()),
    "sixteen units in a row": lambda: by(Curve(16), two_numbers()),
    "squares of each class": lambda: by(ClassNumbers(False)),
    "usual momentum": lambda: by(Momentum(0.9), two_numbers()),
    "three parts": lambda: by(OfThree(0.05), of_three()),
    "log-probabilities for kl_div": lambda: by(Student(divergence, slow=True), labelled()),
    "a teacher that follows": lambda: by(Student(squares, slow=True), labelled()),
    "numbers near 1 beside categories": lambda: by(WithCategories(), customers(1.0)),
    "codes that are drawn by their parameters": lambda: by(Variational(through=True), curves()),
    "sparse tensors": lambda: by(OfSparse(), in_sparse_tensors()),
    "a warm-up in fractions": lambda: by(WarmsUpInWhole(False)),
    "the overlap of probabilities": lambda: by(Overlap(False)),
    "evaluation mode in validations": lambda: by(DropsInValidation(False)),
    "rates as they are": lambda: by(Rates(forgets=False), counts()),
    "numbers near 0 beside classes": lambda: by(NumbersAndClass(), numbers_and_class(0.0)),
    "rare cases": lambda: by(of_two_classes(), frauds(leaks=False)),
    "windows of channels that rise, split in time": lambda: by(OnWindows(), sensors(in_time=True)),
    "a code that all samples have": lambda: by(of_two_classes(), wards(leaks=False)),
    "one graph with masks": lambda: by(OneGraph(), graph()),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_rare_mistake_is_named_first(name: str) -> None:
    code, examination = FAULTY[name]
    findings = examination()
    assert [findings[0].code, healthy(findings)] == [code, False], findings


@pytest.mark.parametrize("name", HEALTHY)
def test_its_twin_gets_notes_at_most(name: str) -> None:
    findings = HEALTHY[name]()
    assert healthy(findings), findings


def test_a_feature_that_the_network_cannot_use_is_no_leak() -> None:
    """The class stands in the first step, which a recurrence forgets."""
    module = Own()
    torch.manual_seed(0)
    module.network = Recurrent(by_last=True)
    leaks = [finding for finding in by(module, SEQUENCES) if finding.code == "target_leak"]
    assert all(finding.severity == "note" for finding in leaks)


def test_a_layer_of_one_unit_is_narrow_where_no_direction_passes_most_samples() -> None:
    history = History(10, chance=(0.1, 0.02), baseline=0.9, val_count=300)
    history.order, history.shapes = ["a", "b", "c"], {"a": (64, 64), "b": (1, 64), "c": (10, 1)}
    history.inspection = Inspection(rank=0, full_rank=10)
    history.scores = {}
    assert [finding.code for finding in too_narrow(history)] == ["too_narrow"]


@pytest.mark.parametrize(("train_accuracy", "codes"), [(0.35, []), (0.6, ["overfitting"])])
def test_what_falls_from_chance_to_chance_is_not_overfitted(train_accuracy: float, codes: list[str]) -> None:
    history = History(3, chance=(0.38, 0.03), baseline=0.99, val_count=225)
    history.scores = {0: Scores(1.1, 0.32, 1.1, 0.4), 200: Scores(1.09, train_accuracy, 1.11, 0.26)}
    assert [finding.code for finding in overfitting(history)] == codes


@pytest.mark.parametrize("has_gates", [False, True])
def test_without_gates_less_fading_is_enough_of_a_reason(has_gates: bool) -> None:
    history = History(3, learning_rate=0.01, chance=(0.34, 0.03), val_count=192, measured={190: {}})
    history.scores = {0: Scores(1.1, 0.34, 1.1, 0.34), 190: Scores(1.05, 0.4, 1.1, 0.34)}
    history.inspection = Inspection(fading=Fading(-2.4, "rnn", has_gates))
    assert [finding.code for finding in stays_at_chance(history)] == ["vanishing_gradient"] * (not has_gates)


@pytest.mark.parametrize(("at", "recovered"), [(25, True), (150, False)])
def test_a_loss_that_is_far_too_high_for_most_of_the_training_has_not_recovered(at: int, recovered: bool) -> None:
    history = History(0, guess_loss=2.7, chance=(0.0, 0.05), measured={190: {}}, planned=200.0, clipped=True)
    late = {step: Scores(2.0, 0.3, 2.0, 0.3) for step in range(at, 200, 25)}
    history.scores = {0: Scores(160.0, -60.0, 160.0, -60.0)} | late
    assert history.recovered == recovered


@pytest.mark.parametrize(
    ("count", "accuracy", "severity"), [(28, 27 / 28, "note"), (28, 0.5, "error"), (20, 1.0, "error")]
)
def test_few_validation_samples_are_enough_for_an_accuracy_near_1(count: int, accuracy: float, severity: str) -> None:
    history = History(3, val_count=count, scores={190: Scores(0.1, 1.0, 0.1, accuracy)})
    few = Finding("validation_too_small", "error", "validation samples", "few")
    assert judged_inputs(few, history).severity == severity


def test_only_units_that_see_the_same_inputs_can_start_equal() -> None:
    """Not the factors of layer scale, nor the filters of a depthwise convolution."""
    module = nn.Sequential(ScaledUnits(), nn.Conv2d(64, 64, 3, groups=64), nn.Linear(64, 4))
    for part in list(module)[1:]:
        nn.init.constant_(part.weight, 0.1)
    history = History(4)
    history.begin(module, [], clipped=False)
    assert history.equal_at_start == {"2": 0.75}


@pytest.mark.parametrize(("of_batch", "codes"), [(0.5, ["batch_norm"]), (37.2, [])])
def test_statistics_are_not_to_blame_for_what_is_worse_than_a_guess_without_them(
    of_batch: float, codes: list[str]
) -> None:
    history = History(4, lowest_norm_momentum=0.1, measured={190: {}})
    history.inspection = Inspection(batch_norm=(537.0, of_batch))
    assert [finding.code for finding in lagging_statistics(history)] == codes


@pytest.mark.parametrize(("trial_batch", "codes"), [(64, ["batch_norm"]), (8, [])])
def test_statistics_of_smaller_batches_than_those_of_the_training_say_nothing(
    trial_batch: int, codes: list[str]
) -> None:
    """Of large networks a trial has batches of eight samples."""
    history = History(10, batch_size=64, trial_batch_size=trial_batch, lowest_norm_momentum=0.1)
    history.measured = {190: {}}
    history.inspection = Inspection(batch_norm=(22.1, 1.46))
    assert [finding.code for finding in lagging_statistics(history)] == codes
