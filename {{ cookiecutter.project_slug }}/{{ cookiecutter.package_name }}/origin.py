"""What a run came from: the command, the code, the libraries and the machine."""

import json
import os
import platform
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from . import run_folder

NAME = "origin.json"
VERSIONS = ("torch", "lightning", "hydra-core", "wandb", "numpy")
CHANGED = {
    "code": "the code of the project",
    "versions": "the version of Python or of a library",
    "hardware": "the machine",
}


def write(folder: Path, overrides: Sequence[str]) -> None:
    run_folder.write_json(folder / NAME, now(overrides))


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / NAME).read_text(encoding="utf-8"))


def now(overrides: Sequence[str]) -> dict[str, Any]:
    return {
        "command": shlex.join(["python", "train.py", *overrides]),
        "git": git_state(),
        "code": hash_of_code(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in VERSIONS}},
        "hardware": hardware(),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
    }


def changes(folder: Path, overrides: Sequence[str]) -> Iterator[str]:
    """Say what is not as it was when the run began."""
    then, today = read(folder), now(overrides)
    for key, what in CHANGED.items():
        if then[key] != today[key]:
            yield f"{what} has changed since {folder} began: it may not come to the same numbers"


def hash_of_code() -> str:
    """Of the package and the scripts beside it, whether they are committed or not."""
    package = Path(__file__).parent
    files = sorted([*package.rglob("*.py"), *package.parent.glob("*.py")])
    return sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:16]


def hardware() -> dict[str, Any]:
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {"machine": platform.machine(), "processor": processor(), "threads": torch.get_num_threads(), "gpus": gpus}


def processor() -> str:
    """Its name, where the system tells one."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def git_state() -> dict[str, Any] | None:
    """The commit that is checked out here, whether anything differs from it, and how; None outside a repository."""
    commit = git("rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit.strip(), "dirty": bool(git("status", "--porcelain")), "diff": git("diff", "HEAD") or None}


def git(*arguments: str) -> str | None:
    """What git says; None if it is not there or not content."""
    try:
        ended = subprocess.run(["git", *arguments], capture_output=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return ended.stdout.decode(errors="replace")
