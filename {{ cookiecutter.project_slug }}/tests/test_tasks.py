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
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanAbsoluteError, Metric
from torchmetrics.classification import BinaryAccuracy, MulticlassAccuracy, MulticlassROC

from your_package.tasks.classification import Classification
from your_package.tasks.multilabel import Multilabel
from your_package.tasks.regression import Regression
from your_package.tasks.supervised import SupervisedTask
from your_package.techniques import scheduler, weight_decay
from your_package.techniques.loss import FocalLoss

from tests.conftest import CONFIGS
from tests.fitting import (
    RecordingSGD,
    SmallData,
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


def test_numbers_far_from_zero_are_learnt_as_well_as_near_ones() -> None:
    near, far = small_data("numbers"), small_data("numbers")
    far.train, far.val = (samples._replace(y=samples.y + 2**20) for samples in (far.train, far.val))
    near.train, near.val = (samples._replace(y=samples.y - 2**20) for samples in (far.train, far.val))  # rounded alike
    one, other = (fitted(build(data), data)["train/loss"] for data in (near, far))
    assert one == pytest.approx(other, rel=1e-4)  # float32 holds the mean to a few thousandths of a deviation


def test_labels_are_independent_of_each_other() -> None:
    data = small_data("labels")
    task = build(data)
    with torch.no_grad():
        p = task(data.train.x).sigmoid()
    y = data.train.y.float()
    expected = -(y * p.log() + (1 - y) * (1 - p).log()).mean()
    torch.testing.assert_close(task.compute_loss(task(data.train.x), data.train.y), expected)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), FocalLoss(gamma=2.0)], ids=["cross_entropy", "focal"])
def test_a_mixture_of_classes_is_trained_on_and_scored_by_its_likeliest_class(loss: nn.Module) -> None:
    task = build(small_data("classes"), loss=loss)
    mixed = torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.2, 0.8]])
    assert task.training_step((torch.randn(2, 8, 8), mixed), 0).isfinite()
    assert task.metrics["train_metrics"].targets[0].tolist() == [0, 2]


class Loaders(LightningDataModule):
    """A stranger's data: nothing is declared but, for classes, their number."""

    def __init__(self, x: Tensor, y: Tensor, **declared: Any) -> None:
        super().__init__()
        self.dataset = TensorDataset(x, y)
        vars(self).update(declared)

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.dataset, batch_size=10, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.dataset, batch_size=10)


