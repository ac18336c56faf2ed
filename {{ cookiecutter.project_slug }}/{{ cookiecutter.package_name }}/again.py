"""A run taken up again with its own configuration: what ``resume=RUN`` and ``reproduce=RUN`` ask for."""

import copy
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from . import run_folder, runs

KEYS = ("resume", "reproduce")
DISPLAY = ("trainer.enable_progress_bar", "~callbacks.progress_bar")  # may differ when a run is taken up again
EPOCHS = "trainer.max_epochs"


class Again(NamedTuple):
    """What was typed: ``resume`` or ``reproduce``, of which run, and whether with trainer.max_epochs."""

    key: str
    name: str
    epochs_given: bool


class Start(NamedTuple):
    """What is to be trained, and how that has to do with a run that is there already."""

    config: DictConfig
    resumes: bool = False
    reproduces: Path | None = None


def asked_for(overrides: Sequence[str]) -> Again | None:
    """Which of KEYS was typed, with the run's name as it was typed: Hydra would take the id 1234e567 for a number."""
    for override in overrides:
        key, _, name = override.lstrip("+").partition("=")
        if key in KEYS and name not in ("", "null"):
            return Again(key, name.strip("'\""), any(other.startswith(f"{EPOCHS}=") for other in overrides))
    return None


def mistakes(again: Again, config: DictConfig, overrides: Sequence[str]) -> list[str]:
    """Why the run cannot be taken up again like this, a sentence each."""
    try:
        folder = runs.find(again.name)
    except ValueError as error:
        return [f"{again.key}={again.name}: {error}"]
    return [f"{again.key}={again.name}: {reason}" for reason in reasons(again.key, folder, config, overrides)]


def reasons(key: str, folder: Path, config: DictConfig, overrides: Sequence[str]) -> Iterator[str]:
    typed = [override.partition("=")[0] for override in overrides]
    if not (folder / ".hydra" / "hydra.yaml").is_file():
        yield f"{folder} lacks .hydra/, which says what was typed"
    changing = [name for name in typed if name not in (*KEYS, *DISPLAY, *([EPOCHS] if key == "resume" else []))]
    if changing:
        yield f"a run is taken up with its own configuration, so leave out {' '.join(changing)}"
    status = (summary_of(folder) or {}).get("status", "not ended")
    if key == "resume":
        yield from reasons_against_going_on(folder, config, EPOCHS in typed)
    elif status not in ("finished", "stopped_early"):
        yield f"it has not come to its end ({status}); go on with it first:  python train.py resume={folder}"


def reasons_against_going_on(folder: Path, config: DictConfig, epochs_given: bool) -> Iterator[str]:
    own = OmegaConf.load(folder / "config.yaml")
    files = [folder, *(path for path in (folder / "metrics.csv", folder / "checkpoints") if path.exists())]
    if not all(os.access(path, os.W_OK) for path in files):
        yield f"{folder} must be writable, for the run goes on in it"
    if Path(own.run_folder).resolve() != folder.resolve():
        yield f"this run began as {own.run_folder}; put it back there, and run from the project's folder"
    if epochs_given and not isinstance(config.trainer.max_epochs, int):
        yield f"{EPOCHS} must be a whole number, got {config.trainer.max_epochs}"
    elif epochs_given and config.trainer.max_epochs < own.trainer.max_epochs:
        yield f"{EPOCHS} can only be raised; it is {own.trainer.max_epochs}, got {config.trainer.max_epochs}"
    elif epochs_given and own.scheduler._target_.endswith(".one_cycle"):
        yield f"scheduler=one_cycle is laid out for {own.trainer.max_epochs} epochs: begin a run with more instead"


def nothing_left(again: Again, config: DictConfig) -> str | None:
    """One sentence if a run has come to its own end and more epochs would not change that."""
    if again.key != "resume":
        return None
    folder = runs.find(again.name)
    status = (summary_of(folder) or {}).get("status")
    if status == "stopped_early":
        return f"{folder} has ended: it stopped early, so more epochs would change nothing"
    own = OmegaConf.load(folder / "config.yaml")
    if status == "finished" and not (again.epochs_given and config.trainer.max_epochs > own.trainer.max_epochs):
        return f"{folder} has finished; for more epochs:  python train.py resume={folder} {EPOCHS}=..."
    return None


def summary_of(folder: Path) -> dict[str, Any] | None:
    path = folder / "summary.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def start(config: DictConfig) -> Start:
    """What is to be trained: ``config`` in a folder of its own, or what ``resume`` and ``reproduce`` ask for."""
    overrides = HydraConfig.get().overrides.task
    again = asked_for(overrides) or requeued()
    if again is None:
        config.run_folder = str(run_folder.name(overrides))
        return Start(config)
    if again.key == "resume":
        folder = run_folder.same_in_every_process(lambda: runs.find(again.name))
        own = with_display_of(config, OmegaConf.load(folder / "config.yaml"))
        if again.epochs_given:
            own.trainer.max_epochs = config.trainer.max_epochs
        take_on(folder)
        return Start(own, resumes=True)
    folder = runs.find(again.name)
    take_on(folder)
    text = (folder / "config.yaml").read_text(encoding="utf-8")
    before, new = OmegaConf.create(text).run_folder, str(run_folder.name(HydraConfig.get().overrides.task))
    own = with_display_of(config, OmegaConf.create(text.replace(before, new)))  # it stands in many keys
    return Start(own, reproduces=folder)


def requeued() -> Again | None:
    """The run that a SLURM job began before the job was put back into the queue."""
    if os.environ.get("SLURM_RESTART_COUNT", "0") == "0" or HydraConfig.get().mode is RunMode.MULTIRUN:
        return None
    for path in sorted(Path("runs").glob("*/*/origin.json"), key=lambda path: path.parent.name, reverse=True):
        if json.loads(path.read_text(encoding="utf-8"))["slurm_job"] == os.environ["SLURM_JOB_ID"]:
            return Again("resume", str(path.parent), False)
    return None


def with_display_of(config: DictConfig, own: Any) -> DictConfig:
    if not config.trainer.enable_progress_bar or "progress_bar" not in config.callbacks:
        own.trainer.enable_progress_bar = False
        own.callbacks.pop("progress_bar", None)
    own.trainer.callbacks = "${oc.dict.values:callbacks}"
    return own


def take_on(folder: Path) -> None:
    """Let Hydra say of this process what it said of the run: what was typed and which words were chosen."""
    told: Any = copy.deepcopy(HydraConfig.instance().cfg)
    own = OmegaConf.load(folder / ".hydra" / "hydra.yaml").hydra
    with read_write(told.hydra), open_dict(told.hydra):
        told.hydra.overrides.task = own.overrides.task
        told.hydra.runtime.choices = own.runtime.choices
    HydraConfig.instance().set_config(told)
