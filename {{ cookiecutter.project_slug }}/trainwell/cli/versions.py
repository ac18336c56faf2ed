"""``trainwell doctor --versions``: what is installed, what the project needs, and what to do where they differ."""

import platform
import tomllib
from collections.abc import Iterator
from importlib.metadata import distributions
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from .. import __version__
from ..config.compose import project_root


def main() -> int:
    """Print a line for each dependency. Returns: 0 if all are as ``pyproject.toml`` needs them, else 1."""
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


def needs(project: dict[str, Any]) -> Iterator[tuple[str, str | None, SpecifierSet, str]]:
    """Name, installed version, needed versions and remedy: of Python, the machinery and each dependency."""
    metadata = project.get("project", {})
    python = SpecifierSet(metadata.get("requires-python", ""))
    yield "python", platform.python_version(), python, "make clean setup PYTHON=... with such a Python"
    machinery = SpecifierSet(project.get("tool", {}).get("trainwell", {}).get("version", ""))
    yield (
        "trainwell",
        __version__,
        machinery,
        "the folder trainwell/ is not the one that the project needs; run cruft update",
    )
    for line in metadata.get("dependencies", []):
        requirement = Requirement(line)
        installed = next((found.version for found in distributions(name=requirement.name)), None)
        yield requirement.name, installed, requirement.specifier, "run make clean setup"
