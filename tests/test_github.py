"""Workflows, issue forms, containers and citations of the template and of a baked project, as their readers do."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from tools import TEMPLATE

PLACES = ["template", "project"]


@pytest.fixture(params=PLACES)
def root(request: pytest.FixtureRequest, bake: Callable[..., Path]) -> Path:
    return TEMPLATE if request.param == "template" else bake()


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def test_every_action_is_pinned_by_commit_and_may_only_read(root: Path) -> None:
    workflows = sorted((root / ".github" / "workflows").glob("*.yml"))
    assert len(workflows) == 2
    for path in workflows:
        workflow = read(path)
        assert workflow["permissions"] == {"contents": "read"}
        steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
        uses = [step["uses"] for step in steps if "uses" in step]
        assert uses
        assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", use) for use in uses), path
        assert all(re.search(rf"{re.escape(use)} # v[\d.]+\n", path.read_text("utf-8")) for use in uses), path


def test_tests_run_on_every_python_that_is_supported(root: Path, bake: Callable[..., Path]) -> None:
    text = (bake() / "pyproject.toml").read_text("utf-8")
    supported = SpecifierSet(re.search(r'requires-python = "(.+)"', text)[1])  # type: ignore[index]
    expected = [f"3.{minor}" for minor in range(8, 20) if supported.contains(f"3.{minor}.0")]
    assert read(root / ".github/workflows/test.yml")["jobs"]["test"]["strategy"]["matrix"]["python"] == expected


def test_workflows_call_targets_that_there_are(root: Path) -> None:
    targets = re.findall(r"^([\w-]+):", (root / "Makefile").read_text("utf-8"), re.MULTILINE)
    workflows = "".join(path.read_text("utf-8") for path in (root / ".github/workflows").glob("*.yml"))
    called = re.findall(r"make ([\w-]+)", workflows)
    assert called
    assert set(called) <= set(targets)


def test_issue_forms_have_what_github_requires(root: Path) -> None:
    forms = [path for path in (root / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"]
    assert forms
    for path in forms:
        form = read(path)
        assert form["name"]
        assert form["description"]
        ids = [item["id"] for item in form["body"]]
        assert len(ids) == len(set(ids))
        assert all(item["type"] == "textarea" and item["attributes"]["label"] for item in form["body"])


def test_dependabot_watches_folders_that_there_are(root: Path) -> None:
    updates = read(root / ".github/dependabot.yml")["updates"]
    assert {update["package-ecosystem"] for update in updates} == {"github-actions", "pip"}
    for update in updates:
        for folder in update.get("directories", [update.get("directory")]):
            assert (root / folder.lstrip("/")).is_dir(), folder


def test_the_citation_has_what_its_format_requires(root: Path) -> None:
    citation = read(root / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()


def test_containers_install_from_the_constraints(bake: Callable[..., Path]) -> None:
    project = bake()
    dockerfile = (project / "Dockerfile").read_text("utf-8")
    copied = re.search(r"^COPY (.+) \./$", dockerfile, re.MULTILINE)[1].split()  # type: ignore[index]
    assert all((project / name).is_file() for name in copied)
    assert 'pip install -c constraints.txt -e ".[dev]"' in dockerfile
    assert len(re.findall(r"^torch==", (project / "constraints.txt").read_text("utf-8"), re.MULTILINE)) == 1
    container = json.loads((project / ".devcontainer/devcontainer.json").read_text("utf-8"))
    assert (project / ".devcontainer" / container["build"]["dockerfile"]).resolve() == project.resolve() / "Dockerfile"


def test_an_image_is_named_as_docker_allows(bake: Callable[..., Path]) -> None:
    dockerfile = (bake(project_slug="Hostile.Project_0") / "Dockerfile").read_text("utf-8")
    assert "docker build -t hostile.project_0 ." in dockerfile
