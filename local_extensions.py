"""Jinja filters: text is written exactly, names are proposed, and one that cannot work is refused in one sentence."""

import keyword
import re
import sys
from pathlib import Path

from cookiecutter.utils import simple_filter
from slugify import slugify

CONSTRAINTS = Path(__file__).parent / "{{ cookiecutter.project_slug }}" / "constraints.txt"
DEPENDENCIES = {slugify(name) for name in re.findall(r"^\S+(?===)", CONSTRAINTS.read_text("utf-8"), re.MULTILINE)}

# Dependencies that are imported by another name than they are installed by.
IMPORTED = "absl antlr4 attr coreweave_evaluations databricks dateutil dotenv functorch google grpc hydra"
IMPORTED += " isympy lightning_fabric hydra_plugins markdown_it mlflow mpl_toolkits mypyc opentelemetry pip"
IMPORTED += " py pydevd_plugins pylab sklearn torchgen xdist yaml"
# Modules and folders beside the package; the last is the word that a bake replaces.
NEIGHBOURS = "configs conftest runs tests train trainwell your_package compare doctor evaluate export predict"

RESERVED = {name.replace("-", "_") for name in DEPENDENCIES} | sys.stdlib_module_names
RESERVED |= {*keyword.kwlist, *IMPORTED.split(), *NEIGHBOURS.split()}


@simple_filter
def escaped(answer: str) -> str:
    r"""What stands between double quotes so that TOML, YAML and Python all read back exactly this text.

    Printable characters stand as they are, `"` and `\` after a backslash, all others as \uXXXX or \UXXXXXXXX;
    so does a blank at either end, which a formatter would trim from a docstring.
    """

    def character(index: int, char: str) -> str:
        if char in '"\\':
            return "\\" + char
        if char.isprintable() and (char != " " or 0 < index < len(answer) - 1):
            return char
        return f"\\u{ord(char):04x}" if char <= "\uffff" else f"\\U{ord(char):08x}"

    return "".join(character(index, char) for index, char in enumerate(answer))


@simple_filter
def folder(project_name: str) -> str:
    """Propose a name for the project's folder."""
    # A number too large for chr() would end the bake, so HTML's &#...; are left alone.
    name = slugify(project_name, entities=False, decimal=False, hexadecimal=False, max_length=60)
    return f"my-{name or 'project'}" if is_bad_folder(name) else name


@simple_filter
def package(project_slug: str) -> str:
    """Propose a name for the project's package."""
    name = slugify(project_slug, separator="_", max_length=40)
    return f"my_{name}"[:40] if is_bad_package(name) else name


@simple_filter
def refuse_folder(project_slug: str) -> str:
    if is_bad_folder(project_slug):
        sys.exit(
            "project_slug must be 1 to 60 of the characters A-Z a-z 0-9 - _ . with a letter or digit at both ends, "
            f"and not the name of a package that the project installs, got {project_slug[:60]!r}"
        )
    return ""


@simple_filter
def refuse_package(package_name: str) -> str:
    if is_bad_package(package_name):
        sys.exit(
            "package_name must be 1 to 40 of the characters a-z 0-9 _ with a letter first, and not a Python keyword, "
            f"a standard module or a name that the project itself imports or uses, got {package_name[:60]!r}"
        )
    return ""


@simple_filter
def refuse_bytes(answers: dict[str, object]) -> str:
    for question, answer in answers.items():
        if re.search(r"[\ud800-\udfff]", str(answer)):
            sys.exit(f"{question} must be text in UTF-8")
    return ""


def is_bad_folder(name: str) -> bool:
    # One rule for the folder and for the distribution, whose name pip compares as slugify writes it.
    fits = re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,58}[A-Za-z0-9])?", name)
    return not fits or slugify(name) in DEPENDENCIES


def is_bad_package(name: str) -> bool:
    return not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) or name in RESERVED
