"""A run's folder: where it lives, and what lies in it when the run ends."""

import json
import math
import os
import secrets
import subprocess
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

FOLDER_OF_THIS_RUN = "RUN_FOLDER"  # in the environment, for the other processes of a run on several devices
VERSIONS = ("torch", "lightning", "hydra-core", "wandb", "numpy")


def name(overrides: list[str]) -> Path:
    """A folder for this run that no other has: ``runs/<experiment or train>/<date>_<time>_<short id>``.

    The processes that Lightning starts for one run are given the name that the first one chose.
    """
    if "LOCAL_RANK" not in os.environ:
        experiment = experiment_name(overrides) or "train"
        unique = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(4)}"
        os.environ[FOLDER_OF_THIS_RUN] = str(Path("runs", experiment, unique))
    return Path(os.environ[FOLDER_OF_THIS_RUN])


def experiment_name(overrides: list[str]) -> str | None:
    """The experiments of a command line as one word: ``+experiment=[a,b]`` is ``a+b``."""
    named = [override.partition("=")[2] for override in overrides if override.startswith("+experiment=")]
    return named[0].strip("[]").replace(",", "+").replace("/", "-").replace(" ", "") if named else None


def save_configuration(folder: Path, config: DictConfig, hydra: Any) -> None:
    """Write the configuration, resolved, and beside it what Hydra knows of how it came about."""
    (folder / ".hydra").mkdir(exist_ok=True)
    OmegaConf.save(config, folder / "config.yaml", resolve=True)
    OmegaConf.save(config, folder / ".hydra" / "config.yaml")
    OmegaConf.save({"hydra": hydra}, folder / ".hydra" / "hydra.yaml")
    OmegaConf.save(hydra.overrides.task, folder / ".hydra" / "overrides.yaml")


def write_summary(folder: Path, summary: dict[str, Any]) -> None:
    """Write ``summary.json`` whole or not at all."""
    unfinished = folder / "summary.json.unfinished"
    text = json.dumps(without_what_json_lacks(summary), indent=2, allow_nan=False)
    unfinished.write_text(text + "\n", encoding="utf-8")
    unfinished.replace(folder / "summary.json")


def without_what_json_lacks(value: Any) -> Any:
    """Put null for every number that is none, or infinite."""
    if isinstance(value, dict):
        return {key: without_what_json_lacks(part) for key, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def git_state() -> dict[str, Any] | None:
    """The commit that is checked out here and whether anything differs from it; None outside a repository."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        status = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return {"commit": commit.stdout.strip(), "dirty": bool(status.stdout)}


def versions() -> dict[str, str]:
    return {name: version(name) for name in VERSIONS}
