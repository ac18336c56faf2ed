"""What the tests share. Nothing slow is imported here: pytest reads this file in one process more than runs tests."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import DictConfig

PROJECT = Path(__file__).parents[1]
CONFIGS = PROJECT / "configs"
QUIET = ("logger=none", "~callbacks.progress_bar", "trainer.enable_progress_bar=false")
SMALL = ("data=digits", "network.width=16", "residual.depth=2", "optimizer.lr=0.01", "scheduler=constant")
SHORT = (*SMALL, "trainer=cpu", "trainer.max_epochs=3", "callbacks.early_stopping.patience=2")

os.environ["OMP_NUM_THREADS"] = "1"  # several tests run at once
os.environ.setdefault("MPLCONFIGDIR", str(Path.home() / ".cache" / "matplotlib"))  # its list of fonts takes seconds


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("filterwarnings", "ignore:GPU available but not used")  # the tests need none


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with no W&B account."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def compose() -> Iterator[Callable[..., DictConfig]]:
    """Compose what ``python train.py OVERRIDES`` would, without loggers besides metrics.csv and without the bar."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        yield lambda *overrides: hydra_compose("train", overrides=[*QUIET, *overrides])


def start_in(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start ``python ARGUMENTS`` in a folder, as a user of this project would; ``train.py`` is the project's."""
    program = [str(PROJECT / "train.py") if argument == "train.py" else argument for argument in arguments]
    own = {"WANDB_MODE": "offline", "PYTHONPATH": str(PROJECT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *program], cwd=folder, env={**os.environ, **own}, **pipes)


def run_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The same, and wait for the end."""
    process = start_in(folder, *arguments)
    stdout, stderr = process.communicate(timeout=300)
    return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)
