"""Initialisations: the variance of each weight, and what becomes of signals and gradients through 32 layers.

A variance measured on n normal weights is off by sqrt(2 / n) of itself, one standard deviation: 0.55 % for 256 x 256.
"""

import logging
from collections.abc import Callable
from functools import partial
from math import erf, exp, expm1, log, log1p, pi, sqrt, tanh

import pytest
import torch
from omegaconf import DictConfig
from scipy.integrate import quad
from torch import Tensor, nn

from your_package import activation, dropout, initialisation, normalisation, residual
from your_package.build import build
from your_package.network import MLP, Parts, Site

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
    parts = Parts(depth, function, normalisation.none, dropout.none, connection)
    made = MLP((40,), 10, width=width, parts=parts)
    initialise(made)
    return made


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
    "zero_residual": lambda name: (2 if name == "outer" else 1) / FAN_IN[name],  # no short cut, nothing to be zero
}


@pytest.mark.parametrize("word", VARIANCES)
def test_variances_follow_the_closed_form(word: str) -> None:
    for name, weight in maps(network(OPTIONS[word])).items():
        deviation = sqrt(2 / weight.numel())
        assert weight.var().item() == pytest.approx(VARIANCES[word](name), rel=5 * deviation), name
        assert abs(weight.mean().item()) < 5 * sqrt(VARIANCES[word](name) / weight.numel()), name


def test_orthogonal_maps_keep_every_length_times_the_gain() -> None:
    for name, weight in maps(network(OPTIONS["orthogonal"])).items():
        Q = weight.detach().double()
        Q = Q if Q.shape[0] >= Q.shape[1] else Q.T
        gain_squared = 2 if name == "outer" else 1
        identity = torch.eye(Q.shape[1], dtype=torch.float64)
        torch.testing.assert_close(Q.T @ Q, gain_squared * identity, rtol=0, atol=1e-5)  # float32 weights


@pytest.mark.parametrize("word", ["he", "xavier", "lecun", "orthogonal"])
def test_the_end_of_a_branch_beside_a_short_cut_shrinks_with_the_root_of_the_depth(word: str) -> None:
    depth = 9
    plain = maps(network(OPTIONS[word], depth=depth, connection=residual.plain))
    beside_a_short_cut = maps(network(OPTIONS[word], depth=depth, connection=residual.skip))
    for name, weight in plain.items():
        shrinkage = 3.0 if name == "outer" else 1.0
        torch.testing.assert_close(beside_a_short_cut[name] * shrinkage, weight, rtol=1e-6, atol=0)


@pytest.mark.parametrize("word", ["he", "xavier", "lecun", "orthogonal"])
def test_without_residual_awareness_every_layer_starts_as_without_short_cuts(word: str) -> None:
    unaware = partial(getattr(initialisation, word), residual_aware=False)
    plain, skip = (network(unaware, connection=connection) for connection in (residual.plain, residual.skip))
    assert_equal_weights(plain, skip)


def test_zero_residual_makes_every_layer_the_identity_and_can_leave_it() -> None:
    made = network(OPTIONS["zero_residual"], depth=5, connection=residual.skip)
    x = torch.randn(3, WIDTH)
    for layer in made.layers:
        assert torch.equal(layer(x), x)
    made(torch.randn(3, 40)).sum().backward()
    assert all(layer.branch.outer.weight.grad.any() for layer in made.layers)


def test_zero_residual_is_he_outside_the_zero_maps() -> None:
    zero, he = (maps(network(OPTIONS[word], connection=residual.skip)) for word in ("zero_residual", "he"))
    assert all(torch.equal(zero[name], he[name]) for name in ("stem", "inner", "head"))
    assert_equal_weights(network(OPTIONS["zero_residual"]), network(OPTIONS["he"]))


@pytest.mark.parametrize("word", [word for word in OPTIONS if word != "torch_default"])
def test_biases_start_at_zero(word: str) -> None:
    assert not any(p.any() for name, p in network(OPTIONS[word]).named_parameters() if name.endswith("bias"))


def test_torch_default_changes_nothing() -> None:
    assert_equal_weights(network(OPTIONS["torch_default"]), network(lambda network: None))


def test_a_convolution_sums_over_channels_and_positions() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(64, 128, kernel_size=3)
    initialisation.he(convolution, residual_aware=True)
    fan_in = 64 * 3 * 3
    assert convolution.weight.var().item() == pytest.approx(1 / fan_in, rel=5 * sqrt(2 / convolution.weight.numel()))


