"""Early stopping and the best weights: the callbacks as they are configured, on validations that follow a script."""

from collections.abc import Sequence
from functools import partial
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from lightning import Trainer
from omegaconf import OmegaConf
from torch import nn

from your_package import scheduler, weight_decay
from your_package.checkpoint import load_weights
from your_package.classifier import Classifier
from your_package.loader import Batches

from tests.conftest import PROJECT
from tests.fitting import Spy, fit, quiet_trainer, some_rows

ROWS = some_rows(6)


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


def callbacks(folder: Path, metric: str, **early_stopping: Any) -> dict[str, Any]:
    config = OmegaConf.create({"run_folder": str(folder), "monitor": metric})
    config.callbacks = OmegaConf.load(PROJECT / "configs" / "callbacks" / "default.yaml")
    config.callbacks.early_stopping.update(early_stopping)
    return {name: instantiate(config.callbacks[name]) for name in ("early_stopping", "checkpoint")}


def run(
    folder: Path, script: Sequence[float], metric: str = "val/loss", **early_stopping: Any
) -> tuple[Scripted, Trainer]:
    scripted = Scripted(metric, script)
    called = list(callbacks(folder, metric, **early_stopping).values())
    return scripted, fit(scripted, ROWS, 6, max_epochs=len(script), enable_checkpointing=True, callbacks=called)


def restored(scripted: Scripted, trainer: Trainer) -> float:
    """The epoch whose weights are there after what train.py does at the end."""
    assert trainer.checkpoint_callback is not None
    load_weights(scripted, trainer.checkpoint_callback.best_model_path)
    (epoch,) = scripted.network.bias.unique().tolist()
    return epoch


@pytest.mark.parametrize("patience", [1, 2, 5])
@pytest.mark.parametrize("best", [0, 3])
def test_it_stops_exactly_patience_checks_after_the_best(patience: int, best: int, empty_folder: Path) -> None:
    script = [1.0 - 0.1 * epoch for epoch in range(best + 1)] + [2.0] * 20
    scripted, trainer = run(empty_folder, script, patience=patience)
    assert scripted.validated == list(range(best + patience + 1))
    assert restored(scripted, trainer) == best


def test_a_late_improvement_starts_the_count_anew(empty_folder: Path) -> None:
    scripted, trainer = run(empty_folder, [5, 6, 6, 4, 6, 6, 6, 0], patience=3)
    assert scripted.validated[-1] == 6
    assert restored(scripted, trainer) == 3


def test_the_best_weights_are_restored_also_when_nothing_stops(empty_folder: Path) -> None:
    scripted, trainer = run(empty_folder, [3, 1, 2, 2], patience=3)
    assert scripted.validated == [0, 1, 2, 3]
    assert restored(scripted, trainer) == 1


def test_an_improvement_below_min_delta_is_none(empty_folder: Path) -> None:
    script = [1 - 0.01 * epoch for epoch in range(10)]
    assert run(empty_folder / "any", script, patience=2)[0].validated == list(range(10))
    assert run(empty_folder / "large", script, patience=2, min_delta=0.1)[0].validated == [0, 1, 2]


def test_of_accuracy_the_highest_is_the_best(empty_folder: Path) -> None:
    script = [0.1, 0.5, 0.9, 0.8, 0.7, 0.6]
    scripted, trainer = run(empty_folder, script, metric="val/accuracy", patience=2)
    assert scripted.validated[-1] == 4
    assert restored(scripted, trainer) == 2


@pytest.mark.parametrize("part", ["train", "val"])
@pytest.mark.parametrize(("what", "mode"), [("loss", "min"), ("accuracy", "max")])
def test_the_direction_is_derived_from_the_metric(part: str, what: str, mode: str, empty_folder: Path) -> None:
    for callback in callbacks(empty_folder, f"{part}/{what}").values():
        assert (callback.monitor, callback.mode) == (f"{part}/{what}", mode)


def test_it_can_watch_another_metric_than_the_checkpoint(empty_folder: Path) -> None:
    called = callbacks(empty_folder, "val/loss", monitor="val/accuracy")
    assert {name: callback.mode for name, callback in called.items()} == {"early_stopping": "max", "checkpoint": "min"}


@pytest.mark.parametrize("value", [nan, inf])
@pytest.mark.parametrize("epoch", [0, 2])
def test_a_validation_that_is_not_finite_stops_at_once(value: float, epoch: int, empty_folder: Path) -> None:
    script = [1.0] * epoch + [value] + [0.5] * 5
    scripted, trainer = run(empty_folder, script, patience=4)
    assert scripted.validated[-1] == epoch
    assert restored(scripted, trainer) == 0


def test_the_check_for_finite_values_can_be_taken_out(empty_folder: Path) -> None:
    scripted, trainer = run(empty_folder, [1.0, nan, 0.5, 0.6, 0.6], patience=3, check_finite=False)
    assert scripted.validated == [0, 1, 2, 3, 4]
    assert restored(scripted, trainer) == 2


@pytest.mark.filterwarnings("ignore:Checkpoint directory")  # is not empty: that is what a resume is
@pytest.mark.parametrize("stopped_after", [2, 3, 4])
def test_the_count_survives_a_resume(stopped_after: int, empty_folder: Path) -> None:
    script = [3.0, 2.0, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5]
    whole, _ = run(empty_folder / "whole", script, patience=4)
    begun, trainer = run(empty_folder / "parts", script[:stopped_after], patience=4)
    trainer.save_checkpoint(empty_folder / "stopped.ckpt")
    resumed = Scripted("val/loss", script)
    called = list(callbacks(empty_folder / "parts", "val/loss", patience=4).values())
    trainer = quiet_trainer(max_epochs=len(script), enable_checkpointing=True, callbacks=called)
    trainer.fit(resumed, Batches(ROWS, 6), Batches(ROWS, 6), ckpt_path=empty_folder / "stopped.ckpt")
    assert begun.validated + resumed.validated == whole.validated == list(range(6))
    assert restored(resumed, trainer) == 1


def test_a_restored_weight_is_the_one_that_was_validated(empty_folder: Path) -> None:
    scripted, trainer = run(empty_folder, [2.0, 1.0, 3.0], patience=1)
    saved = torch.load(empty_folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert saved["epoch"] == restored(scripted, trainer) == 1
