"""The border between the two packages, and the direction of imports inside the machinery."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2] / "{{ cookiecutter.project_slug }}"
MACHINERY = PROJECT / "trainwell"
OWN = PROJECT / "{{ cookiecutter.package_name }}"
LEVELS = [  # a folder imports from its own level's folder and from those below
    {"search"},
    {"cli"},
    {"runs", "doctor", "comparison", "inference"},
    {"callbacks", "loggers", "data"},
    {"config"},
]
ALLOWED_SIDEWAYS = {
    ("comparison", "runs"),
    ("doctor", "runs"),
    ("inference", "runs"),
    ("inference", "comparison"),
    ("callbacks", "loggers"),
}


def imports_of(path: Path, package: Path) -> Iterator[tuple[str, ...]]:
    """Every imported name in full, as a path from the folder above ``package``; relative ones are resolved."""
    here = path.relative_to(package.parent).parent.parts
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = here[: len(here) - node.level + 1] if node.level else ()
            stem = (*start, *(node.module.split(".") if node.module else ()))
            yield from ((*stem, alias.name) for alias in node.names)


def modules(package: Path) -> list[Path]:
    return sorted(package.rglob("*.py"))


@pytest.mark.parametrize("path", modules(MACHINERY), ids=lambda path: str(path.relative_to(MACHINERY)))
def test_the_machinery_never_imports_the_project(path: Path) -> None:
    roots = {name[0] for name in imports_of(path, MACHINERY)}
    assert not roots & {"your_package", "my_network", OWN.name, "train", "tests"}
    assert "your_package" not in path.read_text("utf-8")


def folder_of(name: tuple[str, ...]) -> str | None:
    return name[1] if len(name) > 2 and name[0] == "trainwell" and (MACHINERY / name[1]).is_dir() else None


@pytest.mark.parametrize("folder", sorted(set.union(*LEVELS)))
def test_imports_between_folders_run_one_way(folder: str) -> None:
    level = next(number for number, names in enumerate(LEVELS) if folder in names)
    below = set().union(*LEVELS[level + 1 :])
    for path in modules(MACHINERY / folder):
        targets = {target for name in imports_of(path, MACHINERY) if (target := folder_of(name))}
        sideways = {target for target in targets if (folder, target) in ALLOWED_SIDEWAYS}
        assert targets - below - sideways - {folder} == set(), path


def test_networks_import_no_technique_and_techniques_only_layers() -> None:
    for path in modules(OWN / "networks"):
        assert not any("techniques" in name for name in imports_of(path, OWN)), path
    for path in modules(OWN / "techniques"):
        own = [name[1:] for name in imports_of(path, OWN) if name[0] in (OWN.name, "trainwell")]
        assert all(name[:2] == ("networks", "layers") for name in own), path


def test_private_names_of_libraries_are_in_one_module() -> None:
    """Not counted: torch's module base classes, which have no public name."""
    allowed = {"_ConvNd", "_DropoutNd", "_BatchNorm", "_NormBase"}
    for path in modules(MACHINERY):
        if path.name == "lightning_internals.py":
            continue
        for name in imports_of(path, MACHINERY):
            private = [part for part in name if part.startswith("_") and not part.startswith("__")]
            assert name[0] == "trainwell" or set(private) <= allowed | {"__version__"}, (path, name)


def test_nothing_changes_other_peoples_modules() -> None:
    for path in [*modules(MACHINERY), *modules(OWN)]:
        text = path.read_text("utf-8")
        for trick in ("sys.modules[", "sys.modules.update", "mock", "gc.freeze", "def __setattr__", "patch.object"):
            assert trick not in text, (path, trick)


def test_the_house_has_the_size_that_was_agreed(baked: Path) -> None:
    def lines(folder: str) -> int:
        return sum(len(path.read_text("utf-8").splitlines()) for path in (baked / folder).rglob("*.py"))

    assert [path.name for path in baked.glob("*.py")] == ["train.py"]
    assert len([path for path in baked.iterdir() if path.is_dir() or path.suffix == ".py"]) <= 8
    assert lines("my_network") <= 2000
    assert lines("tests") <= 2300
    first_reading = ["train.py", *(f"my_network/{name}.py" for name in FIRST_READING)]
    assert sum(len((baked / name).read_text("utf-8").splitlines()) for name in first_reading) <= 350


FIRST_READING = ("tasks/classification", "tasks/supervised", "data/mnist1d", "networks/layers", "networks/mlp")
