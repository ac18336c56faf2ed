import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from your_package import runs
from your_package.runs import Again

Command = Callable[..., subprocess.CompletedProcess[str]]


def made(name: str, status: str | None = None, epochs: int = 9) -> Path:
    """A run folder with as much in it as is looked at before anything heavy is imported."""
    folder = Path("runs") / name
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "hydra.yaml").touch()
    scheduler = "{_target_: scheduler.cosine}"
    (folder / "config.yaml").write_text(
        f"run_folder: {folder}\ntrainer: {{max_epochs: {epochs}}}\nscheduler: {scheduler}\n"
    )
    if status:
        (folder / "summary.json").write_text(f'{{"status": "{status}"}}')
    return folder


def test_a_run_is_called_by_its_folder_its_short_id_or_latest(empty_folder: Path) -> None:
    old = made("train/2026-01-31_12-00-00_1234e567")
    new = made("a+b/2026-02-01_12-00-00_89abcdef")
    assert runs.find(str(old)) == runs.find(f"{old}/") == runs.find("1234e567") == old
    assert runs.find("latest") == new
    with pytest.raises(ValueError, match="there is none"):
        runs.find("other")
    (empty_folder / "own").mkdir()
    with pytest.raises(ValueError, match="no config.yaml"):
        runs.find("own")


@pytest.mark.parametrize(
    ("overrides", "asked"),
    [
        ([], None),
        (["seed=1", "resume=null"], None),
        (["resume=1234e567"], Again("resume", "1234e567", False)),
        (["trainer.max_epochs=9", "resume='runs/a b'"], Again("resume", "runs/a b", True)),
        (["reproduce=latest"], Again("reproduce", "latest", False)),
    ],
)
def test_a_name_is_taken_as_it_was_typed(overrides: list[str], asked: Again | None) -> None:
    assert runs.asked_for(overrides) == asked


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["resume=nothing"], "resume=nothing: there is none in runs/"),
        (["resume=latest", "optimizer.lr=1", "seed=3"], "so leave out optimizer.lr seed"),
        (["reproduce=latest", "trainer.max_epochs=20"], "so leave out trainer.max_epochs"),
        (["resume=latest", "trainer.max_epochs=4"], "trainer.max_epochs can only be raised; it is 9, got 4"),
        (["-m", "resume=latest", "seed=1,2"], "resume=latest is about one run, so leave out -m"),
    ],
)
def test_what_cannot_be_taken_up_is_refused_before_anything_heavy(
    arguments: list[str], said: str, command: Command
) -> None:
    made("train/2026-01-31_12-00-00_1a2b3c4d")
    ended = command("train.py", *arguments)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(("status", "said"), [("finished", "has finished"), ("stopped_early", "it stopped early")])
def test_of_a_run_that_has_ended_nothing_is_left_to_do(status: str, said: str, command: Command) -> None:
    made("train/2026-01-31_12-00-00_1a2b3c4d", status)
    ended = command("train.py", "resume=1a2b3c4d")
    assert ended.returncode == 0, ended.stderr
    assert said in ended.stdout
