"""Initialisations: the variance of each weight, and what becomes of signals and gradients through 32 layers.

A variance measured on n normal weights is off by sqrt(2 / n) of itself, one standard deviation: 0.55 % for 256 x 256.
"""

from collections.abc import Callable
from functools import partial
from math import exp, log, pi, sqrt

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


def test_torch_default_changes_nothing() -> None:
    assert_equal_weights(network(OPTIONS["torch_default"]), network(lambda network: None))


def test_a_convolution_sums_over_channels_and_positions() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(64, 128, kernel_size=3)
    initialisation.he(convolution, residual_aware=True)
    fan_in = 64 * 3 * 3
    assert convolution.weight.var().item() == pytest.approx(1 / fan_in, rel=5 * sqrt(2 / convolution.weight.numel()))


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


@pytest.mark.parametrize("option", KNOWN)
def test_he_keeps_a_normal_signal_through_a_plain_layer_of_any_activation(option: str) -> None:
    made = network(OPTIONS["he"], depth=16, function=lambda context: built(option))
    x = torch.randn(64, WIDTH)
    kept = torch.stack([layer(x).square().mean() for layer in made.layers]).mean() / x.square().mean()
    # of one layer it scatters by up to sqrt(2 / 256) = 9 %, of 16 by 2 %
    assert kept.item() == pytest.approx(1, rel=0.1)


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
