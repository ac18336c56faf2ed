"""Interrupted and resumed runs end as if they had not been interrupted, bit for bit."""

import csv
import hashlib
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from lightning import LightningModule
from omegaconf import OmegaConf
from trainwell.callbacks.resumable_checkpoint import ResumableCheckpoint
from trainwell.config.compose import without_hydra
from trainwell.errors import Refused, RunFailed

QUIET = ("trainer=cpu", "logger=none", "~callbacks.progress_bar", "trainer.enable_progress_bar=false")
TINY = (
    "data=digits",
    "network.width=8",
    "residual.depth=2",
    "optimizer.lr=0.01",
    "trainer.max_epochs=3",
    "trainer.log_every_n_steps=5",
    "callbacks.early_stopping.patience=1",
    "callbacks.last_checkpoint.steps=4",
    "callbacks.last_checkpoint.share=1.0",
    "dropout.rate=0.3",
    "scheduler=constant",
)
SETTINGS = {
    "batch norm and a cosine": ["normalisation=batch", "scheduler=cosine", "scheduler.warmup_steps=5"],
    "accumulation under one cycle": ["trainer.accumulate_grad_batches=3", "scheduler=one_cycle"],
    "early stopping and a plateau": ["scheduler=plateau", "scheduler.patience=0", "optimizer=sgd", "optimizer.lr=0.3"],
    "two validations an epoch": ["+trainer.val_check_interval=0.5", "scheduler=plateau"],
    "epochs that are left early": ["trainer.limit_train_batches=7", "trainer.max_epochs=7"],
    "a number of steps": ["trainer.max_epochs=-1", "+trainer.max_steps=45", "callbacks.last_checkpoint.steps=null"],
    "validation every other epoch": ["trainer.check_val_every_n_epoch=2", "trainer.max_epochs=4", "monitor=train/loss"],
}
WHOLE: dict[tuple[str, ...], dict[str, Any]] = {}


class Killed(BaseException):
    """As sudden as can be within a process."""


class Runs:
    """Runs of one configuration, each in a folder of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        self.task: type[LightningModule] = importlib.import_module("my_network.tasks.supervised").SupervisedTask
        self.function = run_path(str(folder / "train.py"))["train"]

    def enter(self, name: str) -> None:
        (self.folder / name).mkdir(exist_ok=True)
        self.monkeypatch.chdir(self.folder / name)

    def train(self, *overrides: str) -> None:
        typed = list(overrides) if any("resume" in o or "reproduce" in o for o in overrides) else [*QUIET, *overrides]
        with initialize_config_dir(str(self.folder / "configs"), version_base="1.3"):
            config = compose("train", overrides=typed, return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        self.function(without_hydra(config))

    def whole(self, *overrides: str) -> dict[str, Any]:
        """What is left by a run that nothing happens to; each is done once."""
        if overrides not in WHOLE:
            self.enter("whole")
            self.train(*TINY, *overrides)
            WHOLE[overrides] = left_by(only_run())
        return WHOLE[overrides]

    def stop(self, act: Callable[[], None], *overrides: str, at: int = 26) -> Path:
        """Begin a run and, before its ``at``-th batch, act."""
        self.enter("stopped")
        with self.monkeypatch.context() as patch:
            self.before_batch(patch, lambda number: act() if number == at else None)
            with pytest.raises((Killed, SystemExit)):
                self.train(*TINY, *overrides)
        return only_run()

    def before_batch(self, patch: pytest.MonkeyPatch, act: Callable[[int], None]) -> None:
        numbers = iter(range(1, 10_000))
        original = self.task.training_step

        def step(*arguments: Any) -> Any:
            act(next(numbers))
            return original(*arguments)

        patch.setattr(self.task, "training_step", step)


@pytest.fixture
def runs(project: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    return Runs(project, monkeypatch)


def killed() -> None:
    raise Killed


def only_run() -> Path:
    (run,) = Path.cwd().glob("runs/*/*")
    return run.relative_to(Path.cwd())


def digest(value: Any) -> Any:
    """Something that is equal for equal states: tensors as a hash of their bytes, but for times and places."""
    if isinstance(value, torch.Tensor):
        return hashlib.sha256(value.cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()).hexdigest()
    if isinstance(value, dict):
        passing = (
            "seconds",
            "dirpath",
            "epoch_start",
            "current_score",
        )  # the last: ModelCheckpoint saves and forgets it
        return {key: digest(part) for key, part in value.items() if key not in passing}
    return [digest(part) for part in value] if isinstance(value, list | tuple) else value


def left_by(run: Path) -> dict[str, Any]:
    """All that a run leaves."""
    found: dict[str, Any] = {}
    for name in ("best.ckpt", "last.ckpt"):
        state = torch.load(run / "checkpoints" / name, weights_only=True)
        plain = digest({**state, "resume": state.get("resume", {}).get("ranks")})  # best.ckpt has weights alone
        found[name] = json.loads(json.dumps(plain, default=str).replace(str(run.resolve()), "RUN"))
    with (run / "metrics.csv").open() as file:
        found["metrics.csv"] = [{**row, "throughput/samples_per_second": ""} for row in csv.DictReader(file)]
    summary = json.loads((run / "summary.json").read_text())
    machine = ("seconds", "samples_per_second", "hardware", "git", "code", "code_diff")  # threads
    found["summary.json"] = {key: summary[key] for key in summary if key not in machine}
    return found


@pytest.mark.parametrize("name", SETTINGS)
def test_killed_again_and_again_a_run_ends_like_one_that_never_was(
    name: str, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = runs.whole(*SETTINGS[name])
    runs.enter("killed")
    runs.before_batch(monkeypatch, lambda number: killed() if number % 21 == 0 else None)
    overrides, kills = (*TINY, *SETTINGS[name]), 0
    while True:
        try:
            runs.train(*overrides)
        except Killed:
            overrides, kills = ("resume=latest",), kills + 1
        else:
            break
    assert kills
    assert left_by(only_run()) == whole


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_ends_with_what_to_type(
    number: int, runs: Runs, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    # A shell's background jobs ignore Ctrl-C, and hand that on to all that they start.
    request.addfinalizer(partial(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT)))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    caplog.set_level("INFO")
    whole = runs.whole()
    run = runs.stop(lambda: os.kill(os.getpid(), number), "callbacks.last_checkpoint.steps=null")
    summary = json.loads((run / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert summary["steps"] == torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 26
    assert (run / "train.log").read_text().splitlines()[-1] == f"resume  python train.py resume={run}"
    runs.train(f"resume={run}")
    finished = left_by(run)
    assert finished["metrics.csv"] == whole["metrics.csv"]
    assert finished["last.ckpt"] == whole["last.ckpt"]


def in_a_process_that(project: Path, saves: str) -> str:
    """A program that trains, and writes its checkpoints as it is told to."""
    return f"""
