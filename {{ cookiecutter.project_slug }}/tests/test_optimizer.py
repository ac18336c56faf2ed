"""Optimizers: their first steps against the papers' formulas in float64."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch.optim import Optimizer

from tests.conftest import PROJECT

STEPS = 5
LR = 0.05
START = np.array([1.0, -2.0, 0.5])


def gradient(w: np.ndarray, step: int) -> np.ndarray:
    """Of a bowl whose centre wanders, so that no two are alike."""
    return np.array([1.0, 10.0, 0.1]) * (w - step)


def configured(word: str, **keys: Any) -> Callable[..., Optimizer]:
    return instantiate(OmegaConf.load(PROJECT / "configs" / "optimizer" / f"{word}.yaml"), **keys)


def taken_by(word: str, **keys: Any) -> list[np.ndarray]:
    """Where the steps of an optimizer, as its file configures it, lead to."""
    decay = keys.pop("weight_decay", 0.0)
    w = torch.nn.Parameter(torch.from_numpy(START.copy()))
    optimizer = configured(word, lr=LR, **keys)([{"params": [w], "weight_decay": decay}])
    places = []
    for step in range(STEPS):
        w.grad = torch.from_numpy(gradient(w.detach().numpy(), step))
        optimizer.step()
        places.append(w.detach().numpy().copy())
    return places


def adam(decay: float = 0.0) -> list[np.ndarray]:
    """Kingma and Ba 2015, algorithm 1; with decay Loshchilov and Hutter 2019, algorithm 2."""
    w, m, v = START, 0.0, 0.0
    places = []
    for step in range(STEPS):
        g = gradient(w, step)
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        corrected_m, corrected_v = m / (1 - 0.9 ** (step + 1)), v / (1 - 0.999 ** (step + 1))
        w = w * (1 - LR * decay) - LR * corrected_m / (np.sqrt(corrected_v) + 1e-8)
        places.append(w)
    return places


def sgd(momentum: float, nesterov: bool) -> list[np.ndarray]:
    """Sutskever et al. 2013, equations 1 to 4, in terms of the velocity per learning rate."""
    w, velocity = START, np.zeros(3)
    places = []
    for step in range(STEPS):
        g = gradient(w, step)
        velocity = momentum * velocity + g
        w = w - LR * (g + momentum * velocity if nesterov else velocity)
        places.append(w)
    return places


@pytest.mark.parametrize("word", ["adam", "adamw"])
def test_adam_follows_its_algorithm(word: str) -> None:
    np.testing.assert_allclose(taken_by(word), adam(), rtol=1e-12)


def test_adamw_shrinks_the_weights_apart_from_the_gradient() -> None:
    np.testing.assert_allclose(taken_by("adamw", weight_decay=0.3), adam(decay=0.3), rtol=1e-12)


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd_follows_its_algorithm(momentum: float, nesterov: bool) -> None:
    taken = taken_by("sgd", momentum=momentum, nesterov=nesterov)
    np.testing.assert_allclose(taken, sgd(momentum, nesterov), rtol=1e-12, atol=1e-15)


def test_the_first_step_of_adam_has_the_size_of_the_learning_rate() -> None:
    for scale in (1e-3, 1.0, 1e3):
        w = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
        optimizer = configured("adam", lr=LR)([w])
        w.grad = scale * torch.tensor([1.0, -1.0, 2.0], dtype=torch.float64)
        optimizer.step()
        assert w.detach().abs().tolist() == pytest.approx([LR] * 3, rel=1e-4)  # its epsilon: 1e-8 of 1e-3
