"""Weight decay: what it adds to the loss or takes from the weights, and from which of them."""

import logging
from functools import partial
from math import prod
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from sklearn.neural_network import MLPClassifier
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD, AdamW

from your_package import activation, weight_decay
from your_package.data import Rows
from your_package.network import Site

from tests.fitting import classifier_of, clipped, fit, gradient, linear_classifier, seen_by_the_optimizer, some_rows

ROWS = some_rows(24)
STRENGTH = 0.03


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 3)).double()


def test_l2_adds_lambda_times_the_squares_of_the_weights_alone() -> None:
    network = small_network()
    loss = classifier_of(network, decay=weight_decay.l2(strength=STRENGTH)).training_step(ROWS, 0)
    squares = sum((network[map].weight.detach().numpy() ** 2).sum() for map in (0, 3))
    assert loss.item() - cross_entropy(network(ROWS.x), ROWS.y).item() == pytest.approx(STRENGTH * squares, rel=1e-12)


@pytest.mark.parametrize("length", [0.05, 1e3])
def test_clipping_sees_the_gradient_of_l2(length: float) -> None:
    classifier = linear_classifier(weight_decay.l2(strength=STRENGTH))
    weight, bias = (p.detach().numpy().copy() for p in classifier.network.parameters())
    fit(classifier, ROWS, 24, gradient_clip_val=length)
    whole = gradient(ROWS, weight, bias) + np.concatenate([2 * STRENGTH * weight.ravel(), np.zeros(3)])
    np.testing.assert_allclose(seen_by_the_optimizer(classifier), clipped(whole, length), rtol=1e-12)
    assert classifier.gradient_norm.item() == pytest.approx(np.linalg.norm(whole), rel=1e-12)


def weights_and_others(network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    weights, others = weight_decay.split(network)
    return [p.detach().clone() for p in weights], [p.detach().clone() for p in others]


def test_decoupled_shrinks_the_weights_by_exactly_one_minus_lr_times_lambda() -> None:
    nowhere = Rows(torch.zeros_like(ROWS.x), ROWS.y)  # inputs of zero give the weights no gradient
    classifier = linear_classifier()
    (weight,), (bias,) = weights_and_others(classifier.network)
    steps, lr, strength = 4, 0.1, 0.5
    decaying = classifier_of(
        classifier.network, optimizer=partial(AdamW, lr=lr), decay=weight_decay.decoupled(strength=strength)
    )
    fit(decaying, nowhere, 6, gradient_clip_val=0.1)
    (decayed,), (moved,) = weights_and_others(decaying.network)
    torch.testing.assert_close(decayed, weight * (1 - lr * strength) ** steps, rtol=1e-14, atol=0)
    plain = linear_classifier().network
    fit(classifier_of(plain, optimizer=partial(AdamW, lr=lr)), nowhere, 6, gradient_clip_val=0.1)
    assert torch.equal(moved, plain.bias)
    assert not torch.equal(moved, bias)


def test_decoupled_leaves_the_step_of_the_gradient_as_it_is() -> None:
    lr, strength = 0.01, 0.5
    ends = []
    for decay in (weight_decay.none(), weight_decay.decoupled(strength=strength)):
        network = small_network()
        fit(classifier_of(network, optimizer=partial(AdamW, lr=lr), decay=decay), ROWS, 24)
        ends.append(weights_and_others(network))
    (weights, others), (decayed, others_beside) = ends
    for weight, less, start in zip(weights, decayed, weights_and_others(small_network())[0], strict=True):
        torch.testing.assert_close(weight - less, lr * strength * start, rtol=1e-10, atol=1e-15)
    assert all(map(torch.equal, others, others_beside))


def test_none_adds_nothing() -> None:
    network = small_network()
    loss = classifier_of(network, decay=weight_decay.none()).training_step(ROWS, 0)
    assert torch.equal(loss, cross_entropy(network(ROWS.x), ROWS.y))


def test_sklearn_is_l2_with_alpha_over_twice_the_rows_of_the_batch() -> None:
    for count in (24, 10):
        batch = Rows(ROWS.x[:count], ROWS.y[:count])
        losses = [
            classifier_of(small_network(), decay=decay).training_step(batch, 0)
            for decay in (weight_decay.sklearn(alpha=0.7), weight_decay.l2(strength=0.7 / (2 * count)))
        ]
        torch.testing.assert_close(*losses, rtol=1e-14, atol=0)


class LossCurve(Callback):
    """The mean over an epoch's rows of the loss with its penalty, as scikit-learn counts it."""

    def __init__(self) -> None:
        self.curve: list[float] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.total, self.rows = 0.0, 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Rows, batch_idx: int
    ) -> None:
        self.total += outputs["loss"].item() * len(batch.y)
        self.rows += len(batch.y)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.curve.append(self.total / self.rows)


def theirs(batch_size: int, learning_rate_init: float = 0.2, max_iter: int = 8, **keys: Any) -> MLPClassifier:
    """Fitted by scikit-learn, on the rows in their own order."""
    return MLPClassifier(
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
    ).fit(ROWS.x.numpy(), ROWS.y.numpy())


