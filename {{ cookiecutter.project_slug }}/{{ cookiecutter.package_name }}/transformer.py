"""The residual transformer: layers that mix positions by attention take turns with the MLP's layers at each position.

A layer, as ``residual.depth`` counts them, is one ``x + F(x)``: in the first, third, ... ``F`` is attention, in the
others linear, activation, linear. What is often called a transformer block is two layers.

Axes: B rows of a batch, P positions, W width, H heads, D = W / H numbers for each head.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from .network import Parts, Site
from .patches import Patches

POSITION_STD = 0.02  # as in Dosovitskiy et al. 2021: at first all positions are nearly alike


class Attention(nn.Module):
    """Give each position the mean of all positions' values, weighted by how well their keys fit its query.

    Shape:  (B, P, W) -> (B, P, W)
    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2, without its last linear map, which is the branch's.
    Raises: ValueError: the heads cannot share the width evenly.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"network.heads must divide network.width, {width}, got {heads}")
        self.heads = heads
        # Three maps, not one of threefold width: initialisations ask a map for how many numbers go in and out.
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)  # one would move all of a query's scores alike: no effect
        self.value = nn.Linear(width, width)

    def forward(self, x_BPW: Tensor) -> Tensor:
        q_BHPD, k_BHPD, v_BHPD = (
            of(x_BPW).unflatten(-1, (self.heads, -1)).transpose(1, 2) for of in (self.query, self.key, self.value)
        )
        return scaled_dot_product_attention(q_BHPD, k_BHPD, v_BHPD).transpose(1, 2).flatten(2)


class Transformer(nn.Module):
    """Overlapping patches with learnt positions, then residual layers, then a linear head on the mean over positions.

    Each position sees all others, before and behind. How ``in_shape`` is read: ``patches.channels_and_positions``.

    Shape:  (B, *in_shape) -> (B, num_classes), logits
    Units:  ``patch`` (odd) and ``stride`` are in numbers of the input on each axis of positions.
    Source: Dosovitskiy et al. 2021, arXiv:2010.11929; normalisation first, as in Xiong et al. 2020, arXiv:2002.04745.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        num_classes: int,
        *,
        width: int,
        heads: int,
        patch: int,
        stride: int,
        parts: Parts,
    ) -> None:
        super().__init__()
        self.stem = Patches(in_shape, width, size=patch, stride=stride)
        self.positions = nn.Parameter(torch.randn(self.stem.count, width) * POSITION_STD)
        mixing = replace(parts, activation=lambda site: nn.Identity())  # attention is not linear as it is

        def layer(site: Site) -> nn.Module:
            outer = nn.Linear(width, width)
            if site.layer % 2 == 0:
                return mixing.layer(site, Attention(width, heads), outer)
            return parts.layer(site, nn.Linear(width, width), outer)

        self.layers = nn.Sequential(*[layer(Site(width, number, parts.depth)) for number in range(parts.depth)])
        self.normalisation = parts.normalisation(Site(width, parts.depth, parts.depth))
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x_BPW = self.stem(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.normalisation(self.layers(x_BPW)).mean(dim=1))
