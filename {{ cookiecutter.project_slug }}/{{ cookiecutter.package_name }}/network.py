"""The residual network: every layer is ``x + F(x)`` with ``F`` = linear, activation, linear.

No technique is named here. A network is built of ``Parts``, factories that are told where they stand by a ``Site``;
the words on the command line choose which.

Axes: B rows of a batch, W width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pkgutil import resolve_name

from torch import Tensor, nn


@dataclass(frozen=True)
class Site:
    """Where a part stands: among ``width`` features on ``axis``, in ``layer`` (from 0) of ``depth``."""

    width: int
    layer: int
    depth: int
    axis: int = -1


class Branch(nn.Module):
    """What a layer computes beside its short cut, ``F``: linear, activation, linear, on the normalised input.

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
class Parts:
    """What the layers of any network are made of: how many there are, and a factory for each part of one."""

    depth: int
    activation: Callable[[Site], nn.Module]
    normalisation: Callable[[Site], nn.Module]
    dropout: Callable[[Site], nn.Module]
    connection: Callable[[nn.Module, Site], nn.Module]

    def layer(self, site: Site, inner: nn.Module, outer: nn.Module) -> nn.Module:
        """Join two linear maps to a layer: the branch between them, and the connection around it."""
        branch = Branch(self.normalisation(site), inner, self.activation(site), self.dropout(site), outer)
        return self.connection(branch, site)


class MLP(nn.Module):
    """A stack of residual layers between a linear stem and a linear head.

    Shape: (B, *in_shape) -> (B, num_classes), logits
    """

    def __init__(self, in_shape: Sequence[int], num_classes: int, *, width: int, parts: Parts) -> None:
        super().__init__()
        sites = [Site(width, layer, parts.depth) for layer in range(parts.depth)]
        self.stem = nn.Sequential(nn.Flatten(), nn.Linear(prod(in_shape), width))
        self.layers = nn.Sequential(
            *[parts.layer(site, nn.Linear(width, width), nn.Linear(width, width)) for site in sites]
        )
        self.normalisation = parts.normalisation(Site(width, parts.depth, parts.depth))
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.normalisation(self.layers(self.stem(x))))


def own(*, factory: str) -> Callable[[Sequence[int], int], nn.Module]:
    """Find your own network: ``factory`` names a callable that takes ``(in_shape, num_classes)`` and returns a module.

    Raises: ValueError: no such callable.
    """
    try:
        return resolve_name(factory)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            "network.factory must name a function or class that can be imported from here, such as own_network.build; "
            f"got {factory} ({error})"
        ) from error
