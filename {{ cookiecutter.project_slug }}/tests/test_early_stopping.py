"""Early stopping and the best weights, with the callbacks as they are configured, on validations that follow a script."""

from collections.abc import Callable, Sequence
from functools import partial
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from lightning import Trainer
from omegaconf import DictConfig
from torch import nn

from tests.fitting import Spy, fit, quiet_trainer, some_rows
from your_package import scheduler, weight_decay
from your_package.checkpoint import load_weights
from your_package.classifier import Classifier
from your_package.loader import Batches

ROWS = some_rows(6)
Compose = Callable[..., DictConfig]


class Scripted(Classifier):
    """Each epoch writes its number into the weights and validates to what the script says."""

    def __init__(self, metric: str, script: Sequence[float]) -> None:
        super().__init__(
            nn.Linear(4, 3).double(),
            optimizer=partial(Spy, lr=0.0),
            scheduler=scheduler.constant,
            weight_decay=weight_decay.none(),
        )
        self.metric = metric
        self.script = script
        self.validated: list[int] = []

    def on_train_epoch_start(self) -> None:
        nn.init.constant_(self.network.bias, self.current_epoch)

    def log_means(self, name: str) -> None:
        if name == "val":
            self.validated.append(self.current_epoch)
            self.log(self.metric, self.script[self.current_epoch])


def callbacks(compose: Compose, folder: Path, *overrides: str) -> dict[str, Any]:
    config = compose(f"run_folder={folder}", *overrides).callbacks
    return {name: instantiate(config[name]) for name in ("early_stopping", "checkpoint")}


def run(
    compose: Compose, folder: Path, script: Sequence[float], *overrides: str, metric: str = "val/loss"
) -> tuple[Scripted, Trainer]:
    scripted = Scripted(metric, script)
    called = callbacks(compose, folder, f"monitor={metric}", *overrides)
    trainer = fit(
        scripted,
        ROWS,
        6,
        max_epochs=len(script),
        enable_checkpointing=True,
        callbacks=list(called.values()),
    )
    return scripted, trainer


def restored(scripted: Scripted, trainer: Trainer) -> float:
    """The epoch whose weights are there after what train.py does at the end."""
    assert trainer.checkpoint_callback is not None
    load_weights(scripted, trainer.checkpoint_callback.best_model_path)
    (epoch,) = scripted.network.bias.unique().tolist()
    return epoch


PATIENCE = "callbacks.early_stopping.patience"


@pytest.mark.parametrize("patience", [1, 2, 5])
@pytest.mark.parametrize("best", [0, 3])
def test_it_stops_exactly_patience_checks_after_the_best(
    patience: int, best: int, compose: Compose, empty_folder: Path
) -> None:
    script = [1.0 - 0.1 * epoch for epoch in range(best + 1)] + [2.0] * 20
    scripted, trainer = run(compose, empty_folder, script, f"{PATIENCE}={patience}")
    assert scripted.validated == list(range(best + patience + 1))
    assert restored(scripted, trainer) == best


def test_a_late_improvement_starts_the_count_anew(compose: Compose, empty_folder: Path) -> None:
    scripted, trainer = run(compose, empty_folder, [5, 6, 6, 4, 6, 6, 6, 0], f"{PATIENCE}=3")
    assert scripted.validated[-1] == 6
    assert restored(scripted, trainer) == 3


def test_the_best_weights_are_restored_also_when_nothing_stops(compose: Compose, empty_folder: Path) -> None:
    scripted, trainer = run(compose, empty_folder, [3, 1, 2, 2], f"{PATIENCE}=3")
    assert scripted.validated == [0, 1, 2, 3]
    assert restored(scripted, trainer) == 1


def test_an_improvement_below_min_delta_is_none(compose: Compose, empty_folder: Path) -> None:
    script = [1 - 0.01 * epoch for epoch in range(10)]
    assert run(compose, empty_folder / "any", script, f"{PATIENCE}=2")[0].validated == list(range(10))
    overrides = (f"{PATIENCE}=2", "callbacks.early_stopping.min_delta=0.1")
    assert run(compose, empty_folder / "large", script, *overrides)[0].validated == [0, 1, 2]


