"""The cases of ``cases.yaml``: configurations of which it is known what is wrong with them, if anything."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

PARTS = DEVELOPMENT, HELD_OUT, LAST = "development", "held out", "written last"
FILES = "../../data"  # from the root of the baked project, where the benchmark runs
NETWORKS = "benchmarks.doctor.networks"


@cache
def tables() -> dict[str, Any]:
    return yaml.safe_load((Path(__file__).parent / "cases.yaml").read_text("utf-8"))


@dataclass(frozen=True)
class Case:
    """A base with a change, and the code of the fault that the change brings; None: it is healthy."""

    base: str
    change: str
    code: str | None
    part: str

    @property
    def name(self) -> str:
        return f"{self.base} | {self.change}" if self.change else self.base

    @property
    def overrides(self) -> tuple[str, ...]:
        found = merged(tables()["every"], tables()["bases"][self.base]["overrides"], self.change)
        return tuple(expanded(override) for override in found)

    @property
    def unchanged(self) -> "Case":
        """The base alone, which is healthy."""
        return Case(self.base, "", None, tables()["bases"][self.base]["part"])

    @property
    def neighbours(self) -> dict[str, str]:
        """Codes that may come first as well, and why."""
        return tables()["neighbours"].get(self.code, {})

    @property
    def repairable(self) -> bool:
        """Whether overrides can remove the fault: not if it is in the data or in a network of one's own."""
        changed = [override.partition("=")[0] for override in self.change.split()]
        in_data = "data.path" in changed and "data.standardize" not in changed
        return self.code is not None and not in_data and "network.factory" not in changed


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
    bases = [Case(base, "", None, settings["part"]) for base, settings in tables()["bases"].items()]
    faulty = [case for code, of_base in tables()["faulty"].items() for case in listed(of_base, code)]
    cases = [*bases, *listed(tables()["healthy"], None), *faulty]
    return tuple(sorted(cases, key=lambda case: case.part == LAST))


def listed(of_base: dict[str, dict[str, str]], code: str | None) -> Iterator[Case]:
    for base, changes in of_base.items():
        yield from (Case(base, change, code, part) for change, part in changes.items())


def faulty_cases() -> list[Case]:
    return [case for case in all_cases() if case.code]
