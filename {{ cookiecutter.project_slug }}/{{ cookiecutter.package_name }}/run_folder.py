"""A run's folder: where it lives, and what lies in it when the run ends."""

import json
import math
import os
import secrets
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

FOLDER_OF_THIS_RUN = "RUN_FOLDER"  # in the environment, for the other processes of a run on several devices


def name(overrides: list[str]) -> Path:
    """A folder for this run that no other has: ``runs/<experiment or train>/<date>_<time>_<short id>``."""
    experiment = experiment_name(overrides) or "train"
    unique = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(4)}"
    return same_in_every_process(lambda: Path("runs", experiment, unique))


def same_in_every_process(choose: Callable[[], Path]) -> Path:
    """What the first process of a run chooses; those that Lightning starts for the same run are told by it."""
    if "LOCAL_RANK" not in os.environ:
        os.environ[FOLDER_OF_THIS_RUN] = str(choose())
    return Path(os.environ[FOLDER_OF_THIS_RUN])


def experiment_name(overrides: list[str]) -> str | None:
    """The experiments of a command line as one word: ``+experiment=[a,b]`` is ``a+b``."""
    named = [override.partition("=")[2] for override in overrides if override.startswith("+experiment=")]
    return named[0].strip("[]").replace(",", "+").replace("/", "-").replace(" ", "") if named else None


def save_configuration(folder: Path, config: DictConfig, hydra: Any) -> None:
    """Write the configuration, resolved, and beside it what Hydra knows of how it came about."""
    (folder / ".hydra").mkdir(exist_ok=True)
    OmegaConf.save(config, folder / ".hydra" / "config.yaml")
    OmegaConf.save({"hydra": hydra}, folder / ".hydra" / "hydra.yaml")
    OmegaConf.save(hydra.overrides.task, folder / ".hydra" / "overrides.yaml")
    save_whole(folder, config)  # last: where it is, a run can be gone on with


def save_whole(folder: Path, config: DictConfig) -> None:
    """Write ``config.yaml``: the configuration, resolved."""
    write_whole(folder / "config.yaml", OmegaConf.to_yaml(config, resolve=True))


def enter_in_sweep(folder: Path, hydra: Any) -> None:
    """Add a job's folder to ``runs.txt`` in the folder of its sweep, so that they can be found together."""
    if hydra.mode is RunMode.MULTIRUN:
        sweep = Path(hydra.sweep.dir)
        sweep.mkdir(parents=True, exist_ok=True)
        with (sweep / "runs.txt").open("a", encoding="utf-8") as file:
            file.write(f"{os.path.relpath(folder, sweep)}\n")


def note_look_at_test_rows(folder: Path, command: str) -> int:
    """Add when and by which command to ``test_looks.txt``; return how often the run's test rows were looked at."""
    path = folder / "test_looks.txt"
    with path.open("a", encoding="utf-8") as file:  # one line at once: two processes cannot lose each other's
        file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S}  {command}\n")
    return len(path.read_text("utf-8").splitlines())


def write_summary(folder: Path, summary: dict[str, Any]) -> None:
    write_json(folder / "summary.json", summary)


def write_json(path: Path, content: dict[str, Any]) -> None:
    write_whole(path, json.dumps(without_what_json_lacks(content), indent=2, allow_nan=False) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def without_what_json_lacks(value: Any) -> Any:
    """Put null for every number that is none, or infinite."""
    if isinstance(value, dict):
        return {key: without_what_json_lacks(part) for key, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
