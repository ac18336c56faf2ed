"""Initialisations through 32 layers, the gain of any activation, and the warnings of a mismatch."""

from collections.abc import Callable
from functools import partial
from math import log, sqrt

import pytest
import torch
from my_network.techniques import activation, initialisation, residual
from tests.test_activation import built
from tests.test_initialisation import (
    OPTIONS,
    WIDTH,
    Initialise,
    assert_equal_weights,
    maps,
    network,
)
from torch import Tensor, nn


@pytest.mark.parametrize("option", ["he", "xavier", "lecun", "orthogonal"])
def test_without_residual_awareness_every_layer_starts_as_a_plain_one(option: str) -> None:
    unaware = partial(getattr(initialisation, option), residual_aware=False)
    plain, skip = (network(unaware, connection=connection) for connection in (residual.plain, residual.skip))
    assert_equal_weights(plain, skip)


def test_zero_residual_can_leave_the_identity() -> None:
    made = network(OPTIONS["zero_residual"], depth=5, connection=residual.skip)
    made(torch.randn(3, 40)).sum().backward()
    assert all(layer.branch.outer.weight.grad.any() for layer in made.layers)


def test_zero_residual_is_he_outside_the_zero_maps() -> None:
    zero, he = (maps(network(OPTIONS[option], connection=residual.skip)) for option in ("zero_residual", "he"))
    assert all(torch.equal(zero[name], he[name]) for name in ("stem", "inner", "head"))
    assert_equal_weights(network(OPTIONS["zero_residual"]), network(OPTIONS["he"]))


def test_a_convolution_sums_over_channels_and_positions() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(64, 128, kernel_size=3)
    initialisation.he(convolution, residual_aware=True)
    fan_in = 64 * 3 * 3
    assert convolution.weight.var().item() == pytest.approx(1 / fan_in, rel=5 * sqrt(2 / convolution.weight.numel()))


def test_the_gain_has_its_closed_form_where_there_is_one() -> None:
    assert initialisation.gain(built("relu")) == pytest.approx(sqrt(2), rel=1e-6)
    assert initialisation.gain(built("leaky_relu", slope=0.2)) == pytest.approx(sqrt(2 / (1 + 0.2**2)), rel=1e-6)
    assert initialisation.gain(built("selu")) == pytest.approx(1, rel=1e-6)  # its fixed point
    assert initialisation.gain(nn.Identity()) == pytest.approx(1, rel=1e-6)


