"""Index run folders: read each run's configuration and summary as data, and instantiate nothing.

A run folder may come from somebody else: only regular files of limited size are read, and every value is text or a
finite number.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ..runs.folder import find
from ..runs.stored_config import read_text, read_yaml

WITH_RESULT = ("finished", "stopped_early")  # after any other status the best value so far is not a result
HUGE = 1e100  # numbers from here on count as not finite
Loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # leaves every scalar as text

# Where a run writes, how it is shown, and copies of other keys: none of them decides how it trains.
IGNORED = re.compile(
    r"(data\.)?seed|run_folder|test|resume|reproduce|monitor_mode|logger\b.*"
    r"|(.*\.)?(layer_factories\b.*|dirpath|_partial_|_convert_)|callbacks\.(\w+\.mode|progress_bar\b.*)"
    r"|trainer\.(callbacks|logger|profiler|enable_\w+)\b.*"
)


class Run(NamedTuple):
    """One run folder. Runs with equal ``settings`` differ only in seed and fold."""

    folder: Path
    seed: float | str
    fold: float | str
    settings: Mapping[str, float | str]  # full keys of what decides how the run trains
    monitor: str
    higher_is_better: bool  # of the monitored metric
    status: str
    results: Mapping[str, float]  # of the best weights; empty unless the run ended by itself
    summary: Mapping[str, float | str]  # full keys


def folders_at(place: str) -> list[Path]:
    """The run folders that one argument names: a run, the runs of a sweep, or all below a folder."""
    try:
        return list(runs_in(Path(place), levels=2)) if os.path.isdir(place) else [find(place)]
    except (OSError, ValueError) as error:
        raise ValueError(f"{place:.100}: {error!s:.200}") from error


def runs_in(folder: Path, levels: int) -> Iterator[Path]:
    if os.path.lexists(folder / "config.yaml"):
        yield Path(os.path.normpath(folder))
    elif os.path.isfile(folder / "runs.txt"):
        yield from (Path(os.path.normpath(folder / line)) for line in read_text(folder / "runs.txt").splitlines())
    elif levels:
        for inner in sorted(folder.glob("[!.]*/")):  # not .hydra/, which has a config.yaml as well
            yield from runs_in(inner, levels - 1)


def read_run(folder: Path) -> Run:
    """Read what a run's folder says.

    Raises: ValueError: a file is missing, not a regular file, too large or malformed.
    """
    try:
        config = dict(flattened(yaml.load(read_yaml(folder / "config.yaml"), Loader)))
        summary: dict[str, float | str] = {"status": "unfinished", "code": "unknown"}
        for name in ("provenance.json", "summary.json"):  # a run that still trains, or was killed, has no summary
            if os.path.lexists(folder / name):
                summary |= flattened(json.loads(read_text(folder / name), parse_int=str, parse_float=str))
    except (OSError, RecursionError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).removeprefix(f"{folder}/").split())
        raise ValueError(f"{folder} cannot be read: {reason:.200}") from error
    seed, fold, own = (config.get(key, "null") for key in ("seed", "data.fold", "run_folder"))
    settings = {
        key: value.replace(str(own), "") if isinstance(value, str) else value
        for key, value in config.items()
        if not IGNORED.fullmatch(key) and not is_copy(key, config) and (key != "data.fold" or fold == "null")
    }
    settings["code"] = summary["code"]  # runs of different code are different groups
    metrics = {key: value for key, value in summary.items() if re.match(r"(best|test)\.(?!epoch$|step$)", key)}
    results = {key[5:]: value for key, value in metrics.items() if not isinstance(value, str)}
    status, monitor = str(summary["status"]), str(config.get("monitor", "val/loss"))
    results = results if status in WITH_RESULT else {}
    return Run(folder, seed, fold, settings, monitor, config.get("monitor_mode") == "max", status, results, summary)


def is_copy(key: str, config: Mapping[str, float | str]) -> bool:
    """Whether a network was handed this value by ``layer_factories``, which in turn repeat the groups."""
    _, layers, rest = key.partition(".layers.")
    return bool(layers) and config.get(f"layer_factories.{rest}") == config[key]


def flattened(node: Any, prefix: str = "") -> Iterator[tuple[str, float | str]]:
    """Each value with its full key; a ``_target_`` also by its last name, under the key of its block."""
    if not isinstance(node, dict):
        raise ValueError("the file must hold a mapping")
    for key, value in node.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False).replace('"', "")
            yield f"{prefix}{key}", number_or_text(text)
            if key == "_target_":
                *_, owner, name = ["", *text.split(".")]
                yield prefix[:-1], f"{owner}.{name}" if owner[:1].isupper() else name


def number_or_text(text: str) -> float | str:
    for kind in (int, float) if len(text) < 30 else ():
        try:
            number = kind(text)
        except ValueError:
            continue
        return number if abs(number) < HUGE else text
    return text
