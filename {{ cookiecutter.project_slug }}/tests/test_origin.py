import json
import subprocess
from pathlib import Path

from your_package import origin


def test_outside_a_repository_there_is_no_commit() -> None:
    assert origin.git_state() is None


def test_what_is_not_committed_is_kept_as_a_difference(empty_folder: Path) -> None:
    git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.com"]
    Path("code.py").write_text("rate = 0.1\n")
    for command in (["init", "-q"], ["add", "code.py"], ["commit", "-q", "-m", "Begin"]):
        subprocess.run([*git, *command], check=True)
    clean = origin.git_state()
    assert clean is not None
    assert (clean["dirty"], clean["diff"]) == (False, None)
    Path("code.py").write_text("rate = 0.2\n")
    changed = origin.git_state()
    assert changed is not None
    assert changed["commit"] == clean["commit"]
    assert changed["dirty"]
    assert "-rate = 0.1\n+rate = 0.2\n" in changed["diff"]


def test_a_change_of_code_library_or_machine_is_told(empty_folder: Path) -> None:
    origin.write(empty_folder, ["seed=1"])
    assert list(origin.changes(empty_folder, [])) == []
    path = empty_folder / origin.NAME
    told = json.loads(path.read_text())
    assert told["command"] == "python train.py seed=1"
    path.write_text(json.dumps({**told, "code": "another", "versions": {"torch": "1.0"}}))
    said = list(origin.changes(empty_folder, []))
    assert [line.partition(" has changed")[0] for line in said] == [
        "the code of the project",
        "the version of Python or of a library",
    ]
