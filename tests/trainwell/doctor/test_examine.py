"""Each finding on a sick training and on its healthy twin, which differs in one thing; and modules of other kinds."""

import random
from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from math import log
from typing import Any

import numpy as np
import pytest
import torch
from doctor_examples import DictBatches, InMemory, TwoOptimizersByHand
from lightning import LightningDataModule, LightningModule
from lightning.pytorch.plugins import MixedPrecision
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn.functional import cross_entropy, relu
from torch.optim import SGD, Adam, AdamW
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy
from trainwell.data.batches import Samples
from trainwell.doctor import cost
from trainwell.doctor.examine import examination, examine, trainer_settings
from trainwell.doctor.history import History, Scores
from trainwell.doctor.problem import MOST_COLLECTED, num_classes_of, problem_of
from trainwell.doctor.rules.optimization import overconfidence
from trainwell.doctor.rules.signal_flow import excess_dropout
from trainwell.findings import Finding
from trainwell.metrics import EpochMetrics

from benchmarks.doctor.stacks import PlainTraining

FEATURES, CLASSES = 8, 4


@cache
def problem(train: int = 600, val: int = 200, spread: float = 1.2) -> InMemory:
    """Gaussian clouds that overlap a little, with a standard deviation of about 1.5."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, FEATURES, generator=generator)

    def samples(count: int) -> Samples:
        y = torch.randint(CLASSES, (count,), generator=generator)
        return Samples(centres[y] + spread * torch.randn(count, FEATURES, generator=generator), y)

    return InMemory(samples(train), samples(val), CLASSES)


def with_x(change: Callable[[Tensor], Tensor]) -> InMemory:
    data = problem()
    return InMemory(*(Samples(change(part.x), part.y) for part in (data.train, data.val)), CLASSES)


def stack(
    depth: int = 3,
    activation: type[nn.Module] = nn.ReLU,
    width: int = 24,
    start: Callable[[nn.Module], object] = lambda network: None,
    dropout: float = 0.0,
) -> nn.Module:
    torch.manual_seed(0)
    sizes = [FEATURES] + [width] * depth
    layers = [
        part
        for before, after in pairwise(sizes)
        for part in (nn.Linear(before, after), activation(), nn.Dropout(dropout))
    ]
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
    network = nn.Sequential(*layers, nn.Linear(width, CLASSES))
    with torch.no_grad():
        start(network)
    return network


def linear(network: nn.Module) -> list[nn.Linear]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)]


def scaled(factor: float) -> Callable[[nn.Module], object]:
    return lambda network: [layer.weight.mul_(factor) for layer in linear(network)]


def found(network: nn.Module, data: InMemory | None = None, optimizer: Any = None, **settings: Any) -> list[Finding]:
    optimizer = partial(AdamW, lr=0.003, weight_decay=0.0) if optimizer is None else optimizer
    module = network if isinstance(network, LightningModule) else PlainTraining(network, optimizer=optimizer)
    return examine(module, problem() if data is None else data, accelerator="cpu", **settings)


def head_of(network: nn.Module, factor: float) -> object:
    return linear(network)[-1].weight.mul_(factor)


def with_bias(bias: float) -> Callable[[nn.Module], object]:
    return lambda network: [nn.init.constant_(layer.bias, bias) for layer in linear(network)[:-1]]


def shuffled(y: Tensor) -> Tensor:
    return y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))]


def constant_but_one(x: Tensor) -> Tensor:
    return torch.cat([x[:, :1], torch.ones_like(x[:, 1:])], dim=1)


class Logarithm(nn.Module):
    """Not defined for half of what comes."""

    def forward(self, x: Tensor) -> Tensor:
        return x.log()


def decayed(strength: float) -> Any:
    return partial(SGD, lr=0.05, weight_decay=strength)


DATA = problem()
BOTH = Samples(torch.cat([DATA.train.x[:40], DATA.val.x]), torch.cat([DATA.train.y[:40], DATA.val.y]))
LEAKED = InMemory(DATA.train, BOTH, CLASSES)
SHUFFLED = InMemory(*(Samples(part.x, shuffled(part.y)) for part in (DATA.train, DATA.val)), CLASSES)
FEW = problem(train=80, spread=2.0)
SICK: dict[str, Callable[[], list[Finding]]] = {
    "vanishing_gradient": lambda: found(stack(10, nn.Sigmoid, start=scaled(0.5))),
    "exploding_gradient": lambda: found(stack(10, start=scaled(3.0)), optimizer=partial(SGD, lr=0.01)),
    "dead_units": lambda: found(stack(start=with_bias(-8.0))),
    "saturated_units": lambda: found(stack(activation=nn.Tanh, start=scaled(20.0))),
    "learning_rate_too_high": lambda: found(stack(), optimizer=partial(Adam, lr=1.0)),
    "learning_rate_too_low": lambda: found(stack(), optimizer=partial(Adam, lr=1e-6)),
    "overfitting": lambda: found(stack(width=128), FEW),
    "excess_weight_decay": lambda: found(stack(), optimizer=decayed(0.5)),
    "excess_dropout": lambda: found(stack(dropout=0.9)),
    "unlearnable_labels": lambda: found(stack(), SHUFFLED, steps=50),
    "unscaled_input": lambda: found(stack(), with_x(lambda x: 300 * x), steps=50),
    "constant_input": lambda: found(stack(), with_x(constant_but_one), steps=50),
    "bad_initial_loss": lambda: found(stack(start=lambda network: head_of(network, 30.0))),
    "validation_leak": lambda: found(stack(), LEAKED, steps=50),
    "validation_too_small": lambda: found(stack(), problem(val=20), steps=50),
    "oscillating_loss": lambda: found(stack(), optimizer=partial(SGD, lr=0.1, momentum=0.99)),
    "non_finite": lambda: found(stack(activation=Logarithm), steps=50),
    "symmetric_units": lambda: found(
        stack(start=lambda network: [parameter.fill_(0.05) for parameter in network.parameters()])
    ),
}
HEALTHY: dict[str, Callable[[], list[Finding]]] = {
    "nothing is wrong": lambda: found(stack()),
    "vanishing_gradient": lambda: found(stack(10)),
    "exploding_gradient": lambda: found(stack(10), optimizer=partial(SGD, lr=0.01)),
    "dead_units": lambda: found(stack(start=with_bias(-0.5))),
    "saturated_units": lambda: found(stack(activation=nn.Tanh)),
    "learning_rate": lambda: found(stack(), optimizer=partial(Adam, lr=0.01)),
    "overfitting": lambda: found(stack(width=128), problem(train=1000)),
    "excess_weight_decay": lambda: found(stack(), optimizer=decayed(0.001)),
    "excess_dropout": lambda: found(stack(dropout=0.3)),
    "unscaled_input": lambda: found(stack(), with_x(lambda x: 3 * x)),
    "validation_too_small": lambda: found(stack(), problem(val=80)),
    "oscillating_loss": lambda: found(stack(), optimizer=partial(SGD, lr=0.05, momentum=0.9)),
    "non_finite": lambda: found(stack(activation=nn.Softplus)),
}


@pytest.mark.parametrize("code", SICK)
def test_a_sick_training_is_named_first(code: str) -> None:
    findings = SICK[code]()
    assert findings, "nothing was found"
    assert findings[0].code == code, findings
    assert findings[0].where
    assert any(letter.isdigit() for letter in findings[0].evidence), "evidence is in numbers"


@pytest.mark.parametrize("twin", HEALTHY)
def test_its_healthy_twin_is_left_in_peace(twin: str) -> None:
    assert HEALTHY[twin]() == []


def test_gradients_are_compared_along_the_series_that_sees_most_of_the_depth() -> None:
    """Those of an attention's queries may grow where all others vanish."""
    queries = {f"layers.{number}.query": 10.0**-number for number in (0, 2, 4)}
    outer = {f"layers.{number}.outer": 10.0 ** (number - 5) for number in range(6)}
    history = History(CLASSES, measured={step: {"gradient_norm": queries | outer} for step in (10, 20)})
    history.order = [*queries, *outer]
    found = history.gradient_ratio()
    assert found is not None
    assert found == (pytest.approx(-5.0), "layers.0.outer", "layers.5.outer")


