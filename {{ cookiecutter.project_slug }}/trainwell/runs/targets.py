"""Which functions and classes the configuration in a run folder may name.

``instantiate`` calls whatever ``_target_`` names, with the arguments beside it, and a run folder may come from somebody
else. Allowed are the project's own code, what its ``pyproject.toml`` lists, and classes of a few libraries:

    [tool.trainwell]
    targets = ["my_package", "timm.create_model"]  # modules, or single functions and classes
"""

import re
import tomllib
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from inspect import isclass, ismethod
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

NAME = re.compile(r"[^\W\d_]\w*([.:][^\W\d_]\w*)+")  # neither private nor special names
LIBRARIES = ("torch.nn", "torch.optim", "torchmetrics", "lightning", "trainwell")  # how a name may start
CLASSES_OF = (  # where classes of these libraries may be defined: no command lines, nothing that starts programs
    "torch.nn",
    "torch.optim",
    "torchmetrics",
    *(f"lightning.fabric.{part}" for part in ("accelerators", "plugins", "strategies")),
    *(
        f"lightning.pytorch.{part}"
        for part in ("accelerators", "callbacks", "loggers", "plugins", "profilers", "strategies", "trainer")
    ),
    *(f"trainwell.{part}" for part in ("callbacks", "data", "doctor", "loggers", "metrics")),
    "trainwell.runs.checkpoint_io",
    "trainwell.runs.metrics_csv",
)
UNLISTED = (
    "neither the project's own code nor listed under targets in [tool.trainwell] of pyproject.toml, nor a class of "
    "torch.nn, torch.optim, torchmetrics or lightning"
)
NOT_CODE = ("runs", "wandb", "outputs", "multirun")  # folders of a project


class Project(NamedTuple):
    """Where the project's code is, what else it trusts, and the run folder, which it does not trust."""

    root: Path | None
    listed: Sequence[str]
    run: Path


def project_root(run: Path) -> Path | None:
    """The folder with the ``pyproject.toml`` that has a table ``tool.trainwell``; one within the run does not count."""
    for place in (Path.cwd(), *Path.cwd().parents, Path(__file__).parents[2]):
        if "trainwell" in tools(place) and not place.resolve().is_relative_to(run.resolve()):
            return place
    return None


def tools(place: Path) -> dict[str, Any]:
    path = place / "pyproject.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}) if path.is_file() else {}
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not valid: {error}") from error


def refuse_foreign_targets(config: Any, root: Path | None, run: Path) -> None:
    """Resolve every ``_target_`` and ``factory`` of a plain, resolved configuration from the folder ``run``.

    No module is imported before its name has been allowed.

    Raises: ValueError: the first one that may not be called, and why.
    """
    listed = tools(root).get("trainwell", {}).get("targets", []) if root is not None else []
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise ValueError("pyproject.toml: targets in [tool.trainwell] must be a list of dotted names")
    project = Project(root and root.resolve(), listed, run.resolve())
    for key, name in targets_in(config):
        try:
            refuse(name, project, is_factory=key.endswith("factory"))
        except ValueError as error:
            raise ValueError(f"{key} in {run / 'config.yaml'} must not be {name!r:.100}: {error}") from error


def targets_in(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The full key and the value of every ``_target_`` and every ``factory``, in lists as well."""
    parts = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in parts:
        if key == "_target_" or (key == "factory" and isinstance(value, str)):
            yield f"{prefix}{key}", value
        else:
            yield from targets_in(value, f"{prefix}{key}.")


def refuse(name: Any, project: Project, *, is_factory: bool) -> None:
    """Raises: ValueError: ``name`` may not be called."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError("it is not the dotted name of a public function or class")
    name = name.replace(":", ".")
    if not (is_under(name, (*LIBRARIES, *project.listed)) or is_own(name, project)):
        raise ValueError(UNLISTED)
    found = resolve(name, project)
    if isinstance(found, ModuleType) or not callable(found):
        raise ValueError("it is not a function or class")
    module = str(getattr(found, "__module__", None))
    of_a_class = isclass(found) or (ismethod(found) and isclass(found.__self__))
    if not (
        name in project.listed
        or is_under(module, project.listed)
        or (is_own(module, project) and (is_factory or of_a_class))
        or (is_under(module, CLASSES_OF) and isclass(found))
    ):
        raise ValueError(f"{UNLISTED}; it is {module}.{getattr(found, '__qualname__', '?')}")


def resolve(name: str, project: Project) -> Any:
    """Find what ``name`` names as Hydra does, attributes before submodules; each module's place is checked first."""
    found: Any = None
    parts = name.split(".")
    for number, part in enumerate(parts, start=1):
        module = ".".join(parts[:number])
        try:
            if number > 1 and hasattr(found, part):
                found = getattr(found, part)
                continue
            spec = spec_of(module) if found is None or isinstance(found, ModuleType) else None
            if spec is None:
                raise ValueError(f"there is no {module}")
            if any(is_within_runs(place, project) for place in places(spec)):
                raise ValueError("its code is in a run folder")
            found = import_module(module)
        except ImportError as error:
            raise ValueError(f"{module} cannot be imported ({error})") from error
    return found


def is_under(name: str, roots: Sequence[str]) -> bool:
    return any(f"{name}.".startswith(f"{root}.") for root in roots)


def is_own(name: str, project: Project) -> bool:
    """Whether a name starts with a module or package in the project's root folder. Nothing is imported."""
    top = name.partition(".")[0]
    spec = spec_of(top) if top != "trainwell" else None
    if project.root is None or spec is None or not spec.has_location or spec.origin is None:
        return False
    origin = Path(spec.origin).resolve()
    if not origin.is_relative_to(project.root):
        return False
    folders = origin.relative_to(project.root).parent.parts
    hidden = any(folder.startswith(".") or folder == "site-packages" for folder in folders)
    return not hidden and folders[:1] not in [(folder,) for folder in NOT_CODE]


def spec_of(module: str) -> ModuleSpec | None:
    """What would be imported; of a module in a package, the package is."""
    try:
        return find_spec(module)
    except (ImportError, ValueError):
        return None


def places(spec: ModuleSpec) -> list[Path]:
    files = [spec.origin] if spec.has_location and spec.origin else list(spec.submodule_search_locations or ())
    return [Path(file).resolve() for file in files]


def is_within_runs(place: Path, project: Project) -> bool:
    forbidden = [project.run, *([project.root / folder for folder in NOT_CODE] if project.root else [])]
    return any(place.is_relative_to(folder.resolve()) for folder in forbidden)
