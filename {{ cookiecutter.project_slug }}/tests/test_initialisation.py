"""Initialisations: the variance of each weight, and what becomes of signals and gradients through 32 layers.

A variance measured on n normal weights is off by sqrt(2 / n) of itself, one standard deviation: 0.55 % for 256 x 256.
"""

from collections.abc import Callable
from functools import partial
from math import exp, pi, sqrt

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import Tensor, nn

from your_package.networks.mlp import MLP
from your_package.techniques import activation, initialisation, residual

from tests.fitting import layer_factories
from tests.test_activation import KNOWN, built

WIDTH = 256
Initialise = Callable[[nn.Module], None]

OPTIONS: dict[str, Initialise] = {
    "torch_default": initialisation.torch_default,
    "he": partial(initialisation.he, residual_aware=True),
    "xavier": partial(initialisation.xavier, residual_aware=True),
    "lecun": partial(initialisation.lecun, residual_aware=True),
    "orthogonal": partial(initialisation.orthogonal, residual_aware=True),
    "normal": partial(initialisation.normal, std=0.05),
    "zero_residual": initialisation.zero_residual,
}


def network(
    initialise: Initialise,
    *,
    depth: int = 2,
    width: int = WIDTH,
    connection: Callable[..., nn.Module] = residual.plain,
    function: Callable[..., nn.Module] = activation.relu,
    seed: int = 0,
) -> MLP:
    torch.manual_seed(seed)
    factories = layer_factories(depth=depth, activation=function, connection=connection, initialisation=initialise)
    return MLP((40,), 10, width=width, layers=factories)


def maps(made: MLP) -> dict[str, Tensor]:
    """One weight of every kind."""
    branch = made.layers[0].branch
    return {
        "stem": made.stem[1].weight,
        "inner": branch.inner.weight,
        "outer": branch.outer.weight,
        "head": made.head.weight,
    }


FAN_IN = {"stem": 40, "inner": WIDTH, "outer": WIDTH, "head": WIDTH}
FAN_OUT = {"stem": WIDTH, "inner": WIDTH, "outer": WIDTH, "head": 10}
VARIANCES: dict[str, Callable[[str], float]] = {
    "torch_default": lambda name: 1 / (3 * FAN_IN[name]),
    "he": lambda name: (2 if name == "outer" else 1) / FAN_IN[name],  # only the outer map follows a ReLU
    "xavier": lambda name: 2 / (FAN_IN[name] + FAN_OUT[name]),
    "lecun": lambda name: 1 / FAN_IN[name],
    "normal": lambda name: 0.05**2,
    "zero_residual": lambda name: (
        (2 if name == "outer" else 1) / FAN_IN[name]
    ),  # no skip connection, nothing to be zero
}


@pytest.mark.parametrize("option", VARIANCES)
def test_variances_follow_the_closed_form_and_biases_start_at_zero(option: str) -> None:
    made = network(OPTIONS[option])
    for name, weight in maps(made).items():
        deviation = sqrt(2 / weight.numel())
        assert weight.var().item() == pytest.approx(VARIANCES[option](name), rel=5 * deviation), name
        assert abs(weight.mean().item()) < 5 * sqrt(VARIANCES[option](name) / weight.numel()), name
    biases = [p for name, p in made.named_parameters() if name.endswith("bias")]
    assert option == "torch_default" or not any(bias.any() for bias in biases)


def test_orthogonal_maps_keep_every_length_times_the_gain() -> None:
    for name, weight in maps(network(OPTIONS["orthogonal"])).items():
        Q = weight.detach().double()
        Q = Q if Q.shape[0] >= Q.shape[1] else Q.T
        gain_squared = 2 if name == "outer" else 1
        identity = torch.eye(Q.shape[1], dtype=torch.float64)
        torch.testing.assert_close(Q.T @ Q, gain_squared * identity, rtol=0, atol=1e-5)  # float32 weights


@pytest.mark.parametrize("option", ["he", "xavier", "lecun", "orthogonal"])
def test_the_end_of_a_branch_beside_a_skip_connection_shrinks_with_the_root_of_the_depth(option: str) -> None:
    depth = 9
    plain = maps(network(OPTIONS[option], depth=depth, connection=residual.plain))
    beside_a_skip = maps(network(OPTIONS[option], depth=depth, connection=residual.skip))
    for name, weight in plain.items():
        shrinkage = 3.0 if name == "outer" else 1.0
        torch.testing.assert_close(beside_a_skip[name] * shrinkage, weight, rtol=1e-6, atol=0)


def test_torch_default_changes_nothing() -> None:
    assert_equal_weights(network(OPTIONS["torch_default"]), network(lambda network: None))


@pytest.mark.parametrize("option", OPTIONS)
def test_the_same_seed_gives_the_same_weights_bit_for_bit(option: str) -> None:
    assert_equal_weights(network(OPTIONS[option], seed=3), network(OPTIONS[option], seed=3))
    assert not torch.equal(network(OPTIONS[option], seed=3).head.weight, network(OPTIONS[option], seed=4).head.weight)


def assert_equal_weights(one: nn.Module, other: nn.Module) -> None:
    for (name, p), q in zip(one.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q), name


@pytest.mark.parametrize("option", KNOWN)
def test_the_gain_makes_up_for_the_power_that_the_activation_removes(option: str) -> None:
    def integrand(z: float) -> float:
        return float(KNOWN[option].value(np.array(z))) ** 2 * exp(-z * z / 2) / sqrt(2 * pi)

    mean_square = quad(integrand, -12, 0)[0] + quad(integrand, 0, 12)[0]
    module = built(option, **KNOWN[option].keys)
    assert initialisation.gain(module) == pytest.approx(1 / sqrt(mean_square), rel=1e-6)


@pytest.mark.parametrize("option", KNOWN)
def test_he_keeps_a_normal_signal_through_a_plain_layer_of_any_activation(option: str) -> None:
    made = network(OPTIONS["he"], depth=16, function=lambda context: built(option))
    x = torch.randn(64, WIDTH)
    kept = torch.stack([layer(x).square().mean() for layer in made.layers]).mean() / x.square().mean()
    # of one layer it scatters by up to sqrt(2 / 256) = 9 %, of 16 by 2 %
    assert kept.item() == pytest.approx(1, rel=0.1)
