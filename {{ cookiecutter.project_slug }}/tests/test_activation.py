"""Activations against their formulas and derivatives in float64."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from numpy import exp, ndarray, where
from omegaconf import OmegaConf
from scipy.special import expit, ndtr
from torch import nn

from your_package.networks.layers import LayerContext

from tests.conftest import CONFIGS

CONTEXT = LayerContext(width=8, layer=0, depth=1)
Z = np.concatenate([np.linspace(-20, 20, 4001), [-1e-9, 1e-9, -700.0, 700.0]])  # includes 0
SELU_SCALE, SELU_ALPHA = (
    1.0507009873554804934193349852946,
    1.6732632423543772848170429916717,
)  # from the paper's appendix


def sech_squared(z: ndarray) -> ndarray:
    return 1 - np.tanh(z) ** 2


def softplus(z: ndarray) -> ndarray:
    return np.logaddexp(0, z)


def below(z: ndarray) -> ndarray:
    return np.minimum(z, 0)  # where the other branch of ``where`` would overflow


class Known(NamedTuple):
    """What mathematics says of an activation with the given keys."""

    keys: dict[str, float]
    value: Callable[[ndarray], ndarray]
    derivative: Callable[[ndarray], ndarray]
    saturates: bool = False  # on both sides: its derivative approaches 0
    can_die: bool = False  # its derivative is 0 for every value below some value


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
    "gelu": Known({}, lambda z: z * ndtr(z), lambda z: ndtr(z) + z * exp(-(z**2) / 2) / np.sqrt(2 * np.pi)),
    "silu": Known({}, lambda z: z * expit(z), lambda z: expit(z) * (1 + z * expit(-z))),
    "mish": Known(
        {},
        lambda z: z * np.tanh(softplus(z)),
        lambda z: np.tanh(softplus(z)) + z * sech_squared(softplus(z)) * expit(z),
    ),
    "tanh": Known({}, np.tanh, sech_squared, saturates=True),
    "sigmoid": Known({}, expit, lambda z: expit(z) * expit(-z), saturates=True),
}


def built(option: str, **keys: Any) -> nn.Module:
    return instantiate(OmegaConf.load(CONFIGS / "activation" / f"{option}.yaml"), **keys)(CONTEXT)


def derivative(module: nn.Module, z: ndarray) -> ndarray:
    values = torch.from_numpy(z).requires_grad_()
    (slopes,) = torch.autograd.grad(module(values.clone()).sum(), values)
    return slopes.numpy()


def test_every_activation_is_known_here() -> None:
    options = {path.stem for path in (CONFIGS / "activation").glob("*.yaml")}
    assert set(KNOWN) == options, f"say in KNOWN what is true of {', '.join(set(KNOWN) ^ options)}"


@pytest.mark.parametrize("option", KNOWN)
def test_values_follow_the_formula(option: str) -> None:
    values = built(option, **KNOWN[option].keys)(torch.from_numpy(Z)).numpy()
    # near 0 and far below, both sides cancel to a few units in the last place of 1
    np.testing.assert_allclose(values, KNOWN[option].value(Z), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("option", KNOWN)
def test_gradients_follow_the_derivative(option: str) -> None:
    slopes = derivative(built(option, **KNOWN[option].keys), Z)
    np.testing.assert_allclose(slopes, KNOWN[option].derivative(Z), rtol=1e-12, atol=1e-14)


def test_the_derivative_of_relu_at_zero_is_zero() -> None:
    assert derivative(built("relu"), np.array([0.0, -0.0, 1e-30])).tolist() == [0, 0, 1]


@pytest.mark.parametrize("option", KNOWN)
def test_an_activation_saturates_on_both_sides_where_it_is_known_to(option: str) -> None:
    slopes = derivative(built(option), np.array([-20.0, 20.0]))
    assert (abs(slopes) < 0.01).all() == KNOWN[option].saturates


@pytest.mark.parametrize("option", KNOWN)
def test_a_unit_far_below_zero_learns_unless_it_can_die(option: str) -> None:
    layer = nn.Linear(8, 1)
    nn.init.constant_(layer.bias, -6)
    built(option)(layer(torch.randn(64, 8, generator=torch.Generator().manual_seed(0)) / 8)).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.any().item() != KNOWN[option].can_die
