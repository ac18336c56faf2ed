"""The configurations of ``cases.yaml``, and which half of them was never used to choose anything."""

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from ..cases import DEVELOPMENT, HELD_OUT, Case, merged

PARTS = DEVELOPMENT, HELD_OUT
HERE = Path(__file__).parent
TABLES: dict[str, Any] = yaml.safe_load((HERE / "cases.yaml").read_text("utf-8"))
FILES = "../../field"  # from the root of the baked project, where the benchmark runs
PACKAGE = "benchmarks.doctor.field"
ALWAYS = "scheduler=constant trainer.max_epochs=15 ~callbacks.early_stopping"


def case_of(name: str, entry: dict[str, Any], codes: tuple[str, ...] = (), twin: Case | None = None) -> Case:
    path = f"{FILES}/{entry['data']}.npz"
    if "module" in entry:
        own = f"~task +task._target_={PACKAGE}.faults.{entry['module']} +task._partial_=true"
    else:
        place = "faults" if entry["network"] in faulty_names() else "networks"
        own = f"network=custom network.factory={PACKAGE}.{place}.{entry['network']}"
    if entry.get("loaders"):  # the file is read by a LightningDataModule that checks nothing
        data = f"~data +data._target_={PACKAGE}.data.Loaders +data.path={path}"
    else:
        data = f"data=arrays data.path={path}"
    overrides = merged(data, own, ALWAYS, str(entry.get("keys", "")))
    return Case(name, overrides, codes, part_of(name), twin, (), TABLES["explained"].get(name, ""), HERE)


def part_of(name: str) -> str:
    """A half by a hash of the name, not chosen by hand; what changed a rule is not held out."""
    if name in TABLES["looked_at"]:
        return DEVELOPMENT
    return PARTS[int(sha256(name.encode()).hexdigest(), 16) % 2]


@cache
def faulty_names() -> frozenset[str]:
    from . import faults, networks

    return frozenset(name for name in vars(faults) if name not in vars(networks))


@cache
def all_cases() -> tuple[Case, ...]:
    healthy = [case_of(name, entry) for name, entry in TABLES["healthy"].items()]
    faulty = []
    for name, entry in TABLES["faulty"].items():
        codes = (entry["code"],) if isinstance(entry["code"], str) else tuple(entry["code"])
        keys = " ".join([str(entry.get("keys", "")), str(entry["healthy"].get("keys", ""))])
        if "data" in entry["healthy"]:
            keys = keys.replace("data.split.column=part", "")
        twin = case_of(f"{name}, without the fault", {**entry, **entry["healthy"], "keys": keys})
        faulty.append(case_of(name, entry, codes, twin))
    return (*healthy, *faulty)


def files() -> set[str]:
    """The names of all data files."""
    entries = [*TABLES["healthy"].values(), *TABLES["faulty"].values()]
    return {each["data"] for entry in entries for each in (entry, entry.get("healthy", {})) if "data" in each}
