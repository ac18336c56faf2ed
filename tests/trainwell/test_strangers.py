"""A stranger's LightningModule and LightningDataModule, through the real train.py: recorded, killed, resumed."""

import csv
import json
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

MODULE = textwrap.dedent(
    '''
    """Code from elsewhere: dict batches, two optimizers in manual optimisation, its own logging, plain DataLoaders."""

    import time

    import torch
    from lightning import LightningDataModule, LightningModule
    from torch import nn
    from torch.utils.data import DataLoader, Dataset


    class Points(Dataset):
        def __init__(self, count, seed):
            generator = torch.Generator().manual_seed(seed)
            self.inputs = torch.randn(count, 3, generator=generator)

        def __len__(self):
            return len(self.inputs)

        def __getitem__(self, index):
            return {"inputs": self.inputs[index], "number": index}


    class PointsData(LightningDataModule):
        def train_dataloader(self):
            return DataLoader(Points(64, 0), batch_size=8, shuffle=True)

        def val_dataloader(self):
            return DataLoader(Points(16, 1), batch_size=8)

        def test_dataloader(self):
            return DataLoader(Points(16, 2), batch_size=8)


    class Duel(LightningModule):
        def __init__(self, width, pause=0.0):
            super().__init__()
            self.save_hyperparameters()
            self.automatic_optimization = False
            self.first = nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Dropout(0.5), nn.Linear(width, 3))
            self.second = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 1))

        def configure_optimizers(self):
            return torch.optim.Adam(self.first.parameters(), 0.01), torch.optim.SGD(self.second.parameters(), 0.01)

        def training_step(self, batch, batch_idx):
            time.sleep(self.hparams.pause)
            x = batch["inputs"]
            losses = [(self.first(x) - x).square().mean(), (self.second(x) - x.sum(1, keepdim=True)).square().mean()]
            for optimizer, loss in zip(self.optimizers(), losses):
                optimizer.zero_grad()
                self.manual_backward(loss)
                optimizer.step()
            self.log("train/rebuild", losses[0], on_step=False, on_epoch=True)

        def validation_step(self, batch, batch_idx):
            self.log("val/rebuild", (self.first(batch["inputs"]) - batch["inputs"]).square().mean())
    '''
)
SETTINGS = (
    "task=duel",
    "data=points",
    "monitor=val/rebuild",
    "monitor_mode=min",
    "trainer=cpu",
    "trainer.max_epochs=12",
    "trainer.gradient_clip_val=null",
    "callbacks.last_checkpoint.share=1.0",
    "trainer.log_every_n_steps=4",
    "callbacks.diagnostics.every_n_steps=4",
)


@pytest.fixture
def stranger(project: Path) -> Path:
    (project / "elsewhere.py").write_text(MODULE)
    (project / "configs/task/duel.yaml").write_text("_target_: elsewhere.Duel\nwidth: 8\npause: 0.0\n")
    (project / "configs/data/points.yaml").write_text("_target_: elsewhere.PointsData\n")
    return project


def run_of(project: Path, number: int = -1) -> Path:
    return sorted((project / "runs/train").iterdir(), key=lambda run: run.stat().st_mtime)[number]


