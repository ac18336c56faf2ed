"""The convolutional network: what it computes, and what it does to a pattern that has moved."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from your_package.networks.cnn import CNN

from tests.fitting import layer_factories


def network(in_shape: tuple[int, ...], *, width: int = 4, kernel: int = 3, stages: int = 2, **changes: Any) -> CNN:
    torch.manual_seed(0)
    return CNN(in_shape, 5, width=width, kernel=kernel, stages=stages, layers=layer_factories(**changes)).double()


def convolved(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """(B, C, *P) -> (B, W, *P): at every position the sum over channels and the window around it, zeros outside."""
    axes = tuple(range(2, x.ndim))
    half = weight.shape[-1] // 2
    padded = np.pad(x, [(0, 0), (0, 0), *[(half, half)] * len(axes)])
    windows = sliding_window_view(padded, weight.shape[2:], axes)
    sums = {3: "bcpk,wck->bwp", 4: "bcpqkl,wckl->bwpq"}[x.ndim]
    return np.einsum(sums, windows, weight) + bias.reshape(-1, *[1] * len(axes))


def halved(x: np.ndarray) -> np.ndarray:
    """Averages of pairs along each axis of positions, whose lengths are even."""
    for axis in range(2, x.ndim):
        x = (x.take(range(0, x.shape[axis], 2), axis) + x.take(range(1, x.shape[axis], 2), axis)) / 2
    return x


@pytest.mark.parametrize("in_shape", [(12,), (6, 8), (3, 6, 8)], ids=str)
def test_the_cnn_is_a_stem_then_layers_in_two_stages_then_a_head_on_the_mean(in_shape: tuple[int, ...]) -> None:
    cnn = network(in_shape, depth=2)
    W = {name: p.detach().numpy() for name, p in cnn.named_parameters()}
    x = np.random.default_rng(0).standard_normal((7, *in_shape))
    channels = x if len(in_shape) == 3 else x[:, np.newaxis]
    h = convolved(channels, W["stem.map.weight"], W["stem.map.bias"])
    for layer in range(2):
        h = halved(h) if layer == 1 else h
        inner, outer = (f"layers.{layer}.branch.{part}" for part in ("inner", "outer"))
        hidden = np.maximum(0, convolved(h, W[f"{inner}.weight"], W[f"{inner}.bias"]))
        h = h + convolved(hidden, W[f"{outer}.weight"], W[f"{outer}.bias"])
    logits = h.reshape(7, 4, -1).mean(axis=2) @ W["head.weight"].T + W["head.bias"]
    np.testing.assert_allclose(cnn(torch.from_numpy(x)).detach(), logits, rtol=1e-11)


@pytest.mark.parametrize("in_shape", [(1,), (5,), (40,), (8, 8), (1, 7), (3, 8, 8), (6, 1, 40)], ids=str)
@pytest.mark.parametrize("kernel", [1, 5])
def test_sequences_and_images_of_any_size_become_logits(in_shape: tuple[int, ...], kernel: int) -> None:
    assert network(in_shape, kernel=kernel, stages=3)(torch.randn(2, *in_shape).double()).shape == (2, 5)
