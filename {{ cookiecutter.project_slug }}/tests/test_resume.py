"""Runs that are stopped and gone on with end as if they had never been stopped, bit for bit."""

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig

from your_package.classifier import Classifier

from train import train

Compose = Callable[..., DictConfig]
TINY = (
    "data=digits",
    "network.width=8",
    "residual.depth=2",
    "optimizer.lr=0.01",
    "trainer.max_epochs=4",
    "trainer.log_every_n_steps=5",
    "callbacks.early_stopping.patience=1",
    "callbacks.last_checkpoint.steps=4",
    "dropout.rate=0.3",
)
SETTINGS = {
    "batch norm and a cosine": ["normalisation=batch", "scheduler.warmup_steps=5"],
    "accumulation under one cycle": ["trainer.accumulate_grad_batches=3", "scheduler=one_cycle"],
    "early stopping and a plateau": ["scheduler=plateau", "scheduler.patience=0", "optimizer.lr=0.3", "optimizer=sgd"],
    "two validations an epoch": ["+trainer.val_check_interval=0.5", "scheduler=plateau"],
    "an epoch that is left early": ["trainer.limit_train_batches=7", "scheduler=constant"],
    "a number of steps": ["+trainer.max_steps=61", "callbacks.last_checkpoint.steps=null"],
    "validation every other epoch": ["trainer.check_val_every_n_epoch=2", "trainer.max_epochs=6", "monitor=train/loss"],
}


class Killed(BaseException):
    """As sudden as can be within a process."""


@pytest.fixture
def kill(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """End what runs before the ``count``-th call of a method of the classifier."""

    def kill(method: str, count: int) -> None:
        calls = iter(range(1, count + 1))
        original = getattr(Classifier, method)

        def fatal(*arguments: Any) -> Any:
            if next(calls, count) == count:
                raise Killed
            return original(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(Classifier, method, fatal)
            yield

    return kill


def only_run(folder: Path) -> Path:
    (run,) = folder.glob("runs/*/*")
    return run


def digest(value: Any) -> Any:
    """Something equal for equal states: tensors as their bytes, everything else as it is."""
    if isinstance(value, torch.Tensor):
        return hashlib.sha256(value.contiguous().view(-1).view(torch.uint8).numpy().tobytes()).hexdigest()
    if isinstance(value, dict):
        passing = ("seconds", "dirpath", "before", "current_score")  # the last: ModelCheckpoint keeps it, and forgets it
        return {key: digest(part) for key, part in value.items() if key not in passing}
    return [digest(part) for part in value] if isinstance(value, list | tuple) else value


def left_by(run: Path) -> dict[str, Any]:
    """All that a run leaves, but for times and places."""
    found: dict[str, Any] = {}
    for name in ("best.ckpt", "last.ckpt"):
        state = torch.load(run / "checkpoints" / name, weights_only=True)
        found[name] = {key: digest(state[key]) for key in ("state_dict", "optimizer_states", "lr_schedulers", "loops")}
        found[name] |= {"random": digest(state["resume"]["ranks"])}
        callbacks = {key: digest(value) for key, value in state["callbacks"].items()}
        found[name] |= {"callbacks": json.loads(json.dumps(callbacks).replace(str(run.resolve()), "RUN"))}
    with (run / "metrics.csv").open() as file:
        found["metrics.csv"] = [{**row, "throughput/samples_per_second": ""} for row in csv.DictReader(file)]
    timed = ("seconds", "samples_per_second")
    summary = json.loads((run / "summary.json").read_text())
    found["summary.json"] = {key: value for key, value in summary.items() if key not in timed}
    return found


@pytest.mark.parametrize("name", SETTINGS)
def test_killed_again_and_again_a_run_ends_like_one_that_never_was(
    name: str, compose: Compose, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty_folder / "whole").mkdir()
    monkeypatch.chdir(empty_folder / "whole")
    train(compose(*TINY, *SETTINGS[name]))
    whole = left_by(only_run(Path.cwd()))

    (empty_folder / "killed").mkdir()
    monkeypatch.chdir(empty_folder / "killed")
    steps = iter(range(1, 1000))
    original = Classifier.training_step

    def fatal(*arguments: Any) -> Any:
        if next(steps) % 14 == 0:
            raise Killed
        return original(*arguments)

    monkeypatch.setattr(Classifier, "training_step", fatal)
    kills = 0
    overrides: tuple[str, ...] = (*TINY, *SETTINGS[name])
    while True:
        try:
            train(compose(*overrides))
            break
        except Killed:
            kills += 1
            overrides = ("resume=latest",)
    assert kills > 1
    assert left_by(only_run(Path.cwd())) == whole
