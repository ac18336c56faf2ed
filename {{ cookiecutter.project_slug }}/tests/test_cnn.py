"""The convolutional network: what it computes, and what it does to a pattern that has moved."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor, nn

from your_package import activation, dropout, initialisation, normalisation, residual
from your_package.cnn import CNN
from your_package.network import Parts, Site


def parts(**changes: Any) -> Parts:
    usual: dict[str, Callable[..., nn.Module]] = {
        "activation": activation.relu,
        "normalisation": normalisation.none,
        "dropout": dropout.none,
        "connection": residual.skip,
    }
    return Parts(**{"depth": 3, **usual, **changes})


def network(in_shape: tuple[int, ...], *, width: int = 4, kernel: int = 3, stages: int = 2, **changes: Any) -> CNN:
    torch.manual_seed(0)
    return CNN(in_shape, 5, width=width, kernel=kernel, stages=stages, parts=parts(**changes)).double()


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


@pytest.mark.parametrize("in_shape", [(), (2, 3, 4, 5)], ids=str)
def test_other_shapes_are_refused_with_the_network_that_takes_them(in_shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="type network=mlp"):
        network(in_shape)


def moved(x: Tensor, steps: int, axes: int) -> Tensor:
    return x.roll([steps] * axes, dims=list(range(-axes, 0)))


@pytest.mark.parametrize("in_shape", [(96,), (96, 96)], ids=str)
def test_a_pattern_far_from_the_edges_means_the_same_wherever_it_lies(in_shape: tuple[int, ...]) -> None:
    cnn = network(in_shape, stages=3)
    initialisation.he(cnn, residual_aware=True)  # zero biases: where nothing is, nothing comes out
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
def test_positions_are_halved_between_stages_and_layers_shared_among_them(
    depth: int, stages: int, lengths: list[int]
) -> None:
    cnn = network((40,), depth=depth, stages=stages)
    met: list[int] = []
    for layer in cnn.layers:
        layer.register_forward_hook(lambda module, inputs, output: met.append(output.shape[-1]))
    cnn(torch.zeros(1, 40).double())
    assert met == lengths


def test_parts_are_told_that_features_lie_on_the_axis_of_channels() -> None:
    told: list[Site] = []

    def ask(site: Site) -> nn.Module:
        told.append(site)
        return nn.Identity()

    network((40,), activation=ask)
    assert told == [Site(width=4, layer=layer, depth=3, axis=1) for layer in range(3)]


@pytest.mark.parametrize("in_shape", [(40,), (8, 8)], ids=str)
def test_zero_residual_makes_every_layer_the_identity(in_shape: tuple[int, ...]) -> None:
    cnn = network(in_shape, normalisation=normalisation.layer)
    initialisation.zero_residual(cnn)
    h = cnn.stem(torch.randn(3, *in_shape).double())
    assert all(torch.equal(layer(h), h) for layer in cnn.layers)


@pytest.mark.parametrize("normalise", [normalisation.none, normalisation.layer, normalisation.rms, normalisation.batch])
def test_in_evaluation_a_row_gives_the_same_logits_again_and_in_any_company(
    normalise: Callable[..., nn.Module],
) -> None:
    cnn = network((40,), normalisation=normalise, dropout=lambda site: dropout.standard(site, rate=0.5))
    x = torch.randn(6, 40).double()
    assert not torch.equal(cnn(x), cnn(x))
    cnn.eval()
    assert torch.equal(cnn(x), cnn(x))
    torch.testing.assert_close(cnn(x)[2:3], cnn(x[2:3]), rtol=1e-12, atol=1e-12)
