"""``trainwell doctor --versions``."""

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import trainwell

Command = Callable[..., "CompletedProcess[str]"]


def test_a_whole_installation_has_no_finding(command: Command) -> None:
    ended = command("doctor", "--versions", trainwell=True)
    assert ended.returncode == 0, ended.stdout
    assert re.search(rf"^trainwell +{re.escape(trainwell.__version__)} +[<>]", ended.stdout, re.MULTILINE)
    assert re.search(r"^torch +\d", ended.stdout, re.MULTILINE)
    assert "must be" not in ended.stdout


def test_a_machinery_that_is_too_old_and_a_missing_package_are_named(command: Command, project: Path) -> None:
    path = project / "pyproject.toml"
    text = path.read_text("utf-8").replace('version = ">=2.0.0,<3"', 'version = ">=99"')
    path.write_text(text.replace('"wandb>=0.31,<1"', '"wandb>=99", "no-such-package>=1"'), "utf-8")
    ended = command("doctor", "--versions", trainwell=True)
    assert ended.returncode == 1
    assert f"trainwell must be >=99, got {trainwell.__version__}: the folder trainwell/" in ended.stdout
    assert "wandb must be >=99, got " in ended.stdout
    assert "no-such-package must be >=1, got none" in ended.stdout


def test_versions_go_with_nothing_else(command: Command) -> None:
    ended = command("doctor", "--versions", "seed=1", trainwell=True)
    assert ended.returncode == 2
    assert "leave out everything else" in ended.stderr
