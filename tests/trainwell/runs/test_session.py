"""Whole runs through train.py: how they end, what they refuse late, and what a sweep keeps apart."""

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trainwell
from trainwell.errors import RunFailed

QUIET = ("trainer=cpu", "logger=none", "~callbacks.progress_bar", "trainer.enable_progress_bar=false")
SHORT = (
    *QUIET,
    "data=digits",
    "network.width=16",
    "residual.depth=2",
    "optimizer.lr=0.01",
    "scheduler=constant",
    "trainer.max_epochs=3",
    "callbacks.early_stopping.patience=2",
)


def summary_in(project: Path) -> dict[str, Any]:
    (path,) = project.glob("runs/*/*/summary.json")
    return json.loads(path.read_text("utf-8"), parse_constant=pytest.fail)  # NaN is no JSON


def test_a_run_that_fails_says_so_in_its_summary(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from my_network.tasks.classification import Classification

    def broken(*arguments: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Classification, "validation_step", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        trainwell.train(SHORT)
    assert summary_in(project)["status"] == "failed"
    assert summary_in(project)["steps"] == 18


def test_a_loss_that_is_not_finite_fails_the_run_and_says_where_it_came_from(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    explosive = ("initialisation=normal", "initialisation.std=100", "optimizer=sgd", "trainer.gradient_clip_val=null")
    with caplog.at_level(logging.INFO, logger="trainwell"), pytest.raises(RunFailed):
        trainwell.train([*SHORT, *explosive, "optimizer.lr=1e9"])
    summary = summary_in(project)
    assert summary["status"] == "failed"
    assert summary["best"] is None
    (finding,) = summary["findings"]
    assert finding["code"] == "non_finite"
    assert finding["where"] == "layers.0.branch.inner (Linear)"
    assert finding["evidence"] in caplog.text
    assert "try     optimizer.lr=0.001 or trainer.gradient_clip_val=1.0 or initialisation=zero_residual" in caplog.text


@pytest.mark.parametrize(
    "overrides",
    [
        ("trainer.accumulate_grad_batches=3",),
        ("trainer.precision=bf16-mixed",),
        ("trainer.gradient_clip_val=null",),
        ("optimizer=sgd", "scheduler=one_cycle"),
        ("scheduler=plateau", "normalisation=batch"),
        ("monitor=val/accuracy",),
        ("~callbacks.early_stopping",),
        ("logger=tensorboard",),
    ],
    ids=lambda overrides: overrides[0],
)
def test_other_choices_train_to_the_end(overrides: tuple[str, ...], project: Path) -> None:
    if "logger=tensorboard" in overrides:
        pytest.importorskip("tensorboard")
    usual = [option for option in SHORT if option.partition("=")[0] not in [o.partition("=")[0] for o in overrides]]
    trainwell.train([*usual, *overrides])
    assert summary_in(project)["status"] == "finished"
    assert summary_in(project)["best"]["val/accuracy"] > 0.3  # chance is 0.1


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["trainer.accelerator=tpuu"], "invalid accelerator name"),
        (["monitor=val/f1", "monitor_mode=min"], "monitor_mode=min must fit monitor=val/f1, of which higher is better"),
        (["data.batch_size=5000"], "data.batch_size must be at most the number of train samples, 1151, got 5000"),
        (["scheduler=cosine", "scheduler.warmup_steps=54"], "must be below the number of steps, 54, got 54"),
        (
            ["monitor=val/loss", "task.metrics.accuracy._target_=torchmetrics.Nothing"],
            "task.metrics.accuracy._target_: torchmetrics has no Nothing",
        ),
        (["network=transformer", "network.width=10"], "network.heads must divide network.width, 10, got 4"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else None,
)
def test_what_only_the_parts_know_is_refused_too_and_leaves_nothing(
    overrides: list[str], sentence: str, project: Path
) -> None:
    usual = [option for option in SHORT if option.partition("=")[0] not in [o.partition("=")[0] for o in overrides]]
    with pytest.raises(trainwell.Refused, match=re.escape(sentence)):
        trainwell.train([*usual, *overrides])
    assert not (project / "runs").exists()


@pytest.mark.parametrize("mistake", ["class Mine(Callbck):\n    pass\n", "import lightning.nothing\n"])
def test_an_error_in_a_file_of_the_project_is_refused_with_its_line(
    mistake: str, project: Path, command: Callable[..., Any]
) -> None:
    (project / "mine.py").write_text(f"from lightning import Callback\n\n\n{mistake}")
    ended = command(*SHORT, "+callbacks.mine._target_=mine.Mine")
    assert ended.returncode == 2
    assert ended.stderr.startswith("callbacks.mine._target_: Error loading 'mine.Mine'")
    assert ended.stderr.endswith(" (mine.py, line 4)\n")


def test_a_sweep_of_which_no_run_can_begin_is_answered_once_and_leaves_nothing(
    command: Callable[..., Any], project: Path
) -> None:
    ended = command(*SHORT, "trainer=ddp", "-m", "seed=0,1")
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "a sweep cannot start further processes" in ended.stderr
    assert not (project / "runs").exists()


UNDIRECTED = """
from torchmetrics import MeanMetric

class Undirected(MeanMetric):
    def update(self, outputs, targets):
        super().update((outputs.argmax(dim=1) == targets).float())
"""


def test_a_monitor_of_unknown_direction_needs_one(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(project)
    (project / "own_metrics.py").write_text(UNDIRECTED)
    exact = "+task.metrics.exact._target_=own_metrics.Undirected"
    with pytest.raises(trainwell.Refused, match="whether higher is better is not known; type monitor_mode=max or"):
        trainwell.train([*SHORT, exact, "monitor=val/exact"])
    assert not (project / "runs").exists()


FRAGILE = """
import torch
from torch import nn

class Fragile(nn.Linear):
    def __init__(self, in_shape, num_outputs):
        super().__init__(in_shape[0] * in_shape[1], num_outputs)

    def forward(self, x):
        if self.training and torch.initial_seed() == 1:
            return torch.full((len(x), 10), torch.nan)
        return super().forward(x.flatten(1))
"""


def test_a_job_of_a_sweep_that_fails_ends_with_a_record_of_its_own_and_others_go_on(
    project: Path, command: Callable[..., Any]
) -> None:
    (project / "fragile.py").write_text(FRAGILE)
    own = ["network=custom", "network.factory=fragile.Fragile", "data=digits", "trainer=cpu", "scheduler=constant"]
    short = ["trainer.max_epochs=3", "callbacks.early_stopping.patience=2", "~callbacks.diagnostics"]
    ended = command("-m", "seed=0,1,2", *own, *short)
    assert ended.returncode == 1
    assert "why     the loss is not finite at step 0, epoch 0" in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr
    summaries = [json.loads(path.read_text("utf-8")) for path in project.glob("runs/train/*/summary.json")]
    assert {summary["seed"]: summary["status"] for summary in summaries} == {0: "finished", 1: "failed", 2: "finished"}
    assert len(list(project.glob("wandb/offline-run-*"))) == 3


def test_one_cycle_and_finetuning_are_refused_together(project: Path) -> None:
    finetuning = "+callbacks.finetuning._target_=lightning.pytorch.callbacks.BackboneFinetuning"
    with pytest.raises(trainwell.Refused, match=r"scheduler=one_cycle plans the rates .* BackboneFinetuning adds some"):
        trainwell.train([*SHORT, finetuning, "scheduler=one_cycle"])
    assert not (project / "runs").exists()
