"""Runs as their folders tell of them: a run is its ``config.yaml`` and ``summary.json``.

Nothing that takes long is imported, for there may be a thousand.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from . import runs

COUNTED = ("finished", "stopped_early")  # the ways to end after which a run's best value is its result

# Where a run writes and what it shows, not how it trains; `parts` and `trainer.callbacks` repeat what stands elsewhere.
BLOCKS_OF_NO_MATTER = re.compile(
    r"^(seed|run_folder|test|resume|reproduce|logger|parts):.*\n(?:[ -].*\n)*", re.MULTILINE
)
KEYS_OF_NO_MATTER = re.compile(
    r"(.*\.)?parts\b.*|trainer\.(callbacks|logger|profiler|enable_\w+)\b.*|callbacks\.progress_bar\b.*"
    r"|.*\.(dirpath|_partial_|_convert_)"
)


class Run(NamedTuple):
    """One run folder; ``settings`` is what decides how it trains, each key in full, without the seed."""

    folder: Path
    seed: int
    settings: Mapping[str, Any]
    summary: Mapping[str, Any]

    @property
    def status(self) -> str:
        """How it ended; a run that is still going, or was killed, has left no summary."""
        return str(self.summary.get("status", "unfinished"))

    def value(self, metric: str) -> float | None:
        """The result, of the best weights; None if the run did not end by itself, or the value is not finite."""
        if self.status not in COUNTED:
            return None
        return (self.summary["best" if metric.startswith("val/") else "test"] or {}).get(metric)


def folders_at(place: str) -> list[Path]:
    """The run folders that a word of the command line stands for."""
    folder = Path(place)
    if not folder.exists():
        try:
            return [runs.find(place)]
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
    found = list(runs_in(folder, levels=2))
    if not found and not any(map(has_no_runs, [folder, *folder.glob("*/")])):
        raise ValueError(f"{place} is no run folder, and none lies in it (a run folder has a config.yaml)")
    return found


def runs_in(folder: Path, levels: int) -> Iterator[Path]:
    """``folder`` if it is a run, the runs that a sweep made if it is a sweep, else those below it."""
    if (folder / "config.yaml").is_file():
        yield Path(os.path.normpath(folder))
    elif (folder / "runs.txt").is_file():
        for line in (folder / "runs.txt").read_text("utf-8").splitlines():
            yield from runs_in(folder / line, levels=0)
    elif folder.is_dir() and levels:
        for inner in sorted(folder.glob("*/")):
            yield from runs_in(inner, levels - 1)


def has_no_runs(folder: Path) -> bool:
    """A sweep all of whose jobs were refused has none, nor has what the doctor wrote, and that is no mistake."""
    return any((folder / name).is_file() for name in ("multirun.yaml", "doctor.json"))


def read_run(folder: Path) -> Run:
    """Read what a run's folder says.

    Raises: ValueError: the files cannot be understood.
    """
    text = (folder / "config.yaml").read_text("utf-8")
    own = dict(re.findall(r"^(seed|run_folder): (.+)$", text, re.MULTILINE))
    try:
        shared = BLOCKS_OF_NO_MATTER.sub("", text.replace(own["run_folder"], ""))
        summary = folder / "summary.json"
        told = json.loads(summary.read_text("utf-8")) if summary.exists() else {}
        return Run(folder, int(own["seed"]), settings_of(shared), told)
    except (KeyError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{folder} cannot be read: {' '.join(str(error).split())}") from error


@cache  # runs that differ only in seed share it: reading YAML is what takes long
def settings_of(text: str) -> Mapping[str, Any]:
    config = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    flat = dict(flattened(config))
    return {key: value for key, value in flat.items() if not KEYS_OF_NO_MATTER.fullmatch(key)}


def flattened(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each value with its key in full. A technique is told by its function's name: ``dropout`` is ``standard``."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{key}.")
        elif key == "_target_":
            yield prefix.removesuffix("."), str(value).rpartition(".")[2]
        else:
            yield f"{prefix}{key}", value if isinstance(value, str | int | float) else json.dumps(value)
