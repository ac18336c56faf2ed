"""``trainwell doctor``: takes what train.py takes, and ``--repair`` or ``--versions``."""

import platform
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from .. import __version__
from ..errors import Refused
from .main import run_with_hydra

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

HELP = """trainwell doctor [--repair] [KEY=VALUE ...]     trainwell doctor --versions

Examines the data, the network and the first 200 steps of the training that train.py would start with the same
overrides. Exit status 0: healthy; 1: something was found; 2: the configuration is refused. --repair tries what it
offers and keeps what helps; --versions compares what is installed with what the project needs.
"""


def main(arguments: list[str]) -> int:
    """Returns: 0 if every configuration, or with ``--versions`` the installation, is healthy, else 1."""
    if "--versions" in arguments:
        if len(arguments) > 1:
            raise Refused(["--versions is about the installation, so leave out everything else"])
        return compare_versions()
    if {"--help", "-h"} & set(arguments):
        print(HELP)
    from hydra.core.hydra_config import HydraConfig

    healthy: list[bool] = []  # each configuration of a sweep

    def examine_job(config: DictConfig) -> None:
        from lightning.fabric.utilities.exceptions import MisconfigurationException

        from ..doctor.command import examine_config

        try:
            overrides = list(HydraConfig.get().overrides.task)
            healthy.append(examine_config(config, overrides, repair="--repair" in arguments))
        except (ImportError, ValueError, MisconfigurationException) as error:
            raise Refused(str(error).splitlines()) from error

    sys.argv = ["trainwell doctor", *(argument for argument in arguments if argument != "--repair")]
    run_with_hydra(examine_job)
    return 0 if all(healthy) else 1


def compare_versions() -> int:
    """Print a line for each dependency. Returns: 0 if all are as ``pyproject.toml`` needs them, else 1."""
    import tomllib

    from ..config.compose import project_root

    path = project_root() / "pyproject.toml"
    project = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    rows = list(needs(project))
    width = max(len(name) for name, *_ in rows)
    wrong = [row for row in rows if row[1] is None or not row[2].contains(row[1], prereleases=True)]
    for name, installed, needed, _ in rows:
        print(f"{name:{width}}  {installed or 'missing':14} {needed}".rstrip())
    for name, installed, needed, remedy in wrong:
        print(f"\n{name} must be {needed or 'installed'}, got {installed or 'none'}: {remedy}")
    return 1 if wrong else 0


def needs(project: dict[str, Any]) -> "Iterator[tuple[str, str | None, SpecifierSet, str]]":
    """Name, installed version, needed versions and remedy: of Python, the machinery and each dependency."""
    from importlib.metadata import distributions

    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    metadata = project.get("project", {})
    python = SpecifierSet(metadata.get("requires-python", ""))
    yield "python", platform.python_version(), python, "make clean setup PYTHON=... with such a Python"
    machinery = SpecifierSet(project.get("tool", {}).get("trainwell", {}).get("version", ""))
    other_machinery = "the folder trainwell/ is not the one that the project needs; run cruft update"
    yield "trainwell", __version__, machinery, other_machinery
    for line in metadata.get("dependencies", []):
        requirement = Requirement(line)
        installed = next((found.version for found in distributions(name=requirement.name)), None)
        yield requirement.name, installed, requirement.specifier, "run make clean setup"
