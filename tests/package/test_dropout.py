"""Dropout: independence of what is zeroed, and what it does inside a network."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from my_network.networks.mlp import MLP
from my_network.techniques import dropout
from tests.fitting import layer_factories
from tests.test_dropout import CONTEXT, RATE, TECHNIQUES, assert_share, seed  # noqa: F401
from torch import nn


def test_units_and_samples_are_zeroed_independently() -> None:
    masks = TECHNIQUES["standard"].train()(torch.ones(200, 50)) == 0
    assert len(masks.unique(dim=0)) == 200
    for one, other in ((masks[:, 0], masks[:, 1]), (masks[0::2].flatten(), masks[1::2].flatten())):
        assert_share(one & other, RATE**2)


def test_the_same_sample_twice_in_a_batch_gives_two_outputs_in_training_and_one_in_evaluation() -> None:
    factories = layer_factories(depth=2, dropout=partial(dropout.standard, rate=RATE))
    network = MLP((4,), 3, width=50, layers=factories)
    x = torch.randn(1, 4).expand(2, 4)
    one, other = network.train()(x)
    assert not torch.allclose(one, other, rtol=1e-3)
    # Not bit for bit: a matrix product may add the terms of each sample of a batch in another order.
    torch.testing.assert_close(*network.eval()(x))


@pytest.mark.parametrize("technique", [dropout.standard, dropout.stochastic_depth])
def test_a_rate_of_zero_is_the_identity(technique: Callable[..., nn.Module]) -> None:
    x = torch.randn(20, 50)
    torch.testing.assert_close(technique(CONTEXT, rate=0.0).train()(x), x)


def test_a_layer_whose_branch_is_silenced_is_its_skip_connection() -> None:
    factories = layer_factories(depth=1, dropout=partial(dropout.stochastic_depth, rate=0.5))
    (layer,) = MLP((4,), 3, width=50, layers=factories).layers
    nn.init.zeros_(layer.branch.outer.bias)  # the bias stays
    x = torch.randn(400, 50)
    assert_share(torch.isclose(layer.train()(x), x).all(dim=1), 0.5)
