"""The configurations of ``cases.yaml``, and which half of them was never used to choose anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

PARTS = DEVELOPMENT, HELD_OUT = "development", "held out"
PACKAGE = "benchmarks.doctor.field"
ALWAYS = ("data=arrays", "logger=none", "scheduler=constant", "trainer.max_epochs=15", "~callbacks.early_stopping")


@dataclass(frozen=True)
class FieldCase:
    """A configuration; ``codes`` name its fault, none if it is healthy; ``twin`` is the same without the fault."""

    name: str
    data: str
    factory: str  # of a network, or a module
    is_module: bool
    keys: tuple[str, ...]
    codes: tuple[str, ...]
    loaders: bool = False  # the file is read by a LightningDataModule that checks nothing
    twin: "FieldCase | None" = None

    @property
    def part(self) -> str:
        """A half by a hash of the name, not chosen by hand; what changed a rule is not held out."""
        if self.name in tables()["looked_at"]:
            return DEVELOPMENT
        return PARTS[int(sha256(self.name.encode()).hexdigest(), 16) % 2]

    def overrides(self, folder: Path) -> list[str]:
        found = {override.partition("=")[0]: override for override in (*ALWAYS, *self.keys)}
        if self.is_module:
            own = ["~task", f"+task._target_={PACKAGE}.{self.factory}", "+task._partial_=true"]
        else:
            own = ["network=custom", f"network.factory={PACKAGE}.{self.factory}"]
        path = f"{folder / self.data}.npz"
        if self.loaders:
            del found["data"]
            return ["~data", f"+data._target_={PACKAGE}.data.Loaders", f"+data.path={path}", *own, *found.values()]
        return [f"data.path={path}", *own, *found.values()]


@cache
def tables() -> dict[str, Any]:
    return yaml.safe_load((Path(__file__).parent / "cases.yaml").read_text("utf-8"))


def case_of(name: str, entry: dict[str, Any], codes: Sequence[str]) -> FieldCase:
    kind = "module" if "module" in entry else "network"
    faulty = "healthy" in entry and (kind == "module" or entry["network"] in faulty_names())
    place = "faults" if kind == "module" or faulty or entry[kind] in faulty_names() else "networks"
    keys, loaders = tuple(str(entry.get("keys", "")).split()), bool(entry.get("loaders"))
    return FieldCase(name, entry["data"], f"{place}.{entry[kind]}", kind == "module", keys, tuple(codes), loaders)


@cache
def faulty_names() -> frozenset[str]:
    from . import faults, networks

    return frozenset(name for name in vars(faults) if name not in vars(networks))


@cache
def all_cases() -> tuple[FieldCase, ...]:
    healthy = [case_of(name, entry, ()) for name, entry in tables()["healthy"].items()]
    faulty = []
    for name, entry in tables()["faulty"].items():
        codes = [entry["code"]] if isinstance(entry["code"], str) else entry["code"]
        changed = {key: value for key, value in entry["healthy"].items() if key != "keys"}
        unchanged = {key: value for key, value in entry.items() if key not in ("code", "healthy")}
        keys = " ".join([str(entry.get("keys", "")), str(entry["healthy"].get("keys", ""))])
        if "data" in changed:
            keys = keys.replace("data.split.column=part", "")
        twin = case_of(f"{name}, without the fault", {**unchanged, **changed, "keys": keys}, ())
        case = case_of(name, unchanged, codes)
        faulty.append(FieldCase(**{**vars(case), "twin": twin}))
    return (*healthy, *faulty)
