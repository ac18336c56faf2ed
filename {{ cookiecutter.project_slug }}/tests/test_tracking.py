"""Weights & Biases, with real runs in real files; what is meant to fail reaches only a dead port of this machine."""

import json
import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest
import wandb

from your_package.tracking import how_to_look, wandb_logger

KEY = "a" * 40


def read_back(folder: Path) -> dict:
    """What W&B's own reader finds in a run's file."""
    tool = Path(sys.executable).with_name("wandb")
    inspect = [tool, "leet", "inspect", "--summary", "--json", folder]
    return json.loads(subprocess.run(inspect, capture_output=True, text=True, check=True).stdout)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = "your_package.tracking"
    return [record.message for record in caplog.records if record.name == ours]


def test_without_an_account_a_run_is_offline_at_once_and_says_so(
    empty_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    logger = wandb_logger(project="test", run_folder="runs/train/one")
    logger.log_metrics({"val/loss": 0.25}, step=3)
    looks = how_to_look(logger.experiment)
    logger.experiment.finish()
    (folder,) = empty_folder.glob("wandb/offline-run-*")
    assert said(caplog) == ["W&B: not logged in, so this run is recorded offline (`wandb login` to change that)"]
    assert read_back(folder)["summary"]["val/loss"] == 0.25
    assert looks[0] == "wandb leet wandb"
    assert looks[1].startswith(f"wandb sync wandb/{folder.name}")


@pytest.mark.parametrize(("key", "reason"), [(KEY, "refused"), ("short", "invalid")])
def test_an_account_that_cannot_be_reached_is_given_up_soon(
    key: str, reason: str, empty_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    wandb.teardown()
    started = time.monotonic()
    logger = wandb_logger(project="test", run_folder="runs/train/two")
    seconds = time.monotonic() - started
    logger.experiment.finish()
    wandb.teardown()
    assert logger.experiment.offline
    assert [path.name[:11] for path in empty_folder.glob("wandb/*run-2*")] == ["offline-run"]
    assert seconds < 30  # waits 6 s for the network; the rest is how busy the machine is
    (message,) = said(caplog)
    assert message.startswith("W&B: cannot be reached")
    assert reason in message


def test_wandb_mode_wins(monkeypatch: pytest.MonkeyPatch, empty_folder: Path) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    wandb_logger(project="test", run_folder="runs/train/three").experiment.finish()
    assert not (empty_folder / "wandb").exists()


def test_a_run_that_goes_on_goes_on_in_the_same_wandb_run(empty_folder: Path) -> None:
    (empty_folder / "runs/train/four").mkdir(parents=True)
    ids = set()
    for step in (3, 4):
        logger = wandb_logger(project="test", run_folder="runs/train/four")
        logger.log_metrics({"val/loss": 1 / step}, step=step)
        ids.add(logger.experiment.id)
        look = how_to_look(logger.experiment)[1]
        logger.experiment.finish()
        time.sleep(1)  # W&B names its folders by the second
    pieces = sorted(empty_folder.glob("wandb/offline-run-*"))
    assert len(ids) == 1
    assert [read_back(piece)["summary"]["val/loss"] for piece in pieces] == [1 / 3, 1 / 4]
    assert look.startswith(f"wandb sync wandb/{pieces[0].name} wandb/{pieces[1].name} ")
