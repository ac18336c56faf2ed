"""Whole runs: small, but through the same function as ``python train.py``."""

import csv
import hashlib
import json
import logging
import math
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from your_package import comparison
from your_package.build import build
from your_package.command_line import Refused
from your_package.evaluation import evaluate_run
from your_package.failure import Failed

from tests.conftest import SHORT, SMALL
from tests.test_tracking import read_back
from train import train

Compose = Callable[..., DictConfig]


def only_run(folder: Path) -> Path:
    (run,) = folder.glob("runs/*/*")
    return run


def checkpoint(run: Path, name: str) -> dict:
    return torch.load(run / "checkpoints" / name, weights_only=True)


def fingerprint(run: Path) -> str:
    state = checkpoint(run, "last.ckpt")["state_dict"]
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in state.values())).hexdigest()


def test_a_run_leaves_everything_that_is_promised(
    compose: Compose, empty_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    best = train(compose(*SHORT, "test=true"))
    run = only_run(empty_folder)
    assert {path.name for path in run.iterdir()} == {
        "config.yaml", ".hydra", "metrics.csv", "origin.json", "summary.json", "checkpoints", "train.log",
        "test_looks.txt",
    }  # fmt: skip
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt", "previous.ckpt"}
    summary = json.loads((run / "summary.json").read_text())
    assert set(summary) == {
        "status", "best", "last", "test", "epochs", "steps", "seconds", "samples_per_second", "parameters",
        "gradient", "findings", "seed", "experiment", "command", "git", "code", "versions", "hardware", "slurm_job",
    }  # fmt: skip
    assert summary["status"] == "finished"
    assert summary["best"]["val/loss"] == best
    assert summary["steps"] == 3 * 18
    assert set(summary["test"]) == {"test/loss", "test/accuracy"}
    assert set(summary["gradient"]) == {"median", "p90", "max", "clipped_fraction"}
    assert OmegaConf.load(run / "config.yaml").network.parts.depth == 2
    last_line = (run / "train.log").read_text().splitlines()[-1]
    assert last_line.startswith(f"best    epoch {summary['best']['epoch']}: val/loss")
    assert f"last epoch {summary['last']['epoch']}: val/loss" in last_line


def test_every_promised_metric_is_logged(compose: Compose, empty_folder: Path) -> None:
    train(compose(*SHORT, "trainer.log_every_n_steps=5"))
    with (only_run(empty_folder) / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    promised = {
        "train/loss", "train/accuracy", "val/loss", "val/accuracy", "gradient/norm", "gradient/clipped_fraction",
        "learning_rate", "throughput/samples_per_second",
    }  # fmt: skip
    assert promised <= set(rows[0])
    for name in promised:
        values = [float(row[name]) for row in rows if row[name]]
        assert len(values) == (3 * 18 // 5 if name == "gradient/norm" else 3), name
        assert all(math.isfinite(value) for value in values)


def test_the_same_seed_gives_the_same_weights_bit_for_bit(
    compose: Compose, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prints = []
    for number, seed in enumerate((0, 0, 1)):
        (empty_folder / str(number)).mkdir()
        monkeypatch.chdir(empty_folder / str(number))
        train(compose(*SHORT, f"seed={seed}", "dropout.rate=0.3"))
        prints.append(fingerprint(only_run(Path.cwd())))
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.slow
def test_early_stopping_fires_and_the_best_weights_are_restored(compose: Compose, empty_folder: Path) -> None:
    train(compose(*SMALL, "optimizer.lr=0.05", "dropout=none", "callbacks.early_stopping.patience=2", "test=true"))
    run = only_run(empty_folder)
    summary = json.loads((run / "summary.json").read_text())
    assert summary["status"] == "stopped_early"
    assert summary["last"]["epoch"] == summary["best"]["epoch"] + 2
    assert summary["last"]["val/loss"] > summary["best"]["val/loss"]
    assert checkpoint(run, "best.ckpt")["epoch"] == summary["best"]["epoch"]
    assert evaluate_run(run, "test") == pytest.approx(summary["test"], rel=1e-5)  # sums in another order
    assert evaluate_run(run, "val")["val/loss"] == pytest.approx(summary["best"]["val/loss"], rel=1e-5)


def test_test_rows_are_not_looked_at_unless_asked(compose: Compose, empty_folder: Path) -> None:
    train(compose(*SHORT))
    assert json.loads((only_run(empty_folder) / "summary.json").read_text())["test"] is None
    assert "test/" not in (only_run(empty_folder) / "metrics.csv").read_text()


def test_clipping_acts_by_default(compose: Compose, empty_folder: Path) -> None:
    train(compose(*SHORT, "trainer.gradient_clip_val=0.1"))
    gradient = json.loads((only_run(empty_folder) / "summary.json").read_text())["gradient"]
    assert gradient["clipped_fraction"] > 0.5
    assert gradient["max"] >= gradient["p90"] >= gradient["median"] > 0.1


def test_a_run_that_fails_says_so_in_its_summary(
    compose: Compose, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("your_package.classifier.Classifier.validation_step", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        train(compose(*SHORT))
    summary = json.loads((only_run(empty_folder) / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert summary["steps"] == 18


def test_a_loss_that_is_not_finite_fails_the_run_and_says_where_it_came_from(
    compose: Compose, empty_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    explosive = ("initialisation=normal", "initialisation.std=100", "optimizer=sgd", "trainer.gradient_clip_val=null")
    with pytest.raises(Failed):
        train(compose(*SHORT, *explosive, "optimizer.lr=1e9"))
    text = (only_run(empty_folder) / "summary.json").read_text()
    summary = json.loads(text, parse_constant=pytest.fail)  # NaN is no JSON
    assert summary["status"] == "failed"
    assert summary["best"] is None
    (finding,) = summary["findings"]
    assert finding["code"] == "non_finite"
    assert finding["where"] == "layers.0.branch.inner (Linear)"
    assert finding["evidence"] in caplog.text
    assert "try     trainer.gradient_clip_val=1.0" in caplog.text


@pytest.mark.slow
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
def test_other_choices_train_to_the_end(overrides: tuple[str, ...], compose: Compose, empty_folder: Path) -> None:
    if "logger=tensorboard" in overrides:
        pytest.importorskip("tensorboard")
    train(compose(*SHORT, *overrides))
    summary = json.loads((only_run(empty_folder) / "summary.json").read_text())
    assert summary["status"] == "finished"
    assert summary["best"]["val/accuracy"] > 0.3  # chance is 0.1


@pytest.mark.slow
def test_a_network_of_ones_own_is_trained(
    compose: Compose, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty_folder / "own_network.py").write_text(
        "from torch import nn\n"
        "def build(in_shape, num_classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(in_shape[0] * in_shape[1], num_classes))\n"
        "def started(in_shape, num_classes):\n"
        "    network = build(in_shape, num_classes)\n"
        "    nn.init.constant_(network[1].weight, 7.0)\n"
        "    return network\n"
        "def wrong(in_shape, num_classes):\n"
        "    return nn.Linear(3, num_classes)\n"
        "def narrow(in_shape, num_classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 2))\n"
    )
    monkeypatch.syspath_prepend(empty_folder)
    own = (
        "data=digits",
        "network=own",
        "trainer.max_epochs=3",
        "callbacks.early_stopping.patience=2",
        "scheduler=constant",
    )
    train(compose(*own, "network.factory=own_network.build", "weight_decay=l2"))
    assert json.loads((only_run(empty_folder) / "summary.json").read_text())["best"]["val/accuracy"] > 0.5
    _, classifier = build(compose(*own, "network.factory=own_network.started"))
    assert torch.equal(classifier.network[1].weight, torch.full((10, 64), 7.0))
    with pytest.raises(ValueError, match=r"cannot take a batch of shape \(2, 8, 8\)"):
        build(compose(*own, "network.factory=own_network.wrong"))
    with pytest.raises(ValueError, match=r"into \(2, 10\), got \(2, 2\)"):
        build(compose(*own, "network.factory=own_network.narrow"))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["trainer.accelerator=tpuu"], "invalid accelerator name"),
        (["+trainer.nothing=1"], "unexpected keyword argument 'nothing'"),
        (["data.batch_size=5000"], "data.batch_size must be at most the number of train rows, 1151, got 5000"),
        (["scheduler=cosine", "scheduler.warmup_steps=54"], "must be below the number of steps, 54, got 54"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else None,
)
def test_what_only_the_parts_can_tell_is_refused_too_and_leaves_nothing(
    overrides: list[str], said: str, compose: Compose, empty_folder: Path
) -> None:
    with pytest.raises(Refused, match=re.escape(said)):
        train(compose(*SHORT, *overrides))
    assert not (empty_folder / "runs").exists()


@pytest.mark.slow
def test_a_multirun_gives_a_wandb_run_for_every_job_also_for_one_that_fails(
    command: Callable[..., subprocess.CompletedProcess[str]], empty_folder: Path
) -> None:
    """The second job's network says nothing finite in its first training step; the others are not to notice."""
    (empty_folder / "fragile.py").write_text(
        "from torch import nn\n"
        "class Fragile(nn.Linear):\n"
        "    def __init__(self, in_shape, num_classes):\n"
        "        super().__init__(in_shape[0] * in_shape[1], num_classes)\n"
        "    def forward(self, x):\n"
        "        import torch\n"
        "        if self.training and torch.initial_seed() == 1:\n"
        "            return torch.full((len(x), 10), torch.nan)\n"
        "        return super().forward(x.flatten(1))\n"
    )
    ended = command(
        "train.py", "-m", "seed=0,1,2", "data=digits", "network=own", "network.factory=fragile.Fragile", *SHORT[4:],
        "~callbacks.diagnostics", PYTHONPATH=str(empty_folder),
    )  # fmt: skip
    assert ended.returncode == 1
    assert "why     the loss is not finite at step 0, epoch 0" in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr
    found = [read_back(folder) for folder in sorted(empty_folder.glob("wandb/offline-run-*"))]
    assert sorted(run["config"]["seed"] for run in found) == [0, 1, 2]
    summaries = {
        summary["seed"]: summary
        for summary in (json.loads(path.read_text()) for path in empty_folder.glob("runs/train/*/summary.json"))
    }
    assert [summaries[seed]["status"] for seed in (0, 1, 2)] == ["finished", "failed", "finished"]
    (sweep,) = empty_folder.glob("runs/sweeps/*")
    compared = comparison.compare([str(sweep.relative_to(empty_folder))])
    assert [group.endings for group in compared.groups] == [{"finished": 2, "failed": 1}]
    for run in found:
        summary = summaries[run["config"]["seed"]]
        assert run["config"]["choices"]["network"] == "own"
        assert run["config"]["command"] == summary["command"]
        if summary["status"] == "finished":
            assert run["summary"]["val/loss"] == summary["last"]["val/loss"]
