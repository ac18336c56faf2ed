"""One short run, trained as a user would, and copies of its folder."""

import os
import shutil
from pathlib import Path

import preloaded
import pytest

SHORT = ("data=digits", "network.width=16", "residual.depth=2", "optimizer.lr=0.01", "trainer.accelerator=cpu")


@pytest.fixture(scope="session")
def trained_project(baked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one run."""
    project = tmp_path_factory.mktemp("trained") / "project"
    shutil.copytree(baked, project)
    command = ["train.py", *SHORT, "trainer.max_epochs=3", "~callbacks.early_stopping", "logger=none"]
    preloaded.run(command, project, {**os.environ, "OMP_NUM_THREADS": "1"}).check_returncode()
    return project


@pytest.fixture
def trained(trained_project: Path, baked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that run's folder; the test runs in the project, which it must not write to."""
    (run,) = trained_project.glob("runs/*/*")
    shutil.copytree(run, tmp_path / "run")
    monkeypatch.chdir(baked)
    return tmp_path / "run"
