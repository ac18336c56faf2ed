"""Activations: what makes a network more than one linear map.

Each factory is handed its ``Site`` and returns a module that works on each number by itself. Two ways to go wrong are
measured of any such module, so that a new one needs no entry in a list: an activation *saturates* if its derivative
fades on both sides, and *can die* if the derivative is exactly zero on one, so that a unit pushed there on every row
gets no gradient and stays there.
"""

import torch
from torch import Tensor, nn

from .network import Site

FAR = 8.0  # where every activation has settled, and float32 still tells a small derivative from none


def relu(site: Site) -> nn.Module:
    """Pass what is positive, silence the rest; half of the signal's power is lost, and units can die.

    Formula: max(0, z); derivative 0 at 0
    Source:  Nair and Hinton 2010; Glorot, Bordes and Bengio 2011.
    """
    return nn.ReLU()


def leaky_relu(site: Site, *, slope: float) -> nn.Module:
    """Let a little through on the negative side, so that no unit can die.

    Formula: z for z > 0, slope z otherwise
    Source:  Maas, Hannun and Ng 2013.
    """
    return nn.LeakyReLU(slope)


def elu(site: Site, *, alpha: float) -> nn.Module:
    """Bend smoothly to a floor at ``-alpha``, which brings the mean of the units nearer to zero.

    Formula: z for z > 0, alpha (exp z - 1) otherwise
    Source:  Clevert, Unterthiner and Hochreiter 2016, arXiv:1511.07289.
    """
    return nn.ELU(alpha)


def selu(site: Site) -> nn.Module:
    """An ELU scaled so that mean 0 and variance 1 are a fixed point: the network normalises itself.

    Source: Klambauer et al. 2017, arXiv:1706.02515; meant for ``initialisation=lecun``.
    """
    return nn.SELU()


def gelu(site: Site) -> nn.Module:
    """Weigh each number by the probability that a normal variable lies below it: a smooth ReLU.

    Formula: z Phi(z), exact, not the tanh approximation
    Source:  Hendrycks and Gimpel 2016, arXiv:1606.08415.
    """
    return nn.GELU()


def silu(site: Site) -> nn.Module:
    """Gate each number by its own sigmoid.

    Formula: z sigmoid(z)
    Source:  Elfwing, Uchibe and Doya 2018; Ramachandran, Zoph and Le 2017 (Swish).
    """
    return nn.SiLU()


def mish(site: Site) -> nn.Module:
    """A smooth ReLU that dips below zero a little more than GELU.

    Formula: z tanh(log(1 + exp z))
    Source:  Misra 2019, arXiv:1908.08681.
    """
    return nn.Mish()


def tanh(site: Site) -> nn.Module:
    """Squash to (-1, 1), centred; saturates on both sides."""
    return nn.Tanh()


def sigmoid(site: Site) -> nn.Module:
    """Squash to (0, 1); saturates on both sides, and its derivative is at most a quarter: gradients vanish."""
    return nn.Sigmoid()


def saturates(activation: nn.Module) -> bool:
    """Whether the derivative far out on both sides is next to nothing beside its largest: tanh and sigmoid here."""
    slopes = derivative(activation, torch.linspace(-FAR, FAR, 161)).abs()
    return bool(slopes[[0, -1]].max() < 0.05 * slopes.max())


def can_die(activation: nn.Module) -> bool:
    """Whether the derivative is exactly zero along the far half of one side: ReLU here."""
    left, right = (derivative(activation, side * torch.linspace(FAR / 2, FAR, 41)) for side in (-1, 1))
    return not (left.any() and right.any())


def derivative(activation: nn.Module, z: Tensor) -> Tensor:
    """The derivative at each number of ``z``."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        (slopes,) = torch.autograd.grad(activation(z.clone()).sum(), z)
    return slopes
