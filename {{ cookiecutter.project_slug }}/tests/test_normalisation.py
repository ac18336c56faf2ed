"""Normalisations against their formulas, on features of samples and on channels with positions."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from your_package.networks.layers import LayerContext
from your_package.techniques import normalisation

WIDTH = 6
SHAPES = {(9, WIDTH): -1, (9, 5, WIDTH): -1, (9, WIDTH, 5): 1, (9, WIDTH, 4, 3): 1}  # where the features lie
each_shape = pytest.mark.parametrize(("shape", "axis"), SHAPES.items(), ids=str)


def made(technique: Callable[[LayerContext], nn.Module], axis: int) -> nn.Module:
    """With a scale and shift other than 1 and 0."""
    module = technique(LayerContext(WIDTH, layer=0, depth=1, axis=axis)).double()
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        nn.init.normal_(parameter, generator=generator)
    return module


def some(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return 3 + 2 * np.random.default_rng(seed).standard_normal(shape)


def scaled(module: nn.Module, normalised: np.ndarray, axis: int) -> np.ndarray:
    """With the module's scale and shift, each feature its own."""
    parameters = {name.rpartition(".")[2]: p.detach().numpy() for name, p in module.named_parameters()}
    moved = np.moveaxis(normalised, axis, -1) * parameters["weight"] + parameters.get("bias", 0)
    return np.moveaxis(moved, -1, axis)


def output(module: nn.Module, x: np.ndarray) -> np.ndarray:
    return module(torch.from_numpy(x)).detach().numpy()


def assert_equal(one: np.ndarray, other: np.ndarray) -> None:
    np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


@each_shape
def test_layer_centres_and_scales_the_features_of_each_sample_and_position(shape: tuple[int, ...], axis: int) -> None:
    module, x = made(normalisation.layer, axis), some(shape)
    centred = x - x.mean(axis=axis, keepdims=True)
    variance = (centred**2).mean(axis=axis, keepdims=True)
    assert_equal(output(module, x), scaled(module, centred / np.sqrt(variance + 1e-5), axis))


@each_shape
def test_rms_scales_the_features_of_each_sample_and_position_without_centring(
    shape: tuple[int, ...], axis: int
) -> None:
    module, x = made(normalisation.rms, axis), some(shape)
    mean_square = (x**2).mean(axis=axis, keepdims=True)
    assert_equal(output(module, x), scaled(module, x / np.sqrt(mean_square + 1e-6), axis))


@each_shape
def test_batch_centres_and_scales_each_feature_over_samples_and_positions(shape: tuple[int, ...], axis: int) -> None:
    module, x = made(normalisation.batch, axis), some(shape)
    others = tuple(other for other in range(x.ndim) if other != axis % x.ndim)
    centred = x - x.mean(axis=others, keepdims=True)
    variance = (centred**2).mean(axis=others, keepdims=True)
    assert_equal(output(module.train(), x), scaled(module, centred / np.sqrt(variance + 1e-5), axis))


def test_none_leaves_the_signal_as_it_is() -> None:
    x = torch.randn(9, WIDTH)
    assert normalisation.none(LayerContext(WIDTH, 0, 1))(x) is x
