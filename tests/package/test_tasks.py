"""The tasks: strangers' data, layers of the data, and every loss, metric and weight that is refused."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from lightning import LightningDataModule
from my_network.techniques.loss import FocalLoss
from tests.fitting import (
    SmallData,
    small_data,
)
from tests.test_tasks import TASKS, build, fitted, flat
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import BinaryAccuracy, MulticlassAccuracy, MulticlassROC


def test_numbers_far_from_zero_are_learnt_as_well_as_near_ones() -> None:
    near, far = small_data("numbers"), small_data("numbers")
    far.train, far.val = (samples._replace(y=samples.y + 2**20) for samples in (far.train, far.val))
    near.train, near.val = (samples._replace(y=samples.y - 2**20) for samples in (far.train, far.val))  # rounded alike
    one, other = (fitted(build(data), data)["train/loss"] for data in (near, far))
    assert one == pytest.approx(other, rel=1e-4)  # float32 holds the mean to a few thousandths of a deviation


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


CLASS_WEIGHTS = {
    "for another loss": ({"class_weights": "balanced", "loss": nn.MultiMarginLoss().forward}, "needs a loss with an"),
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


def broadcasting(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.mse_loss(outputs, targets[:, :1])


UNUSABLE: dict[str, tuple[str, dict[str, Any], str]] = {
    "a loss of classes": (
        "numbers",
        {"loss": nn.CrossEntropyLoss(reduction="none")},
        "loss must turn .* into one number",
    ),
    "a loss of each sample": ("classes", {"loss": nn.CrossEntropyLoss(reduction="none")}, "got float32 .8,."),
    "a loss that broadcasts": ("numbers", {"loss": broadcasting}, "^loss must not broadcast outputs float32 .8, 3."),
    "a loss that is not finite": ("numbers", {"loss": lambda o, y: (o - y).mean().log() * 0 + torch.nan}, "be finite"),
    "a metric of two classes": ("classes", {"metrics": {"own": BinaryAccuracy}}, "^task.metrics.own cannot compare"),
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


@pytest.mark.parametrize(
    ("value", "message"), [(torch.nan, "bee has values that are not"), (7.0, "bee is 7 in every train")]
)
def test_numbers_that_are_missing_or_constant_are_refused_by_name(value: float, message: str) -> None:
    data = small_data("numbers")
    data.train.y[:, 1] = value
    with pytest.raises(ValueError, match=message):
        build(data)


def test_the_best_constant_under_balanced_weights_is_equal_chances() -> None:
    """Each class counts as much as any other, however rare it is."""
    data = small_data("classes")
    data.val = data.train
    found = build(data, class_weights="balanced").baseline(data)
    assert found["val/loss"] == pytest.approx(np.log(data.num_classes), rel=1e-5)


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