class OnlyBelow(nn.Module):
    """An activation that no table of gains lists."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(max=0) * 3


def test_the_gain_is_computed_for_an_activation_of_ones_own() -> None:
    assert initialisation.gain(OnlyBelow()) == pytest.approx(sqrt(2) / 3, rel=1e-6)
    outer = maps(network(OPTIONS["he"], function=lambda context: OnlyBelow()))["outer"]
    assert outer.var().item() == pytest.approx(2 / 9 / WIDTH, rel=0.03)


def growth_through_32_layers(
    initialise: Initialise, connection: Callable[..., nn.Module], function: Callable[..., nn.Module]
) -> tuple[float, float]:
    """The factors by which the mean square of a signal grows on its way up, and that of a gradient on its way down.

    Geometric means over 4 seeds.
    """
    logarithms = []
    for seed in range(4):
        made = network(initialise, depth=32, width=128, connection=connection, function=function, seed=seed)
        x, gradient = torch.randn(64, 128, requires_grad=True), torch.randn(64, 128)
        top = made.layers(x)
        (at_bottom,) = torch.autograd.grad(top, x, gradient)
        of_signal = top.detach().square().mean() / x.detach().square().mean()
        of_gradient = at_bottom.square().mean() / gradient.square().mean()
        logarithms.append([log(of_signal), log(of_gradient)])
    signal, gradient = torch.tensor(logarithms).mean(dim=0).exp().tolist()
    return signal, gradient


# Of 128 units the logarithm of the growth through plain layers scatters by about sqrt(5 * 32 / 128) = 1.1 a seed, 0.6
# over four, and is lower by half that variance: so a factor of 5, where a wrong gain would be off by 2 ** 32.
he_everywhere = partial(initialisation.he, residual_aware=False)


GROWTH: dict[str, tuple[Initialise, Callable[..., nn.Module], float, float]] = {  # what is expected, to which factor
    "He keeps both through plain layers": (OPTIONS["he"], residual.plain, 1, 5),
    "so does a rotation": (OPTIONS["orthogonal"], residual.plain, 1, 5),
    "without the gain ReLU halves both": (OPTIONS["lecun"], residual.plain, 2**-32, 5),
    "Xavier has no gain": (OPTIONS["xavier"], residual.plain, 2**-32, 5),
    "32 residual branches add as much as one": (OPTIONS["he"], residual.skip, (1 + 1 / 32) ** 32, 1.2),
    "He everywhere doubles both": (he_everywhere, residual.skip, 2**32, 5),
    "zero residual changes nothing": (OPTIONS["zero_residual"], residual.skip, 1, 1.0001),  # float32
}


@pytest.mark.parametrize(("initialise", "connection", "expected", "factor"), GROWTH.values(), ids=GROWTH.keys())
def test_signal_and_gradient_grow_through_32_layers_as_theory_has_it(
    initialise: Initialise, connection: Callable[..., nn.Module], expected: float, factor: float
) -> None:
    for growth in growth_through_32_layers(initialise, connection, activation.relu):
        assert expected / factor <= growth <= expected * factor


def test_with_tanh_he_loses_the_gradient_and_xavier_less_so() -> None:
    of_he = growth_through_32_layers(OPTIONS["he"], residual.plain, activation.tanh)[1]
    of_xavier = growth_through_32_layers(OPTIONS["xavier"], residual.plain, activation.tanh)[1]
    assert 1.178**32 / 5 < of_he < 1.178**32 * 5
    assert abs(log(of_xavier)) < abs(log(of_he))


large, constant = (partial(initialisation.normal, std=std) for std in (1.0, 0.0))


GROWS = "4 residual branches start so large that the signal's variance grows"


MISMATCHES = {  # with what is warned of, and the option that repairs it
    "tanh with He": ("tanh", OPTIONS["he"], "gradient's by 1.18", "initialisation=xavier"),
    "sigmoid with He": ("sigmoid", OPTIONS["he"], "gradient's by 0.15", "activation=relu"),
    "He everywhere": ("relu", he_everywhere, GROWS, "initialisation=zero_residual"),
    "a large deviation": ("relu", large, GROWS, "initialisation=zero_residual"),
    "constants": ("relu", constant, "in 10 of 10 linear maps all units start equal", "initialisation=zero_residual"),
}


@pytest.mark.parametrize(("function", "initialise", "evidence", "repair"), MISMATCHES.values(), ids=MISMATCHES.keys())
def test_a_mismatch_is_carried_out_and_warned_of_once_with_what_repairs_it(
    function: str, initialise: Initialise, evidence: str, repair: str, caplog: pytest.LogCaptureFixture
) -> None:
    def warnings(function: str, initialise: Initialise) -> list[str]:
        caplog.clear()
        chosen = getattr(activation, function)
        network(initialise, depth=4, width=64, connection=residual.skip, function=chosen)
        return caplog.messages

    (message,) = warnings(function, initialise)
    assert evidence in message
    assert message.endswith(f"Type {repair}")
    group, _, option = repair.partition("=")
    repaired = (option, initialise) if group == "activation" else (function, OPTIONS[option])
    assert warnings(*repaired) == []


@pytest.mark.parametrize("connection", [residual.skip, residual.plain])
@pytest.mark.parametrize("option", OPTIONS)
def test_an_initialisation_that_fits_is_not_warned_of(
    option: str, connection: Callable[..., nn.Module], caplog: pytest.LogCaptureFixture
) -> None:
    network(OPTIONS[option], depth=16, width=32, connection=connection)
    assert caplog.messages == []
