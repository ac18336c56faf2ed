"""Early stopping and the best weights: the callbacks as they are configured, on validations that follow a script."""

from collections.abc import Sequence
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from lightning import LightningModule, Trainer
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError
from trainwell.metrics import EpochMetrics, higher_is_better
from trainwell.runs import checkpoint_io
from trainwell.runs.checkpoint_io import AtomicCheckpointIO, load_weights

LOADER = DataLoader(TensorDataset(torch.zeros(2, 4)))


class Scripted(LightningModule):
    """Each epoch writes its number into the weights and validates to what the script says."""

    def __init__(self, metric: str, script: Sequence[float]) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)
        self.metric = metric
        self.script = script
        self.validated: list[int] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.layer(batch[0]).mean()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass

    def on_train_epoch_start(self) -> None:
        nn.init.constant_(self.layer.bias, self.current_epoch)

    def on_validation_epoch_end(self) -> None:
        self.validated.append(self.current_epoch)
        self.log(self.metric, self.script[self.current_epoch])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.0)


def trainer_of(baked: Path, folder: Path, metric: str, mode: str, epochs: int, **early_stopping: Any) -> Trainer:
    config = OmegaConf.create({"run_folder": str(folder), "monitor": metric, "monitor_mode": mode})
    config.callbacks = OmegaConf.load(baked / "configs" / "callbacks" / "default.yaml")
    config.callbacks.early_stopping.update(early_stopping)
    return Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        num_sanity_val_steps=0,
        callbacks=[instantiate(config.callbacks[name]) for name in ("early_stopping", "checkpoint")],
        plugins=[AtomicCheckpointIO()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


class Runs:
    def __init__(self, baked: Path, folder: Path) -> None:
        self.baked, self.folder = baked, folder

    def run(
        self, script: Sequence[float], metric: str = "val/loss", mode: str = "min", **early_stopping: Any
    ) -> tuple[list[int], float]:
        """The epochs that were validated, and the one whose weights are there after what train.py does at the end."""
        module = Scripted(metric, script)
        trainer = trainer_of(self.baked, self.folder, metric, mode, len(script), **early_stopping)
        trainer.fit(module, LOADER, LOADER)
        return module.validated, restored(module, trainer)


def restored(module: Scripted, trainer: Trainer) -> float:
    assert trainer.checkpoint_callback is not None
    load_weights(module, Path(trainer.checkpoint_callback.best_model_path))
    return module.layer.bias.item()


@pytest.fixture
def runs(baked: Path, tmp_path: Path) -> Runs:
    return Runs(baked, tmp_path)


@pytest.mark.parametrize("patience", [1, 5])
@pytest.mark.parametrize("best", [0, 3])
def test_it_stops_exactly_patience_validations_after_the_best(patience: int, best: int, runs: Runs) -> None:
    script = [1.0 - 0.1 * epoch for epoch in range(best + 1)] + [2.0] * 20
    assert runs.run(script, patience=patience) == (list(range(best + patience + 1)), best)


def test_a_late_improvement_restarts_the_count(runs: Runs) -> None:
    assert runs.run([5, 6, 6, 4, 6, 6, 6, 0], patience=3) == (list(range(7)), 3)


@pytest.mark.parametrize("pause", [0, 1e9], ids=["written at once", "written at the end"])
def test_the_best_weights_are_restored_also_when_nothing_stops(
    pause: float, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_io, "PAUSE", pause)
    assert runs.run([3, 1, 2, 2], patience=3) == ([0, 1, 2, 3], 1)


def test_an_improvement_below_min_delta_does_not_count(runs: Runs) -> None:
    script = [1 - 0.01 * epoch for epoch in range(10)]
    assert runs.run(script, patience=2, min_delta=0.1)[0] == [0, 1, 2]


def test_where_higher_is_better_the_highest_is_the_best(runs: Runs) -> None:
    assert runs.run([0.1, 0.5, 0.9, 0.8, 0.7, 0.6], "val/f1", "max", patience=2) == ([0, 1, 2, 3, 4], 2)


@pytest.mark.parametrize("value", [nan, inf])
def test_a_validation_that_is_not_finite_stops_at_once(value: float, runs: Runs) -> None:
    assert runs.run([1.0, 1.0, value, 0.5, 0.5], patience=4) == ([0, 1, 2], 0)


@pytest.mark.parametrize("stopped_after", [2, 4])
def test_the_count_survives_a_resume(stopped_after: int, baked: Path, tmp_path: Path) -> None:
    script = [3.0, 2.0, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5]
    begun = Scripted("val/loss", script)
    trainer = trainer_of(baked, tmp_path, "val/loss", "min", stopped_after, patience=4)
    trainer.fit(begun, LOADER, LOADER)
    trainer.save_checkpoint(tmp_path / "stopped.ckpt")
    resumed = Scripted("val/loss", script)
    trainer = trainer_of(baked, tmp_path, "val/loss", "min", len(script), patience=4)
    trainer.fit(resumed, LOADER, LOADER, ckpt_path=tmp_path / "stopped.ckpt")
    assert begun.validated + resumed.validated == list(range(6))
    assert restored(resumed, trainer) == 1


def test_the_direction_is_the_metrics_own() -> None:
    module = nn.Module()
    module.scores = EpochMetrics({"accuracy": MulticlassAccuracy(3), "calibration": MulticlassCalibrationError(3)})
    assert higher_is_better(module, "val/accuracy") is True
    assert higher_is_better(module, "val/calibration") is False
    assert higher_is_better(module, "val/loss") is False
    assert higher_is_better(module, "val/unheard_of") is None
