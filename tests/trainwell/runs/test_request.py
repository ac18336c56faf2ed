"""Resume and reproduce: what is refused before anything heavy is imported, and before anything is touched."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig
from trainwell.runs import request
from trainwell.runs.request import Request

Command = Callable[..., subprocess.CompletedProcess[str]]
Compose = Callable[..., DictConfig]


def made(name: str, status: str | None = None, epochs: int = 9) -> Path:
    """A run folder with as much in it as is looked at before anything heavy is imported."""
    folder = Path("runs") / name
    (folder / ".hydra").mkdir(parents=True)
    typed = "hydra: {overrides: {task: []}, runtime: {choices: {scheduler: cosine}}}\n"
    (folder / ".hydra" / "hydra.yaml").write_text(typed)
    (folder / "config.yaml").write_text(f"run_folder: {folder}\ntrainer: {{max_epochs: {epochs}}}\n")
    if status:
        (folder / "summary.json").write_text(f'{{"status": "{status}"}}')
    return folder


@pytest.mark.parametrize(
    ("overrides", "asked"),
    [
        ([], None),
        (["seed=1", "resume=null"], None),
        (["resume=1234e567"], Request("resume", "1234e567")),
        (["trainer.max_epochs=9", "resume='runs/a b'"], Request("resume", "runs/a b", ("trainer.max_epochs",))),
        (["reproduce=latest"], Request("reproduce", "latest")),
    ],
)
def test_a_name_is_taken_as_it_was_typed(overrides: list[str], asked: Request | None) -> None:
    assert request.asked_for(overrides) == asked


@pytest.mark.parametrize(("rank", "refused"), [("1", False), ("0", True)])
def test_what_lightning_adds_for_a_process_that_it_starts_is_no_change(
    rank: str, refused: bool, compose: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", rank)
    made("train/2026-01-31_12-00-00_1a2b3c4d")
    overrides = ["resume=latest", "hydra.run.dir=.", "hydra.job.name=train_ddp_process_1", "hydra.output_subdir=null"]
    wanted = request.asked_for(overrides)
    assert wanted is not None
    assert bool(request.mistakes(wanted, compose("resume=latest"), overrides)) == refused


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["resume=nothing"], "resume=nothing: there is no such run in runs/"),
        (["resume=latest", "optimizer.lr=1", "seed=3"], "so leave out optimizer.lr seed"),
        (["reproduce=latest", "trainer.max_epochs=20"], "so leave out trainer.max_epochs"),
        (["resume=latest", "reproduce=latest"], "so leave out reproduce"),
        (["resume=latest", "trainer.max_epochs=4"], "trainer.max_epochs can only be raised; it is 9, got 4"),
        (["resume=runs/moved"], "this run started as runs/train/2026-01-31_12-00-00_1a2b3c4d; put it back there"),
        (["resume=latest", "trainer.max_epochs=abc"], "trainer.max_epochs must be a whole number, got abc"),
        (["resume=latest", "trainer.max_epochs=10"], None),
        (["reproduce=latest"], "it has not come to its end (not ended); resume it first"),
    ],
)
def test_what_would_change_the_run_is_refused(overrides: list[str], said: str | None, compose: Compose) -> None:
    made("train/2026-01-31_12-00-00_1a2b3c4d").joinpath("..", "..", "moved").resolve().mkdir()
    for name in ("config.yaml", ".hydra/hydra.yaml"):
        place = Path("runs/moved", name)
        place.parent.mkdir(exist_ok=True)
        place.write_text(Path("runs/train/2026-01-31_12-00-00_1a2b3c4d", name).read_text())
    wanted = request.asked_for(overrides)
    assert wanted is not None
    mistakes = request.mistakes(wanted, compose(*overrides), overrides)
    assert mistakes == [] if said is None else said in mistakes[0]


def test_a_folder_without_the_right_to_write_is_refused(compose: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made("train/2026-01-31_12-00-00_1a2b3c4d")
    monkeypatch.setattr("os.access", lambda path, mode: path != folder)  # of root the system refuses nothing
    (said,) = request.mistakes(Request("resume", "latest"), compose(), ["resume=latest"])
    assert said == f"resume=latest: {folder} must be writable, for the run continues in it"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["resume=nothing"], 2, "resume=nothing: there is no such run in runs/"),
        (["-m", "resume=1a2b3c4d", "seed=1,2"], 2, "resume=1a2b3c4d is about one run, so leave out -m"),
        (["resume=1a2b3c4d"], 0, "has finished; for more epochs"),
    ],
)
def test_the_command_answers_at_once(arguments: list[str], status: int, said: str, command: Command) -> None:
    made("train/2026-01-31_12-00-00_1a2b3c4d", "finished")
    ended = command(*arguments)
    assert ended.returncode == status
    assert said in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr


def test_of_a_run_that_stopped_early_nothing_is_left_to_do(compose: Compose) -> None:
    made("train/2026-01-31_12-00-00_1a2b3c4d", "stopped_early")
    said = request.nothing_left(Request("resume", "latest", ("trainer.max_epochs",)), compose("trainer.max_epochs=100"))
    assert said is not None
    assert "it stopped early, so more epochs would change nothing" in said
