"""Activations against their formulas in float64, and what is measured of them against what is known."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from numpy import cosh, exp, log1p, ndarray, where
from omegaconf import OmegaConf
from scipy.special import erf
from torch import nn

from your_package import activation
from your_package.network import Site

from tests.conftest import PROJECT

SITE = Site(width=8, layer=0, depth=1)
Z = np.concatenate([np.linspace(-20, 20, 4001), [-1e-9, 1e-9, -700.0, 700.0]])  # holds 0
SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717  # of the paper's appendix


def sigmoid(z: ndarray) -> ndarray:
    return where(z >= 0, 1, exp(-abs(z))) / (1 + exp(-abs(z)))


def softplus(z: ndarray) -> ndarray:
    return np.maximum(z, 0) + log1p(exp(-abs(z)))


def sech_squared(z: ndarray) -> ndarray:
    return 1 / cosh(np.clip(z, -300, 300)) ** 2  # far out both are 0, and cosh would overflow


def normal_cdf(z: ndarray) -> ndarray:
    return (1 + erf(z / np.sqrt(2))) / 2


def normal_density(z: ndarray) -> ndarray:
    return exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


def below(z: ndarray) -> ndarray:
    return np.minimum(z, 0)  # where the other branch of ``where`` would overflow


class Known(NamedTuple):
    """What mathematics says of an activation with the given keys."""

    keys: dict[str, float]
    value: Callable[[ndarray], ndarray]
    derivative: Callable[[ndarray], ndarray]
    saturates: bool = False
    can_die: bool = False


KNOWN = {
    "relu": Known({}, lambda z: np.maximum(z, 0), lambda z: where(z > 0, 1.0, 0.0), can_die=True),
    "leaky_relu": Known({"slope": 0.2}, lambda z: where(z > 0, z, 0.2 * z), lambda z: where(z > 0, 1, 0.2)),
    "elu": Known(
        {"alpha": 0.7},
        lambda z: where(z > 0, z, 0.7 * np.expm1(below(z))),
        lambda z: where(z > 0, 1, 0.7 * exp(below(z))),
    ),
    "selu": Known(
        {},
        lambda z: SELU_SCALE * where(z > 0, z, SELU_ALPHA * np.expm1(below(z))),
        lambda z: SELU_SCALE * where(z > 0, 1, SELU_ALPHA * exp(below(z))),
    ),
    "gelu": Known({}, lambda z: z * normal_cdf(z), lambda z: normal_cdf(z) + z * normal_density(z)),
    "silu": Known({}, lambda z: z * sigmoid(z), lambda z: sigmoid(z) * (1 + z * sigmoid(-z))),
    "mish": Known(
        {},
        lambda z: z * np.tanh(softplus(z)),
        lambda z: np.tanh(softplus(z)) + z * sech_squared(softplus(z)) * sigmoid(z),
    ),
    "tanh": Known({}, np.tanh, sech_squared, saturates=True),
    "sigmoid": Known({}, sigmoid, lambda z: sigmoid(z) * sigmoid(-z), saturates=True),
}


def built(word: str, **keys: Any) -> nn.Module:
    return instantiate(OmegaConf.load(PROJECT / "configs" / "activation" / f"{word}.yaml"), **keys)(SITE)


def test_every_activation_is_known_here() -> None:
    words = {path.stem for path in (PROJECT / "configs" / "activation").glob("*.yaml")}
    assert set(KNOWN) == words, f"say in KNOWN what is true of {', '.join(set(KNOWN) ^ words)}"


@pytest.mark.parametrize("word", KNOWN)
def test_values_follow_the_formula(word: str) -> None:
    values = built(word, **KNOWN[word].keys)(torch.from_numpy(Z)).numpy()
    # near 0 and far below, both sides cancel to a few units in the last place of 1
    np.testing.assert_allclose(values, KNOWN[word].value(Z), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("word", KNOWN)
def test_gradients_follow_the_derivative(word: str) -> None:
    slopes = activation.derivative(built(word, **KNOWN[word].keys), torch.from_numpy(Z)).numpy()
    np.testing.assert_allclose(slopes, KNOWN[word].derivative(Z), rtol=1e-12, atol=1e-14)


def test_the_derivative_of_relu_at_zero_is_zero() -> None:
    at_zero = torch.tensor([0.0, -0.0, 1e-45])  # the last is the smallest number above 0
    assert activation.derivative(built("relu"), at_zero).tolist() == [0, 0, 1]


@pytest.mark.parametrize("word", KNOWN)
def test_saturation_is_measured_where_it_is_known(word: str) -> None:
    assert activation.saturates(built(word)) == KNOWN[word].saturates


@pytest.mark.parametrize("word", KNOWN)
def test_death_is_measured_where_it_is_known(word: str) -> None:
    assert activation.can_die(built(word)) == KNOWN[word].can_die


@pytest.mark.parametrize(
    ("module", "saturates", "can_die"),
    [
        (nn.Identity(), False, False),
        (nn.ReLU(inplace=True), False, True),
        (nn.ReLU6(), True, True),
        (nn.Hardtanh(), True, True),
        (nn.Hardsigmoid(), True, True),
        (nn.Softsign(), True, False),
        (nn.Softplus(), False, False),
        (nn.PReLU(), False, False),
        (nn.LeakyReLU(0.0), False, True),
    ],
    ids=str,
)
def test_both_are_measured_of_modules_that_nobody_listed(module: nn.Module, saturates: bool, can_die: bool) -> None:
    with torch.no_grad():
        assert (activation.saturates(module), activation.can_die(module)) == (saturates, can_die)


def test_measuring_leaves_no_trace_in_a_module() -> None:
    module = nn.PReLU()
    activation.saturates(module)
    assert module.weight.grad is None


@pytest.mark.parametrize("word", KNOWN)
def test_a_unit_far_below_learns_unless_it_can_die(word: str) -> None:
    layer = nn.Linear(8, 1)
    nn.init.constant_(layer.bias, -6)
    built(word)(layer(torch.randn(64, 8, generator=torch.Generator().manual_seed(0)) / 8)).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.any().item() != KNOWN[word].can_die
