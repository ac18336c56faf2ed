"""The cases of ``cases.yaml``: configurations of which it is known what is wrong with them, if anything."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

PARTS = DEVELOPMENT, HELD_OUT, LAST = "development", "held out", "written last"
HERE = Path(__file__).parent
TABLES: dict[str, Any] = yaml.safe_load((HERE / "cases.yaml").read_text("utf-8"))
FILES = "../../data"  # from the root of the baked project, where the benchmark runs
NETWORKS = "benchmarks.doctor.networks"


@dataclass(frozen=True)
class Case:
    """A configuration. ``codes`` name its fault, each of them rightly; none: it is healthy."""

    name: str
    overrides: tuple[str, ...]
    codes: tuple[str, ...]
    part: str
    twin: "Case | None" = None  # the same without the fault
    neighbours: tuple[str, ...] = ()  # further codes that may come first
    explained: str = ""  # why the doctor is wrong about it
    folder: Path = HERE  # of the code that its data and networks are made by


def changed(base: str, change: str, code: str | None, part: str) -> Case:
    """A base with a change that brings the fault of the code; None: it is healthy."""
    settings = TABLES["bases"][base]
    name = f"{base} | {change}" if change else base
    overrides = tuple(expanded(text) for text in merged(TABLES["every"], settings["overrides"], change))
    explained = TABLES["explained"].get(name, "")
    if code is None:
        return Case(name, overrides, (), part, explained=explained)
    twin = changed(base, "", None, settings["part"])
    return Case(name, overrides, (code,), part, twin, tuple(TABLES["neighbours"].get(code, ())), explained)


def merged(*texts: str) -> tuple[str, ...]:
    """Overrides of which later ones replace those of the same key; an option of a group drops older keys of it."""
    found: dict[str, str] = {}
    for override in " ".join(texts).split():
        key = override.partition("=")[0]
        if "." not in key and key != "network":
            found = {old: text for old, text in found.items() if not old.startswith(f"{key}.")}
        found[key] = override
    return tuple(found.values())


def expanded(override: str) -> str:
    key, _, value = override.partition("=")
    prefix = {"data.path": f"{FILES}/", "network.factory": f"{NETWORKS}."}.get(key, "")
    return f"{key}={prefix}{value}"


@cache
def all_cases() -> tuple[Case, ...]:
    """Healthy and faulty ones; those written last come last."""
    bases = [changed(base, "", None, settings["part"]) for base, settings in TABLES["bases"].items()]
    faulty = [case for code, of_base in TABLES["faulty"].items() for case in listed(of_base, code)]
    cases = [*bases, *listed(TABLES["healthy"], None), *faulty]
    return tuple(sorted(cases, key=lambda case: case.part == LAST))


def listed(of_base: dict[str, dict[str, str]], code: str | None) -> Iterator[Case]:
    for base, changes in of_base.items():
        yield from (changed(base, change, code, part) for change, part in changes.items())


def faulty_cases() -> list[Case]:
    return [case for case in all_cases() if case.codes]


def repairable(case: Case) -> bool:
    """Whether overrides can remove the fault: not if it is in the data or in a network of one's own."""
    if case.twin is None:
        return False
    keys = {override.partition("=")[0] for override in {*case.overrides} - {*case.twin.overrides}}
    in_data = "data.path" in keys and "data.standardize" not in keys
    return not in_data and "network.factory" not in keys