def test_too_large_a_start_is_excused_only_if_the_loss_has_come_down() -> None:
    strong = found(stack(4, start=scaled(15.0)), gradient_clip_val=1.0)
    assert strong[0].code == "exploding_gradient", strong
    assert found(stack(4, start=scaled(2.5)), gradient_clip_val=1.0, steps=300) == []


@pytest.mark.parametrize(
    ("loss", "accuracy", "severity"),
    [
        (log(2), 0.5, "error"),
        (0.689, 0.5, "error"),
        (0.685, 0.5, "warning"),
        (5.0, 0.54, "error"),
        (5.0, 0.56, "warning"),
    ],
)
def test_a_network_that_beats_guessing_on_its_train_samples_gets_a_warning_only(
    loss: float, accuracy: float, severity: str
) -> None:
    history = History(2, chance=(0.5, 0.035), baseline=0.9, guessing=(log(2), 0.5, 800))
    history.scores[200] = Scores(loss, accuracy, log(2), 0.5)
    assert history.severity == severity


@pytest.mark.parametrize(
    ("last", "sick"),
    [((0.1, 1.5), True), ((0.1, 1.1), False), ((0.5, 1.5), False)],
    ids=["the validation loss has risen", "it has hardly risen", "so has the train loss"],
)
def test_a_network_that_grows_sure_of_its_mistakes_overfits(last: tuple[float, float], sick: bool) -> None:
    """Its validation accuracy may get better all the same."""
    train_loss, val_loss = last
    scores = {100: Scores(0.4, 0.8, 0.8, 0.6), 200: Scores(train_loss, 0.9, val_loss, 0.7)}
    found = list(overconfidence(History(CLASSES, scores=scores)))
    assert [(finding.code, finding.severity) for finding in found] == [("overfitting", "warning")] * sick


