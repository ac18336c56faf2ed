"""Initialisation: the scale of signals and gradients before the first step.

An initialisation fills every weight of a network once and sets biases to zero. Two quantities are computed, not looked
up by name. The *gain* compensates for the power that an activation removes: ``gain = 1 / sqrt(E[f(z)^2])`` with ``z``
standard normal, the square root of 2 for ReLU; it applies to the linear map after the activation. With a skip
connection, the last linear map of the branch is divided by the square root of the depth, so that ``depth`` branches
together add about as much as one, unless ``residual_aware`` is false.

An initialisation that works against the network is carried out, with a warning.

Source of the scaling: He et al. 2015, arXiv:1502.01852, section 2.2; Hayou et al. 2021, arXiv:2010.12859.
"""

import logging
from collections.abc import Callable
from math import prod, sqrt
from typing import Any

import torch
from torch import Tensor, nn

from ..networks.layers import Branch

log = logging.getLogger(__name__)

Fill = Callable[[Tensor, float], object]
Map = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d


def torch_default(network: nn.Module) -> None:
    """Keep PyTorch's own initialisation: uniform within ``1 / sqrt(fan_in)``, a third of LeCun's variance."""


def he(network: nn.Module, *, residual_aware: bool) -> None:
    """Keep the signal's variance through layers and activations: variance ``gain^2 / fan_in``.

    Source: He et al. 2015, arXiv:1502.01852.
    """
    warn_of_lost_gradient(network)
    initialise(network, keep_variance, residual_aware)


def xavier(network: nn.Module, *, residual_aware: bool) -> None:
    """Balance the signal against the gradient: variance ``2 / (fan_in + fan_out)``, uniform.

    Source: Glorot and Bengio 2010, equation 16.
    """
    initialise(network, lambda weight, gain: nn.init.xavier_uniform_(weight), residual_aware)


def lecun(network: nn.Module, *, residual_aware: bool) -> None:
    """Keep the variance of linear maps, whatever the activation: variance ``1 / fan_in``.

    Source: LeCun et al. 1998, Efficient BackProp, section 4.6.
    """
    initialise(network, lambda weight, gain: weight.normal_(std=1 / sqrt(fan_in(weight))), residual_aware)


def orthogonal(network: nn.Module, *, residual_aware: bool) -> None:
    """Rotate the signal: a random orthogonal map times the gain preserves every length, not only the mean.

    Source: Saxe, McClelland and Ganguli 2014, arXiv:1312.6120.
    """
    initialise(network, lambda weight, gain: nn.init.orthogonal_(weight, gain), residual_aware)


def normal(network: nn.Module, *, std: float) -> None:
    """Give every weight the same standard deviation, whatever the size of the layer: to show bad initialisations."""
    initialise(network, lambda weight, gain: weight.normal_(std=std), residual_aware=False)


def zero_residual(network: nn.Module) -> None:
    """Start every layer with a skip connection as the identity: its branch ends in zero weights, the rest is ``he``.

    Source: Goyal et al. 2017, arXiv:1706.02677, section 5.1; Zhang, Dauphin and Ma 2019, arXiv:1901.09321.
    """
    initialise(network, keep_variance, residual_aware=True)
    for outer, _ in ends_of_skip_branches(network):
        nn.init.zeros_(outer.weight)


def keep_variance(weight: Tensor, gain: float) -> Tensor:
    return weight.normal_(std=gain / sqrt(fan_in(weight)))


@torch.no_grad()
def initialise(network: nn.Module, fill: Fill, residual_aware: bool) -> None:
    """Fill every linear and convolutional weight by ``fill(weight, gain)``; zero their biases."""
    gains = {branch.outer: gain(branch.activation) for branch in network.modules() if isinstance(branch, Branch)}
    maps = [module for module in network.modules() if isinstance(module, Map)]
    for module in maps:
        fill(module.weight, gains.get(module, 1.0))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    warn_of_symmetry(maps)
    ends = ends_of_skip_branches(network)
    if residual_aware:
        for outer, depth in ends:
            outer.weight.div_(sqrt(depth))
    else:
        warn_of_growth([signal_power(outer.weight) / gains.get(outer, 1.0) ** 2 for outer, _ in ends])


def ends_of_skip_branches(network: nn.Module) -> list[tuple[Map, int]]:
    """The last linear map of every branch with a skip connection, and the depth of the network."""
    layers: list[Any] = [module for module in network.modules() if getattr(module, "has_skip", False)]
    return [(layer.branch.outer, layer.context.depth) for layer in layers]


def warn_of_lost_gradient(network: nn.Module) -> None:
    """Warn where the gain that preserves the signal does not preserve the gradient: it does for rectifiers only."""
    activations = [branch.activation for branch in network.modules() if isinstance(branch, Branch)]
    for activation in activations:
        z, density = standard_normal()
        slopes = derivative(activation, z.float()).double()
        factor = gain(activation) ** 2 * float((density * slopes.square()).sum())
        if not 0.9 < factor < 1.1:
            log.warning(
                f"initialisation=he keeps the signal's variance through {activation}, but each plain layer multiplies "
                f"the gradient's by {factor:.2f}. Type {'initialisation=xavier' if factor > 1 else 'activation=relu'}"
            )
            return  # one warning is enough


def warn_of_growth(powers: list[float]) -> None:
    """Warn if branches add much more variance than the signal has; ``powers`` is each branch's share of it."""
    if sum(powers) > 1.5:
        log.warning(
            f"initialisation: {len(powers)} residual branches start so large that the signal's variance grows "
            f"{prod(1 + power for power in powers):.3g}-fold. Type initialisation=zero_residual"
        )


def warn_of_symmetry(maps: list[Map]) -> None:
    """Warn of layers whose units all start equal: they get equal gradients and stay equal."""
    alike = sum(len(map.weight) > 1 and torch.equal(map.weight, map.weight[:1].expand_as(map.weight)) for map in maps)
    if alike:
        log.warning(
            f"initialisation: in {alike} of {len(maps)} linear maps all units start equal and can only learn the same. "
            "Type initialisation=zero_residual"
        )


@torch.no_grad()
def gain(activation: nn.Module) -> float:
    """``1 / sqrt(E[f(z)^2])`` for a standard normal ``z``."""
    z, density = standard_normal()
    return 1 / sqrt(float((density * activation(z.float()).double().square()).sum()))


def derivative(activation: nn.Module, z: Tensor) -> Tensor:
    """The derivative of an elementwise activation at each value of ``z``."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        (slopes,) = torch.autograd.grad(activation(z.clone()).sum(), z)
    return slopes


def standard_normal() -> tuple[Tensor, Tensor]:
    """A grid that contains 0, where activations bend, and the probability of each point."""
    z = torch.linspace(-8, 8, 2001, dtype=torch.float64)
    density = torch.exp(-z.square() / 2)
    return z, density / density.sum()


def signal_power(weight: Tensor) -> float:
    """The output variance of a linear map for an input of mean square 1."""
    return fan_in(weight) * float(weight.square().mean())


def fan_in(weight: Tensor) -> int:
    """The number of inputs of each output: for a convolution, channels times kernel positions."""
    return weight[0].numel()
