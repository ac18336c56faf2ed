"""Dropout: what is zeroed, how often, and what stays as it is. Counts are held to five standard deviations."""

from math import sqrt

import pytest
import torch
from torch import nn

from your_package.networks.layers import LayerContext
from your_package.techniques import dropout

RATE = 0.3
CONTEXT = LayerContext(width=50, layer=0, depth=1)
TECHNIQUES = {
    "standard": dropout.standard(CONTEXT, rate=RATE),
    "stochastic_depth": dropout.stochastic_depth(CONTEXT, rate=RATE),
}
each_technique = pytest.mark.parametrize("module", TECHNIQUES.values(), ids=TECHNIQUES.keys())


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def assert_share(zeroed: torch.Tensor, rate: float) -> None:
    """The share of independent trials that came true is what a probability of ``rate`` allows."""
    deviation = sqrt(rate * (1 - rate) / zeroed.numel())
    assert abs(zeroed.double().mean().item() - rate) < 5 * deviation


def test_a_unit_is_zeroed_with_the_rate_and_scaled_up_otherwise() -> None:
    y = TECHNIQUES["standard"].train()(torch.ones(2000, 50, dtype=torch.float64))
    assert_share(y == 0, RATE)
    torch.testing.assert_close(y[y != 0], torch.full_like(y[y != 0], 1 / (1 - RATE)))


@each_technique
def test_the_expectation_is_kept(module: nn.Module) -> None:
    count = 40_000
    mean = module.train()(torch.ones(count, 1, dtype=torch.float64)).mean().item()
    assert abs(mean - 1) < 5 * sqrt(RATE / (1 - RATE) / count)  # the variance of a scaled-up coin


@each_technique
def test_evaluation_is_the_identity(module: nn.Module) -> None:
    x = torch.randn(20, 50)
    torch.testing.assert_close(module.eval()(x), x)


def test_none_keeps_every_unit() -> None:
    x = torch.randn(20, 50)
    assert dropout.none(CONTEXT).train()(x) is x


@pytest.mark.parametrize("depth", [1, 4])
@pytest.mark.parametrize("layer", range(4))
def test_stochastic_depth_silences_layer_l_of_L_with_rate_times_l_plus_1_over_L(layer: int, depth: int) -> None:
    layer = min(layer, depth - 1)
    module = dropout.stochastic_depth(LayerContext(50, layer, depth), rate=RATE).train()
    rate = RATE * (layer + 1) / depth
    y = module(torch.ones(20_000, 1, dtype=torch.float64))
    assert_share(y == 0, rate)
    torch.testing.assert_close(y[y != 0], torch.full_like(y[y != 0], 1 / (1 - rate)))


@pytest.mark.parametrize("shape", [(300, 50), (300, 8, 6), (300, 3, 4, 5)])
def test_stochastic_depth_keeps_or_silences_whole_samples(shape: tuple[int, ...]) -> None:
    zeroed = (TECHNIQUES["stochastic_depth"].train()(torch.ones(shape)) == 0).flatten(start_dim=1)
    assert torch.equal(zeroed.all(dim=1), zeroed.any(dim=1))
    assert_share(zeroed[:, 0], RATE)
