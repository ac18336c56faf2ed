"""Networks: the arguments of each layer, and refused shapes."""

from collections.abc import Callable

import pytest
from my_network.networks.cnn import CNN
from my_network.networks.layers import LayerContext
from my_network.networks.transformer import Transformer
from my_network.techniques import normalisation
from tests.fitting import layer_factories, small_network
from tests.test_mlp import NETWORKS
from torch import nn


@pytest.mark.parametrize(("option", "axis"), NETWORKS.items())
def test_each_layer_has_modules_of_its_own_that_are_told_their_place(option: str, axis: int) -> None:
    given: list[LayerContext] = []

    def normalise(context: LayerContext) -> nn.Module:
        given.append(context)
        return normalisation.layer(context)

    network = small_network(option, normalisation=normalise)
    assert given == [
        LayerContext(width=8, layer=layer, depth=3, axis=axis) for layer in range(4)
    ]  # one before the head
    assert sum(isinstance(module, nn.LayerNorm) for module in network.modules()) == 4


@pytest.mark.parametrize("network", [CNN, Transformer])
@pytest.mark.parametrize("in_shape", [(), (2, 3, 4, 5)], ids=str)
def test_shapes_without_positions_are_refused_with_the_network_that_takes_them(
    in_shape: tuple[int, ...], network: Callable[..., nn.Module]
) -> None:
    keys = {"kernel": 3, "stages": 2} if network is CNN else {"heads": 2, "patch": 5, "stride": 1}
    with pytest.raises(ValueError, match="type network=mlp"):
        network(in_shape, 5, width=8, layers=layer_factories(), **keys)
