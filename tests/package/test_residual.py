"""Residual layers: gradients beside a zero branch, and the parameters of both kinds."""

import pytest
from my_network.techniques.residual import plain, skip
from tests.fitting import small_network
from tests.test_residual import (
    CONTEXT,
    IDENTITY,
    NETWORKS,
    assert_close,
    branch,
    jacobian,
)
from torch import nn


def test_gradients_reach_the_input_unchanged_beside_a_zero_branch() -> None:
    F = branch()
    nn.init.zeros_(F.outer.weight)
    assert_close(jacobian(skip(F, CONTEXT)), IDENTITY)
    assert_close(jacobian(plain(F, CONTEXT)), 0 * IDENTITY)


@pytest.mark.parametrize("network", NETWORKS)
def test_both_kinds_of_layers_have_the_same_parameters(network: str) -> None:
    with_skip, without = (small_network(network, depth=4, connection=connection) for connection in (skip, plain))
    shapes = [(name, p.shape) for name, p in with_skip.named_parameters()]
    assert shapes == [(name, p.shape) for name, p in without.named_parameters()]
