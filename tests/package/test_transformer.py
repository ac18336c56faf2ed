"""The transformer: what it knows of positions, and how its maps start."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from my_network.techniques import initialisation, normalisation
from tests.test_transformer import network
from torch import nn


@pytest.mark.parametrize("normalise", [normalisation.none, normalisation.layer, normalisation.rms, normalisation.batch])
def test_layers_treat_positions_alike_and_only_the_learnt_ones_tell_them_apart(
    normalise: Callable[..., nn.Module],
) -> None:
    transformer = network((12,), normalisation=normalise, patch=1)  # so that a patch is one number
    x, order = torch.randn(3, 12).double(), torch.randperm(12)
    h = torch.randn(3, 12, 8).double()
    torch.testing.assert_close(transformer.layers(h[:, order]), transformer.layers(h)[:, order], rtol=1e-11, atol=1e-12)
    with torch.no_grad():
        transformer.positions.copy_(torch.randn(12, 8))
        assert not torch.allclose(transformer(x[:, order]), transformer(x), rtol=1e-3)
        transformer.positions.zero_()
        torch.testing.assert_close(transformer(x[:, order]), transformer(x), rtol=1e-11, atol=1e-12)


def test_queries_keys_and_values_start_as_maps_of_their_own() -> None:
    transformer = network((40,), initialisation=partial(initialisation.orthogonal, residual_aware=True))
    attention = transformer.layers[0].branch.inner
    identity = torch.eye(8, dtype=torch.float64)
    for map in (attention.query, attention.key, attention.value):
        torch.testing.assert_close(map.weight @ map.weight.T, identity, rtol=0, atol=1e-6)  # initialised in float32
