"""The residual convolutional network: every layer is ``x + F(x)`` with ``F`` = convolution, activation, convolution.

A convolution is a linear map of a neighbourhood, the same at every position: a pattern is learnt once, wherever it is.

Axes: B samples of a batch, W width (the channels), P positions: one axis of a sequence, two of an image.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from .layers import LayerContext, LayerFactories
from .patches import CONVOLUTIONS, Patches

POOLINGS: dict[int, type[nn.AvgPool1d] | type[nn.AvgPool2d]] = {1: nn.AvgPool1d, 2: nn.AvgPool2d}


class CNN(nn.Module):
    """Residual layers of convolutions between a convolutional stem and a linear head on the mean over positions.

    The layers are divided among ``stages``, one each if there are fewer. Between two stages neighbouring
    positions are averaged in pairs, so that the same kernel sees twice as far; the width stays, and skip connections
    need no projection. How ``in_shape`` is read: ``patches.channels_and_positions``.

    Shape:  (B, *in_shape) -> (B, num_outputs), logits
    Units:  ``kernel`` is in positions on each of their axes, odd.
    Source: He et al. 2016, arXiv:1512.03385.
    """

    def __init__(
        self, in_shape: Sequence[int], num_outputs: int, *, width: int, kernel: int, stages: int, layers: LayerFactories
    ) -> None:
        super().__init__()
        self.stem = Patches(in_shape, width, size=kernel, stride=1)
        axes = len(self.stem.positions)

        def convolution() -> nn.Module:
            return CONVOLUTIONS[axes](width, width, kernel, padding=kernel // 2)

        contexts = [LayerContext(width, layer, layers.depth, axis=1) for layer in range(layers.depth)]
        self.layers = nn.ModuleList(layers.layer(context, convolution(), convolution()) for context in contexts)
        stage = [layer * stages // max(stages, layers.depth) for layer in range(layers.depth)]
        self.poolings = nn.ModuleList(
            nn.Identity() if this == before else POOLINGS[axes](2, ceil_mode=True)
            for before, this in pairwise([0, *stage])
        )
        self.normalisation = layers.normalisation(LayerContext(width, layers.depth, layers.depth, axis=1))
        self.head = nn.Linear(width, num_outputs)
        layers.initialisation(self)

    def forward(self, x: Tensor) -> Tensor:
        x_BWP = self.stem(x)
        for pooling, layer in zip(self.poolings, self.layers, strict=True):
            x_BWP = layer(pooling(x_BWP))
        return self.head(self.normalisation(x_BWP).flatten(2).mean(dim=2))
