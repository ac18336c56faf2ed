"""Custom networks for the doctor's benchmark, as factories for ``network=custom``: sound ones, and ones with a fault.

Nothing here knows the project.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from math import prod, sqrt
from typing import Any

from torch import Tensor, nn
from torch.nn.init import constant_, normal_, zeros_

WIDTH = 32


class Logarithm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.log()


def layers(
    in_shape: Sequence[int], num_classes: int, activation: type[nn.Module] = nn.ReLU, gain: float = 1.4
) -> nn.Sequential:
    widths = [prod(in_shape), WIDTH, WIDTH, WIDTH]
    network = nn.Sequential(nn.Flatten())
    for before, width in pairwise(widths):
        linear = nn.Linear(before, width)
        normal_(linear.weight, std=gain / sqrt(before))
        zeros_(linear.bias)
        network.extend([linear, activation()])
    return network.append(nn.Linear(WIDTH, num_classes))


def changed(in_shape: Sequence[int], num_classes: int, change: Callable[[list[nn.Linear]], Any]) -> nn.Module:
    network = layers(in_shape, num_classes)
    change([module for module in network if isinstance(module, nn.Linear)])
    return network


relu = layers
tanh = partial(layers, activation=nn.Tanh, gain=1.0)
flat_tanh = partial(layers, activation=nn.Tanh, gain=30.0)
flat_sigmoid = partial(layers, activation=nn.Sigmoid, gain=60.0)
growing = partial(layers, gain=30.0)
of_negative_numbers = partial(layers, activation=Logarithm)
# Biases so low that hardly a unit of the second layer ever fires, or of any.
never_firing = partial(changed, change=lambda linears: constant_(linears[1].bias, -20.0))
hardly_firing = partial(changed, change=lambda linears: [constant_(linear.bias, -3.0) for linear in linears[:-1]])
# Sure of any class, or of the first one whatever the input.
loud_head = partial(changed, change=lambda linears: normal_(linears[-1].weight, std=10.0))
sure_head = partial(changed, change=lambda linears: constant_(linears[-1].bias[:1], 30.0))
constant = partial(changed, change=lambda linears: [constant_(linear.weight, 0.1) for linear in linears])
zero = partial(changed, change=lambda linears: [zeros_(linear.weight) for linear in linears])