@pytest.mark.parametrize(("without", "blamed"), [(1.4, True), (29.0, False)])
def test_dropout_is_not_blamed_for_a_start_that_is_far_off_without_it(without: float, blamed: bool) -> None:
    history = History(CLASSES, start_loss=without, dropout_loss=4.2 * without)
    history.scores[0] = Scores(without, 0.25, without, 0.25)
    assert bool(list(excess_dropout(history))) == blamed


def test_inputs_that_a_network_copes_with_are_a_warning() -> None:
    hundredfold = with_x(lambda x: 100 * x)
    severities = {
        code: [finding.severity for finding in found(network, hundredfold) if finding.code == "unscaled_input"]
        for code, network in (("copes", stack()), ("does not", stack(10, nn.Sigmoid, start=scaled(0.1))))
    }
    assert severities == {"copes": ["warning"], "does not": ["error"]}


def halves() -> MixedPrecision:
    """Float16 as on a GPU, at first with gradients so much longer that they overflow."""
    return MixedPrecision("16-mixed", "cpu", GradScaler("cpu", init_scale=2.0**26))


def test_half_precision_is_examined_as_it_is_trained() -> None:
    assert found(stack(), plugins=[halves()]) == []
    sick = found(stack(start=with_bias(-8.0)), plugins=[halves()])
    assert sick[0].code == "dead_units", sick


class Functional(nn.Module):
    """The activation is a function, and one layer is used twice."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.again, self.last = nn.Linear(FEATURES, 24), nn.Linear(24, 24), nn.Linear(24, CLASSES)
        nn.init.constant_(self.again.bias, bias)

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.again(relu(self.first(x))))
        return self.last(relu(self.again(x)))


def test_dead_units_are_seen_whatever_the_activation_is_written_as() -> None:
    assert found(Functional(0.0)) == []
    (dead, *_) = found(Functional(-8.0))
    assert dead.code == "dead_units"
    assert dead.where.startswith("last") or dead.where.startswith("again")


class Recurrent(LightningModule):
    """Convolution, LSTM, two optimizers stepped by hand, a step that returns nothing."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.automatic_optimization = False
        self.convolution = nn.Conv1d(1, 8, 3, padding=1)
        self.recurrent = nn.LSTM(8, 16, batch_first=True)
        self.judge = nn.Linear(16, CLASSES)
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        seen = relu(self.convolution(x[:, None])).transpose(1, 2)
        return self.judge(self.recurrent(seen)[0][:, -1])

    def training_step(self, batch: Samples, batch_index: int) -> None:
        x, y = batch
        loss = cross_entropy(self(x), y)
        for optimizer in self.optimizers():
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in self.optimizers():
            optimizer.step()

    def configure_optimizers(self) -> Any:
        body = [*self.convolution.parameters(), *self.recurrent.parameters()]
        return Adam(body, lr=self.rate), Adam(self.judge.parameters(), lr=self.rate)


def test_a_module_with_two_optimizers_stepped_by_hand_is_examined() -> None:
    assert found(Recurrent(0.01)) == []
    findings = found(Recurrent(1e-7))
    assert findings[0].code == "learning_rate_too_low", findings
    assert found(Recurrent(3.0))[0].code == "learning_rate_too_high"


def test_a_module_that_is_no_classifier_is_examined_by_the_rules_about_its_layers() -> None:
    assert examine(TwoOptimizersByHand(), DictBatches(), steps=60, accelerator="cpu") == []
    alike = TwoOptimizersByHand()
    for parameter in (alike.body.weight, alike.body.bias, alike.top.weight):
        nn.init.constant_(parameter, 0.1)
    (finding, *_) = examine(alike, DictBatches(), steps=60, accelerator="cpu")
    assert (finding.code, finding.where) == ("symmetric_units", "body")


class FromLoaders(LightningDataModule):
    """The same samples from ordinary DataLoaders."""

    def __init__(self, data: InMemory, x_of: Callable[[Tensor], Tensor] = lambda x: x) -> None:
        super().__init__()
        self.samples = {
            name: TensorDataset(x_of(part.x), part.y) for name, part in (("train", data.train), ("val", data.val))
        }

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.samples["train"], batch_size=64, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.samples["val"], batch_size=64)


