"""What the site says that follows from files: options, measured results and findings, of a project baked for the site.

A line such as ``<!-- options activation -->`` in a page is replaced by what the function of that name returns.
"""

import ast
import json
import re
import shlex
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import griffe
import yaml
from cookiecutter.main import cookiecutter
from mkdocs.plugins import event_priority

DOCS = Path(__file__).parent
TEMPLATE = DOCS.parent
FOLDER = tempfile.TemporaryDirectory(prefix="site-")
PROJECT = Path(FOLDER.name, "my-network")
MARKER = re.compile(r"^<!-- (\w+)(?: (.*?))? -->$", re.MULTILINE)
REMEDY = re.compile(r"^# Remedy for: ([a-z_, ]+?)(?: with (.+))?$", re.MULTILINE)
FIELD = re.compile(r"^(Shape|Units|Formula|Source|Differs|Range|Returns|Raises|Args): +", re.MULTILINE)


@event_priority(100)  # before mkdocstrings reads its paths
def on_config(config: Any) -> None:
    """Bake the project whose packages the pages of the interface describe."""
    answers = {"no_input": True, "default_config": True, "overwrite_if_exists": True, "accept_hooks": False}
    cookiecutter(str(TEMPLATE), output_dir=FOLDER.name, **answers)
    config.plugins["mkdocstrings"].config.handlers["python"]["paths"] = [str(PROJECT)]


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    def generated(marker: re.Match[str]) -> str:
        function = GENERATED[marker[1]]
        return "\n".join(function(page.meta, *shlex.split(marker[2] or "")))

    return MARKER.sub(generated, markdown)


def options(meta: dict[str, Any], group: str) -> Iterator[str]:
    """Every option of a group: what it does, as its file says, and its keys with their defaults."""
    yield from ("| option | does | keys |", "|---|---|---|")
    for path in sorted((PROJECT / "configs" / group).glob("*.yaml")):
        text = path.read_text("utf-8")
        listed = ", ".join(f"`{key}={value}`" for key, value in leaves(group, yaml.safe_load(text)))
        yield f"| `{group}={path.stem}` | {text.splitlines()[0].removeprefix('# ')} | {listed} |"


def leaves(prefix: str, node: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The keys that a user may set, with their defaults: neither addresses nor what is read from elsewhere."""
    for key, value in node.items():
        if key.startswith("_") or key == "defaults" or str(value).startswith("${"):
            continue
        if isinstance(value, dict):
            yield from leaves(f"{prefix}.{key}", value)
        else:
            yield f"{prefix}.{key}", value if isinstance(value, str) else json.dumps(value)


def measured(meta: dict[str, Any], *experiments: str) -> Iterator[str]:
    """Rows of the gallery."""
    rows = [line for line in (DOCS / "gallery.md").read_text("utf-8").splitlines() if line.startswith("| ")]
    yield from (
        "| question | command, after `python train.py -m seed=0,1,2,3,4` | result | shown |",
        "|---|---|---|---|",
    )
    for experiment in experiments:
        (row,) = (row for row in rows if re.search(rf"`[^`]*\+experiment={experiment}[ `]", row))
        question, command, result, claims, differences, _ = (cell.strip() for cell in row[2:-2].split(" | "))
        pairs = zip(claims.split("<br>"), differences.split("<br>"), strict=True)
        yield f"| {question} | {command} | {result} | {'<br>'.join(': '.join(pair) for pair in pairs if any(pair))} |"


def findings(meta: dict[str, Any]) -> Iterator[str]:
    """Every finding's code: why it matters, a figure, what to do by hand, and the overrides that the doctor offers."""
    unknown = meta["advice"].keys() - WHY.keys()
    if unknown:
        raise ValueError(f"advice must be about codes of trainwell/findings.py, got {', '.join(unknown)}")
    offers = dict.fromkeys(offered())
    for code, why in WHY.items():
        yield f"## `{code}` {{ #{code} }}\n\n{why[0].upper()}{why[1:]}.\n"
        pictures = (DOCS / folder / f"{code}.png" for folder in ("gallery", "findings"))
        if picture := next(filter(Path.exists, pictures), None):
            yield f"![{code.replace('_', ' ')}]({picture.relative_to(DOCS)})\n"
        if code in meta["advice"]:
            yield f"{meta['advice'][code]}\n"
        listed = [f"`{override}`" for offer, override in offers if offer == code]
        if listed:
            yield f"What the doctor offers, where it applies: {', '.join(listed)}.\n"


def offered() -> Iterator[tuple[str, str]]:
    for path in sorted((TEMPLATE / "{{ cookiecutter.project_slug }}" / "configs").glob("*/*.yaml")):
        for codes, overrides in REMEDY.findall(path.read_text("utf-8")):
            for code in codes.split(", "):
                yield code, overrides or f"{path.parent.name}={path.stem}"


def whys() -> dict[str, str]:
    """``WHY`` of the machinery's findings, read without importing it."""
    module = ast.parse((TEMPLATE / "{{ cookiecutter.project_slug }}/trainwell/findings.py").read_text("utf-8"))
    assigned = (node for node in module.body if isinstance(node, ast.Assign | ast.AnnAssign))
    targets = {ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target): node for node in assigned}
    return ast.literal_eval(targets["WHY"].value)  # type: ignore[arg-type]


WHY = whys()
GENERATED: dict[str, Callable[..., Iterator[str]]] = {"options": options, "measured": measured, "findings": findings}


class Fields(griffe.Extension):
    """Show fields of a docstring such as ``Source:`` as a list."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            head, *fields = FIELD.split(obj.docstring.value)
            pairs = zip(fields[::2], fields[1::2], strict=True)
            listed = [f"- **{name}:** {' '.join(text.split())}" for name, text in pairs]
            obj.docstring.value = "\n".join([head.rstrip(), "", *listed]).strip()