@pytest.mark.parametrize("word", OPTIONS)
def test_the_same_seed_gives_the_same_weights_bit_for_bit(word: str) -> None:
    assert_equal_weights(network(OPTIONS[word], seed=3), network(OPTIONS[word], seed=3))
    assert not torch.equal(network(OPTIONS[word], seed=3).head.weight, network(OPTIONS[word], seed=4).head.weight)


def assert_equal_weights(one: nn.Module, other: nn.Module) -> None:
    for (name, p), q in zip(one.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q), name


FUNCTIONS: dict[str, Callable[[float], float]] = {
    "relu": lambda z: max(0, z),
    "leaky_relu": lambda z: z if z > 0 else 0.2 * z,
    "elu": lambda z: z if z > 0 else 0.7 * expm1(z),
    "selu": lambda z: 1.0507009873554805 * (z if z > 0 else 1.6732632423543772 * expm1(z)),
    "gelu": lambda z: z * (1 + erf(z / sqrt(2))) / 2,
    "silu": lambda z: z / (1 + exp(-z)),
    "mish": lambda z: z * tanh(log1p(exp(z))),
    "tanh": tanh,
    "sigmoid": lambda z: 1 / (1 + exp(-z)),
}
KEYS = {"leaky_relu": {"slope": 0.2}, "elu": {"alpha": 0.7}}


def module_of(word: str) -> nn.Module:
    return getattr(activation, word)(Site(1, 0, 1), **KEYS.get(word, {}))


@pytest.mark.parametrize("word", FUNCTIONS)
def test_the_gain_makes_up_for_what_the_activation_takes(word: str) -> None:
    def integrand(z: float) -> float:
        return FUNCTIONS[word](z) ** 2 * exp(-z * z / 2) / sqrt(2 * pi)

    mean_square = quad(integrand, -12, 0)[0] + quad(integrand, 0, 12)[0]
    assert initialisation.gain(module_of(word)) == pytest.approx(1 / sqrt(mean_square), rel=1e-6)


def test_the_gain_has_its_closed_form_where_there_is_one() -> None:
    assert initialisation.gain(module_of("relu")) == pytest.approx(sqrt(2), rel=1e-6)
    assert initialisation.gain(module_of("leaky_relu")) == pytest.approx(sqrt(2 / (1 + 0.2**2)), rel=1e-6)
    assert initialisation.gain(module_of("selu")) == pytest.approx(1, rel=1e-6)  # its fixed point
    assert initialisation.gain(nn.Identity()) == pytest.approx(1, rel=1e-6)


