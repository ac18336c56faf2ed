"""What ``resume=RUN`` and ``reproduce=RUN`` ask for: a run from its folder, with its own configuration."""

import copy
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from ..config import compose, constraints
from . import folder, processes
from .stored_config import read_config, read_invocation, read_values

KEYS = ("resume", "reproduce")
ADDED = ("hydra.run.dir", "hydra.job.name", "hydra.output_subdir")  # by Lightning, for the processes that it starts
DISPLAY = ("trainer.enable_progress_bar", "~callbacks.progress_bar")  # may differ from the first time
EPOCHS, MAX_TIME = "trainer.max_epochs", "trainer.max_time"


class Request(NamedTuple):
    """What was typed: ``resume`` or ``reproduce``, of which run, and which limits were given with it."""

    key: str
    name: str
    limits: tuple[str, ...] = ()


class Start(NamedTuple):
    """What is to be trained, which earlier run it belongs to, and the overrides and choices of that run."""

    config: DictConfig
    overrides: list[str]
    choices: dict[str, str]
    resumes: bool = False
    reproduces: Path | None = None


def asked_for(overrides: Sequence[str]) -> Request | None:
    """Which of KEYS was typed, with the run's name as it was typed: Hydra would read the id 1234e567 as a number."""
    typed = [compose.key_of(override) for override in overrides]
    for override in overrides:
        key, _, name = override.lstrip("+").partition("=")
        if key in KEYS and name not in ("", "null"):
            return Request(key, name.strip("'\""), tuple(limit for limit in (EPOCHS, MAX_TIME) if limit in typed))
    return None


def mistakes(request: Request, config: DictConfig, overrides: Sequence[str]) -> list[str]:
    """Why the run cannot be resumed or reproduced like this, a sentence each."""
    try:
        run = folder.find(request.name)
        own = read_values(run)
    except ValueError as error:
        return [f"{request.key}={request.name[:80]}: {error}"]
    return [f"{request.key}={request.name}: {reason}" for reason in reasons(request, run, own, config, overrides)]


def reasons(
    request: Request, run: Path, own: DictConfig, config: DictConfig, overrides: Sequence[str]
) -> Iterator[str]:
    typed = [override.partition("=")[0].lstrip("+") for override in overrides]
    if not (run / ".hydra" / "hydra.yaml").is_file():
        yield f"{run} lacks .hydra/, which says what was typed"
    allowed = (request.key, *DISPLAY, *((EPOCHS, MAX_TIME) if request.key == "resume" else ()))
    allowed += ADDED if os.environ.get("LOCAL_RANK", "0") != "0" else ()
    if changing := [name for name in typed if name not in allowed]:
        yield f"a run keeps its own configuration, so leave out {' '.join(changing)}"
    status = (summary_of(run) or {}).get("status", "not ended")
    if request.key == "resume":
        yield from reasons_against_resuming(run, own, config, request.limits)
    elif status not in ("finished", "stopped_early"):
        yield f"it has not come to its end ({status}); resume it first:  python train.py resume={run}"


def reasons_against_resuming(run: Path, own: DictConfig, config: DictConfig, limits: Sequence[str]) -> Iterator[str]:
    files = [run, *(path for path in (run / "metrics.csv", run / "checkpoints") if path.exists())]
    if not all(os.access(path, os.W_OK) for path in files):
        yield f"{run} must be writable, for the run continues in it"
    if Path(own.run_folder).resolve() != run.resolve():
        yield f"this run started as {own.run_folder}; put it back there, and run from the project's folder"
    if EPOCHS not in limits:
        return
    if not isinstance(config.trainer.max_epochs, int):
        yield f"{EPOCHS} must be a whole number, got {config.trainer.max_epochs}"
    elif config.trainer.max_epochs < own.trainer.max_epochs:
        yield f"{EPOCHS} can only be raised; it is {own.trainer.max_epochs}, got {config.trainer.max_epochs}"
    else:
        choices = compose.chosen_options(read_invocation(run).choices)
        yield from constraints.conflicts(own, [compose.project_root() / "configs"], choices, {}, raised=[EPOCHS])


def nothing_left(request: Request, config: DictConfig) -> str | None:
    """One sentence if a run has come to its own end and more epochs would not change that."""
    if request.key != "resume":
        return None
    run = folder.find(request.name)
    status = (summary_of(run) or {}).get("status")
    if status == "stopped_early":
        return f"{run} has ended: it stopped early, so more epochs would change nothing"
    own = read_values(run)
    more = EPOCHS in request.limits and config.trainer.max_epochs > own.trainer.max_epochs
    if status == "finished" and own.trainer.max_epochs == -1:
        return f"{run} has finished its {own.trainer.max_steps} steps, a number that a resumed run keeps"
    if status == "finished" and not more:
        return f"{run} has finished; for more epochs:  python train.py resume={run} {EPOCHS}=..."
    return None


def summary_of(run: Path) -> dict[str, Any] | None:
    path = run / "summary.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def start(config: DictConfig) -> Start:
    """What is to be trained: ``config`` in a folder of its own, or what ``resume`` and ``reproduce`` ask for."""
    hydra = compose.hydra_config()
    overrides = [] if hydra is None else list(hydra.overrides.task)
    choices = {} if hydra is None else compose.chosen_options(hydra.runtime.choices)
    request = asked_for(overrides) or of_config(config) or requeued(overrides)
    if request is None:
        config = copy.deepcopy(config)  # the caller's stays as it is
        config.run_folder = str(folder.name(overrides))
        return Start(config, overrides, choices)
    if not overrides and (found := mistakes(request, config, [])):
        raise ValueError("\n".join(found))
    run = folder.find(request.name)
    if request.key == "resume":
        run = processes.agreed(run)
        own = with_display_of(config, read_config(run))
        for limit in request.limits:
            OmegaConf.update(own, limit, OmegaConf.select(config, limit))
        typed = read_invocation(run)
        return Start(own, typed.overrides, compose.chosen_options(typed.choices), resumes=True)
    typed = read_invocation(run)
    text = OmegaConf.to_yaml(read_config(run))
    before, new = read_config(run).run_folder, str(folder.name(typed.overrides))
    own = with_display_of(config, OmegaConf.create(text.replace(before, new)))  # it stands in many keys
    return Start(own, typed.overrides, compose.chosen_options(typed.choices), reproduces=run)


def of_config(config: DictConfig) -> Request | None:
    """The request of a configuration that was composed in Python."""
    return next((Request(key, str(config[key])) for key in KEYS if config.get(key) is not None), None)


def requeued(overrides: Sequence[str]) -> Request | None:
    """The run that a SLURM job started before the job was requeued; of a sweep, the one with the same overrides."""
    if os.environ.get("SLURM_RESTART_COUNT", "0") == "0":
        return None
    in_sweep = folder.is_sweep(compose.hydra_config())
    for path in sorted(Path("runs").glob("*/*/provenance.json"), key=lambda path: path.parent.name, reverse=True):
        run = path.parent
        if json.loads(path.read_text(encoding="utf-8"))["slurm_job"] != os.environ["SLURM_JOB_ID"]:
            continue
        if not in_sweep or read_invocation(run).overrides == list(overrides):
            return Request("resume", str(run))
    return None


def with_display_of(config: DictConfig, own: Any) -> DictConfig:
    if not config.trainer.enable_progress_bar or "progress_bar" not in config.callbacks:
        own.trainer.enable_progress_bar = False
        own.callbacks.pop("progress_bar", None)
    return own
