"""The tasks: what each makes of its data, what is tried before training, and the baseline to beat."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from lightning import LightningDataModule
from omegaconf import OmegaConf
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torchmetrics import MeanAbsoluteError, Metric

from your_package.tasks.classification import Classification
from your_package.tasks.multilabel import Multilabel
from your_package.tasks.regression import Regression
from your_package.tasks.supervised import SupervisedTask
from your_package.techniques import scheduler, weight_decay
from your_package.techniques.loss import FocalLoss

from tests.conftest import CONFIGS
from tests.fitting import (
    RecordingSGD,
    network_factory,
    quiet_trainer,
    small_data,
)

TASKS: dict[str, type[SupervisedTask]] = {"classes": Classification, "numbers": Regression, "labels": Multilabel}
OPTIONS = {"classes": "classification", "numbers": "regression", "labels": "multilabel"}
LOSSES = {"classes": nn.CrossEntropyLoss, "numbers": nn.MSELoss, "labels": nn.BCEWithLogitsLoss}


def flat(in_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(in_shape)), num_outputs))


def build(data: LightningDataModule, kind: str | None = None, **parts: Any) -> SupervisedTask:
    kind = kind or data.targets
    usual: dict[str, Any] = {
        "targets": kind,
        "network": flat,
        "loss": LOSSES[kind](),
        "metrics": metrics_of(OPTIONS[kind]),
        "optimizer": RecordingSGD,
        "scheduler": scheduler.constant,
        "weight_decay": weight_decay.none(),
        "compile": False,
    }
    return TASKS[kind].from_data(data, **{**usual, **parts})


def metrics_of(option: str) -> dict[str, Callable[..., Metric]]:
    """The metrics of ``task=OPTION``, before it is known how many outputs there are."""
    metrics = OmegaConf.load(CONFIGS / "task" / f"{option}.yaml").metrics
    return {name: instantiate(metric, _partial_=True) for name, metric in metrics.items()}


def fitted(task: SupervisedTask, data: LightningDataModule, epochs: int = 1) -> dict[str, float]:
    """What is logged when a task has been trained."""
    trainer = quiet_trainer(precision="32-true", max_epochs=epochs)
    trainer.fit(task, datamodule=data)
    return {name: value.item() for name, value in trainer.callback_metrics.items()}


# Every network in every task


@pytest.mark.filterwarnings("ignore::UserWarning:torchmetrics")  # few samples: a label may have none
@pytest.mark.parametrize("network", ["mlp", "cnn", "transformer"])
@pytest.mark.parametrize("kind", TASKS)
def test_every_network_learns_every_task(kind: str, network: str) -> None:
    data = small_data(kind)
    task = build(data, network=network_factory(network), optimizer=partial(torch.optim.Adam, lr=0.01))
    before = task.baseline(data)
    logged = fitted(task, data, epochs=8)
    assert logged["train/loss"] < 0.95 * before["val/loss"]
    assert set(before) == {name for name in logged if name.startswith("val/")}


# Targets and their units


def test_numbers_are_standardized_inside_and_measured_in_their_own_units() -> None:
    data = small_data("numbers")
    task = build(data)
    y = data.train.y.double()
    torch.testing.assert_close(task.mean.double(), y.mean(dim=0), rtol=1e-6, atol=0)
    torch.testing.assert_close(task.deviation.double(), y.std(dim=0, correction=0), rtol=1e-6, atol=0)
    logged = fitted(task, data)
    with torch.no_grad():
        outputs = task(data.val.x)
    raw, standardized = task.network(data.val.x), (data.val.y - task.mean) / task.deviation
    torch.testing.assert_close(outputs, raw * task.deviation + task.mean)
    assert logged["val/loss"] == pytest.approx((raw - standardized).square().mean().item(), rel=1e-5)
    assert logged["val/mae"] == pytest.approx(mean_absolute_error(data.val.y, outputs), rel=1e-5)
    assert logged["val/r2"] == pytest.approx(r2_score(data.val.y, outputs), rel=1e-4)
    assert {"mean", "deviation"} <= task.state_dict().keys()


def test_labels_are_independent_of_each_other() -> None:
    data = small_data("labels")
    task = build(data)
    with torch.no_grad():
        p = task(data.train.x).sigmoid()
    y = data.train.y.float()
    expected = -(y * p.log() + (1 - y) * (1 - p).log()).mean()
    torch.testing.assert_close(task.compute_loss(task(data.train.x), data.train.y), expected)


# Class weights


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss, partial(FocalLoss, gamma=0.0)], ids=["cross_entropy", "focal"])
@pytest.mark.parametrize("wanted", ["balanced", [1.0, 2.0, 0.0]], ids=str)
def test_class_weights_weigh_the_samples_of_each_class(wanted: Any, loss: Callable[[], nn.Module]) -> None:
    data = small_data("classes")
    task = build(data, loss=loss(), class_weights=wanted)
    y = data.train.y
    weights = torch.tensor(wanted) if wanted != "balanced" else None
    if weights is None:
        weights = torch.from_numpy(compute_class_weight("balanced", classes=np.arange(3), y=y.numpy())).float()
    losses = nn.functional.cross_entropy(task(data.train.x), y, reduction="none")
    expected = (weights[y] * losses).sum() / weights[y].sum()
    torch.testing.assert_close(task.compute_loss(task(data.train.x), y), expected)
    assert "loss.weight" in task.state_dict()  # evaluated as it was trained


# Before training: each mistake is refused in one sentence


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("given", TASKS)
def test_a_task_refuses_targets_of_another_kind_and_names_the_task_that_suits(given: str, kind: str) -> None:
    if given == kind:
        return
    with pytest.raises(
        ValueError,
        match=f"^task={OPTIONS[kind]} needs {kind} as targets, SmallData gives {given}: type task={OPTIONS[given]}$",
    ):
        build(small_data(given), kind)


UNUSABLE: dict[str, tuple[dict[str, Any], str]] = {
    "loss": ({"loss": nn.MSELoss()}, "^loss .* outputs float32 .8, 3. with targets int64 .8,."),
    "metric": ({"metrics": {"mae": MeanAbsoluteError}}, "^task.metrics.mae cannot compare"),
    "class weights": (
        {"class_weights": [1.0, 2.0]},
        "^task.class_weights .*3 weights, one for each class, got .1.0, 2.0",
    ),
}


@pytest.mark.parametrize(("parts", "message"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_parts_that_do_not_fit_the_targets_are_refused_by_their_key(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(small_data("classes"), **parts)


# The baseline to beat


def test_the_baseline_of_a_classification_is_that_of_scikit_learn() -> None:
    data = small_data("classes")
    found = build(data).baseline(data)
    x, y, target = data.train.x.flatten(1), data.train.y, data.val.y
    guess = DummyClassifier(strategy="prior").fit(x, y)
    probabilities = guess.predict_proba(data.val.x.flatten(1))
    assert found["val/loss"] == pytest.approx(log_loss(target, probabilities), rel=1e-5)
    assert found["val/accuracy"] == pytest.approx(accuracy_score(target, probabilities.argmax(axis=1)))
    assert found["val/auroc"] == pytest.approx(0.5)


def test_the_baseline_of_a_regression_is_the_mean() -> None:
    data = small_data("numbers", names=["price"])
    found = build(data).baseline(data)
    guess = DummyRegressor().fit(data.train.x.flatten(1), data.train.y).predict(data.val.x.flatten(1))
    assert found["val/mae"] == pytest.approx(mean_absolute_error(data.val.y, guess), rel=1e-5)
    assert found["val/rmse"] == pytest.approx(root_mean_squared_error(data.val.y, guess), rel=1e-5)
    assert found["val/r2"] == pytest.approx(r2_score(data.val.y, guess), abs=1e-4)


def test_the_baseline_of_several_labels_is_how_frequent_they_are() -> None:
    data = small_data("labels")
    found = build(data).baseline(data)
    p, y = data.train.y.double().mean(dim=0), data.val.y
    assert found["val/loss"] == pytest.approx(-(y * p.log() + (1 - y) * (1 - p).log()).mean().item(), rel=1e-5)
    assert found["val/map"] == pytest.approx(y.double().mean().item(), rel=1e-5)
    assert found["val/auroc"] == pytest.approx(0.5)
