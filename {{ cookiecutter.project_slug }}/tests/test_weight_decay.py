"""Weight decay: what it adds to the loss or takes from the weights, and from which of them."""

import re
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD, AdamW
from trainwell.data.batches import Samples

from your_package.networks.layers import LayerContext
from your_package.techniques import activation, normalisation, weight_decay
from your_package.techniques.weight_decay import WeightDecay, split

from tests.fitting import (
    classification_of,
    clipped,
    fit,
    gradient,
    gradient_of_step,
    linear_classification,
    regression_of,
    small_network,
    some_samples,
)

SAMPLES = some_samples(24)
STRENGTH = 0.03

l2, decoupled, sklearn = (
    partial(technique, include=[], exclude=[])
    for technique in (weight_decay.l2, weight_decay.decoupled, weight_decay.sklearn)
)


def two_layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 3)).double()


def test_l2_adds_lambda_times_the_squares_of_the_weights_alone() -> None:
    network = two_layers()
    loss = classification_of(network, decay=l2(strength=STRENGTH)).training_step(SAMPLES, 0)
    squares = sum((network[map].weight.detach().numpy() ** 2).sum() for map in (0, 3))
    without = cross_entropy(network(SAMPLES.x), SAMPLES.y)
    assert loss.item() - without.item() == pytest.approx(STRENGTH * squares, rel=1e-12)


@pytest.mark.parametrize("length", [0.05, 1e3])
def test_clipping_includes_the_gradient_of_l2(length: float) -> None:
    task = linear_classification(l2(strength=STRENGTH))
    weight, bias = (p.detach().numpy().copy() for p in task.network.parameters())
    fit(task, SAMPLES, 24, gradient_clip_val=length)
    whole = gradient(SAMPLES, weight, bias) + np.concatenate([2 * STRENGTH * weight.ravel(), np.zeros(3)])
    np.testing.assert_allclose(gradient_of_step(task), clipped(whole, length), rtol=1e-12)


def weights_and_others(network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    weights, others = split(network, weight_decay.none())
    return [p.detach().clone() for p in weights], [p.detach().clone() for p in others]


def test_decoupled_shrinks_the_weights_by_exactly_one_minus_lr_times_lambda() -> None:
    nowhere = Samples(torch.zeros_like(SAMPLES.x), SAMPLES.y)  # inputs of zero give the weights no gradient
    network, plain = linear_classification().network, linear_classification().network
    (weight,), (bias,) = weights_and_others(network)
    steps, lr, strength = 4, 0.1, 0.5
    decaying = classification_of(network, optimizer=partial(AdamW, lr=lr), decay=decoupled(strength=strength))
    fit(decaying, nowhere, 6, gradient_clip_val=0.1)
    fit(classification_of(plain, optimizer=partial(AdamW, lr=lr)), nowhere, 6, gradient_clip_val=0.1)
    (decayed,), (moved,) = weights_and_others(network)
    torch.testing.assert_close(decayed, weight * (1 - lr * strength) ** steps, rtol=1e-14, atol=0)
    torch.testing.assert_close(moved, plain.bias.detach(), rtol=1e-12, atol=0)
    assert not torch.allclose(moved, bias)


def test_decoupled_leaves_the_step_of_the_gradient_as_it_is() -> None:
    lr, strength = 0.01, 0.5
    ends = []
    for decay in (weight_decay.none(), decoupled(strength=strength)):
        network = two_layers()
        fit(classification_of(network, optimizer=partial(AdamW, lr=lr), decay=decay), SAMPLES, 24)
        ends.append(weights_and_others(network))
    (weights, others), (decayed, others_beside) = ends
    for weight, less, start in zip(weights, decayed, weights_and_others(two_layers())[0], strict=True):
        torch.testing.assert_close(weight - less, lr * strength * start, rtol=1e-10, atol=1e-15)
    torch.testing.assert_close(others, others_beside, rtol=1e-12, atol=0)


def test_none_adds_nothing() -> None:
    network = two_layers()
    loss = classification_of(network, decay=weight_decay.none()).training_step(SAMPLES, 0)
    torch.testing.assert_close(loss, cross_entropy(network(SAMPLES.x), SAMPLES.y), rtol=1e-14, atol=0)


def test_sklearn_is_l2_with_alpha_over_twice_the_samples_of_the_batch() -> None:
    for count in (24, 10):
        batch = Samples(SAMPLES.x[:count], SAMPLES.y[:count])
        losses = [
            classification_of(two_layers(), decay=decay).training_step(batch, 0)
            for decay in (sklearn(alpha=0.7), l2(strength=0.7 / (2 * count)))
        ]
        torch.testing.assert_close(*losses, rtol=1e-14, atol=0)


class LossCurve(Callback):
    """The mean over an epoch's samples of the loss with its penalty, as scikit-learn has it."""

    def __init__(self) -> None:
        self.curve: list[float] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.total, self.samples = 0.0, 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Samples, batch_idx: int
    ) -> None:
        self.total += outputs["loss"].item() * len(batch.y)
        self.samples += len(batch.y)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.curve.append(self.total / self.samples)


