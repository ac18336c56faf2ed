"""Search files: what is sampled, and which mistakes are named."""

from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

pytest.importorskip("optuna")

from trainwell.search import space


def read(tmp_path: Path, text: str) -> dict[str, object]:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return space.read_space(path)


def test_a_line_becomes_what_optuna_samples_from(tmp_path: Path) -> None:
    lines = read(
        tmp_path,
        "optimizer.lr: {low: 3e-4, high: 3e-2, log: true}\nnetwork.width: {low: 64, high: 256, step: 64}\n"
        "activation: [relu, gelu]\n",
    )
    assert space.distributions(lines) == {
        "optimizer.lr": FloatDistribution(3e-4, 3e-2, log=True),
        "network.width": IntDistribution(64, 256, step=64),
        "activation": CategoricalDistribution(["relu", "gelu"]),
    }


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("a: [relu]", "a must have at least two different options"),
        ("a: [relu, {b: 1}]", "a must have options that can be typed"),
        ("a: 3", "a must be a list of options or"),
        ("a: {low: 1}", "a must be a list of options or"),
        ("a: {low: 2, high: 1}", "a must have low below high, got 2 and 1"),
        ("a: {low: 1, high: 1}", "a must have low below high, got 1 and 1"),
        (
            "a: {low: 0, high: 1, log: true}",
            "Optuna accepts: `low >= 1` must hold for `log=True`",
        ),
        (
            "a: {low: 0, high: 0.5, log: true}",
            "Optuna accepts: `low > 0` must hold for `log=True`",
        ),
        (
            "a: {low: 0.1, high: 0.5, step: 0.1, log: true}",
            "Optuna accepts: The parameter `step` is not supported",
        ),
        ("a: {low: x, high: 1}", "a must have numbers for low, high and step"),
        ("a: {low: true, high: 2}", "a must have numbers for low, high and step"),
        ("a: {low: 1, high: 2, step: 0}", "a must be a range that Optuna accepts: `step > 0` must hold"),
        ("a: {low: 1, high: 2, log: 3}", "and true or false for log"),
        ("[1, 2]", "must hold lines such as"),
        ("a: [", "is not valid YAML"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, rule: str) -> None:
    with pytest.raises(ValueError, match=r"mine\.yaml") as refused:
        read(tmp_path, line)
    assert rule in str(refused.value)


def test_all_wrong_lines_are_named_together(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"mine\.yaml") as refused:
        read(tmp_path, "a: [relu]\nb: 3\n")
    assert len(str(refused.value).splitlines()) == 2


def test_a_sampled_value_is_typed_as_hydra_reads_it() -> None:
    assert [space.override("k", value) for value in (None, True, 0.5, "gelu", 3)] == [
        "k=null",
        "k=true",
        "k=0.5",
        "k=gelu",
        "k=3",
    ]
