"""What is measured, against sums done by hand, on modules of all kinds."""

from functools import partial
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn.functional import cross_entropy
from torch.optim import SGD

from your_package.signals import Numbers, Signals, saturated_share
from your_package.watch import Watch

from tests.fitting import classifier_of, fit, some_rows


class Every(Watch):
    """Keep what is measured in every step."""

    def __init__(self) -> None:
        self.seen: list[tuple[Numbers, float]] = []

    def chosen(self, step: int) -> bool:
        return True

    def measured(self, trainer: Trainer, step: int, numbers: Numbers, norm: float) -> None:
        self.seen.append((numbers, norm))


def two_layers() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def test_the_numbers_of_a_step_are_those_done_by_hand() -> None:
    rows = some_rows(12)
    network = two_layers().double()
    before = [p.detach().clone() for p in network.parameters()]
    cross_entropy(network(rows.x), rows.y).backward()
    gradients = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    hidden = network[1](network[0](rows.x)).detach()
    network.zero_grad()

    every = Every()
    fit(classifier_of(network), rows, 12, callbacks=[every])  # one step of gradient descent, rate 0.1
    ((numbers, norm),) = every.seen
    assert norm == pytest.approx(torch.cat([g.flatten() for g in gradients]).norm().item(), rel=1e-5)
    for name, place in (("0", 0), ("2", 2)):
        assert numbers["gradient_norm"][name] == pytest.approx(gradients[place].norm().item(), rel=1e-5)
        after = before[place] - 0.1 * gradients[place]
        assert numbers["weight_norm"][name] == pytest.approx(after.norm().item(), rel=1e-5)
        ratio = 0.1 * gradients[place].norm() / after.norm()
        assert numbers["update_ratio"][name] == pytest.approx(ratio.item(), rel=1e-4)
    dead = (hidden.amin(dim=0) == hidden.amax(dim=0)).double().mean().item()
    assert numbers["dead_units"] == pytest.approx({"2": dead})  # what arrives at the first layer is data
    assert numbers["activation_std"]["0"] == pytest.approx(
        (rows.x @ before[0].T + before[1]).std(correction=0).item(), rel=1e-5
    )


def test_accumulated_batches_are_one_step_whose_gradient_is_that_of_all_of_them() -> None:
    rows = some_rows(12)
    norms = []
    for batch_size, accumulate in ((12, 1), (4, 3)):
        every = Every()
        fit(classifier_of(two_layers()), rows, batch_size, callbacks=[every], accumulate_grad_batches=accumulate)
        norms.append([norm for _, norm in every.seen])
    assert len(norms[0]) == len(norms[1]) == 1
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)


