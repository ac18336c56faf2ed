"""Residual layers: what they compute, and which gradients reach the layers below."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from your_package.networks.layers import Branch, LayerContext
from your_package.techniques import residual
from your_package.techniques.residual import plain, skip

from tests.conftest import CONFIGS
from tests.fitting import small_network

NETWORKS = [path.stem for path in (CONFIGS / "network").glob("*.yaml") if path.stem != "custom"]
OPTIONS = [path.stem for path in (CONFIGS / "residual").glob("*.yaml")]
CONTEXT = LayerContext(width=5, layer=0, depth=1)
IDENTITY = torch.eye(5, dtype=torch.float64)


def branch() -> Branch:
    torch.manual_seed(0)
    return Branch(nn.Identity(), nn.Linear(5, 5), nn.Tanh(), nn.Identity(), nn.Linear(5, 5)).double()


def inputs() -> Tensor:
    return torch.randn(7, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def by_hand(branch: Branch, x: Tensor) -> np.ndarray:
    inner, outer = branch.inner, branch.outer
    assert isinstance(inner, nn.Linear)
    assert isinstance(outer, nn.Linear)
    U, a, V, b = (p.detach().numpy() for p in (inner.weight, inner.bias, outer.weight, outer.bias))
    return np.tanh(x.numpy() @ U.T + a) @ V.T + b


def jacobian(layer: nn.Module) -> Tensor:
    return torch.autograd.functional.jacobian(layer, inputs()[0])


def assert_close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=1e-15)  # sums of a few numbers near 1, in float64


def test_a_layer_with_a_skip_connection_adds_the_branch_to_its_input() -> None:
    F, x = branch(), inputs()
    np.testing.assert_allclose(skip(F, CONTEXT)(x).detach(), by_hand(F, x) + x.numpy(), rtol=1e-12)


def test_a_plain_layer_is_the_branch_alone() -> None:
    F, x = branch(), inputs()
    np.testing.assert_allclose(plain(F, CONTEXT)(x).detach(), by_hand(F, x), rtol=1e-12)


def test_the_skip_connection_adds_the_identity_to_the_jacobian() -> None:
    F = branch()
    assert_close(jacobian(skip(F, CONTEXT)) - jacobian(plain(F, CONTEXT)), IDENTITY)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("option", OPTIONS)
def test_depth_counts_layers(network: str, option: str) -> None:
    config = OmegaConf.load(CONFIGS / "residual" / f"{option}.yaml")
    made = small_network(network, depth=config.depth, connection=getattr(residual, config.connection))
    layers = [module for module in made.modules() if hasattr(module, "has_skip")]
    assert [layer.context.layer for layer in layers] == list(range(config.depth))
    assert {layer.context.depth for layer in layers} == {config.depth}
    assert {layer.has_skip for layer in layers} == {option != "none"}
