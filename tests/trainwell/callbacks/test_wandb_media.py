import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import wandb
from lightning import LightningModule, Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset
from trainwell.callbacks.wandb_media import WandbMedia, histogram, worst_predictions
from trainwell.loggers.wandb import SafeWandbLogger


@pytest.fixture
def logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What is logged beside numbers by a W&B run that writes nothing."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    wandb.teardown()
    objects: list[dict[str, Any]] = []
    monkeypatch.setattr(SafeWandbLogger, "log_objects", lambda self, values: objects.append(dict(values)))
    yield objects
    wandb.teardown()


def fit(module: LightningModule, *loaders: Any, **options: Any) -> None:
    logger = SafeWandbLogger(project="test", run_folder="runs/train/media")
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        logger=logger,
        callbacks=WandbMedia(every_n_validations=2),
        limit_train_batches=2,
        limit_val_batches=2,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        **options,
    )
    trainer.fit(module, *loaders)
    logger.finish()


class Classifier(LightningModule):
    """Somebody's classification task, which draws random numbers in every forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) + 0.0 * torch.rand(1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> Tensor:
        return cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def loaders() -> tuple[DataLoader, DataLoader]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(32, 4, generator=generator)
    y = torch.randint(3, (32,), generator=generator)
    return DataLoader(TensorDataset(x, y), batch_size=16), DataLoader(TensorDataset(x, y), batch_size=16)


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*treespec, LeafSpec")
def test_weights_and_worst_predictions_are_logged_every_second_validation(logged: list[dict[str, Any]]) -> None:
    fit(Classifier(), *loaders(), max_epochs=4)
    assert [entry["trainer/global_step"] for entry in logged] == [1, 5]
    assert set(logged[0]) == {"trainer/global_step", "weights/net", "worst predictions"}
    losses = logged[0]["worst predictions"].get_column("loss")
    assert len(losses) == 8
    assert losses == sorted(losses, reverse=True)


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*treespec, LeafSpec")
def test_a_task_that_is_no_classification_has_histograms_alone(logged: list[dict[str, Any]]) -> None:
    fit(BoringModel(), max_epochs=1)
    assert [set(entry) for entry in logged] == [{"trainer/global_step", "weights/layer"}]


def test_looking_at_predictions_changes_no_random_state() -> None:
    module, batch = Classifier(), next(iter(loaders()[1]))
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    assert worst_predictions(module, batch) is not None
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("module", "batch"),
    [
        (Classifier(), {"x": torch.zeros(2, 4)}),
        (Classifier(), (torch.zeros(2, 4), torch.zeros(2))),
        (Classifier(), (torch.zeros(2, 4), torch.full((2,), 7))),
        (Classifier(), (torch.zeros(2, 5), torch.zeros(2, dtype=torch.int64))),
        (LightningModule(), (torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64))),
    ],
    ids=["a dict", "real targets", "a class without logit", "inputs of another shape", "no forward"],
)
def test_what_has_no_worst_predictions_is_skipped(module: LightningModule, batch: Any) -> None:
    assert worst_predictions(module, batch) is None


class Fixed(LightningModule):
    """Outputs that are its inputs."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def test_the_worst_predictions_have_the_names_of_the_targets() -> None:
    x = torch.tensor([[3.0, 0.0], [0.0, 4.0], [1.0, 0.0]])
    data = SimpleNamespace(target_names=["ant", "bee"])
    classes = worst_predictions(Fixed(), (x, torch.tensor([0, 0, 1])), data)
    assert classes["target"].tolist() == ["ant", "bee", "ant"]
    assert classes["prediction"].tolist() == ["bee", "ant", "ant"]
    labels = worst_predictions(Fixed(), (x, torch.tensor([[0, 1], [1, 1], [1, 0]])), data)
    assert labels[["target_ant", "target_bee"]].to_numpy().tolist() == [[0, 1], [1, 0], [1, 1]]
    assert (labels["probability_ant"] > 0.5).tolist() == [True, True, False]


def test_of_numbers_the_largest_errors_come_first() -> None:
    x = torch.tensor([[3.0, 0.0], [0.0, 4.0], [1.0, 0.0]])
    data = SimpleNamespace(target_names=["price", "age"])
    found = worst_predictions(Fixed(), (x, torch.zeros(3, 2)), data)
    columns = ["target_price", "target_age", "prediction_price", "prediction_age", "error", "input"]
    assert found.columns.tolist() == columns
    assert found["prediction_age"].tolist() == [4.0, 0.0, 0.0]
    assert found["error"].tolist() == [2.0, 1.5, 0.5]
    unnamed = worst_predictions(Fixed(), (x[:, :1], torch.zeros(3, 1)))
    assert unnamed.columns.tolist()[:2] == ["target_0", "output_0"]


@pytest.mark.parametrize("y", [torch.zeros(3, dtype=torch.int64), torch.zeros(3, 2, dtype=torch.bfloat16)])
def test_predictions_in_half_precision_are_shown(y: Tensor) -> None:
    assert len(worst_predictions(Fixed(), (torch.ones(3, 2, dtype=torch.bfloat16), y))) == 3


def test_a_histogram_leaves_out_what_is_not_finite() -> None:
    counts, borders = histogram(torch.tensor([0.0, 1.0, float("nan"), float("inf")]))
    assert (counts.sum(), borders[0], borders[-1]) == (2, 0, 1)
    assert histogram(torch.full((3,), float("nan")))[0].sum() == 1


def test_a_rhythm_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="every_n_validations must be at least 1, got 0"):
        WandbMedia(every_n_validations=0)
