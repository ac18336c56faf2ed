"""Residual connections: whether a layer adds to what it is given or replaces it.

Source: He et al. 2016, arXiv:1512.03385 and arXiv:1603.05027.
"""

from torch import Tensor, nn

from .network import Site


def skip(branch: nn.Module, site: Site) -> nn.Module:
    """``x + F(x)``: gradients reach the layers below by the short cut, whatever the branch does."""
    return Skip(branch, site)


def plain(branch: nn.Module, site: Site) -> nn.Module:
    """``F(x)``: the same layer with the same parameters, without the short cut."""
    return Plain(branch, site)


class Skip(nn.Module):
    """A layer with a short cut; initialisations ask for ``short_cut`` to start its branch small.

    Shape: that of x
    """

    short_cut = True

    def __init__(self, branch: nn.Module, site: Site) -> None:
        super().__init__()
        self.branch = branch
        self.site = site

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class Plain(Skip):
    """A layer without one."""

    short_cut = False

    def forward(self, x: Tensor) -> Tensor:
        return self.branch(x)