def rows_of(run: Path) -> list[dict[str, str]]:
    """All metrics but the speed."""
    with (run / "metrics.csv").open() as file:
        return [{key: value for key, value in row.items() if "throughput" not in key} for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("compile=graph", "compile=graph has no effect on this task"),
        ("test=true", "test_step; leave it out, or define that method"),
    ],
)
def test_what_its_module_cannot_do_is_refused_before_it_trains(
    override: str, sentence: str, stranger: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    ended = command(*SETTINGS, override)
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert not (stranger / "runs").exists()


def test_a_validation_that_does_not_log_the_monitor_is_refused_before_training(
    stranger: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    ended = command(*SETTINGS, "monitor=val/other")
    assert ended.returncode == 2
    expected = "val/other is not logged: log it, or type another metric, such as monitor=val/rebuild"
    assert ended.stderr.strip() == expected
    assert not (stranger / "runs").exists()
    assert not list((stranger / "wandb").glob("*"))


@pytest.mark.parametrize(
    ("monitor", "others"),
    [
        ("train/other", ()),
        ("train/other", ("~callbacks.early_stopping",)),
        ("val/other", ("trainer.num_sanity_val_steps=0",)),  # then it is known after the first validation
    ],
)
def test_training_that_does_not_log_the_monitor_ends_in_a_sentence(
    monitor: str, others: tuple[str, ...], stranger: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    ended = command(*SETTINGS, f"monitor={monitor}", "logger=none", *others)
    assert ended.returncode == 1
    assert f"{monitor} is not logged: log it, or type another metric, such as monitor=val/rebuild" in ended.stdout
    assert "Traceback" not in ended.stderr
    assert json.loads((run_of(stranger) / "summary.json").read_text())["status"] == "failed"


def test_metrics_keep_the_names_that_the_module_gives_them(
    stranger: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """``val_loss`` is how Lightning's own pages call it; its direction is known from its name."""
    (stranger / "elsewhere.py").write_text(MODULE.replace("val/rebuild", "val_loss"))
    ended = command(*SETTINGS, "monitor=val_loss", "monitor_mode=null", "logger=csv")
    assert ended.returncode == 0, ended.stderr
    summary = json.loads((run_of(stranger) / "summary.json").read_text())
    assert summary["best"]["val_loss"] <= summary["last"]["val_loss"]
    assert re.search(r"^epoch +11 .*val_loss 0\.\d+", ended.stdout, re.MULTILINE)
    assert re.search(r"^best +\d+ +0\.\d+ +validation samples", ended.stdout, re.MULTILINE)
    compared = command("compare", str(run_of(stranger)), trainwell=True)
    assert f"{summary['best']['val_loss']:.4f}" in compared.stdout


def test_an_error_of_its_own_is_reported_with_its_line(
    stranger: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    code = MODULE.replace('x = batch["inputs"]', 'x = batch["values"]')
    (stranger / "elsewhere.py").write_text(code)
    line = 1 + code.splitlines().index('        x = batch["values"]')
    ended = command(*SETTINGS, "logger=none")
    assert ended.returncode == 1
    assert f"why     KeyError: 'values' (elsewhere.py, line {line})\n" in ended.stdout
    assert "Traceback" in ended.stderr


def test_it_trains_with_everything_that_the_machinery_records(
    stranger: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    ended = command(*SETTINGS, "test=false", "logger=wandb")
    assert ended.returncode == 0, ended.stderr[-3000:]
    run = run_of(stranger)
    summary = json.loads((run / "summary.json").read_text())
    assert summary["status"] in ("finished", "stopped_early")
    assert set(summary["best"]) == {"epoch", "step", "val/rebuild"}
    assert summary["gradient"]["max"] > 0
    assert summary["samples_per_second"] > 0
    names = set(rows_of(run)[0]) | {name for row in rows_of(run) for name in row}
    assert {"train/rebuild", "val/rebuild", "gradient/norm", "learning_rate"} <= names
    assert "diagnostics/gradient_norm/first.0" in names
    weights = torch.load(run / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    assert "first.0.weight" in weights
    assert len(list((stranger / "wandb").glob("offline-run-*"))) == 1
    ended = command("evaluate", "run=latest", trainwell=True)
    assert re.search(r"^rebuild +0\.\d+ +logged by its steps, without an interval$", ended.stdout, re.MULTILINE), (
        ended.stdout + ended.stderr
    )
    assert "INFO" not in ended.stderr
    found = json.loads((run / "evaluation/val/metrics.json").read_text())["metrics"]
    assert found == {"rebuild": {"value": pytest.approx(summary["best"]["val/rebuild"], rel=1e-5), "size": 0}}
    ended = command("evaluate", "run=latest", "split=test", trainwell=True)
    assert (ended.returncode, ended.stderr) == (2, "Duel needs a method forward, from x to outputs\n")


def test_killed_and_resumed_it_comes_to_the_same_weights_and_metrics(
    stranger: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    settings = (*SETTINGS, "logger=none", "~callbacks.early_stopping")
    whole = command(*settings)
    assert whole.returncode == 0, whole.stderr[-3000:]
    expected = run_of(stranger)
    process = subprocess.Popen([sys.executable, "train.py", *settings, "task.pause=0.02"], cwd=stranger)
    wait_for(lambda: len(list((stranger / "runs/train").iterdir())) == 2 and "2" in epochs_in(run_of(stranger)))
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed = run_of(stranger)
    assert killed != expected
    # The pause is no part of the result: without it the rest takes no time.
    resumed = command(f"resume={killed}")
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert rows_of(killed) == rows_of(expected)
    assert same(*(torch.load(run / "checkpoints/last.ckpt", weights_only=True) for run in (expected, killed)))


def wait_for(condition: Callable[[], Any], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def epochs_in(run: Path) -> set[str]:
    path = run / "metrics.csv"
    return set(re.findall(r"^(\d+),", path.read_text(), re.MULTILINE)) if path.exists() else set()


def same(expected: dict[str, Any], found: dict[str, Any]) -> bool:
    weights = all(torch.equal(expected["state_dict"][name], found["state_dict"][name]) for name in found["state_dict"])
    optimizers = str(expected["optimizer_states"]) == str(found["optimizer_states"])
    return weights and optimizers
