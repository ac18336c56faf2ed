"""Each finding on a sick training and on its healthy twin, which differs in one thing; and trainings of strangers."""

import random
from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from math import log
from typing import Any

import numpy as np
import pytest
import torch
from lightning import LightningModule
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn.functional import cross_entropy, relu
from torch.optim import SGD, Adam, AdamW

from your_package.data import Data, Rows
from your_package.doctor import examine, wrapped
from your_package.findings import WHY, Finding
from your_package.learning_rules import grows_too_sure
from your_package.record import Record, Scores

FEATURES, CLASSES = 8, 4


@cache
def problem(train: int = 600, val: int = 200, spread: float = 1.2) -> Data:
    """Gaussian clouds that overlap a little, in rows of deviation about 1.5."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, FEATURES, generator=generator)

    def rows(count: int) -> Rows:
        y = torch.randint(CLASSES, (count,), generator=generator)
        return Rows(centres[y] + spread * torch.randn(count, FEATURES, generator=generator), y)

    return Data(rows(train), rows(val), rows(val), CLASSES)


def with_x(change: Callable[[Tensor], Tensor]) -> Data:
    data = problem()
    parts = [Rows(change(part.x), part.y) for part in (data.train, data.val, data.test)]
    return Data(*parts, CLASSES)


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


def found(network: nn.Module, data: Data | None = None, optimizer: Any = None, **settings: Any) -> list[Finding]:
    optimizer = partial(AdamW, lr=0.003, weight_decay=0.0) if optimizer is None else optimizer
    classifier = network if isinstance(network, LightningModule) else wrapped(network, optimizer=optimizer)
    return examine(classifier, problem() if data is None else data, accelerator="cpu", **settings)


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
    """Shrinks the weights whatever the classifier asks for."""
    return lambda groups: SGD([{**group, "weight_decay": strength} for group in groups], lr=0.05)


DATA = problem()
BOTH = Rows(torch.cat([DATA.train.x[:40], DATA.val.x]), torch.cat([DATA.train.y[:40], DATA.val.y]))
LEAKED = Data(DATA.train, BOTH, DATA.test, CLASSES)
SHUFFLED = Data(*(Rows(part.x, shuffled(part.y)) for part in (DATA.train, DATA.val, DATA.test)), CLASSES)
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


def test_there_is_a_sick_training_for_every_code() -> None:
    assert set(SICK) == set(WHY)


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
    record = Record(CLASSES, measured={step: {"gradient_norm": queries | outer} for step in (10, 20)})
    record.order = [*queries, *outer]
    found = record.gradient_ratio()
    assert found is not None
    assert found == (pytest.approx(-5.0), "layers.0.outer", "layers.5.outer")


def test_a_start_that_is_too_strong_is_excused_only_where_the_loss_has_come_down() -> None:
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
def test_what_has_not_begun_to_learn_its_train_rows_is_an_error(loss: float, accuracy: float, severity: str) -> None:
    record = Record(2, chance=(0.5, 0.035), learnable=0.9, guessing=(log(2), 0.5, 800))
    record.scores[200] = Scores(loss, accuracy, log(2), 0.5)
    assert record.severity == severity


@pytest.mark.parametrize(
    ("last", "sick"),
    [((0.1, 1.5), True), ((0.1, 1.1), False), ((0.5, 1.5), False)],
    ids=["the validation loss has risen", "it has hardly risen", "so has the train loss"],
)
def test_a_network_that_grows_sure_of_its_mistakes_overfits(last: tuple[float, float], sick: bool) -> None:
    """Its validation accuracy may get better all the same."""
    train_loss, val_loss = last
    scores = {100: Scores(0.4, 0.8, 0.8, 0.6), 200: Scores(train_loss, 0.9, val_loss, 0.7)}
    found = list(grows_too_sure(Record(CLASSES, scores=scores)))
    assert [(finding.code, finding.severity) for finding in found] == [("overfitting", "warning")] * sick


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


@pytest.mark.slow
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


class Stranger(LightningModule):
    """Convolution, LSTM, two optimizers by hand, a step that returns nothing."""

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

    def training_step(self, batch: Rows, batch_index: int) -> None:
        loss = cross_entropy(self(batch.x), batch.y)
        for optimizer in self.optimizers():
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in self.optimizers():
            optimizer.step()

    def configure_optimizers(self) -> Any:
        body = [*self.convolution.parameters(), *self.recurrent.parameters()]
        return Adam(body, lr=self.rate), Adam(self.judge.parameters(), lr=self.rate)


@pytest.mark.slow
def test_a_strangers_module_is_examined_too() -> None:
    assert found(Stranger(0.01)) == []
    findings = found(Stranger(1e-7))
    assert findings[0].code == "learning_rate_too_low", findings
    assert found(Stranger(3.0))[0].code == "learning_rate_too_high"


def test_nothing_is_changed_by_an_examination() -> None:
    classifier = wrapped(stack(dropout=0.3), optimizer=partial(AdamW, lr=0.003))
    before = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    first = examine(classifier, problem(), steps=20, accelerator="cpu")
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (np.random.get_state()[1].tolist(), random.getstate())
    assert all(torch.equal(before[name], tensor) for name, tensor in classifier.state_dict().items())
    assert all(p.grad is None for p in classifier.parameters())
    assert first == examine(classifier, problem(), steps=20, accelerator="cpu")
