"""Gradient clipping: no step may be longer than the gradient's limit allows."""

from torch import Tensor
from torch.nn.utils import clip_grad_value_
from torch.optim import Optimizer


def clip(optimizer: Optimizer, norm: Tensor, limit: float, algorithm: str | None) -> None:
    """Scale the whole gradient, of known ``norm``, to ``limit`` where it is longer; ``value`` limits every number.

    Differs from Lightning's clipping, which divides by the norm plus 1e-6.
    Source: Pascanu, Mikolov and Bengio 2013, arXiv:1211.5063, algorithm 1.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    if algorithm == "value":
        clip_grad_value_(parameters, limit)
        return
    scale = (limit / norm).clamp(max=1.0)
    for parameter in parameters:
        parameter.grad.mul_(scale)