def test_an_ordinary_loader_is_examined_like_batches_in_memory() -> None:
    module = PlainTraining(stack(), optimizer=partial(AdamW, lr=0.003))
    assert examine(module, FromLoaders(problem()), accelerator="cpu") == []
    dead = PlainTraining(stack(start=with_bias(-8.0)), optimizer=partial(AdamW, lr=0.003))
    assert examine(dead, FromLoaders(problem()), accelerator="cpu")[0].code == "dead_units"
    (leak, *_) = examine(module, FromLoaders(LEAKED), steps=50, accelerator="cpu")
    assert leak.evidence == "16.7% of the validation samples are also train samples"


class SizesNoted(PlainTraining):
    def __init__(self, network: nn.Module) -> None:
        super().__init__(network, partial(AdamW, lr=0.003))
        self.sizes: list[int] = []

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        self.sizes.append(len(batch[1]))
        return super().training_step(batch, batch_index)


@pytest.mark.parametrize("held", [True, False], ids=["in memory", "from loaders"])
def test_a_large_network_is_tried_on_smaller_batches(held: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "STEP", 1.0)
    monkeypatch.setattr("trainwell.doctor.trial.copied", lambda module, treatment: module)
    module, data = SizesNoted(stack()), problem(train=160, val=80)
    _, history = examination(module, data if held else FromLoaders(data), 12, 0, False, {"accelerator": "cpu"})
    assert history is not None
    assert (history.batch_size, history.trial_batch_size) == (64, cost.SMALLEST_BATCH)
    assert set(module.sizes) == {cost.SMALLEST_BATCH}


def test_the_samples_of_a_large_loader_are_not_all_collected() -> None:
    many = FromLoaders(problem(train=8000, val=200))
    found = problem_of(many)
    assert found is not None
    assert MOST_COLLECTED <= len(found.train.y) < MOST_COLLECTED + 64
    assert found.share == pytest.approx(len(found.train.y) / 8000)
    assert (found.num_classes, found.batch_size, found.in_memory) == (CLASSES, 64, False)


@pytest.mark.parametrize(
    ("y", "classes"),
    [([0, 1, 2, 2], 3), ([0.0, 1.0], 0), ([-1, 0, 1], 0), ([[0], [1]], 0), ([1000, 7, 3], 0)],
)
def test_classes_are_known_only_where_targets_are_class_indices(y: list[Any], classes: int) -> None:
    assert num_classes_of([torch.tensor(y)], None) == classes


def test_whole_numbers_as_inputs_are_not_judged_as_measurements() -> None:
    """Neighbours of identifiers say nothing, so labels are not called unlearnable."""
    generator = torch.Generator().manual_seed(0)
    tokens, y = torch.randint(1000, (900, 6), generator=generator), torch.randint(2, (900,), generator=generator)
    data = InMemory(Samples(tokens[:600], y[:600]), Samples(tokens[600:], y[600:]), 2)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Embedding(1000, 8), nn.Flatten(), nn.Linear(48, 2))
    findings = examine(PlainTraining(network, optimizer=partial(Adam, lr=0.003)), data, steps=50, accelerator="cpu")
    assert not {"unlearnable_labels", "unscaled_input"} & {finding.code for finding in findings}


def test_nothing_is_changed_by_an_examination() -> None:
    module = PlainTraining(stack(dropout=0.3), optimizer=partial(AdamW, lr=0.003))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    for data in (problem(), FromLoaders(problem())):
        states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
        first = examine(module, data, steps=20, accelerator="cpu")
        assert torch.equal(states[0], torch.get_rng_state())
        assert states[1:] == (np.random.get_state()[1].tolist(), random.getstate())
        assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
        assert all(p.grad is None for p in module.parameters())
        assert data.trainer is None
        assert first == examine(module, data, steps=20, accelerator="cpu")


def test_early_stopping_of_a_configuration_is_part_of_its_trial() -> None:
    early = {"_target_": "lightning.pytorch.callbacks.EarlyStopping", "monitor": "val/accuracy", "mode": None}
    timer = {"_target_": "lightning.pytorch.callbacks.Timer"}
    config = OmegaConf.create({"trainer": {"max_epochs": 3, "logger": True}, "callbacks": {"a": early, "b": timer}})
    module = PlainTraining(stack(), optimizer=SGD)
    module.metrics = EpochMetrics({"accuracy": MulticlassAccuracy(CLASSES)})
    settings = trainer_settings(config, module)
    (stopper,) = settings.pop("callbacks")
    assert stopper.mode == "max"
    assert settings == {"max_epochs": 3, "devices": 1}
    assert trainer_settings(OmegaConf.create({"trainer": {}, "callbacks": None}), module)["callbacks"] == []
