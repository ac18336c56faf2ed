"""Dropout: what is silenced, how often, and what is left alone. Counts are held to five standard deviations."""

from math import sqrt

import pytest
import torch
from torch import nn

from your_package import activation, dropout, normalisation, residual
from your_package.check import RULES
from your_package.network import MLP, Parts, Site

RATE = 0.3
SITE = Site(width=50, layer=0, depth=1)
TECHNIQUES = {
    "standard": dropout.standard(SITE, rate=RATE),
    "stochastic_depth": dropout.stochastic_depth(SITE, rate=RATE),
}
each_technique = pytest.mark.parametrize("module", TECHNIQUES.values(), ids=TECHNIQUES.keys())


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def assert_share(silenced: torch.Tensor, rate: float) -> None:
    """That as large a part of independent trials came true as a probability of ``rate`` allows."""
    deviation = sqrt(rate * (1 - rate) / silenced.numel())
    assert abs(silenced.double().mean().item() - rate) < 5 * deviation


def test_a_unit_is_silenced_with_the_rate_and_scaled_up_otherwise() -> None:
    y = TECHNIQUES["standard"].train()(torch.ones(2000, 50, dtype=torch.float64))
    assert_share(y == 0, RATE)
    torch.testing.assert_close(y[y != 0], torch.full_like(y[y != 0], 1 / (1 - RATE)))


def test_every_row_has_a_thinned_network_of_its_own() -> None:
    masks = TECHNIQUES["standard"].train()(torch.ones(200, 50)) == 0
    assert len(masks.unique(dim=0)) == 200
    for one, other in ((masks[:, 0], masks[:, 1]), (masks[0::2].flatten(), masks[1::2].flatten())):
        assert_share(one & other, RATE**2)  # units and rows are silenced independently


def test_the_same_row_twice_in_a_batch_takes_two_ways_through_a_network() -> None:
    parts = Parts(2, activation.relu, normalisation.none, lambda site: dropout.standard(site, rate=RATE), residual.skip)
    network = MLP((4,), 3, width=50, parts=parts)
    x = torch.randn(1, 4).expand(2, 4)
    one, other = network.train()(x)
    assert not torch.equal(one, other)
    one, other = network.eval()(x)
    assert torch.equal(one, other)


@each_technique
def test_the_expectation_is_kept(module: nn.Module) -> None:
    rows = 40_000
    mean = module.train()(torch.ones(rows, 1, dtype=torch.float64)).mean().item()
    assert abs(mean - 1) < 5 * sqrt(RATE / (1 - RATE) / rows)  # the variance of a scaled-up coin


@each_technique
def test_evaluation_is_the_identity(module: nn.Module) -> None:
    x = torch.randn(20, 50)
    assert torch.equal(module.eval()(x), x)


@pytest.mark.parametrize("technique", [dropout.standard, dropout.stochastic_depth])
def test_a_rate_of_zero_is_the_identity(technique) -> None:
    x = torch.randn(20, 50)
    assert torch.equal(technique(SITE, rate=0.0).train()(x), x)


def test_none_keeps_every_unit() -> None:
    x = torch.randn(20, 50)
    assert torch.equal(dropout.none(SITE).train()(x), x)


@pytest.mark.parametrize("depth", [1, 4])
@pytest.mark.parametrize("layer", range(4))
def test_stochastic_depth_silences_layer_l_of_L_with_rate_times_l_plus_1_over_L(layer: int, depth: int) -> None:
    layer = min(layer, depth - 1)
    module = dropout.stochastic_depth(Site(50, layer, depth), rate=RATE).train()
    rate = RATE * (layer + 1) / depth
    y = module(torch.ones(20_000, 1, dtype=torch.float64))
    assert_share(y == 0, rate)
    torch.testing.assert_close(y[y != 0], torch.full_like(y[y != 0], 1 / (1 - rate)))


@pytest.mark.parametrize("shape", [(300, 50), (300, 8, 6), (300, 3, 4, 5)])
def test_stochastic_depth_keeps_or_silences_whole_rows(shape: tuple[int, ...]) -> None:
    silenced = (TECHNIQUES["stochastic_depth"].train()(torch.ones(shape)) == 0).flatten(start_dim=1)
    assert torch.equal(silenced.all(dim=1), silenced.any(dim=1))
    assert_share(silenced[:, 0], RATE)


def test_a_layer_whose_branch_is_silenced_is_its_short_cut() -> None:
    parts = Parts(
        1, activation.relu, normalisation.none, lambda site: dropout.stochastic_depth(site, rate=0.5), residual.skip
    )
    (layer,) = MLP((4,), 3, width=50, parts=parts).layers
    nn.init.zeros_(layer.branch.outer.bias)  # the bias is not silenced
    x = torch.randn(400, 50)
    assert_share((layer.train()(x) == x).all(dim=1), 0.5)


@pytest.mark.parametrize(("rate", "accepted"), [(-0.1, False), (0.0, True), (0.999, True), (1.0, False), (1.5, False)])
def test_a_rate_is_a_probability_below_one(rate: float, accepted: bool) -> None:
    assert RULES["dropout.rate"].holds(rate) == accepted
