"""The residual transformer: attention layers alternate with the MLP's layers at each position.

A layer, as ``residual.depth`` counts them, is one ``x + F(x)``: in the first, third, ... ``F`` is attention, in the
others linear, activation, linear. A transformer block in the usual sense is two layers.

Axes: B samples of a batch, P positions, W width, H heads, D = W / H features of each head.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from .layers import LayerContext, LayerFactories
from .patches import Patches

POSITION_STD = 0.02  # as in Dosovitskiy et al. 2021: at first all positions are nearly alike


class Attention(nn.Module):
    """Replace each position by a mean of all positions' values, weighted by how well their keys match its query.

    Shape:  (B, P, W) -> (B, P, W)
    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2, without its last linear map, which is the branch's.
    Raises: ValueError: the heads cannot share the width evenly.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"network.heads must divide network.width, {width}, got {heads}")
        self.heads = heads
        # Three maps, not one of threefold width: initialisations depend on a map's fan-in and fan-out.
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)  # a bias would shift all scores of a query equally: no effect
        self.value = nn.Linear(width, width)

    def forward(self, x_BPW: Tensor) -> Tensor:
        q_BHPD, k_BHPD, v_BHPD = (
            of(x_BPW).unflatten(-1, (self.heads, -1)).transpose(1, 2) for of in (self.query, self.key, self.value)
        )
        return scaled_dot_product_attention(q_BHPD, k_BHPD, v_BHPD).transpose(1, 2).flatten(2)


class Transformer(nn.Module):
    """Overlapping patches with learnt position embeddings, residual layers, a linear head on the mean over positions.

    Attention is not causal: each position attends to all others. ``patches.channels_and_positions`` reads ``in_shape``.

    Shape:  (B, *in_shape) -> (B, num_outputs), logits
    Units:  ``patch`` (odd) and ``stride`` are in input values on each axis of positions.
    Source: Dosovitskiy et al. 2021, arXiv:2010.11929; normalisation first, as in Xiong et al. 2020, arXiv:2002.04745.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        num_outputs: int,
        *,
        width: int,
        heads: int,
        patch: int,
        stride: int,
        layers: LayerFactories,
    ) -> None:
        super().__init__()
        self.stem = Patches(in_shape, width, size=patch, stride=stride)
        self.positions = nn.Parameter(torch.randn(self.stem.count, width) * POSITION_STD)
        mixing = replace(layers, activation=lambda context: nn.Identity())  # attention is nonlinear already

        def layer(context: LayerContext) -> nn.Module:
            outer = nn.Linear(width, width)
            if context.layer % 2 == 0:
                return mixing.layer(context, Attention(width, heads), outer)
            return layers.layer(context, nn.Linear(width, width), outer)

        self.layers = nn.Sequential(
            *[layer(LayerContext(width, number, layers.depth)) for number in range(layers.depth)]
        )
        self.normalisation = layers.normalisation(LayerContext(width, layers.depth, layers.depth))
        self.head = nn.Linear(width, num_outputs)
        layers.initialisation(self)

    def forward(self, x: Tensor) -> Tensor:
        x_BPW = self.stem(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.normalisation(self.layers(x_BPW)).mean(dim=1))

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that never decay, as networks of timm have it."""
        return {"positions"}
