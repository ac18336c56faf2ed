"""The machinery, tested in place: ``import trainwell`` is the code of the template, ``my_network`` that of a bake."""

import compileall
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import preloaded
import pytest
from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parents[2]
sys.path.insert(0, str(TEMPLATE / "{{ cookiecutter.project_slug }}"))
sys.dont_write_bytecode = True  # what lies in the template is baked with it
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


@pytest.fixture(scope="session")
def baked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the default answers, not to be written to; its package can be imported."""
    folder = tmp_path_factory.mktemp("machinery")
    project = Path(cookiecutter(str(TEMPLATE), no_input=True, default_config=True, output_dir=str(folder)))
    sys.path.insert(1, str(project))
    compileall.compile_dir(project, quiet=1)
    return project


@pytest.fixture
def project(baked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project for one test, in which the test runs."""
    folder = tmp_path / "project"
    subprocess.run(["cp", "-a", baked, folder], check=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(autouse=True)
def no_hydra_of_another_test() -> None:
    """Hydra keeps the configuration of its last job in a global."""
    from hydra.core.hydra_config import HydraConfig

    HydraConfig.instance().cfg = None


@pytest.fixture
def command(project: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``python train.py ...`` in the project, or with ``trainwell=True`` ``trainwell ...``."""

    def run(
        *arguments: str, trainwell: bool = False, fresh: bool = False, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        program = [*(["-m", "trainwell"] if trainwell else ["train.py"]), *arguments]
        environment = {**os.environ, "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1", **(env or {})}
        if not fresh:
            return preloaded.run(program, project, environment)
        command = [sys.executable, *program]
        return subprocess.run(command, cwd=project, env=environment, text=True, capture_output=True, timeout=300)

    return run


@pytest.fixture
def compose(project: Path) -> Callable[..., Any]:
    """Compose the project's configuration from overrides."""
    from hydra import compose, initialize_config_dir

    def composed(*overrides: str) -> Any:
        with initialize_config_dir(str(project / "configs"), version_base="1.3"):
            return compose("train", overrides=list(overrides))

    return composed
