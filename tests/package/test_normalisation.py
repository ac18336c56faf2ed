"""Normalisation over batches in evaluation."""

import numpy as np
import torch
from my_network.techniques import normalisation
from tests.test_normalisation import (
    WIDTH,
    assert_equal,
    each_shape,
    made,
    output,
    scaled,
    some,
)


@each_shape
def test_batch_uses_running_statistics_in_evaluation(shape: tuple[int, ...], axis: int) -> None:
    module = made(normalisation.batch, axis).train()
    others = tuple(other for other in range(len(shape)) if other != axis % len(shape))
    mean, variance = np.zeros(WIDTH), np.ones(WIDTH)
    for seed in range(3):
        x = some(shape, seed)
        module(torch.from_numpy(x))
        mean = 0.9 * mean + 0.1 * x.mean(axis=others)
        variance = 0.9 * variance + 0.1 * x.var(axis=others, ddof=1)
    x = some(shape, seed=9)
    along = [WIDTH if other == axis % x.ndim else 1 for other in range(x.ndim)]
    normalised = (x - mean.reshape(along)) / np.sqrt(variance.reshape(along) + 1e-5)
    assert_equal(output(module.eval(), x), scaled(module, normalised, axis))
