"""The provenance of a run: the command, the code, the libraries and the machine that produced it."""

import json
import os
import platform
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from hashlib import sha256
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import torch

from .folder import write_json

NAME = "provenance.json"
CODE_DIFF = "code.diff"
LARGEST_DIFF = 2**20  # bytes
LARGEST_FILE = "1m"  # larger files that have changed are named in the diff with their hashes, not compared
VERSIONS = ("torch", "lightning", "hydra-core", "wandb", "numpy")
CHANGED = {
    "code": "the code of the project",
    "versions": "the version of Python or of a library",
    "hardware": "the machine",
}


def write(folder: Path, overrides: Sequence[str]) -> None:
    """Write ``provenance.json`` and, if there are uncommitted changes, ``code.diff`` into a run's folder."""
    write_json(folder / NAME, {**now(overrides), "code_diff": save_code_diff(folder)})


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / NAME).read_text(encoding="utf-8"))


def now(overrides: Sequence[str]) -> dict[str, Any]:
    """The provenance of a run that would start now."""
    return {
        "command": shlex.join(["python", "train.py", *overrides]),
        "git": git_state(),
        "code": hash_of_code(),
        "versions": {"python": platform.python_version(), **{name: version_of(name) for name in VERSIONS}},
        "hardware": hardware(),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
    }


def changes(folder: Path) -> Iterator[str]:
    """Say what is different from when the run in ``folder`` started."""
    then, today = read(folder), now([])
    for key, what in CHANGED.items():
        if then[key] != today[key]:
            yield f"{what} has changed since {folder} started: the results may differ"


def hash_of_code(root: Path = Path()) -> str:
    """A hash of the scripts in ``root``, the packages beside them and trainwell, committed or not."""
    trainwell = Path(__file__).resolve().parents[1]
    packages = {path.parent.resolve() for path in root.glob("*/__init__.py")} | {trainwell}
    files = {f"{path.relative_to(package.parent)}": path for package in packages for path in package.rglob("*.py")}
    files |= {path.name: path for path in root.glob("*.py")}
    digest = sha256()
    for name, path in sorted(files.items()):
        digest.update(f"{name}\0".encode() + sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def version_of(distribution: str) -> str | None:
    return next((found.version for found in distributions(name=distribution)), None)


def hardware() -> dict[str, Any]:
    return {
        "machine": platform.machine(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),  # such as AVX2: the last digits depend on them
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())],
    }


def git_state() -> dict[str, Any] | None:
    """The commit that is checked out and whether anything differs from it; None outside a repository."""
    commit = git("rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit.decode().strip(), "dirty": bool(git("status", "--porcelain"))}


def git(*arguments: str) -> bytes | None:
    """What git prints; None if it is not installed or fails."""
    command = ["git", "--no-optional-locks", "-c", f"core.bigFileThreshold={LARGEST_FILE}", *arguments]
    try:
        return subprocess.run(command, capture_output=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None


def save_code_diff(folder: Path) -> dict[str, Any] | None:
    """Write the uncommitted changes of tracked files to ``code.diff``; return their size and hash, None without any.

    Beyond 1 MB only size and hash are kept.
    """
    diff = git("diff", "--no-color", "--no-ext-diff", "--no-textconv", "--full-index", "HEAD")
    if not diff:
        return None
    if len(diff) <= LARGEST_DIFF:
        (folder / CODE_DIFF).write_bytes(diff)
    return {"bytes": len(diff), "sha256": sha256(diff).hexdigest()}
