import json
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
from trainwell.runs import provenance


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def repository(empty_folder: Path) -> Path:
    """A repository with one commit, and a run folder that it ignores."""
    Path("code.py").write_text("rate = 0.1\n")
    Path(".gitignore").write_text("run/\n")
    Path("run").mkdir()
    git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.com"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "Begin"]):
        subprocess.run([*git, *command], check=True)
    return empty_folder


def test_outside_a_repository_there_is_no_commit(empty_folder: Path) -> None:
    Path("run").mkdir()
    provenance.write(Path("run"), [])
    written = provenance.read(Path("run"))
    assert written["git"] is None
    assert written["code_diff"] is None
    assert not Path("run/code.diff").exists()


def test_uncommitted_changes_are_in_code_diff_and_nowhere_else(repository: Path) -> None:
    provenance.write(Path("run"), [])
    assert provenance.read(Path("run"))["git"]["dirty"] is False
    assert not Path("run/code.diff").exists()

    Path("code.py").write_text("rate = 0.2\nPASSWORD = 'hunter2'\n")
    provenance.write(Path("run"), [])
    written = provenance.read(Path("run"))
    diff = Path("run/code.diff").read_bytes()
    assert b"-rate = 0.1\n+rate = 0.2\n+PASSWORD = 'hunter2'\n" in diff
    assert written["git"]["dirty"] is True
    assert written["code_diff"] == {"bytes": len(diff), "sha256": sha256(diff).hexdigest()}
    assert "hunter2" not in Path("run/provenance.json").read_text()


def test_of_a_large_diff_only_size_and_hash_are_kept(repository: Path) -> None:
    for number in range(3):  # each small enough to be compared line by line
        Path(f"table{number}.csv").write_text("0.123456789\n" * 50_000)
    subprocess.run(["git", "add", "."], check=True)
    provenance.write(Path("run"), [])
    assert provenance.read(Path("run"))["code_diff"]["bytes"] > 2**20
    assert not Path("run/code.diff").exists()


def test_a_large_changed_file_is_named_with_its_hash_and_not_compared(repository: Path) -> None:
    """With 300 MB git then takes 5 MB of memory, and 1.3 GB where it compares line by line."""
    Path("code.py").write_text("0.123456789\n" * 200_000)  # 2.4 MB
    hashes = []
    for last in ("a", "b"):
        with Path("code.py").open("a") as file:
            file.write(last)
        provenance.write(Path("run"), [])
        hashes.append(provenance.read(Path("run"))["code_diff"]["sha256"])
    assert "Binary files a/code.py and b/code.py differ" in Path("run/code.diff").read_text()
    assert sum(path.stat().st_size for path in Path("run").iterdir()) < 10_000
    assert hashes[0] != hashes[1]


def test_a_change_of_code_library_or_machine_is_reported(empty_folder: Path) -> None:
    provenance.write(empty_folder, ["seed=1"])
    assert list(provenance.changes(empty_folder)) == []
    path = empty_folder / provenance.NAME
    written = json.loads(path.read_text())
    assert written["command"] == "python train.py seed=1"
    hardware = {**written["hardware"], "vector_instructions": "others"}
    path.write_text(json.dumps({**written, "code": "another", "versions": {"torch": "1.0"}, "hardware": hardware}))
    assert [line.partition(" has changed")[0] for line in provenance.changes(empty_folder)] == [
        "the code of the project",
        "the version of Python or of a library",
        "the machine",
    ]


def test_the_hash_covers_the_users_package_and_scripts_but_not_runs_or_environments(empty_folder: Path) -> None:
    for folder in ("my_package/deep", "runs/train", ".venv/lib", "wandb"):
        Path(folder).mkdir(parents=True)
    for file in ("my_package/__init__.py", "my_package/deep/net.py", "train.py"):
        Path(file).write_text("")
    hashes = [provenance.hash_of_code(Path())]
    for file in ("runs/train/copy.py", ".venv/lib/torch.py", "wandb/code.py", "my_package/notes.txt"):
        Path(file).write_text("x = 1")
    assert provenance.hash_of_code(empty_folder) == hashes[0]
    for file in ("my_package/deep/net.py", "my_package/deep/new.py", "train.py", "own_network.py"):
        Path(file).write_text("x = 1")
        hashes.append(provenance.hash_of_code())
    Path("own_network.py").rename("other_network.py")
    hashes.append(provenance.hash_of_code())
    assert len(set(hashes)) == 6


def test_a_library_that_is_not_installed_has_no_version() -> None:
    assert provenance.version_of("no-such-library") is None