Theirs = MLPClassifier | MLPRegressor


def theirs(
    batch_size: int, learning_rate_init: float = 0.2, max_iter: int = 8, y: Tensor = SAMPLES.y, **keys: Any
) -> Theirs:
    """Fitted by scikit-learn, on the samples in their own order."""
    return (MLPRegressor if y.is_floating_point() else MLPClassifier)(
        hidden_layer_sizes=(7, 6),
        solver="sgd",
        batch_size=batch_size,
        learning_rate_init=learning_rate_init,
        max_iter=max_iter,
        shuffle=False,
        tol=0,
        n_iter_no_change=max_iter,
        random_state=0,
        **keys,
    ).fit(SAMPLES.x.numpy(), y.numpy())


def network_of(option: str, start: Theirs) -> nn.Module:
    """A network with their weights."""
    factory = {"logistic": activation.sigmoid}.get(option) or getattr(activation, option)
    maps = [nn.Linear(*weight.shape) for weight in start.coefs_]
    with torch.no_grad():
        for map, weight, bias in zip(maps, start.coefs_, start.intercepts_, strict=True):
            map.double().weight.copy_(torch.from_numpy(weight.T))
            map.bias.copy_(torch.from_numpy(bias))
    functions = [factory(LayerContext(map.out_features, layer, 2)) for layer, map in enumerate(maps[:-1])]
    return nn.Sequential(maps[0], functions[0], maps[1], functions[1], maps[2])


def curve_of(task: LightningModule, batch_size: int, y: Tensor = SAMPLES.y) -> list[float]:
    """By a Lightning fit of ours."""
    curve = LossCurve()
    fit(task, Samples(SAMPLES.x, y), batch_size, max_epochs=8, callbacks=[curve])
    return curve.curve


CASES = [
    *(
        (option, alpha, batch_size, 0.0, False)
        for option in ("relu", "tanh", "logistic")
        for alpha, batch_size in ((0.0, 6), (1e-4, 24), (0.1, 6), (3.0, 12))
    ),
    ("tanh", 0.1, 6, 0.9, False),
    ("tanh", 0.1, 6, 0.9, True),
]


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer. Maximum iterations")  # meant to be reached
@pytest.mark.parametrize(("option", "alpha", "batch_size", "momentum", "nesterov"), CASES)
def test_sklearn_reproduces_the_loss_curve_of_scikit_learn(
    option: str, alpha: float, batch_size: int, momentum: float, nesterov: bool
) -> None:
    keys: dict[str, Any] = {"activation": option, "alpha": alpha, "momentum": momentum, "nesterovs_momentum": nesterov}
    start = theirs(batch_size, learning_rate_init=1e-300, max_iter=1, **keys)  # too small a step to change a weight
    steps = partial(SGD, lr=0.2, momentum=momentum, nesterov=nesterov)
    ours = classification_of(network_of(option, start), optimizer=steps, decay=sklearn(alpha=alpha))
    np.testing.assert_allclose(curve_of(ours, batch_size), theirs(batch_size, **keys).loss_curve_, rtol=0, atol=1e-9)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer. Maximum iterations")
@pytest.mark.parametrize(("option", "alpha", "batch_size", "momentum", "nesterov"), CASES[-6:])
def test_sklearn_reproduces_the_loss_curve_of_a_regression_at_twice_the_loss(
    option: str, alpha: float, batch_size: int, momentum: float, nesterov: bool
) -> None:
    """MLPRegressor's loss is half the mean squared error; twice its objective has the same steps at half its rate."""
    y = (
        SAMPLES.x[:, 0] * SAMPLES.x[:, 1] - SAMPLES.x[:, 2]
    )  # one number: of several, its gradient is not that of its loss
    keys: dict[str, Any] = {"activation": option, "alpha": alpha, "momentum": momentum, "nesterovs_momentum": nesterov}
    keys |= {"y": y, "learning_rate_init": 0.05}
    start = theirs(batch_size, max_iter=1, **{**keys, "learning_rate_init": 1e-300})
    steps = partial(SGD, lr=0.05 / 2, momentum=momentum, nesterov=nesterov)
    ours = regression_of(network_of(option, start), optimizer=steps, decay=sklearn(alpha=2 * alpha))
    found = np.array(curve_of(ours, batch_size, y))
    np.testing.assert_allclose(found / 2, theirs(batch_size, **keys).loss_curve_, rtol=0, atol=1e-9)


