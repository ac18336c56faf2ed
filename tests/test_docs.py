"""The site: it builds strictly and offline, no link is dead, and every command on its pages composes."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from tools import TEMPLATE

DOCS = TEMPLATE / "docs"
PROJECT = TEMPLATE / "{{ cookiecutter.project_slug }}"
PAGES = [TEMPLATE / "README.md", *DOCS.rglob("*.md")]
PAGES = sorted(page for page in PAGES if page.name != "your_own_task.md")  # tests/trainwell/test_jobs.py
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
TRAINED = re.compile(r"(?:^|/|\s)train\.py\s*(.*)$")

# Composes every configuration in one process; prints the complaints about each list of overrides.
COMPOSE = """
import json, sys
from trainwell.config import compose

complaints = {}
with compose.hydra_here():
    for overrides in json.load(sys.stdin):
        given = [override for override in overrides if override != "-m"]
        try:
            jobs = compose.jobs("train", given) if "-m" in overrides else [given]
            for job in jobs[::-1][:: max(1, len(jobs) - 1)]:  # the last and the first
                config = compose.composed("train", job)
                if found := compose.mistakes("train", compose.without_hydra(config), config.hydra):
                    complaints[" ".join(overrides)] = found
        except compose.COMPLAINTS as error:
            complaints[" ".join(overrides)] = [str(error)]
print(json.dumps(complaints))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=TEMPLATE, env=environment, text=True, capture_output=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_every_page_is_built_and_loads_nothing_from_elsewhere(site: Path) -> None:
    for page in DOCS.rglob("*.md"):
        html = (site / page.relative_to(DOCS).with_suffix(".html")).read_text("utf-8")
        assert re.findall(r'<(?:script|link|img|iframe)\b[^>]*?(?:src|href)="?(?:https?:)?//[^">]*', html) == [], page
        assert not re.search("<!-- (options|measured|findings)", html), page


def test_no_link_of_a_built_page_is_dead(site: Path) -> None:
    ids: dict[Path, set[str]] = {}
    for page in site.rglob("*.html"):
        for link in re.findall(r'(?:href|src)="?([^" >]+)', page.read_text("utf-8")):
            name, _, anchor = link.partition("#")
            if re.match(r"\w+:", link) or page.name == "404.html":
                continue
            target = (page.parent / name).resolve() if name else page
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), (page.name, link)
            if anchor and target.suffix == ".html":
                known = ids.setdefault(target, set(re.findall(r'id="?([^" >]+)', target.read_text("utf-8"))))
                assert anchor in known, (page.name, link)


def test_every_finding_has_a_section(site: Path) -> None:
    text = (PROJECT / "trainwell" / "findings.py").read_text("utf-8")
    codes = re.findall(r'^    "(\w+)": ', text, re.MULTILINE)
    page = (site / "findings.html").read_text("utf-8")
    assert len(codes) >= 18
    assert [code for code in codes if not re.search(rf'<h2 id="?{code}\b', page)] == []


def test_every_public_name_of_the_machinery_is_described(site: Path) -> None:
    table = (PROJECT / "trainwell" / "README.md").read_text("utf-8").partition("## What a project may import")[2]
    names = re.findall(r"^\| `trainwell\.([\w.]+)", table.partition("Everything else")[0], re.MULTILINE)
    page = (site / "api" / "trainwell.html").read_text("utf-8")
    assert len(names) > 10
    assert [name for name in names if f"trainwell.{name}" not in page] == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", str(PROJECT / "README.md")])
def test_no_link_of_a_readme_is_dead(name: str) -> None:
    page = TEMPLATE / name
    links = re.findall(r"\]\(([^)#]+)", page.read_text("utf-8"))
    assert [link for link in links if ":" not in link and not (page.parent / link).exists()] == []


def test_the_readmes_are_short() -> None:
    assert len((TEMPLATE / "README.md").read_text("utf-8").splitlines()) <= 60
    assert len((PROJECT / "README.md").read_text("utf-8").splitlines()) <= 150


def commands() -> Iterator[str]:
    """Every command of the pages: lines of their shell blocks, and whole commands in their tables and sentences."""
    for page in PAGES:
        text = page.read_text("utf-8")
        for language, block in BLOCK.findall(text):
            if language == "bash":
                yield from block.splitlines()
        yield from re.findall(r"^    ((?:python|trainwell) .+)$", text, re.MULTILINE)
        inline = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        if page.name == "lightning_hydra_template.md":  # the first column is the other template's
            inline = "\n".join(line.split(" | ")[-1] for line in inline.splitlines())
        yield from re.findall(r"`((?:python train\.py|trainwell \w+) [^`]+)`", inline)


def composed(command: str) -> list[str] | None:
    """The overrides that a command composes a configuration from; None if it composes none."""
    words = shlex.split(command, comments=True)
    if trained := TRAINED.search(command):
        words = shlex.split(trained[1], comments=True)
    elif words[:2] == ["trainwell", "doctor"] and words[2:] != ["--versions"]:
        words = [word for word in words[2:] if word != "--repair"]
    elif words[:2] == ["trainwell", "tune"]:
        words = [word for word in words[2:] if not word.startswith(("+search=", "trials="))]
    else:
        return None
    own = {"--help", "--versions", "--cfg", "job", "..."}
    # what needs a run, an extra or a search
    elsewhere = ("resume=", "reproduce=", "hydra.", "hydra/", "+experiment=best_basics")
    return [word for word in words if word not in own and not word.startswith(elsewhere)]


def test_every_command_of_the_pages_composes(bake: Callable[..., Path], tmp_path: Path) -> None:
    project = tmp_path / "project"
    subprocess.run(["cp", "-r", bake(), project], check=True)
    for page in PAGES:
        for _, block in BLOCK.findall(page.read_text("utf-8")):
            if named := re.match(r"# (\w+\.py)\n", block):
                (project / named[1]).write_text(block)
    (project / "weights.pt").touch()
    given = sorted({tuple(words) for command in commands() if (words := composed(command)) is not None})
    assert len(given) > 40
    ended = subprocess.run(
        [sys.executable, "-c", COMPOSE], input=json.dumps(given), cwd=project, text=True, capture_output=True
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {}


def test_commands_of_trainwell_are_those_that_there_are() -> None:
    text = (PROJECT / "trainwell" / "cli" / "main.py").read_text("utf-8")
    known = {*re.findall(r'^    "(\w+)": \(', text, re.MULTILINE), "COMMAND"}
    used = {word for command in commands() for word in re.findall(r"^trainwell (\w+)", command)}
    assert {"doctor", "compare", "tune", "evaluate"} <= used <= known


def test_the_pages_are_those_of_the_navigation() -> None:
    text = re.sub(r"!!python\S*", "", (TEMPLATE / "mkdocs.yml").read_text("utf-8"))
    listed = re.findall(r"([\w/]+\.md)", json.dumps(yaml.safe_load(text)["nav"]))
    assert sorted(listed) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
