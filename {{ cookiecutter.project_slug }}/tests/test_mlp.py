"""The MLP, the layers of which every network is built, and what is true of every network."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from your_package.networks.layers import Branch
from your_package.networks.mlp import MLP
from your_package.techniques import dropout, initialisation, normalisation

from tests.fitting import layer_factories, small_network

NETWORKS = {"mlp": -1, "cnn": 1, "transformer": -1}  # with the axis of their features


def test_the_mlp_is_a_stem_then_layers_then_a_head() -> None:
    torch.manual_seed(0)
    network = MLP((2, 3), 4, width=5, layers=layer_factories()).double()
    W = {name: p.detach().numpy() for name, p in network.named_parameters()}
    x = np.random.default_rng(0).standard_normal((7, 2, 3))
    h = x.reshape(7, 6) @ W["stem.1.weight"].T + W["stem.1.bias"]
    for layer in range(3):
        inner, outer = (f"layers.{layer}.branch.{part}" for part in ("inner", "outer"))
        activated = np.maximum(0, h @ W[f"{inner}.weight"].T + W[f"{inner}.bias"])
        h = h + activated @ W[f"{outer}.weight"].T + W[f"{outer}.bias"]
    logits = h @ W["head.weight"].T + W["head.bias"]
    np.testing.assert_allclose(network(torch.from_numpy(x)).detach(), logits, rtol=1e-12)


@pytest.mark.parametrize("in_shape", [(1,), (40,), (8, 8), (3, 4, 5)])
def test_samples_of_any_shape_become_logits(in_shape: tuple[int, ...]) -> None:
    assert MLP(in_shape, 6, width=8, layers=layer_factories())(torch.randn(2, *in_shape)).shape == (2, 6)


def test_the_initialisation_is_called_with_the_finished_network() -> None:
    names: list[str] = []
    layers = layer_factories(initialisation=lambda network: names.extend(name for name, _ in network.named_children()))
    MLP((4,), 2, width=8, layers=layers)
    assert names == ["stem", "layers", "normalisation", "head"]


def test_the_branch_normalises_first_and_drops_before_the_last_map() -> None:
    calls: list[str] = []
    names = ("normalisation", "inner", "activation", "dropout", "outer")
    branch = Branch(*[nn.Identity() for _ in names])
    for name in names:
        branch.get_submodule(name).register_forward_hook(lambda *_, name=name: calls.append(name))
    branch(torch.ones(1, 1))
    assert calls == list(names)


@pytest.mark.parametrize("option", NETWORKS)
def test_zero_residual_makes_every_layer_the_identity(option: str) -> None:
    network = small_network(option, normalisation=normalisation.layer, initialisation=initialisation.zero_residual)
    x = torch.randn(2, 8, 8)
    for layer in network.layers:
        layer.register_forward_hook(lambda module, inputs, output: torch.testing.assert_close(output, *inputs))
    network(x)
    assert not any(layer.branch.outer.weight.any() for layer in network.layers)


@pytest.mark.parametrize("option", NETWORKS)
@pytest.mark.parametrize("normalise", [normalisation.none, normalisation.layer, normalisation.rms, normalisation.batch])
def test_in_evaluation_the_logits_of_a_sample_depend_on_it_alone(
    option: str, normalise: Callable[..., nn.Module]
) -> None:
    network = small_network(option, normalisation=normalise, dropout=partial(dropout.standard, rate=0.5)).double()
    x = torch.randn(6, 8, 8).double()
    assert not torch.allclose(network(x), network(x), rtol=1e-3)
    network.eval()
    torch.testing.assert_close(network(x), network(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(network(x)[2:3], network(x[2:3]), rtol=1e-12, atol=1e-12)
