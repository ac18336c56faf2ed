"""Remedies come from the techniques' own files; only those that apply are shown."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainwell.doctor.remedies import advised, applicable, offers, treated, with_remedy
from trainwell.findings import WHY, Finding


def test_every_offer_is_against_a_code_and_composes(project: Path) -> None:
    from trainwell.config import compose

    keys = ["data=arrays", "data.path=x.npz"]
    for code, remedy in offers():
        assert code in WHY, remedy
        for override in remedy.split():
            key, option = override.split("=")
            if "." in key:
                keys.append(override)
            else:
                assert (project / "configs" / key / f"{option}.yaml").is_file(), remedy
    with compose.hydra_here():
        compose.composed("train", [*dict.fromkeys(keys), "weight_decay=l2"])


def test_a_new_technique_offers_itself_by_a_line_in_its_file(tmp_path: Path) -> None:
    (tmp_path / "activation").mkdir()
    file = tmp_path / "activation" / "snake.yaml"
    file.write_text(
        "# Never dies.\n# Remedy for: dead_units, vanishing_gradient\n# Remedy for: non_finite with a.b=1\n"
    )
    own = [("dead_units", "activation=snake"), ("vanishing_gradient", "activation=snake"), ("non_finite", "a.b=1")]
    assert list(offers(tmp_path)) == own


def test_settings_are_offered_before_what_changes_the_network(tmp_path: Path) -> None:
    for group in ("activation", "trainer", "optimizer"):
        (tmp_path / group).mkdir()
        (tmp_path / group / "x.yaml").write_text("# Remedy for: non_finite\n")
    assert [remedy for _, remedy in offers(tmp_path)] == ["optimizer=x", "trainer=x", "activation=x"]


def test_offers_come_after_the_remedies_derived_from_the_evidence(tmp_path: Path) -> None:
    (tmp_path / "activation").mkdir()
    (tmp_path / "activation" / "snake.yaml").write_text("# Remedy for: dead_units\n")
    (finding,) = treated([Finding("dead_units", "error", "head", "1", ("optimizer.lr=0.1",))], tmp_path)
    assert finding.remedies == ("optimizer.lr=0.1", "activation=snake")
    (finding,) = treated([finding], tmp_path, ineffective={"activation=snake"})
    assert finding.remedies == ("optimizer.lr=0.1",)


def test_skip_connections_are_offered_and_no_part_of_another_remedy_is(project: Path) -> None:
    found = Finding("vanishing_gradient", "error", "layers", "1", ("activation=relu initialisation=he",))
    (finding,) = treated([found], project / "configs")
    assert finding.remedies[:2] == (*found.remedies, "residual.connection=skip")
    assert not {"activation=relu", "initialisation=he"} & set(finding.remedies)


def test_a_remedy_that_changes_nothing_or_is_refused_is_not_offered(project: Path, compose: Callable[..., Any]) -> None:
    remedies = ("activation=relu", "activation=gelu", "activation=nothing")
    finding = Finding("dead_units", "error", "head", "1", remedies)
    assert applicable(finding, []).remedies == ("activation=gelu",)
    custom = ["network=custom", "network.factory=torch.nn.Linear"]
    assert applicable(finding, custom).remedies == ()


def test_a_remedy_replaces_what_it_contradicts() -> None:
    typed = ["+experiment=dead_relu", "activation=relu", "seed=3"]
    assert with_remedy(typed, "activation=gelu optimizer.lr=0.1") == [
        "+experiment=dead_relu", "seed=3", "activation=gelu", "optimizer.lr=0.1",
    ]  # fmt: skip
    assert with_remedy(["initialisation=normal", "initialisation.std=0"], "initialisation=he") == ["initialisation=he"]


def test_a_finding_without_a_remedy_says_what_to_change(project: Path, compose: Callable[..., Any]) -> None:
    finding = Finding("dead_units", "error", "body.3", "1", ("activation=gelu",))
    assert applicable(finding, []).advice == ()
    custom = applicable(finding, ["network=custom", "network.factory=torch.nn.Linear"])
    assert "body.3" in custom.advice[0]


def test_an_optimizer_that_a_task_does_not_read_is_no_remedy(project: Path, compose: Callable[..., Any]) -> None:
    finding = Finding("learning_rate_too_high", "error", "whole network", "1", ("optimizer.lr=0.001",))
    assert applicable(finding, []).remedies == ("optimizer.lr=0.001",)
    own = ["~task", "+task._target_=torch.nn.Identity"]
    assert applicable(finding, own).remedies == ()


def test_advice_for_a_module_of_ones_own_is_the_rate_that_the_trial_has_shown() -> None:
    gains = {"optimizer.lr=0.0006": "validation accuracy 92.7% instead of 12.2%"}
    finding = advised(Finding("learning_rate_too_low", "error", "whole network", "", gains=gains))
    assert finding.advice[1] == "    lr=0.0006"
