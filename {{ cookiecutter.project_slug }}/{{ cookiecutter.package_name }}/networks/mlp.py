"""The residual multilayer perceptron."""

from collections.abc import Sequence
from math import prod

from torch import Tensor, nn

from .layers import LayerContext, LayerFactories


class MLP(nn.Module):
    """A stack of residual layers between a linear stem and a linear head.

    Shape: (B, *in_shape) -> (B, num_outputs)
    """

    def __init__(self, in_shape: Sequence[int], num_outputs: int, *, width: int, layers: LayerFactories) -> None:
        super().__init__()
        contexts = [LayerContext(width, layer, layers.depth) for layer in range(layers.depth)]
        self.stem = nn.Sequential(nn.Flatten(), nn.Linear(prod(in_shape), width))
        self.layers = nn.Sequential(
            *[layers.layer(context, nn.Linear(width, width), nn.Linear(width, width)) for context in contexts]
        )
        self.normalisation = layers.normalisation(LayerContext(width, layers.depth, layers.depth))
        self.head = nn.Linear(width, num_outputs)
        layers.initialisation(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.normalisation(self.layers(self.stem(x))))
