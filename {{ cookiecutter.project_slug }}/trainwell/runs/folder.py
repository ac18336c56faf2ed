"""A run's folder: its name, how it is found, its lock, and how files are written into it."""

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ..loggers.wandb_run import WANDB_ID_FILE
from .processes import agreed

LONGEST_NAME = 100  # bytes; file systems take 255
RUN_NAMES = "its folder, the short id at the folder's end, latest, or its W&B path (entity/project/id)"
TEST_EVALUATIONS = "test_evaluations.txt"


def name(overrides: list[str]) -> Path:
    """A folder for this run that no other has: ``runs/<experiment or train>/<date>_<time>_<short id>``."""
    experiment = experiment_name(overrides) or "train"
    unique = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(4)}"
    return agreed(Path("runs", experiment, unique))


def experiment_name(overrides: list[str]) -> str | None:
    """The experiments of a command line as the name of a folder: ``+experiment=[a,gallery/b]`` is ``a+gallery-b``."""
    named = next((override for override in overrides if re.match(r"\+{1,2}experiment=", override)), "")
    words = re.sub(r"[\[\]'\"\s]", "", named.partition("=")[2]).replace(",", "+")
    safe = re.sub(r"[^\w.+=-]", "-", words).strip(".-")
    return safe.encode()[:LONGEST_NAME].decode(errors="ignore") or None


def find(name: str) -> Path:
    """The folder of the run that ``name`` names: a folder, the short id at its end, ``latest``, or a W&B path.

    Raises: ValueError: there is no such run.
    """
    folder = Path(name)
    try:
        if folder.is_dir():
            if not (folder / "config.yaml").is_file():
                raise ValueError(f"{name} is not a run folder: it has no config.yaml")
            return folder
    except OSError as error:  # such as a name that no file can have
        raise ValueError(f"this cannot be a run folder ({error.strerror}); a run is named by {RUN_NAMES}") from error
    runs = sorted((path.parent for path in Path("runs").glob("*/*/config.yaml")), key=lambda run: run.name)
    if name != "latest":
        in_wandb = name.partition("?")[0].rstrip("/").rpartition("/")[2]  # of entity/project/id, or of a page's address
        runs = [run for run in runs if run.name.endswith(f"_{name}") or wandb_id(run) == in_wandb]
    if not runs:
        raise ValueError(f"there is no such run in runs/; a run is named by {RUN_NAMES}")
    return runs[-1]


def wandb_id(run: Path) -> str | None:
    path = run / WANDB_ID_FILE
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Keep every other process from training this run; the system releases the lock of a process that dies.

    Raises: ValueError: another process trains it.
    """
    from filelock import FileLock, Timeout

    try:
        held = FileLock(folder / ".lock").acquire(blocking=False)
    except Timeout as error:
        raise ValueError(f"{folder} is being trained by another process") from error
    with held:
        yield


def save_configuration(folder: Path, config: DictConfig, hydra: Any) -> None:
    """Write the configuration, resolved, and in ``.hydra/`` what Hydra knows of how it was composed, if it has been."""
    if hydra is not None:
        (folder / ".hydra").mkdir(exist_ok=True)
        OmegaConf.save(config, folder / ".hydra" / "config.yaml")
        OmegaConf.save({"hydra": hydra}, folder / ".hydra" / "hydra.yaml")
        OmegaConf.save(hydra.overrides.task, folder / ".hydra" / "overrides.yaml")
    write_config(folder, config)  # last: where it exists, a run can be resumed


def write_config(folder: Path, config: DictConfig) -> None:
    write_whole(folder / "config.yaml", OmegaConf.to_yaml(config, resolve=True))


def is_sweep(hydra: Any) -> bool:
    from hydra.types import RunMode

    return hydra is not None and hydra.mode is RunMode.MULTIRUN


def enter_in_sweep(folder: Path, hydra: Any) -> None:
    """Add a job's folder to ``runs.txt`` in the folder of its sweep, if it belongs to one."""
    if is_sweep(hydra):
        sweep = Path(hydra.sweep.dir)
        sweep.mkdir(parents=True, exist_ok=True)
        with (sweep / "runs.txt").open("a", encoding="utf-8") as file:
            file.write(f"{os.path.relpath(folder, sweep)}\n")


def remove(folder: Path) -> None:
    """Remove the folder of a run that did not start, and those around it that are empty then."""
    shutil.rmtree(folder)
    with suppress(OSError):
        folder.parent.rmdir()
        folder.parent.parent.rmdir()


def note_test_evaluation(folder: Path, command: str) -> int:
    """Add the time and the command to ``test_evaluations.txt``, before the evaluation starts; return how many it is."""
    path = folder / TEST_EVALUATIONS
    with path.open("a", encoding="utf-8") as file:  # one line at once: two processes cannot lose each other's
        file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S}  {' '.join(command.splitlines())}\n")
    return len(path.read_text("utf-8").splitlines())


def write_json(path: Path, content: dict[str, Any]) -> None:
    finite = json.loads(json.dumps(content), parse_constant=lambda name: None)  # JSON has neither NaN nor infinity
    write_whole(path, json.dumps(finite, indent=2) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with draft(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


@contextmanager
def draft(path: Path) -> Iterator[Path]:
    """A file to write, which becomes ``path`` if no error occurs and is removed otherwise."""
    unfinished = path.with_name(f"unfinished_{os.getpid()}_{path.name}")  # ends alike: libraries read the suffix
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