def test_of_accuracy_the_highest_is_the_best(compose: Compose, empty_folder: Path) -> None:
    script = [0.1, 0.5, 0.9, 0.8, 0.7, 0.6]
    scripted, trainer = run(compose, empty_folder, script, f"{PATIENCE}=2", metric="val/accuracy")
    assert scripted.validated[-1] == 4
    assert restored(scripted, trainer) == 2


@pytest.mark.parametrize("part", ["train", "val"])
def test_the_direction_is_derived_from_the_metric(part: str, compose: Compose, empty_folder: Path) -> None:
    for metric, mode in ((f"{part}/loss", "min"), (f"{part}/accuracy", "max")):
        called = callbacks(compose, empty_folder, f"monitor={metric}")
        assert {callback.mode for callback in called.values()} == {mode}
        assert {callback.monitor for callback in called.values()} == {metric}


def test_it_can_watch_another_metric_than_the_checkpoint(compose: Compose, empty_folder: Path) -> None:
    called = callbacks(compose, empty_folder, "monitor=val/loss", "callbacks.early_stopping.monitor=val/accuracy")
    assert called["early_stopping"].mode == "max"
    assert called["checkpoint"].mode == "min"


@pytest.mark.parametrize("value", [nan, inf])
@pytest.mark.parametrize("epoch", [0, 2])
def test_a_validation_that_is_not_finite_stops_at_once(
    value: float, epoch: int, compose: Compose, empty_folder: Path
) -> None:
    script = [1.0] * epoch + [value] + [0.5] * 5
    scripted, trainer = run(compose, empty_folder, script, f"{PATIENCE}=4")
    assert scripted.validated[-1] == epoch
    assert restored(scripted, trainer) == 0


def test_the_check_for_finite_values_can_be_taken_out(compose: Compose, empty_folder: Path) -> None:
    overrides = (f"{PATIENCE}=3", "+callbacks.early_stopping.check_finite=false")
    scripted, trainer = run(compose, empty_folder, [1.0, nan, 0.5, 0.6, 0.6], *overrides)
    assert scripted.validated == [0, 1, 2, 3, 4]
    assert restored(scripted, trainer) == 2


@pytest.mark.filterwarnings("ignore:Checkpoint directory")  # is not empty: that is what a resume is
@pytest.mark.parametrize("stopped_after", [2, 3, 4])
def test_the_count_survives_a_resume(stopped_after: int, compose: Compose, empty_folder: Path) -> None:
    script = [3.0, 2.0, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5]
    whole, _ = run(compose, empty_folder / "whole", script, f"{PATIENCE}=4")
    begun, trainer = run(compose, empty_folder / "parts", script[:stopped_after], f"{PATIENCE}=4")
    trainer.save_checkpoint(empty_folder / "stopped.ckpt")
    resumed = Scripted("val/loss", script)
    called = callbacks(compose, empty_folder / "parts", f"{PATIENCE}=4")
    trainer = quiet_trainer(max_epochs=len(script), enable_checkpointing=True, callbacks=list(called.values()))
    trainer.fit(resumed, Batches(ROWS, 6), Batches(ROWS, 6), ckpt_path=empty_folder / "stopped.ckpt")
    assert begun.validated + resumed.validated == whole.validated == list(range(6))
    assert restored(resumed, trainer) == 1


def test_without_it_training_goes_on_to_the_end(compose: Compose, empty_folder: Path) -> None:
    config = compose(f"run_folder={empty_folder}", "~callbacks.early_stopping")
    assert "early_stopping" not in config.callbacks
    scripted = Scripted("val/loss", [1.0, 2.0, 2.0, 2.0])
    checkpoint = instantiate(config.callbacks.checkpoint)
    trainer = fit(scripted, ROWS, 6, max_epochs=4, enable_checkpointing=True, callbacks=[checkpoint])
    assert scripted.validated == [0, 1, 2, 3]
    assert restored(scripted, trainer) == 0


def test_a_restored_weight_is_the_one_that_was_validated(compose: Compose, empty_folder: Path) -> None:
    scripted, trainer = run(compose, empty_folder, [2.0, 1.0, 3.0], f"{PATIENCE}=1")
    saved = torch.load(empty_folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert saved["epoch"] == restored(scripted, trainer) == 1