class EveryKind(nn.Module):
    """A network that never runs: its parameters are only split."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.bilinear = nn.Bilinear(4, 4, 4)
        self.convolution = nn.Conv2d(4, 4, 3)
        self.transposed = nn.ConvTranspose1d(4, 4, 3)
        self.lstm = nn.LSTM(4, 4, proj_size=2)
        self.cell = nn.GRUCell(4, 4)
        self.attention = nn.MultiheadAttention(4, 2, add_bias_kv=True)
        self.attention_across = nn.MultiheadAttention(4, 2, kdim=3, vdim=5)
        self.layer_norm = nn.LayerNorm((4, 5))
        self.rms_norm = nn.RMSNorm((4, 5))
        self.batch_norm = nn.BatchNorm1d(4)
        self.group_norm = nn.GroupNorm(2, 4)
        self.activation = nn.PReLU(4)
        self.tied_to_embedding = nn.Linear(4, 7)
        self.embedding = nn.Embedding(7, 4)
        self.tied_to_embedding.weight = self.embedding.weight
        self.bag = nn.EmbeddingBag(7, 4)
        self.tied_to_linear = nn.Linear(4, 4, bias=False)
        self.tied_to_linear.weight = self.linear.weight
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.gamma = nn.Parameter(torch.ones(4))


class OwnScale(nn.Module):
    """A parameter with several axes in a module of one's own: nobody else can know whether it is a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(4, 3)
        self.scale = nn.Module()
        self.scale.gamma = nn.Parameter(torch.ones(2, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.map(x * self.scale.gamma[0])


DECAYING = """
    linear.weight bilinear.weight convolution.weight transposed.weight
    lstm.weight_ih_l0 lstm.weight_hh_l0 lstm.weight_hr_l0 cell.weight_ih cell.weight_hh
    attention.in_proj_weight attention.out_proj.weight attention_across.q_proj_weight
    attention_across.k_proj_weight attention_across.v_proj_weight attention_across.out_proj.weight
"""


def names_of_weights(network: nn.Module, decay: WeightDecay) -> set[str]:
    names = {id(p): name for name, p in network.named_parameters()}
    weights, others = split(network, decay)
    split_names = sorted(names[id(p)] for p in weights + others)
    assert split_names == sorted(name for name, p in network.named_parameters() if p.requires_grad)
    return {names[id(p)] for p in weights}


def test_weights_of_every_kind_of_linear_map_decay_and_nothing_else() -> None:
    assert names_of_weights(EveryKind(), l2(strength=STRENGTH)) == set(DECAYING.split())


@pytest.mark.parametrize("option", ["mlp", "cnn", "transformer"])
def test_of_the_networks_here_all_linear_maps_decay_and_neither_biases_nor_positions(option: str) -> None:
    network = small_network(option, normalisation=normalisation.layer)
    owners = {name.rpartition(".")[0]: name for name in names_of_weights(network, l2(strength=STRENGTH))}
    maps = [name for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    assert owners == {name: f"{name}.weight" for name in maps}


def test_a_parameter_that_no_rule_covers_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"no rule for scale\.gamma: .*'weight_decay\.exclude=\[scale\.gamma\]'"):
        classification_of(OwnScale(), decay=l2(strength=STRENGTH))
    assert names_of_weights(OwnScale(), weight_decay.none()) == {"map.weight"}


def test_a_parameter_that_the_network_exempts_does_not_decay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OwnScale, "no_weight_decay", lambda self: {"scale.gamma"}, raising=False)
    assert names_of_weights(OwnScale(), l2(strength=1)) == {"map.weight"}
    test_patterns_decide()


def test_patterns_decide() -> None:
    decay = weight_decay.l2(strength=1, include=["scale.*"], exclude=[])
    assert names_of_weights(OwnScale(), decay) == {"map.weight", "scale.gamma"}
    decay = weight_decay.decoupled(strength=1, include=["*.bias"], exclude=["*.gamma", "map.weight"])
    assert names_of_weights(OwnScale(), decay) == {"map.bias"}


@pytest.mark.parametrize(
    ("include", "exclude", "message"),
    [
        (["scale.gama"], [], "weight_decay.include must match trainable parameters of the network, got scale.gama"),
        ([], ["*.beta"], "weight_decay.exclude must match trainable parameters of the network, got *.beta"),
        (["scale.*"], ["*.gamma"], "weight_decay.include and weight_decay.exclude must not both match scale.gamma"),
    ],
)
def test_a_pattern_that_decides_nothing_is_refused(include: list[str], exclude: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        split(OwnScale(), weight_decay.l2(strength=1, include=include, exclude=exclude))


def test_the_optimizer_holds_every_trainable_parameter_in_exactly_one_group() -> None:
    network = two_layers()
    network[0].requires_grad_(False)
    task = classification_of(network, decay=decoupled(strength=STRENGTH))
    fit(task, SAMPLES, 24)
    groups = task.trainer.optimizers[0].param_groups
    assert [group["weight_decay"] for group in groups] == [STRENGTH, 0]
    names = {id(p): name for name, p in network.named_parameters()}
    held = [[names[id(p)] for p in group["params"]] for group in groups]
    assert held == [["3.weight"], ["1.weight", "1.bias", "3.bias"]]