class OnlyBelow(nn.Module):
    """An activation that no table of gains can know."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(max=0) * 3


def test_the_gain_follows_an_activation_that_nobody_listed() -> None:
    assert initialisation.gain(OnlyBelow()) == pytest.approx(sqrt(2) / 3, rel=1e-6)
    outer = maps(network(OPTIONS["he"], function=lambda site: OnlyBelow()))["outer"]
    assert outer.var().item() == pytest.approx(2 / 9 / WIDTH, rel=0.03)


def growth_through_32_layers(
    initialise: Initialise, connection: Callable[..., nn.Module], word: str
) -> tuple[float, float]:
    """By what the mean square of a signal grows on its way up and that of a gradient on its way down, over 4 starts."""
    logarithms = []
    for seed in range(4):
        made = network(initialise, depth=32, connection=connection, function=getattr(activation, word), seed=seed)
        x, gradient = torch.randn(64, WIDTH, requires_grad=True), torch.randn(64, WIDTH)
        top = made.layers(x)
        (at_bottom,) = torch.autograd.grad(top, x, gradient)
        of_signal = top.detach().square().mean() / x.detach().square().mean()
        of_gradient = at_bottom.square().mean() / gradient.square().mean()
        logarithms.append([log(of_signal), log(of_gradient)])
    signal, gradient = torch.tensor(logarithms).mean(dim=0).exp().tolist()
    return signal, gradient


# A finite width makes the logarithm of the growth scatter by about sqrt(5 * 32 / 256) = 0.8 a start, 0.4 over four, and
# lowers it by half that variance: so a factor of 3, where the wrong gain would be off by 2 ** 32.
THREEFOLD = 3


def about(value: float, expected: float) -> bool:
    return expected / THREEFOLD < value < expected * THREEFOLD


@pytest.mark.parametrize("word", ["he", "orthogonal"])
def test_signal_and_gradient_keep_their_scale_through_32_plain_layers(word: str) -> None:
    signal, gradient = growth_through_32_layers(OPTIONS[word], residual.plain, "relu")
    assert about(signal, 1)
    assert about(gradient, 1)


def test_32_branches_beside_short_cuts_add_as_much_as_one() -> None:
    signal, gradient = growth_through_32_layers(OPTIONS["he"], residual.skip, "relu")
    assert signal == pytest.approx((1 + 1 / 32) ** 32, rel=0.2)
    assert gradient == pytest.approx((1 + 1 / 32) ** 32, rel=0.2)


def test_zero_residual_hands_signal_and_gradient_through_as_they_are() -> None:
    assert growth_through_32_layers(OPTIONS["zero_residual"], residual.skip, "relu") == (1, 1)


def test_he_everywhere_doubles_the_signal_in_every_layer_with_a_short_cut() -> None:
    signal, gradient = growth_through_32_layers(partial(initialisation.he, residual_aware=False), residual.skip, "relu")
    assert about(signal, 2**32)
    assert about(gradient, 2**32)


@pytest.mark.parametrize("word", ["lecun", "xavier"])
def test_without_the_gain_relu_halves_the_signal_in_every_plain_layer(word: str) -> None:
    signal, gradient = growth_through_32_layers(OPTIONS[word], residual.plain, "relu")
    assert about(signal, 2**-32)
    assert about(gradient, 2**-32)


@pytest.mark.parametrize("word", FUNCTIONS)
def test_he_keeps_a_normal_signal_through_a_plain_layer_of_any_activation(word: str) -> None:
    made = network(OPTIONS["he"], depth=16, function=lambda site: module_of(word))
    x = torch.randn(64, WIDTH)
    kept = torch.stack([layer(x).square().mean() for layer in made.layers]).mean() / x.square().mean()
    # of one layer it scatters by up to sqrt(2 / 256) = 9 %, of 16 by 2 %
    assert kept.item() == pytest.approx(1, rel=0.1)


def test_with_tanh_he_loses_the_gradient_and_xavier_less_so() -> None:
    of_he = growth_through_32_layers(OPTIONS["he"], residual.plain, "tanh")[1]
    of_xavier = growth_through_32_layers(OPTIONS["xavier"], residual.plain, "tanh")[1]
    assert about(of_he, 1.178**32)
    assert abs(log(of_xavier)) < abs(log(of_he))


MISMATCHES = {
    "tanh with He": (["activation=tanh", "initialisation=he"], "gradient's by 1.18", "initialisation=xavier"),
    "sigmoid with He": (["activation=sigmoid", "initialisation=he"], "gradient's by 0.15", "activation=relu"),
    "He everywhere": (
        ["initialisation=he", "initialisation.residual_aware=false"],
        "4 layers beside short cuts start so strong that the signal's variance grows",
        "initialisation=zero_residual",
    ),
    "a large deviation": (
        ["initialisation=normal", "initialisation.std=1"],
        "4 layers beside short cuts start so strong that the signal's variance grows",
        "initialisation=zero_residual",
    ),
    "constants": (
        ["initialisation=normal", "initialisation.std=0"],
        "in 10 of 10 linear maps all units start the same",
        "initialisation=zero_residual",
    ),
}
Compose = Callable[..., DictConfig]


def warnings_of(config: DictConfig, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="your_package.initialisation"):
        build(config)
    return caplog.messages


@pytest.mark.parametrize(("overrides", "evidence", "remedy"), MISMATCHES.values(), ids=MISMATCHES.keys())
def test_a_mismatch_is_carried_out_and_reported_once_with_what_mends_it(
    overrides: list[str], evidence: str, remedy: str, compose: Compose, caplog: pytest.LogCaptureFixture
) -> None:
    (message,) = warnings_of(compose("data=digits", "residual.depth=4", *overrides), caplog)
    assert evidence in message
    assert message.endswith(f"Type {remedy}")
    replaced = remedy.partition("=")[0]
    mended = [override for override in overrides if not override.startswith(replaced)] + [remedy]
    assert warnings_of(compose("data=digits", "residual.depth=4", *mended), caplog) == []


@pytest.mark.parametrize("connection", [residual.skip, residual.plain])
@pytest.mark.parametrize("word", OPTIONS)
def test_a_start_that_fits_is_not_warned_of(
    word: str, connection: Callable[..., nn.Module], caplog: pytest.LogCaptureFixture
) -> None:
    network(OPTIONS[word], depth=16, width=32, connection=connection)
    assert caplog.messages == []
