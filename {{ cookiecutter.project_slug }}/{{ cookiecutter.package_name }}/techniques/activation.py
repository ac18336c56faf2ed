"""Activations: the nonlinearity that makes a network more than one linear map.

An activation *saturates* where its derivative is close to zero. A unit *dies* when the derivative is exactly zero for
every sample: it gets no gradient and cannot recover.
"""

from torch import nn

from ..networks.layers import LayerContext


def relu(context: LayerContext) -> nn.Module:
    """Keep positive values and zero the rest: half of the signal's power is lost, and units can die.

    Formula: max(0, z); derivative 0 at 0
    Source:  Nair and Hinton 2010; Glorot, Bordes and Bengio 2011.
    """
    return nn.ReLU()


def leaky_relu(context: LayerContext, *, slope: float) -> nn.Module:
    """Leak a little on the negative side so that no unit can die.

    Formula: z for z > 0, slope z otherwise
    Source:  Maas, Hannun and Ng 2013.
    """
    return nn.LeakyReLU(slope)


def elu(context: LayerContext, *, alpha: float) -> nn.Module:
    """Saturate smoothly at ``-alpha`` on the negative side, which brings the mean activation closer to zero.

    Formula: z for z > 0, alpha (exp z - 1) otherwise
    Source:  Clevert, Unterthiner and Hochreiter 2016, arXiv:1511.07289.
    """
    return nn.ELU(alpha)


def selu(context: LayerContext) -> nn.Module:
    """A scaled ELU with mean 0 and variance 1 as a fixed point: the network normalises itself.

    Source: Klambauer et al. 2017, arXiv:1706.02515; meant for ``initialisation=lecun``.
    """
    return nn.SELU()


def gelu(context: LayerContext) -> nn.Module:
    """Weight each value by the probability that a standard normal variable lies below it: a smooth ReLU.

    Formula: z Phi(z), exact, not the tanh approximation
    Source:  Hendrycks and Gimpel 2016, arXiv:1606.08415.
    """
    return nn.GELU()


def silu(context: LayerContext) -> nn.Module:
    """Gate each value by its own sigmoid.

    Formula: z sigmoid(z)
    Source:  Elfwing, Uchibe and Doya 2018; Ramachandran, Zoph and Le 2017 (Swish).
    """
    return nn.SiLU()


def mish(context: LayerContext) -> nn.Module:
    """A smooth ReLU that dips below zero a little more than GELU.

    Formula: z tanh(log(1 + exp z))
    Source:  Misra 2019, arXiv:1908.08681.
    """
    return nn.Mish()


def tanh(context: LayerContext) -> nn.Module:
    """Squash to (-1, 1), centred; saturates on both sides."""
    return nn.Tanh()


def sigmoid(context: LayerContext) -> nn.Module:
    """Squash to (0, 1); saturates on both sides, and its derivative is at most a quarter: gradients vanish."""
    return nn.Sigmoid()