import os, runpy, signal, sys
sys.path.insert(0, {str(project)!r})
sys.argv = ["train.py", *{[*QUIET, *TINY]!r}]
from pathlib import Path
write, saved = Path.write_bytes, []
def save(path, content):
    saved.append(path)
    {saves}
Path.write_bytes = save
runpy.run_path({str(project / "train.py")!r}, run_name="__main__")
"""


def test_a_process_that_is_killed_while_it_saves_leaves_the_older_checkpoint(runs: Runs) -> None:
    """With SIGKILL, half of the third checkpoint written."""
    whole = runs.whole()
    runs.enter("stopped")
    program = in_a_process_that(
        runs.folder,
        """write(path, content[:1000] if len(saved) == 8 else content)
    if len(saved) == 8:
        os.kill(os.getpid(), signal.SIGKILL)""",
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, timeout=100)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    run = only_run()
    assert len(list(run.glob("checkpoints/*.unfinished"))) == 1
    runs.train("resume=latest")
    assert left_by(run) == whole


def test_of_two_checkpoints_the_older_is_taken_if_the_newer_is_damaged(runs: Runs) -> None:
    whole = runs.whole()
    run = runs.stop(killed)
    newest = run / "checkpoints" / "last.ckpt"
    newest.write_bytes(newest.read_bytes()[:5000])
    runs.train("resume=latest")
    assert "last.ckpt cannot be read" in (run / "train.log").read_text()
    assert left_by(run) == whole


def test_what_cannot_be_gone_on_from_is_refused_and_left_as_it_is(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    run = runs.stop(killed)
    configuration, checkpoints = run / "config.yaml", run / "checkpoints"
    text = configuration.read_text()

    def refused() -> str:
        before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        with pytest.raises(Refused) as refusal:
            runs.train("resume=latest")
        assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
        return str(refusal.value)

    configuration.write_text(text.replace("lr: 0.01", "lr: 0.1"))
    assert "optimizer.lr was 0.01, is 0.1" in refused()
    configuration.write_text(text)
    with monkeypatch.context() as patch:
        original = runs.task.__init__

        def another(self: LightningModule, *arguments: Any, **parts: Any) -> None:
            original(self, *arguments, **parts)
            self.scale = torch.nn.Parameter(torch.ones(3))

        patch.setattr(runs.task, "__init__", another)
        assert "scale was missing, is (3,)" in refused()
    torch.save({"state_dict": {}}, checkpoints / "last.ckpt")
    (checkpoints / "previous.ckpt").write_bytes(b"")
    said = refused()
    assert "last.ckpt was not written by this project" in said
    assert "previous.ckpt cannot be read" in said
    assert f"python train.py reproduce={run}" in said


def test_more_epochs_make_a_run_what_it_would_have_been_with_them(runs: Runs) -> None:
    whole = runs.whole("trainer.max_epochs=4")
    runs.enter("longer")
    runs.train(*TINY)
    runs.train("resume=latest", "trainer.max_epochs=4")
    run = only_run()
    assert OmegaConf.load(run / "config.yaml").trainer.max_epochs == 4
    longer = left_by(run)
    assert longer["last.ckpt"] == whole["last.ckpt"]
    assert longer["metrics.csv"] == whole["metrics.csv"]


def test_a_project_that_has_been_moved_goes_on(runs: Runs, project: Path) -> None:
    whole = runs.whole()
    runs.stop(killed, at=45)
    (project / "stopped").rename(project / "moved")
    runs.enter("moved")
    runs.train("resume=latest")
    assert left_by(only_run()) == whole


@pytest.mark.slow
def test_a_run_whose_disk_becomes_full_ends_with_one_sentence_and_goes_on(runs: Runs, project: Path) -> None:
    """On a small disk of its own, full before the third checkpoint; afterwards there is room."""
    if subprocess.run(["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a disk of one's own")
    whole = runs.whole()
    for name in ("disk", "stopped"):
        (project / name).mkdir()
    program = in_a_process_that(
        runs.folder,
        """if len(saved) == 8:
        with open("ballast", "wb", buffering=0) as ballast:
            try:
                while ballast.write(bytes(1024)):
                    pass
            except OSError:
                pass
    write(path, content)""",
    )
    here, there, python = project / "disk", project / "stopped", sys.executable
    script = f'mount -t tmpfs -o size=4m none {here} && cd {here} && {python} -c "$PROGRAM"; cp -r runs {there}'
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PROGRAM": program}
    ended = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script], env=environment, capture_output=True, text=True, timeout=100
    )
    assert ended.stderr.splitlines()[-1].startswith("No space left on device")
    assert "Traceback" not in ended.stderr
    runs.enter("stopped")
    run = only_run()
    assert f"resume  python train.py resume={run}" in ended.stdout
    runs.train("resume=latest")
    assert left_by(run) == whole


def test_a_run_done_again_agrees_and_one_of_other_code_is_told_apart(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    runs.enter("here")
    runs.train(*TINY)
    first = only_run()
    saved = {path.name: (path.stat().st_ino, path.read_bytes()) for path in (first / "checkpoints").iterdir()}
    runs.train(f"reproduce={first}")
    assert f"{first} is reproduced by runs/train/" in caplog.text
    (second,) = (run for run in Path("runs/train").iterdir() if run != first)
    assert {path.name: (path.stat().st_ino, path.read_bytes()) for path in (first / "checkpoints").iterdir()} == saved
    assert left_by(second) == left_by(first)
    original = runs.task.training_step
    monkeypatch.setattr(runs.task, "training_step", lambda *arguments: 1.5 * original(*arguments))
    with pytest.raises(RunFailed, match="at step 0"):
        runs.train(f"reproduce={first}")
    assert f"{first} is not reproduced: at step 0, diagnostics/gradient_norm/stem.1 was" in caplog.text
    assert len(list(Path("runs/train").iterdir())) == 3


def test_a_slurm_job_that_is_put_back_into_the_queue_goes_on(
    runs: Runs, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = runs.whole()
    asked = project / "asked"
    (project / "scontrol").write_text(f'#!/bin/sh\necho "$@" > {asked}\n')
    (project / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", str(project), prepend=":")
    for name, value in {"NTASKS": "1", "JOB_NAME": "train", "JOB_ID": "77", "PROCID": "0", "LOCALID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    run = runs.stop(lambda: os.kill(os.getpid(), signal.SIGUSR1))
    assert asked.read_text() == "requeue 77\n"
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    runs.train(*TINY)
    again = left_by(run)
    assert again["last.ckpt"] == whole["last.ckpt"]
    assert again["metrics.csv"] == whole["metrics.csv"]


def test_a_run_killed_between_its_last_save_and_its_end_has_all_its_files(runs: Runs) -> None:
    whole = runs.whole()
    runs.enter("killed")
    runs.train(*TINY)
    place = only_run() / "checkpoints"
    (place / "last.ckpt").rename(place / "next.ckpt")
    (only_run() / "summary.json").unlink()
    runs.train("resume=latest")
    assert left_by(only_run()) == whole
    assert {path.name for path in place.iterdir()} == {"best.ckpt", "last.ckpt", "previous.ckpt"}


@pytest.mark.parametrize(("share", "saved"), [(1.0, 3), (0.0001, 2)])
def test_epochs_shorter_than_a_save_is_worth_are_passed_over(
    share: float, saved: int, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three epochs: as the second begins, as the third begins if there is time for it, and when training ends."""
    steps: list[int] = []
    original = ResumableCheckpoint.save

    def save(callback: ResumableCheckpoint, trainer: Any) -> None:
        steps.append(trainer.global_step)
        original(callback, trainer)

    monkeypatch.setattr(ResumableCheckpoint, "save", save)
    runs.enter("short")
    runs.train(*TINY, "callbacks.last_checkpoint.steps=null", f"callbacks.last_checkpoint.share={share}")
    assert len(steps) == saved
    assert steps[-1] == 3 * 18
