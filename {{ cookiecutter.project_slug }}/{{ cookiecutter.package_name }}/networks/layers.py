"""The residual layer, ``x + F(x)`` with ``F`` = linear, activation, linear, of which every network is built.

No technique is named here. A network is built from ``LayerFactories``; the options on the command line choose them.

Axes: B samples of a batch, W width.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class LayerContext:
    """Where a part is in the network: ``width`` features on ``axis``, in ``layer`` (from 0) of ``depth``."""

    width: int
    layer: int
    depth: int
    axis: int = -1


class Branch(nn.Module):
    """The residual branch ``F``: linear, activation, linear, on the normalised input.

    Shape: (B, W) -> (B, W)
    """

    def __init__(
        self, normalisation: nn.Module, inner: nn.Module, activation: nn.Module, dropout: nn.Module, outer: nn.Module
    ) -> None:
        super().__init__()
        self.normalisation = normalisation
        self.inner = inner
        self.activation = activation
        self.dropout = dropout
        self.outer = outer

    def forward(self, x_BW: Tensor) -> Tensor:
        return self.outer(self.dropout(self.activation(self.inner(self.normalisation(x_BW)))))


@dataclass(frozen=True)
class LayerFactories:
    """What the layers of any network are made of: their number, a factory for each part, and their initialisation."""

    depth: int
    activation: Callable[[LayerContext], nn.Module]
    normalisation: Callable[[LayerContext], nn.Module]
    dropout: Callable[[LayerContext], nn.Module]
    connection: Callable[[nn.Module, LayerContext], nn.Module]
    initialisation: Callable[[nn.Module], None]

    def layer(self, context: LayerContext, inner: nn.Module, outer: nn.Module) -> nn.Module:
        """Build a layer from its two linear maps: the branch, and the connection around it."""
        branch = Branch(self.normalisation(context), inner, self.activation(context), self.dropout(context), outer)
        return self.connection(branch, context)
