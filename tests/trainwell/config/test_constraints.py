"""Constraints on keys, declared in the comments at the head of an option's file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from trainwell.config import constraints


def written(folder: Path, head: str, group: str = "own", option: str = "bounded") -> list[Path]:
    (folder / group).mkdir(exist_ok=True)
    (folder / group / f"{option}.yaml").write_text(f"# What it does.\n{head}\nkey: 1\n")
    return [folder]


def rule_of(folder: Path, head: str) -> constraints.Rule:
    return constraints.ranges(written(folder, head), {"own": "bounded"})["own.key"]


@pytest.mark.parametrize(
    ("written", "words", "allowed", "refused"),
    [
        ("key in [0, 1)", "in [0, 1)", [0, 0.999], [-0.1, 1.0, 1.5]),
        ("key in (0, 1]", "in (0, 1]", [1e-9, 1.0], [0, 1.1]),
        ("key in [1, inf)", "1 or more", [1, 10**9], [0, 0.5]),
        ("key in (0, inf)", "above 0", [1e-30], [0, -1]),
        ("key in {min, max}", "min or max", ["min", "max"], ["mean", ""]),
        ("key is odd", "1, 3, 5 or another odd number", [1, 7], [0, 2, -1]),
        ("key is a folder", "a folder that exists", ["/"], ["/no/such/folder"]),
    ],
)
def test_a_range_allows_what_it_says(
    written: str, words: str, allowed: list[Any], refused: list[Any], tmp_path: Path
) -> None:
    rule = rule_of(tmp_path, f"# Range: {written}")
    assert rule.words == words
    assert all(rule.holds(value) for value in allowed)
    assert not any(rule.holds(value) for value in refused)


def test_a_file_that_exists_is_a_file(tmp_path: Path) -> None:
    rule = rule_of(tmp_path, "# Range: key is a file")
    (tmp_path / "there").touch()
    assert rule.holds(str(tmp_path / "there"))
    assert not rule.holds(str(tmp_path))


def test_a_range_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="# Range: key between 0 and 1 cannot be read"):
        rule_of(tmp_path, "# Range: key between 0 and 1")


def test_every_constraint_of_the_project_can_be_read_and_is_about_a_key_of_its_group(baked: Path) -> None:
    configs = baked / "configs"
    for path in configs.glob("*/*.yaml"):
        group = OmegaConf.load(path)
        assert all(constraints.CONDITION.fullmatch(condition) for condition in conditions_of(path)), path
        for line in constraints.head_lines("Range", [path]):
            key, _ = constraints.parsed(line)
            present = OmegaConf.is_missing(group, key) or OmegaConf.select(group, key, default="none") != "none"
            assert present, f"{path}: {key}"


def conditions_of(path: Path) -> list[str]:
    lines = constraints.head_lines("Conflict", [path])
    return [condition for line in lines for condition in line.partition(": ")[0].split(", ")]


CONFLICT = "# Conflict: {}: <own> and <other.size> do not go together"


@pytest.mark.parametrize(
    ("condition", "meets"),
    [
        ("other.size > 1", True),
        ("other.size <= 1", False),
        ("other.kind == large", True),
        ("other.kind != large", False),
        ("other.size > 1, other.kind != large", False),
        ("own changed", True),
        ("own.key changed", True),
        ("own.slope changed", False),
        ("other changed", False),
        ("other.size raised", True),
        ("other.kind raised", False),
        ("other.nothing == 1", False),
        ("other.nothing != 1", False),
        ("nobody.kind != large", False),
    ],
)
def test_a_conflict_is_reported_where_all_its_conditions_hold(condition: str, meets: bool, tmp_path: Path) -> None:
    config = OmegaConf.create({"own": {"key": 1}, "other": {"size": 2, "kind": "Large"}})
    configs = written(tmp_path, CONFLICT.format(condition))
    found = list(
        constraints.conflicts(
            config, configs, {"own": "bounded"}, {"own": "own=bounded and own.key=1"}, raised=["other.size"]
        )
    )
    assert found == ["own=bounded and own.key=1 and 2 do not go together"] * meets


def test_constraints_of_the_default_option_bind_those_based_on_it(tmp_path: Path) -> None:
    written(tmp_path, "# Range: key in [1, 5]", option="default")
    assert "own.key" in constraints.ranges([tmp_path], {"own": "other"})


def test_a_bounded_key_of_a_new_option_is_refused_by_its_range(
    project: Path, compose: Callable[..., Any], command: Callable[..., Any]
) -> None:
    path = project / "configs" / "activation" / "steep.yaml"
    relu = (project / "configs" / "activation" / "leaky_relu.yaml").read_text()
    path.write_text(relu.replace("# Range: slope in [0, 1)", "# Range: slope in (1, 9]").replace("0.01", "2.0"))
    ended = command("activation=steep", "activation.slope=0.5")
    assert ended.returncode == 2
    assert ended.stderr == "activation.slope must be in (1, 9], got 0.5\n"