class Odd(nn.Module):
    """Shared weights, a layer used twice, tuples, attention."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twin = nn.Linear(4, 4), nn.Linear(4, 4)
        self.twin.weight = self.first.weight
        self.recurrent = nn.LSTM(4, 6, batch_first=True)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.last = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.twin(self.first(self.first(x).tanh())).tanh()
        x, _ = self.recurrent(x[:, None, :].expand(-1, 3, -1))
        return self.last(self.attention(x, x, x)[0].mean(dim=1))


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_odd_modules_are_measured_like_others(precision: str) -> None:
    torch.manual_seed(0)
    every = Every()
    rows = some_rows(12)
    classifier = classifier_of(Odd())
    if precision != "64-true":
        classifier, rows = classifier.float(), type(rows)(rows.x.float(), rows.y)
    fit(classifier, rows, 12, callbacks=[every], precision=precision)
    ((numbers, _),) = every.seen
    assert set(numbers["gradient_norm"]) == {"first", "recurrent", "attention", "last"} | {"attention.out_proj"}
    assert {"first", "twin", "recurrent", "attention", "last"} <= set(numbers["activation_std"])


def in_half_precision(scale: float = 2.0**16, fused: bool = False) -> list[tuple[Numbers, float]]:
    """What is measured with float16, whose gradients are made ``scale`` times as long; usually it takes a GPU."""
    every = Every()
    rows = some_rows(12)
    classifier = classifier_of(two_layers(), partial(SGD, lr=0.1, fused=fused)).float()
    plugin = MixedPrecision("16-mixed", "cpu", GradScaler("cpu", init_scale=scale))
    rows = type(rows)(rows.x.float(), rows.y)
    fit(classifier, rows, 12, callbacks=[every], precision=None, plugins=[plugin], max_epochs=20)
    return every.seen


@pytest.mark.parametrize("fused", [False, True])
def test_gradients_made_longer_for_half_precision_are_told_as_they_are(fused: bool) -> None:
    every = Every()
    fit(classifier_of(two_layers()), some_rows(12), 12, callbacks=[every])
    ((exact, norm),) = every.seen
    halved, of_halved = in_half_precision(fused=fused)[0]
    assert of_halved == pytest.approx(norm, rel=0.01)
    for what in ("gradient_norm", "update_ratio", "weight_norm"):
        assert halved[what] == pytest.approx(exact[what], rel=0.01)


def test_steps_that_overflow_in_half_precision_are_not_measured() -> None:
    seen = in_half_precision(scale=2.0**26)
    assert 0 < len(seen) < 20
    assert all(norm < 10 for _, norm in seen)


def test_nothing_is_hooked_between_measured_steps_nor_inside_a_compiled_module() -> None:
    network = two_layers()
    signals = Signals(network)
    signals.begin()
    assert len(network[0]._forward_hooks) == 1
    signals.end()
    assert len(network[0]._forward_hooks) == 0
    network.compile(backend="eager")
    signals = Signals(network)
    signals.begin()
    network(torch.randn(5, 4)).sum().backward()
    signals.before_step(SGD(network.parameters(), lr=0.1))
    numbers, _ = signals.end()
    assert numbers["activation_std"] == {}
    assert numbers["gradient_norm"]["0"] > 0


class TwoOptimizers(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = two_layers().double()

    def training_step(self, batch: Any, batch_index: int) -> None:
        loss = cross_entropy(self.network(batch.x), batch.y)
        self.zero_grad()
        self.manual_backward(loss)
        for optimizer in self.optimizers():
            optimizer.step()

    def validation_step(self, batch: Any, batch_index: int) -> None:
        pass

    def configure_optimizers(self) -> Any:
        return SGD(self.network[0].parameters(), lr=0.1), SGD(self.network[2].parameters(), lr=0.2)


def test_of_several_optimizers_each_layers_numbers_are_there_once_a_step() -> None:
    every = Every()
    trainer = fit(TwoOptimizers(), some_rows(12), 4, callbacks=[every])
    assert len(every.seen) == 3
    assert trainer.global_step == 6
    for numbers, _ in every.seen:
        assert set(numbers["update_ratio"]) == {"0", "2"}
        assert all(ratio > 0 for ratio in numbers["update_ratio"].values())


@pytest.mark.parametrize(
    ("made", "low", "high"),
    [
        (lambda z: torch.tanh(0.5 * z), 0.0, 0.0),
        (lambda z: torch.tanh(50 * z), 0.9, 1.0),
        (lambda z: torch.sigmoid(30 * z), 0.85, 1.0),
        (lambda z: nn.functional.dropout(torch.tanh(50 * z), 0.5), 0.4, 0.6),  # what is silenced is not saturated
        (torch.relu, 0.0, 0.0),
        (nn.functional.gelu, 0.0, 0.0),
        (lambda z: z, 0.0, 0.0),
        (lambda z: torch.zeros_like(z), 0.0, 0.0),
    ],
)
def test_saturated_is_what_crowds_at_both_ends(made: Any, low: float, high: float) -> None:
    z = torch.randn(500, 20, generator=torch.Generator().manual_seed(0))
    x = made(z)
    assert low <= saturated_share(x, x.amin(), x.amax()).item() <= high
