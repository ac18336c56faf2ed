"""Weight decay: scikit-learn's loss curves, every kind of parameter, and patterns that are refused."""

import re
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from my_network.networks.layers import LayerContext
from my_network.tasks.regression import Regression
from my_network.techniques import activation, weight_decay
from my_network.techniques.weight_decay import split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from tests.fitting import classification_of, clipped, fit, gradient, gradient_of_step, linear_classification
from tests.test_weight_decay import (
    SAMPLES,
    STRENGTH,
    OwnScale,
    decoupled,
    l2,
    names_of_weights,
    sklearn,
    two_layers,
    weights_and_others,
)
from torch import Tensor, nn
from torch.optim import SGD, AdamW
from trainwell.data.batches import Samples


@pytest.mark.parametrize("length", [0.05, 1e3])
def test_clipping_includes_the_gradient_of_l2(length: float) -> None:
    task = linear_classification(l2(strength=STRENGTH))
    weight, bias = (p.detach().numpy().copy() for p in task.network.parameters())
    fit(task, SAMPLES, 24, gradient_clip_val=length)
    whole = gradient(SAMPLES, weight, bias) + np.concatenate([2 * STRENGTH * weight.ravel(), np.zeros(3)])
    np.testing.assert_allclose(gradient_of_step(task), clipped(whole, length), rtol=1e-12)


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
    parts: dict[str, Any] = {"kind": Regression, "loss": nn.MSELoss(), "optimizer": steps}
    ours = classification_of(network_of(option, start), decay=sklearn(alpha=2 * alpha), **parts)
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


DECAYING = """
    linear.weight bilinear.weight convolution.weight transposed.weight
    lstm.weight_ih_l0 lstm.weight_hh_l0 lstm.weight_hr_l0 cell.weight_ih cell.weight_hh
    attention.in_proj_weight attention.out_proj.weight attention_across.q_proj_weight
    attention_across.k_proj_weight attention_across.v_proj_weight attention_across.out_proj.weight
"""


def test_weights_of_every_kind_of_linear_map_decay_and_nothing_else() -> None:
    assert names_of_weights(EveryKind(), l2(strength=STRENGTH)) == set(DECAYING.split())


def test_a_parameter_that_the_network_exempts_does_not_decay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OwnScale, "no_weight_decay", lambda self: {"scale.gamma"}, raising=False)
    assert names_of_weights(OwnScale(), l2(strength=1)) == {"map.weight"}
    by_pattern = weight_decay.l2(strength=1, include=["scale.*"], exclude=[])
    assert names_of_weights(OwnScale(), by_pattern) == {"map.weight", "scale.gamma"}


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
