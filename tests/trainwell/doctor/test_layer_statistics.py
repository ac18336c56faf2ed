"""The statistics of layers, against values computed by hand, on modules of all kinds."""

from functools import partial
from typing import Any

import pytest
import torch
from doctor_examples import Classifier, fit, some_samples
from lightning import LightningModule, Trainer
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn.functional import cross_entropy
from torch.optim import SGD
from trainwell.data.batches import Samples
from trainwell.doctor.layer_statistics import Activations, LayerStatistics, Numbers, layers_of, saturated_share
from trainwell.doctor.probe import Probe


class Every(Probe):
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


def test_the_statistics_of_a_step_are_those_computed_by_hand() -> None:
    samples = some_samples(12)
    network = two_layers().double()
    before = [p.detach().clone() for p in network.parameters()]
    cross_entropy(network(samples.x), samples.y).backward()
    gradients = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    hidden = network[1](network[0](samples.x)).detach()
    network.zero_grad()

    every = Every()
    fit(Classifier(network), samples, 12, callbacks=[every])  # one step of gradient descent, rate 0.1
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
        (samples.x @ before[0].T + before[1]).std(correction=0).item(), rel=1e-5
    )


def test_accumulated_batches_are_one_step_whose_gradient_is_that_of_all_of_them() -> None:
    samples = some_samples(12)
    norms = []
    for batch_size, accumulate in ((12, 1), (4, 3)):
        every = Every()
        fit(Classifier(two_layers()), samples, batch_size, callbacks=[every], accumulate_grad_batches=accumulate)
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
    samples = some_samples(12)
    if precision != "64-true":
        samples = Samples(samples.x.float(), samples.y)
    fit(Classifier(Odd()), samples, 12, callbacks=[every], precision=precision)
    ((numbers, _),) = every.seen
    assert set(numbers["gradient_norm"]) == {"first", "recurrent", "attention", "last"} | {"attention.out_proj"}
    assert {"first", "twin", "recurrent", "attention", "last"} <= set(numbers["activation_std"])


def in_half_precision(scale: float = 2.0**16, fused: bool = False) -> list[tuple[Numbers, float]]:
    """What is measured with float16, whose gradients are multiplied by ``scale``; usually it takes a GPU."""
    every = Every()
    samples = some_samples(12)
    module = Classifier(two_layers(), partial(SGD, lr=0.1, fused=fused))
    plugin = MixedPrecision("16-mixed", "cpu", GradScaler("cpu", init_scale=scale))
    samples = Samples(samples.x.float(), samples.y)
    fit(module, samples, 12, callbacks=[every], precision=None, plugins=[plugin], max_epochs=20)
    return every.seen


@pytest.mark.parametrize("fused", [False, True])
def test_the_scale_of_half_precision_is_taken_out_of_the_gradients(fused: bool) -> None:
    every = Every()
    fit(Classifier(two_layers()), some_samples(12), 12, callbacks=[every])
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
    statistics = LayerStatistics(network)
    statistics.begin()
    assert len(network[0]._forward_hooks) == 1
    statistics.end()
    assert len(network[0]._forward_hooks) == 0
    network.compile(backend="eager")
    statistics = LayerStatistics(network)
    statistics.begin()
    network(torch.randn(5, 4)).sum().backward()
    statistics.before_step(SGD(network.parameters(), lr=0.1))
    numbers, _ = statistics.end()
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
    trainer = fit(TwoOptimizers(), some_samples(12), 4, callbacks=[every])
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
        (lambda z: nn.functional.dropout(torch.tanh(50 * z), 0.5), 0.4, 0.6),  # a dropped value is not saturated
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


def test_a_learned_query_is_no_dead_unit_and_a_layer_of_zeros_is_dead() -> None:
    layers = {"query": nn.Linear(4, 2), "reads": nn.Linear(4, 2), "dead": nn.Linear(4, 2)}
    activations = Activations(layers)
    activations.start()
    for name, x in (("query", torch.randn(4).expand(8, 4)), ("reads", torch.randn(8, 4)), ("dead", torch.zeros(8, 4))):
        layers[name](x.requires_grad_(x.is_leaf))
    assert activations.statistics()["dead_units"] == {"reads": 0.0, "dead": 1.0}


def test_a_restored_window_counts_units_as_the_one_that_was_saved_does() -> None:
    """A unit that was alive in an earlier step of the window is not dead, also after a resume."""
    network = two_layers()
    quiet, lively = -torch.ones(5, 4), torch.randn(5, 4)

    def dead(activations: Activations, x: Tensor) -> float:
        activations.start()
        network(x)
        activations.stop()
        return activations.statistics()["dead_units"]["2"].item()

    without_break = Activations(layers_of(network))
    assert dead(without_break, lively) < 1
    state = without_break.state_dict()
    resumed = Activations(layers_of(network))
    resumed.load_state_dict(state)
    repeated = quiet[:1].expand(5, -1)
    assert dead(resumed, repeated) == dead(without_break, repeated) < 1
    assert dead(Activations(layers_of(network)), repeated) == 1
