"""The convolutional network: where its positions are halved, and what it does to a pattern that has moved."""

from functools import partial

import pytest
import torch
from my_network.techniques import initialisation
from tests.test_cnn import network
from torch import Tensor


def moved(x: Tensor, steps: int, axes: int) -> Tensor:
    return x.roll([steps] * axes, dims=list(range(-axes, 0)))


@pytest.mark.parametrize("in_shape", [(96,), (96, 96)], ids=str)
def test_a_pattern_far_from_the_edges_means_the_same_wherever_it_lies(in_shape: tuple[int, ...]) -> None:
    he = partial(initialisation.he, residual_aware=True)  # zero biases: where nothing is, nothing comes out
    cnn = network(in_shape, stages=3, initialisation=he)
    x = torch.zeros(1, *in_shape, dtype=torch.float64)
    x[(0, *[slice(40, 48)] * len(in_shape))] = torch.randn([8] * len(in_shape), dtype=torch.float64)
    logits = cnn(x)
    step_of_the_last_stage = 4
    torch.testing.assert_close(cnn(moved(x, step_of_the_last_stage, len(in_shape))), logits, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(cnn(moved(x, 1, len(in_shape))), logits, rtol=1e-3)


@pytest.mark.parametrize(
    ("depth", "stages", "lengths"),
    [
        (1, 3, [40]),
        (2, 3, [40, 20]),
        (3, 3, [40, 20, 10]),
        (4, 1, [40] * 4),
        (4, 2, [40, 40, 20, 20]),
        (8, 3, [40, 40, 40, 20, 20, 20, 10, 10]),
        (3, 9, [40, 20, 10]),
    ],
)
def test_positions_are_halved_between_stages_among_which_layers_are_divided(
    depth: int, stages: int, lengths: list[int]
) -> None:
    cnn = network((40,), depth=depth, stages=stages)
    seen: list[int] = []
    for layer in cnn.layers:
        layer.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[-1]))
    cnn(torch.zeros(1, 40).double())
    assert seen == lengths