def curve_of_ours(word: str, alpha: float, batch_size: int, start: MLPClassifier, **optimizer: Any) -> list[float]:
    """From the same weights, by a Lightning fit with our penalty."""
    factory = {"logistic": activation.sigmoid}.get(word) or getattr(activation, word)
    maps = [nn.Linear(*weight.shape) for weight in start.coefs_]
    with torch.no_grad():
        for map, weight, bias in zip(maps, start.coefs_, start.intercepts_, strict=True):
            map.double().weight.copy_(torch.from_numpy(weight.T))
            map.bias.copy_(torch.from_numpy(bias))
    functions = [factory(Site(map.out_features, layer, 2)) for layer, map in enumerate(maps[:-1])]
    network = nn.Sequential(maps[0], functions[0], maps[1], functions[1], maps[2])
    classifier = classifier_of(network, partial(SGD, lr=0.2, **optimizer), weight_decay.sklearn(alpha=alpha))
    curve = LossCurve()
    fit(classifier, ROWS, batch_size, max_epochs=8, callbacks=[curve])
    return curve.curve


CASES = [
    *(
        (word, alpha, batch_size, 0.0, False)
        for word in ("relu", "tanh", "logistic")
        for alpha, batch_size in ((0.0, 6), (1e-4, 24), (0.1, 6), (3.0, 12))
    ),
    ("tanh", 0.1, 6, 0.9, False),
    ("tanh", 0.1, 6, 0.9, True),
]


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer. Maximum iterations")  # they are meant to be reached
@pytest.mark.parametrize(("word", "alpha", "batch_size", "momentum", "nesterov"), CASES)
def test_sklearn_reproduces_the_loss_curve_of_scikit_learn(
    word: str, alpha: float, batch_size: int, momentum: float, nesterov: bool
) -> None:
    keys: dict[str, Any] = {"activation": word, "alpha": alpha, "momentum": momentum, "nesterovs_momentum": nesterov}
    start = theirs(batch_size, learning_rate_init=1e-300, max_iter=1, **keys)  # too small a step to change a weight
    ours = curve_of_ours(word, alpha, batch_size, start, momentum=momentum, nesterov=nesterov)
    np.testing.assert_allclose(ours, theirs(batch_size, **keys).loss_curve_, rtol=0, atol=1e-9)


class EveryKind(nn.Module):
    """A network that never runs: its parameters are only sorted."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.bilinear = nn.Bilinear(4, 4, 4)
        self.convolution = nn.Conv2d(4, 4, 3)
        self.transposed = nn.ConvTranspose1d(4, 4, 3)
        self.lstm = nn.LSTM(4, 4, proj_size=2)
        self.attention = nn.MultiheadAttention(4, 2, add_bias_kv=True)
        self.attention_across = nn.MultiheadAttention(4, 2, kdim=3, vdim=5)
        self.layer_norm = nn.LayerNorm((4, 5))
        self.rms_norm = nn.RMSNorm((4, 5))
        self.batch_norm = nn.BatchNorm1d(4)
        self.group_norm = nn.GroupNorm(2, 4)
        self.embedding = nn.Embedding(7, 4)
        self.bag = nn.EmbeddingBag(7, 4)
        self.activation = nn.PReLU(4)
        self.tied_to_embedding = nn.Linear(4, 7)
        self.tied_to_embedding.weight = self.embedding.weight
        self.tied_to_linear = nn.Linear(4, 4, bias=False)
        self.tied_to_linear.weight = self.linear.weight
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.position = nn.Parameter(torch.zeros(5, 4))


DECAYING = {
    "linear.weight",
    "bilinear.weight",
    "convolution.weight",
    "transposed.weight",
    "lstm.weight_ih_l0",
    "lstm.weight_hh_l0",
    "lstm.weight_hr_l0",
    "attention.in_proj_weight",
    "attention.out_proj.weight",
    "attention_across.q_proj_weight",
    "attention_across.k_proj_weight",
    "attention_across.v_proj_weight",
    "attention_across.out_proj.weight",
}


def test_weights_of_every_kind_of_map_decay_and_nothing_else() -> None:
    network = EveryKind()
    names = {id(p): name for name, p in network.named_parameters()}
    weights, others = weight_decay.split(network)
    assert {names[id(p)] for p in weights} == DECAYING
    trainable = [name for name, p in network.named_parameters() if p.requires_grad]
    assert sorted(names[id(p)] for p in weights + others) == sorted(trainable)


def test_the_optimizer_holds_every_trainable_parameter_in_exactly_one_group() -> None:
    network = small_network()
    network[0].requires_grad_(False)
    classifier = classifier_of(network, decay=weight_decay.decoupled(strength=STRENGTH))
    fit(classifier, ROWS, 24)
    groups = classifier.trainer.optimizers[0].param_groups
    assert [group["weight_decay"] for group in groups] == [STRENGTH, 0]
    names = {id(p): name for name, p in network.named_parameters()}
    held = [[names[id(p)] for p in group["params"]] for group in groups]
    assert held == [["3.weight"], ["1.weight", "1.bias", "3.bias"]]


def test_the_split_is_told_once_when_training_starts(caplog: pytest.LogCaptureFixture) -> None:
    network = small_network()
    ours = "your_package"
    with caplog.at_level(logging.INFO, logger=ours):
        fit(classifier_of(network), ROWS, 6, max_epochs=2)
    told = [record.getMessage() for record in caplog.records if record.name.startswith(ours)]
    weights = prod((4, 5)) + prod((5, 3))
    assert [f"{weights} weights" in message and f"{5 + 5 + 5 + 3} biases" in message for message in told] == [True]
