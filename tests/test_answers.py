"""Answers: text comes through exactly, names that cannot work are refused."""

import ast
import re
import tempfile
import tomllib
from email import message_from_string
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from cookiecutter.main import cookiecutter
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tools import TEMPLATE, exactly, run

FRAGMENTS = [
    *('"', "'", '"""', "'''", "\\", "\\N{DASH}", "\\u0041", "\n", "\r\n", "\t", " ", "\0", "\x1b[31m", "\x7f", "\x85"),
    *("%", "%s", "#", "# x", "{{ x }}", "{%", "%}", "{#", "#}", "${x}", "$x", ": ", "- ", "&a", "*a", "!!int", "---"),
    *(
        "\u2028",
        "\ufeff",
        "\ufffe",
        "\u202e",
        "🎉",
        "👩‍🚀",
        "é",
        "e\u0301",
        "名前",
        "\u0430",
        "\U000e0001",
        "word " * 3000,
    ),
]
hostile = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=9), max_size=6).map("".join)


@settings(max_examples=20, deadline=None)
@given(project_name=hostile, description=hostile, author_name=hostile)
@example(project_name="", description="", author_name="")
@example(project_name=" x ", description=' "x" ', author_name="\\")
@example(project_name="Torch", description="x\nRequires-Dist: x", author_name="a\n\nb")
def test_every_text_is_read_back_exactly(project_name: str, description: str, author_name: str) -> None:
    answers = {"project_name": project_name, "description": description, "author_name": author_name}
    given = {question: exactly(answer) for question, answer in answers.items()}
    with tempfile.TemporaryDirectory() as folder:
        # Without the hook, which does not touch these files and takes most of the time.
        bake = cookiecutter(str(TEMPLATE), no_input=True, extra_context=given, output_dir=folder, accept_hooks=False)
        (module,) = (path for path in Path(bake).glob("*/__init__.py") if path.parent.name != "trainwell")

        project = tomllib.loads(Path(bake, "pyproject.toml").read_text("utf-8"))["project"]
        assert project["description"] == " ".join(description.split())  # one line, as metadata have it
        assert project["authors"] == [{"name": " ".join(author_name.split())}]

        citation = yaml.safe_load(Path(bake, "CITATION.cff").read_text("utf-8"))
        assert citation["title"] == project_name
        assert citation["abstract"] == description
        assert citation["authors"] == [{"name": author_name}]

        assert ast.get_docstring(ast.parse(module.read_text("utf-8")), clean=False) == description
        for check in (["check", "--no-cache", module, "pyproject.toml"], ["format", "--no-cache", "--check", module]):
            ruff = run("ruff", *check, cwd=bake)
            assert ruff.returncode == 0, ruff.stdout


def test_a_hostile_description_and_author_leave_the_metadata_of_an_install_whole(bake, tmp_path) -> None:
    project = bake(description='x\nRequires-Dist: x\n\n"""\0\x85 🎉', author_name="a\r\n\nb", project_slug="whole")
    install = run("pip", "install", "--no-deps", "--target", tmp_path, project)
    assert install.returncode == 0, install.stderr
    (metadata,) = tmp_path.glob("*.dist-info/METADATA")
    written = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    headers = message_from_string(metadata.read_text("utf-8"))  # the README, which follows them, has the description
    read = [line for line in headers.get_all("Requires-Dist") if "extra ==" not in line]
    names, expected = ([re.split("[<>=!]", line)[0].lower() for line in lines] for lines in (read, written))
    assert sorted(names) == sorted(expected)  # the build backend writes names in lower case


def test_text_typed_at_the_prompts_comes_through_unrendered(tmp_path) -> None:
    typed = ["{{ x }} {% y %}", "typed", "", '"{# z #}" \\ %s', "[bold]Ann[/bold]", "3"]
    bake = run("cookiecutter", "-o", tmp_path, TEMPLATE, input="\n".join(typed) + "\n")
    assert bake.returncode == 0, bake.stderr
    citation = yaml.safe_load((tmp_path / "typed/CITATION.cff").read_text("utf-8"))
    assert citation["title"] == typed[0]
    assert citation["abstract"] == typed[3]
    assert citation["authors"] == [{"name": typed[4]}]
    assert citation["license"] == "BSD-3-Clause"


BAD_FOLDERS = [
    "",
    ".",
    "..",
    "../up",
    "a/b",
    "/abs",
    "-a",
    "a-",
    "a b",
    "a\nb",
    "é",
    "a" * 300,
    "torch",
    "Scikit_Learn",
]
BAD_PACKAGES = ["", "1d", "a-b", "a.b", "a b", "Net", "é", "_a", "a" * 41, "class", "json", "train", "tests", "sklearn"]


@pytest.mark.parametrize(
    ("question", "answer"),
    [*(("project_slug", name) for name in BAD_FOLDERS), *(("package_name", name) for name in BAD_PACKAGES)],
)
def test_a_bad_name_is_refused_in_one_sentence_and_leaves_nothing(question: str, answer: str, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    bake = run("cookiecutter", "--no-input", "-o", "out", TEMPLATE, f"{question}={answer}", cwd=tmp_path)
    assert bake.returncode != 0
    assert re.fullmatch(rf"{question} must be 1 to \d+ of the characters [^\n]+, got [^\n]+\n", bake.stderr)
    assert bake.stdout == ""
    assert list(tmp_path.rglob("*")) == [tmp_path / "out"]


def test_cruft_refuses_a_bad_name_in_the_same_sentence(repository, tmp_path) -> None:
    bake = run("cruft", "create", repository, "-y", "--extra-context", '{"project_slug": "a/b"}', cwd=tmp_path)
    assert bake.returncode != 0
    assert re.fullmatch(r"project_slug must be [^\n]+, got 'a/b'\n", bake.stderr)
    assert list(tmp_path.iterdir()) == []


def test_bytes_that_are_no_text_are_refused(tmp_path) -> None:
    bake = run("cookiecutter", "--no-input", "-o", tmp_path, TEMPLATE, b"author_name=\xff")
    assert bake.returncode != 0
    assert bake.stderr == "author_name must be text in UTF-8\n"
    assert list(tmp_path.iterdir()) == []


def test_no_installed_module_can_be_hidden_by_a_package_name() -> None:
    from local_extensions import is_bad_package

    constraints = (TEMPLATE / "{{ cookiecutter.project_slug }}/constraints.txt").read_text()
    baked = {*re.findall(r"^\S+(?===)", constraints, re.MULTILINE)}
    modules = [module for module, owners in packages_distributions().items() if baked & {*owners}]
    assert len(modules) > len(baked) / 2
    assert [module for module in modules if not is_bad_package(module)] == []


@pytest.mark.parametrize("project_name", ["Torch", "Test", "3D Nets", "🎉", "a" * 300, "Ünï çödé", "wandb"])
def test_any_project_name_gives_names_that_work(project_name: str, bake) -> None:
    project = bake(project_name=project_name)
    assert len(project.name) <= 60
    assert len(list(project.glob("*/__init__.py"))) == 2  # its own package and trainwell