STRANGERS = {
    "classes": (torch.arange(40) % 3, {"num_classes": 3}),
    "numbers": (torch.linspace(0, 9, 40), {}),
    "labels": (torch.stack([torch.arange(40) % 2, torch.arange(40) % 3 // 2], dim=1).float(), {}),
}


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
@pytest.mark.parametrize("kind", TASKS)
def test_data_that_declare_nothing_more_than_before_are_trained_on(kind: str) -> None:
    y, declared = STRANGERS[kind]
    data = Loaders(torch.randn(40, 8, 8, generator=torch.Generator().manual_seed(0)), y, **declared)
    task = build(data, kind)
    logged = fitted(task, data)
    assert all(np.isfinite(value) for value in logged.values())
    assert set(task.baseline(data)) == {name for name in logged if name.startswith("val/")}


class Embedding(nn.Module):
    """Features, the last of which is a category."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, :-1], self.embed(x[:, -1].long())], dim=1)


class Categories(SmallData):
    def load(self) -> None:
        super().load()
        self.train, self.val, self.test = (
            samples._replace(x=torch.cat([samples.x[:, 0], samples.y[:, None] % 5.0], dim=1))
            for samples in (self.train, self.val, self.test)
        )

    def input_layer(self) -> nn.Module:
        return Embedding()


def test_a_layer_of_the_data_lies_before_the_network_which_is_built_for_its_outputs() -> None:
    data = Categories("classes")
    data.setup("fit")
    shapes: list[tuple[int, ...]] = []
    task = build(data, network=lambda shape, outputs: shapes.append(shape) or flat(shape, outputs))
    assert shapes == [(8 + 3,)]
    assert {"network.input_layer.embed.weight", "network.network.1.weight"} <= task.state_dict().keys()
    before = task.network.input_layer.embed.weight.detach().clone()
    fitted(task, data)
    assert not torch.equal(task.network.input_layer.embed.weight, before)


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


CLASS_WEIGHTS = {
    "for another loss": ({"class_weights": "balanced", "loss": nn.MultiMarginLoss().forward}, "needs a loss with an"),
    "too few": ({"class_weights": [1.0, 2.0]}, "3 weights, one for each class, got .1.0, 2.0."),
    "a word": ({"class_weights": "even"}, "must be balanced or 3 weights, one for each class, got even"),
    "below zero": ({"class_weights": [1.0, 2.0, -1.0]}, "3 weights, one for each class"),
}


@pytest.mark.parametrize(("parts", "message"), CLASS_WEIGHTS.values(), ids=CLASS_WEIGHTS.keys())
def test_class_weights_that_cannot_be_used_are_refused(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"task.class_weights .*{message}"):
        build(small_data("classes"), **parts)


def test_classes_cannot_be_balanced_against_one_that_has_no_sample() -> None:
    data = small_data("classes")
    data.train = data.train.at(data.train.y != 1)
    with pytest.raises(ValueError, match="class bee has none"):
        build(data, class_weights="balanced")


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


def broadcasting(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.mse_loss(outputs, targets[:, :1])


UNUSABLE: dict[str, tuple[str, dict[str, Any], str]] = {
    "a loss of classes": (
        "numbers",
        {"loss": nn.CrossEntropyLoss(reduction="none")},
        "loss must turn .* into one number",
    ),
    "a loss of each sample": ("classes", {"loss": nn.CrossEntropyLoss(reduction="none")}, "got float32 .8,."),
    "a loss of numbers": (
        "classes",
        {"loss": nn.MSELoss()},
        r"^loss .* outputs float32 .8, 3. with targets int64 .8,.",
    ),
    "a loss that broadcasts": ("numbers", {"loss": broadcasting}, "^loss must not broadcast outputs float32 .8, 3."),
    "a loss that is not finite": ("numbers", {"loss": lambda o, y: (o - y).mean().log() * 0 + torch.nan}, "be finite"),
    "a metric of two classes": ("classes", {"metrics": {"own": BinaryAccuracy}}, "^task.metrics.own cannot compare"),
    "a metric of numbers": ("classes", {"metrics": {"mae": MeanAbsoluteError}}, "^task.metrics.mae cannot compare"),
    "a metric of classes": (
        "numbers",
        {"metrics": {"own": partial(MulticlassAccuracy, 3)}},
        "^task.metrics.own cannot",
    ),
    "a metric that is a curve": (
        "classes",
        {"metrics": {"roc": MulticlassROC}},
        "^task.metrics.roc must turn .* number",
    ),
    "a metric without its number": (
        "numbers",
        {"metrics": {"own": MulticlassAccuracy}},
        "^task.metrics.own cannot be b",
    ),
    "a function as a metric": (
        "numbers",
        {"metrics": {"own": lambda: 1.0}},
        "^task.metrics.own must be a torchmetrics",
    ),
}


@pytest.mark.parametrize(("kind", "parts", "message"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_loss_or_metric_that_cannot_compare_outputs_and_targets_is_refused(
    kind: str, parts: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as refusal:
        build(small_data(kind), **parts)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("value", "message"), [(torch.nan, "bee has values that are not"), (7.0, "bee is 7 in every")])
def test_numbers_that_are_missing_or_constant_are_refused_by_name(value: float, message: str) -> None:
    data = small_data("numbers")
    data.train.y[:, 1] = value
    with pytest.raises(ValueError, match=message):
        build(data)


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


def test_the_baseline_changes_neither_metrics_nor_random_numbers() -> None:
    data = small_data("classes")
    task = build(data)
    task.evaluate(data.val, "val")
    torch.manual_seed(0)
    task.baseline(data)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(1))
    assert task.metrics["val_metrics"].samples == 20
