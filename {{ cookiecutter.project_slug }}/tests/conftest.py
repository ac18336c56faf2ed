"""What the tests share: configurations composed as a command would, in an empty folder."""

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import wandb
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from your_package import command_line, composition

from train import train

PROJECT = Path(__file__).parents[1]
SMALL = ("data=digits", "network.width=16", "residual.depth=2", "optimizer.lr=0.01")
SHORT = (*SMALL, "trainer.max_epochs=3", "callbacks.early_stopping.patience=2", "scheduler=constant")

torch.set_num_threads(1)  # several tests run at once
gc.freeze()  # what is imported stays, and the collector of garbage need not go through it again and again


@pytest.fixture(scope="session", autouse=True)
def resolvers() -> None:
    command_line.register_resolvers()


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work where nothing is, with no W&B account."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def compose() -> Iterator[Callable[..., DictConfig]]:
    """Compose what ``python train.py OVERRIDES`` would, without the W&B logger and the bar."""
    with composition.hydra_here():
        yield composed


def composed(*overrides: str, config_name: str = "train") -> DictConfig:
    quiet = ["logger=none", "~callbacks.progress_bar", "trainer.enable_progress_bar=false"]
    config = composition.composed(config_name, [*quiet, *overrides] if config_name == "train" else overrides)
    HydraConfig.instance().set_config(config)
    return composition.without_hydra(config)


@pytest.fixture(scope="session")
def trained_once(resolvers: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run in it, which has looked at its test rows."""
    folder = tmp_path_factory.mktemp("trained")
    with composition.hydra_here(), pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train(composed(*SHORT, "test=true"))
    return folder


@pytest.fixture
def trained(trained_once: Path, empty_folder: Path) -> Path:
    """A copy of that run, to do with as one likes."""
    shutil.copytree(trained_once / "runs", "runs")
    (run,) = Path("runs").glob("*/*")
    return run


@pytest.fixture
def fresh_wandb(empty_folder: Path) -> Iterator[None]:
    """Let W&B forget the folder and the account that it has seen in this process."""
    wandb.teardown()
    yield
    wandb.teardown()


@pytest.fixture
def command(empty_folder: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a script of the project as a user would, in its own process and an empty folder."""

    def command(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, PROJECT / script, *arguments],
            text=True,
            capture_output=True,
            timeout=120,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )

    return command
