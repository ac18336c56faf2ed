import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra.types import RunMode
from trainwell.loggers.wandb_run import WANDB_ID_FILE
from trainwell.runs import folder
from trainwell.runs.folder import find


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_hundred_names_chosen_at_once_are_all_different() -> None:
    assert len({folder.name([]) for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("overrides", "experiment"),
    [
        ([], None),
        (["seed=1"], None),
        (["+experiment=a"], "a"),
        (["seed=1", "+experiment=[a, b]"], "a+b"),
        (["++experiment='[gallery/a,b]'"], "gallery-a+b"),
        (["+experiment=größe"], "größe"),
        (["+experiment=../../etc/passwd"], "etc-passwd"),
        (["+experiment=..", "seed=1"], None),
        (["+experiment=a\x1b[31m\nb\0:*?"], "a-31mb"),
    ],
)
def test_a_folder_is_named_after_the_experiment(overrides: list[str], experiment: str | None) -> None:
    assert folder.experiment_name(overrides) == experiment
    assert folder.name(overrides).parent == Path("runs", experiment or "train")


@pytest.mark.parametrize("letter", ["x", "é", "😀"])
def test_an_experiment_of_any_length_gives_a_folder_that_can_be_made(letter: str, tmp_path: Path) -> None:
    place = folder.name([f"+experiment={letter * 5000}"])
    (tmp_path / place).mkdir(parents=True)
    assert place.parent.parent == Path("runs")


def test_the_other_processes_of_a_run_are_given_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    first = folder.name([])
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("RUN_FOLDER_STARTED_BY", str(os.getppid()))  # what a child process finds in its environment
    assert folder.name([]) == first


def made(name: str) -> Path:
    folder = Path("runs") / name
    folder.mkdir(parents=True)
    (folder / "config.yaml").touch()
    return folder


def test_a_run_is_found_by_its_folder_its_short_id_or_latest(empty_folder: Path) -> None:
    old = made("train/2026-01-31_12-00-00_1234e567")
    new = made("a+b/2026-02-01_12-00-00_89abcdef")
    assert find(str(old)) == find(f"{old}/") == find("1234e567") == old
    assert find("latest") == new
    with pytest.raises(ValueError, match="there is no such run"):
        find("other")
    (empty_folder / "own").mkdir()
    with pytest.raises(ValueError, match=r"no config\.yaml"):
        find("own")


def test_a_run_is_found_by_its_path_in_wandb() -> None:
    made("train/2026-01-31_12-00-00_1234e567")
    run = made("train/2026-01-31_12-00-01_89abcdef")
    (run / WANDB_ID_FILE).write_text("0f0f0f0f")
    assert find("me/project/0f0f0f0f") == find("me/project/runs/0f0f0f0f") == run
    assert find("https://wandb.ai/me/project/runs/0f0f0f0f?nw=1") == run
    with pytest.raises(ValueError, match="there is no such run"):
        find("me/project/ffffffff")


@pytest.mark.parametrize("name", ["x" * 5000, "a/" * 3000, "a\0b", "../" * 50 + "nowhere", "*", "[", "\x1b[31m", "😀"])
def test_an_odd_name_is_answered_with_a_sentence(name: str) -> None:
    made("train/2026-01-31_12-00-00_1234e567")
    with pytest.raises(ValueError, match="a run is named by its folder"):
        find(name)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    for seconds in (1, 2):
        folder.write_json(tmp_path / "summary.json", {"seconds": seconds, "loss": [float("nan")]})
    with pytest.raises(UnicodeEncodeError):
        folder.write_whole(tmp_path / "summary.json", "half \ud800")
    assert json.loads((tmp_path / "summary.json").read_text()) == {"seconds": 2, "loss": [None]}
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


def test_a_run_is_trained_by_one_process_at_a_time(tmp_path: Path) -> None:
    refused = pytest.raises(ValueError, match="is being trained by another process")
    with folder.lock(tmp_path), refused, folder.lock(tmp_path):
        raise AssertionError("entered")
    with folder.lock(tmp_path):
        pass


def test_a_process_that_is_killed_releases_its_run(tmp_path: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from types import SimpleNamespace
from trainwell.runs.folder import lock
with lock(Path({str(tmp_path)!r})):
    print("locked", flush=True)
    signal.pause()
"""
    place = str(Path(folder.__file__).parents[2])
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {place!r})\n{program}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(ValueError, match="another process"), folder.lock(tmp_path):
            raise AssertionError("entered")
        other.kill()
    with folder.lock(tmp_path):
        pass


def test_test_evaluations_are_counted_before_they_start(tmp_path: Path) -> None:
    assert folder.note_test_evaluation(tmp_path, "trainwell evaluate run=x split=test") == 1
    assert folder.note_test_evaluation(tmp_path, "trainwell evaluate 'run=\nx'") == 2
    assert len((tmp_path / folder.TEST_EVALUATIONS).read_text().splitlines()) == 2


def test_the_jobs_of_a_sweep_can_be_found_together(tmp_path: Path) -> None:
    hydra = SimpleNamespace(mode=RunMode.MULTIRUN, sweep=SimpleNamespace(dir=str(tmp_path / "sweeps" / "one")))
    for run in ("train/a", "train/b"):
        folder.enter_in_sweep(tmp_path / run, hydra)
    folder.enter_in_sweep(tmp_path / "train/c", SimpleNamespace(mode=RunMode.RUN))
    folder.enter_in_sweep(tmp_path / "train/d", None)
    assert (tmp_path / "sweeps/one/runs.txt").read_text() == "../../train/a\n../../train/b\n"


def test_a_run_that_did_not_start_leaves_no_folder(tmp_path: Path) -> None:
    for run in ("train/a", "train/b"):
        (tmp_path / "runs" / run / "checkpoints").mkdir(parents=True)
    folder.remove(tmp_path / "runs/train/a")
    assert [path.name for path in (tmp_path / "runs/train").iterdir()] == ["b"]
    folder.remove(tmp_path / "runs/train/b")
    assert not (tmp_path / "runs/train").exists()
