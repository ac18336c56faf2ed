"""Networks: what is put together of the parts, and where."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from your_package import activation, dropout, normalisation, residual
from your_package.network import MLP, Branch, Parts, Site, own


def parts(**changes: Any) -> Parts:
    usual: dict[str, Callable[..., nn.Module]] = {
        "activation": activation.relu,
        "normalisation": normalisation.none,
        "dropout": dropout.none,
        "connection": residual.skip,
    }
    return Parts(**{"depth": 3, **usual, **changes})


def test_the_mlp_is_a_stem_then_layers_then_a_head() -> None:
    torch.manual_seed(0)
    network = MLP((2, 3), 4, width=5, parts=parts()).double()
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
def test_rows_of_any_shape_become_logits(in_shape: tuple[int, ...]) -> None:
    assert MLP(in_shape, 6, width=8, parts=parts())(torch.randn(2, *in_shape)).shape == (2, 6)


def test_each_layer_has_parts_of_its_own() -> None:
    network = MLP((4,), 2, width=8, parts=parts(activation=lambda site: nn.PReLU(), normalisation=normalisation.layer))
    activations = [module for module in network.modules() if isinstance(module, nn.PReLU)]
    normalisations = [module for module in network.modules() if isinstance(module, nn.LayerNorm)]
    assert len(activations) == 3
    assert len(normalisations) == 4  # and one before the head


def test_parts_are_told_where_they_stand() -> None:
    told: list[Site] = []

    def ask(site: Site) -> nn.Module:
        told.append(site)
        return nn.Identity()

    MLP((4,), 2, width=8, parts=parts(activation=ask))
    assert told == [Site(width=8, layer=layer, depth=3) for layer in range(3)]


def test_the_branch_normalises_first_and_drops_before_the_last_map() -> None:
    calls: list[str] = []
    names = ("normalisation", "inner", "activation", "dropout", "outer")
    branch = Branch(*[nn.Identity() for _ in names])
    for name in names:
        branch.get_submodule(name).register_forward_hook(lambda *_, name=name: calls.append(name))
    branch(torch.ones(1, 1))
    assert calls == list(names)


def test_no_row_depends_on_another() -> None:
    network = MLP((4,), 2, width=8, parts=parts(normalisation=normalisation.layer))
    x = torch.randn(6, 4)
    torch.testing.assert_close(network(x)[2:3], network(x[2:3]))


def test_an_own_network_is_found_by_its_path() -> None:
    assert own(factory="torch.nn.Linear") is nn.Linear
    assert own(factory="functools.partial") is partial


@pytest.mark.parametrize("factory", ["nowhere.build", "torch.nn.Linea", "torch..nn", ""])
def test_an_own_network_that_is_not_there_is_refused_by_its_key(factory: str) -> None:
    with pytest.raises(ValueError, match=r"network\.factory must name .* got"):
        own(factory=factory)
