"""The task: loss, metrics, clipping and optimizers, in real Lightning fits in float64."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from lightning import LightningDataModule
from omegaconf import OmegaConf
from sklearn.metrics import accuracy_score, f1_score
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score
from trainwell.data.batches import Batches, Samples

from your_package.data.digits import Digits
from your_package.tasks.classification import Classification
from your_package.tasks.parameter_groups import without_lr_of
from your_package.tasks.supervised import SupervisedTask
from your_package.techniques import scheduler, weight_decay

from tests.conftest import CONFIGS
from tests.fitting import (
    RecordingSGD,
    classification_of,
    clipped,
    fit,
    gradient,
    gradient_of_step,
    linear_classification,
    recorded,
    some_samples,
)

EXACT = {"rtol": 1e-12, "atol": 0}
LENGTHS = (0.01, 0.3, 1e3)  # the gradients below have norms between 0.3 and 3
SAMPLES = some_samples(24)


# Loss and metrics


def still(**parts: Any) -> SupervisedTask:
    """A task whose weights stay as they are."""
    torch.manual_seed(0)
    return classification_of(nn.Linear(4, 3), optimizer=partial(RecordingSGD, lr=0.0), **parts)


def test_loss_and_metrics_are_those_of_all_samples_whatever_the_batches() -> None:
    metrics = {"accuracy": MulticlassAccuracy(3, average="micro"), "f1": MulticlassF1Score(3)}
    task = still(metrics=metrics)
    trainer = fit(task, SAMPLES, 10)  # the last batch has 4 samples
    logged = dict(trainer.callback_metrics)
    trainer.test(task, Batches(SAMPLES, 7), verbose=False)
    logged |= trainer.callback_metrics
    logits = task(SAMPLES.x).detach()
    predictions = logits.argmax(dim=-1)
    for split in ("train", "val", "test"):
        # metrics and the sum of losses are in float32
        assert logged[f"{split}/loss"].item() == pytest.approx(cross_entropy(logits, SAMPLES.y).item(), rel=1e-5)
        assert logged[f"{split}/accuracy"].item() == pytest.approx(accuracy_score(SAMPLES.y, predictions), rel=1e-5)
        f1 = f1_score(SAMPLES.y, predictions, average="macro")
        assert logged[f"{split}/f1"].item() == pytest.approx(f1, rel=1e-5)


def test_the_logged_train_loss_is_without_the_weight_decay_penalty() -> None:
    task = still(decay=weight_decay.l2(strength=10.0, include=[], exclude=[]))
    logged = fit(task, SAMPLES, 24).callback_metrics["train/loss"].item()
    assert logged == pytest.approx(cross_entropy(task(SAMPLES.x), SAMPLES.y).item(), rel=1e-5)
    assert task.training_step(SAMPLES, 0).item() > logged + 1


# The task of a data module


def build(data: LightningDataModule, network: Callable[..., nn.Module], **parts: Any) -> SupervisedTask:
    usual: dict[str, Any] = {
        "targets": "classes",
        "loss": nn.CrossEntropyLoss(),
        "metrics": {"accuracy": MulticlassAccuracy},
        "optimizer": RecordingSGD,
        "scheduler": scheduler.constant,
        "weight_decay": weight_decay.none(),
        "compile": False,
    }
    return Classification.from_data(data, network=network, **{**usual, **parts})


def flat(in_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(in_shape[0] * in_shape[1], num_outputs))


@pytest.fixture(scope="module")
def digits() -> Digits:
    data = Digits(batch_size=64, seed=0, label_noise=0.0)
    data.setup("fit")
    return data


def test_network_and_metrics_are_called_with_the_facts_of_the_data(digits: Digits) -> None:
    task = build(digits, flat)
    assert [p.shape for p in task.network.parameters()] == [(10, 64), (10,)]
    assert task.metrics["val_metrics"].metrics["accuracy"].num_classes == 10


def test_the_initial_weights_depend_on_the_seed_and_not_on_the_data(digits: Digits) -> None:
    torch.manual_seed(3)
    expected = flat((8, 8), 10)
    torch.manual_seed(3)
    for p, q in zip(build(digits, flat).network.parameters(), expected.parameters(), strict=True):
        assert torch.equal(p, q)  # the same numbers are drawn, nothing is computed


REFUSED: dict[str, tuple[Callable[..., nn.Module], str]] = {
    "another input": (lambda shape, outputs: nn.Linear(3, outputs), r"cannot take a batch of shape \(2, 8, 8\)"),
    "too few outputs": (lambda shape, outputs: flat(shape, 2), r"into \(2, 10\), got \(2, 2\)"),
    "several outputs": (lambda shape, outputs: nn.LSTM(8, outputs), r"into \(2, 10\), got tuple"),
}


@pytest.mark.parametrize(("network", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_network_that_does_not_fit_the_data_is_refused(
    network: Callable[..., nn.Module], message: str, digits: Digits
) -> None:
    with pytest.raises(ValueError, match=message):
        build(digits, network)


# Clipping


def first_gradient(samples: Samples) -> np.ndarray:
    network = linear_classification().network
    return gradient(samples, network.weight.detach().numpy(), network.bias.detach().numpy())


@pytest.mark.parametrize("length", [*LENGTHS, None])
def test_a_gradient_is_clipped_to_the_length_and_no_shorter(length: float | None) -> None:
    task = linear_classification()
    fit(task, SAMPLES, 24, gradient_clip_val=length)
    expected = clipped(first_gradient(SAMPLES), np.inf if length is None else length)
    np.testing.assert_allclose(gradient_of_step(task), expected, **EXACT)


@pytest.mark.parametrize("length", LENGTHS)
def test_accumulated_gradients_are_clipped_once_and_as_a_whole(length: float) -> None:
    task = linear_classification()
    fit(task, SAMPLES, 8, gradient_clip_val=length, accumulate_grad_batches=3)
    assert len(recorded(task).gradients) == 1
    np.testing.assert_allclose(gradient_of_step(task), clipped(first_gradient(SAMPLES), length), **EXACT)


# Optimizers: their first steps against the papers' formulas

STEPS = 5
LR = 0.05
START = np.array([1.0, -2.0, 0.5])


def slope(w: np.ndarray, step: int) -> np.ndarray:
    """The gradient of a bowl whose centre moves, so that no two are alike."""
    return np.array([1.0, 10.0, 0.1]) * (w - step)


def configured(option: str, **keys: Any) -> Callable[..., Optimizer]:
    optimizer, _ = without_lr_of(instantiate(OmegaConf.load(CONFIGS / "optimizer" / f"{option}.yaml"), lr=LR, **keys))
    return optimizer


def taken_by(option: str, decay: float = 0.0, **keys: Any) -> list[np.ndarray]:
    """The parameters after each step of an optimizer as its file configures it."""
    w = nn.Parameter(torch.from_numpy(START.copy()))
    optimizer = configured(option, **keys)([{"params": [w], "weight_decay": decay}])
    taken = []
    for step in range(STEPS):
        w.grad = torch.from_numpy(slope(w.detach().numpy(), step))
        optimizer.step()
        taken.append(w.detach().numpy().copy())
    return taken


def adam(decay: float = 0.0) -> Iterator[np.ndarray]:
    """Kingma and Ba 2015, algorithm 1; with decay Loshchilov and Hutter 2019, algorithm 2."""
    w, m, v = START, 0.0, 0.0
    for step in range(STEPS):
        g = slope(w, step)
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        corrected_m, corrected_v = m / (1 - 0.9 ** (step + 1)), v / (1 - 0.999 ** (step + 1))
        w = w * (1 - LR * decay) - LR * corrected_m / (np.sqrt(corrected_v) + 1e-8)
        yield w


def sgd(momentum: float, nesterov: bool) -> Iterator[np.ndarray]:
    """Sutskever et al. 2013, equations 1 to 4, in terms of the velocity per learning rate."""
    w, velocity = START, np.zeros(3)
    for step in range(STEPS):
        g = slope(w, step)
        velocity = momentum * velocity + g
        w = w - LR * (g + momentum * velocity if nesterov else velocity)
        yield w


@pytest.mark.parametrize(("option", "decay"), [("adam", 0.0), ("adamw", 0.0), ("adamw", 0.3)])
def test_adam_follows_its_algorithm_and_adamw_shrinks_the_weights_apart_from_the_gradient(
    option: str, decay: float
) -> None:
    np.testing.assert_allclose(taken_by(option, decay), list(adam(decay)), rtol=1e-12)


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd_follows_its_algorithm(momentum: float, nesterov: bool) -> None:
    taken = taken_by("sgd", momentum=momentum, nesterov=nesterov)
    np.testing.assert_allclose(taken, list(sgd(momentum, nesterov)), rtol=1e-12, atol=1e-15)
