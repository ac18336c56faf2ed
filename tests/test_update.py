"""What a newer template does to a project that its owner has edited: ``cruft update`` from the previous release."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools import TEMPLATE, run

PROJECT = "{{ cookiecutter.project_slug }}"
COPIED = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".*_cache", ".hypothesis")


def git(folder: Path, *arguments: str) -> str:
    person = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    return subprocess.run(
        ["git", "-C", folder, *person, *arguments], check=True, text=True, capture_output=True
    ).stdout.strip()


def previous_release() -> str:
    """The last tag; before the first one, the commit that gave projects the layout they have."""
    tagged = subprocess.run(["git", "-C", TEMPLATE, "describe", "--tags", "--abbrev=0"], text=True, capture_output=True)
    if tagged.returncode == 0:
        return tagged.stdout.strip()
    added = git(TEMPLATE, "log", "--diff-filter=A", "--format=%H", "--", f"{PROJECT}/trainwell/__init__.py")
    if not added:
        pytest.skip("this clone has no history: git fetch --unshallow")
    return added.splitlines()[-1]


def edit(project: Path) -> set[str]:
    """What an owner does on the first days. Returns the files that were there before and now differ."""
    changes = {
        "train.py": ("        trainer.fit(", '        print("an owner was here")\n        trainer.fit('),
        "configs/trainer/default.yaml": ("log_every_n_steps: 50", "log_every_n_steps: 99"),
        "configs/train.yaml": ("seed: 0 ", "seed: 7 "),
    }
    for name, (old, new) in changes.items():
        text = (project / name).read_text("utf-8")
        assert old in text
        (project / name).write_text(text.replace(old, new), "utf-8")
    activation = "my_network/techniques/activation.py"
    with (project / activation).open("a", encoding="utf-8") as module:
        module.write('\n\ndef mine(context: LayerContext) -> nn.Module:\n    """Mine."""\n    return nn.Softsign()\n')
    own = {
        "configs/activation/mine.yaml": "# Mine.\n_target_: my_network.techniques.activation.mine\n_partial_: true\n",
        "configs/experiment/mine.yaml": "# @package _global_\ndefaults:\n  - override /activation: mine\n",
        "configs/data/mine.yaml": "# Mine.\n_target_: my_network.data.mine.Mine\n",
        "my_network/data/mine.py": '"""Mine."""\n\nfrom lightning import LightningDataModule\n\n\n'
        "class Mine(LightningDataModule):\n    num_classes = 2\n",
    }
    for name, text in own.items():
        (project / name).write_text(text, "utf-8")
    return {*changes, activation}


def conflicts(project: Path) -> Iterator[str]:
    for path in project.rglob("*"):
        if path.is_file() and ".git" not in path.parts:
            name = str(path.relative_to(project))
            if path.suffix == ".rej" or re.search(rb"^<<<<<<< ", path.read_bytes(), re.MULTILINE):
                yield name.removesuffix(".rej")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with its history, whose last commit is the template as it lies here, committed or not."""
    folder = tmp_path_factory.mktemp("update") / "template"
    subprocess.run(["git", "clone", "-q", TEMPLATE, folder], check=True)
    git(folder, "rm", "-rq", ".")
    shutil.copytree(TEMPLATE, folder, ignore=COPIED, dirs_exist_ok=True)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "The template as it lies here")
    return folder


def test_an_edited_project_takes_a_newer_template(template: Path, tmp_path: Path) -> None:
    release = previous_release()
    created = run("cruft", "create", template, "-y", "--checkout", release, cwd=tmp_path)
    assert created.returncode == 0, created.stderr
    project = tmp_path / "my-network"
    git(project, "init", "-q")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "Baked")
    edited = edit(project)
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "Edited")
    updated = run("cruft", "update", "-y", cwd=project)
    assert updated.returncode == 0, updated.stdout + updated.stderr
    assert json.loads((project / ".cruft.json").read_text())["commit"] == git(template, "rev-parse", "HEAD")
    assert set(conflicts(project)) <= edited

    fresh = run("cookiecutter", "--no-input", "-o", tmp_path / "fresh", template)
    assert fresh.returncode == 0, fresh.stderr
    new = tmp_path / "fresh" / "my-network"

    def machinery(folder: Path) -> dict[str, bytes]:
        paths = (folder / "trainwell").rglob("*")
        return {str(p.relative_to(folder)): p.read_bytes() for p in paths if p.is_file() and p.suffix != ".pyc"}

    assert machinery(project) == machinery(new)
    others = {str(p.relative_to(new)) for p in new.rglob("*") if p.is_file()} - edited
    assert [name for name in others if (project / name).read_bytes() != (new / name).read_bytes()] == []
    assert "an owner was here" in (project / "train.py").read_text("utf-8")
    composed = subprocess.run(
        [sys.executable, "train.py", "--cfg", "job", "+experiment=mine"], cwd=project, text=True, capture_output=True
    )
    assert composed.returncode == 0, composed.stderr
    assert {"seed: 7", "  log_every_n_steps: 99"} <= {*composed.stdout.splitlines()}
    assert "my_network.techniques.activation.mine" in composed.stdout


def test_filters_that_a_project_may_lack_are_in_a_new_module() -> None:
    """While it updates, cruft (#253) keeps the module of the older template, where a new filter is not found."""
    release = previous_release()
    before = git(TEMPLATE, "ls-tree", "--name-only", release).splitlines()
    for extension in json.loads((TEMPLATE / "cookiecutter.json").read_text())["_extensions"]:
        module, name = extension.rsplit(".", 1)
        if f"{module}.py" in before:
            assert f"def {name}(" in git(TEMPLATE, "show", f"{release}:{module}.py"), extension
