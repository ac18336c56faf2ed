"""Residual connections: whether a layer adds to its input or replaces it.

Source: He et al. 2016, arXiv:1512.03385 and arXiv:1603.05027.
"""

from torch import Tensor, nn

from ..networks.layers import LayerContext


def skip(branch: nn.Module, context: LayerContext) -> nn.Module:
    """``x + F(x)``: gradients reach earlier layers through the skip connection, whatever the branch does."""
    return Skip(branch, context)


def plain(branch: nn.Module, context: LayerContext) -> nn.Module:
    """``F(x)``: the same layer with the same parameters, without the skip connection."""
    return Plain(branch, context)


class Skip(nn.Module):
    """A layer with a skip connection; initialisations read ``has_skip`` to start its branch small.

    Shape: that of x
    """

    has_skip = True

    def __init__(self, branch: nn.Module, context: LayerContext) -> None:
        super().__init__()
        self.branch = branch
        self.context = context

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class Plain(Skip):
    """A layer without a skip connection."""

    has_skip = False

    def forward(self, x: Tensor) -> Tensor:
        return self.branch(x)
