"""Projects for the tests to look at, each baked once, and a template repository of the files as they lie here."""

import functools
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter
from tools import TEMPLATE, exactly

os.environ.setdefault("OMP_NUM_THREADS", "1")  # there is a process for each core already; read when torch is imported


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that in the end no core waits for another."""
    items.sort(key=lambda item: item.path.name != "test_baked.py" and item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session", autouse=True)
def own_cookiecutter_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep cookiecutter, also under cruft, from reading and writing the developer's home."""
    folder = tmp_path_factory.mktemp("cookiecutter")
    settings = folder / "settings.yaml"
    settings.write_text(f"cookiecutters_dir: {folder}/clones\nreplay_dir: {folder}/replay\n")
    os.environ["COOKIECUTTER_CONFIG"] = str(settings)


@pytest.fixture(scope="session")
def bake(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Bake a project with the answers given and defaults for the rest; the same answers give the same folder."""

    @functools.cache
    def bake(**answers: str) -> Path:
        given = {question: answer if question == "license" else exactly(answer) for question, answer in answers.items()}
        folder = tmp_path_factory.mktemp("bake")
        return Path(cookiecutter(str(TEMPLATE), no_input=True, extra_context=given, output_dir=str(folder)))

    return bake


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository of the template as it lies here, committed or not."""
    folder = tmp_path_factory.mktemp("repository") / "template"
    shutil.copytree(
        TEMPLATE, folder, ignore=shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".*_cache")
    )
    git = ["git", "-C", str(folder), "-c", "user.name=Test", "-c", "user.email=test@example.com"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "The template"]):
        subprocess.run([*git, *command], check=True)
    return folder
