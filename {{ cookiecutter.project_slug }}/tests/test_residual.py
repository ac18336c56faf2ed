"""Residual layers: what they compute, and what reaches the layers below."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor, nn

from your_package.network import Branch, Site
from your_package.residual import plain, skip

from tests.conftest import PROJECT

NETWORKS = [path.stem for path in (PROJECT / "configs" / "network").glob("*.yaml") if path.stem != "own"]
DEPTHS = [*(f"residual={word}" for word in ("none", "shallow", "medium", "deep", "very_deep")), "residual.depth=1"]
SITE = Site(width=5, layer=0, depth=1)


def branch() -> Branch:
    torch.manual_seed(0)
    return Branch(nn.Identity(), nn.Linear(5, 5), nn.Tanh(), nn.Identity(), nn.Linear(5, 5)).double()


def rows() -> Tensor:
    return torch.randn(7, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def by_hand(branch: Branch, x: Tensor) -> np.ndarray:
    inner, outer = branch.inner, branch.outer
    assert isinstance(inner, nn.Linear)
    assert isinstance(outer, nn.Linear)
    U, a, V, b = (p.detach().numpy() for p in (inner.weight, inner.bias, outer.weight, outer.bias))
    return np.tanh(x.numpy() @ U.T + a) @ V.T + b


def jacobian(layer: nn.Module, x: Tensor) -> Tensor:
    return torch.autograd.functional.jacobian(layer, x)


def network_of(config: DictConfig) -> nn.Module:
    return instantiate(config.network)((8, 8), 10)


def test_a_layer_with_a_short_cut_adds_the_branch_to_what_it_is_given() -> None:
    F = branch()
    np.testing.assert_allclose(skip(F, SITE)(rows()).detach(), by_hand(F, rows()) + rows().numpy(), rtol=1e-13)


def test_a_plain_layer_is_the_branch_alone() -> None:
    F = branch()
    np.testing.assert_allclose(plain(F, SITE)(rows()).detach(), by_hand(F, rows()), rtol=1e-13)


def test_gradients_reach_the_input_unchanged_beside_a_zero_branch() -> None:
    F = branch()
    nn.init.zeros_(F.outer.weight)
    x = rows()[0]
    assert torch.equal(jacobian(skip(F, SITE), x), torch.eye(5, dtype=torch.float64))
    assert not jacobian(plain(F, SITE), x).any()


def test_the_short_cut_adds_the_identity_to_the_jacobian() -> None:
    F, x = branch(), rows()[0]
    difference = jacobian(skip(F, SITE), x) - jacobian(plain(F, SITE), x)
    torch.testing.assert_close(difference, torch.eye(5, dtype=torch.float64), rtol=0, atol=1e-15)


@pytest.mark.parametrize("network", NETWORKS)
def test_without_short_cuts_there_are_the_same_parameters(network: str, compose: Callable[..., DictConfig]) -> None:
    common = (f"network={network}", "network.width=8", "residual.depth=4")
    with_short_cuts = network_of(compose("residual=medium", *common))
    without = network_of(compose("residual=none", *common))
    shapes = [(name, p.shape) for name, p in with_short_cuts.named_parameters()]
    assert shapes == [(name, p.shape) for name, p in without.named_parameters()]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("override", DEPTHS)
def test_depth_counts_layers(network: str, override: str, compose: Callable[..., DictConfig]) -> None:
    config = compose(f"network={network}", "network.width=8", override)
    layers = [module for module in network_of(config).modules() if hasattr(module, "short_cut")]
    assert len(layers) == config.residual.depth
    assert [layer.site.layer for layer in layers] == list(range(config.residual.depth))
    assert {layer.site.depth for layer in layers} == {config.residual.depth}
    assert {layer.short_cut for layer in layers} == {override != "residual=none"}
