"""The gallery: notes that have all their headings, and claims that still hold, on two seeds."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.gallery.__main__ import page
from benchmarks.gallery.lab_notes import Claim, Note, all_notes, experiment_of, rewrite, shown_line
from benchmarks.gallery.plots import FIGURES, activations, draw_all
from benchmarks.pages import panels
from benchmarks.project import TEMPLATE, Project, Run, sweeps

SEEDS = (0, 1)
CLAIMING = [note for note in all_notes() if note.claims]


def related() -> Iterator[list[Note]]:
    """Groups of notes whose claims are about each other, so that their runs are made once."""
    groups: list[set[str]] = []
    for note in CLAIMING:
        named = {note.name} | {part for claim in note.claims for part in claim.other if "=" not in part}
        groups = [group for group in groups if not group & named] + [named.union(*(g for g in groups if g & named))]
    for group in groups:
        yield [note for note in CLAIMING if note.name in group]


LONGEST_FIRST = sorted(related(), key=len, reverse=True)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("gallery"))


@pytest.mark.parametrize("note", all_notes(), ids=lambda note: note.name)
def test_a_note_has_its_headings(note: Note) -> None:
    assert note.lines[0] == "# @package _global_"
    assert all(len(note.under(heading)) == 1 for heading in ("Question", "Command", "Result"))
    assert experiment_of(note.name) in note.overrides
    assert [override.count(",") for override in note.overrides if override.startswith("seed=")] == [4]
    assert len(note.under("Shown")) == len(note.claims)


def test_the_phenomena_of_the_gallery_have_claims() -> None:
    promised = (
        "vanishing_gradient residual_rescue exploding_gradient gradient_clipping dead_relu leaky_relu saturation xavier"
    )
    promised += " residual_depth initialisation overfitting early_stopping weight_decay dropout regularisation"
    promised += " label_noise architecture width_or_depth"
    assert set(promised.split()) <= {note.name for note in CLAIMING}


def test_figures_are_drawn_from_notes_and_every_picture_is_of_one() -> None:
    needed = {name for settings in FIGURES.values() for name in settings["notes"]}
    assert needed <= {note.name for note in all_notes()}
    assert {path.stem for path in (TEMPLATE / "docs" / "gallery").glob("*.png")} == {"activations", *FIGURES}


def test_the_page_has_a_row_for_every_note() -> None:
    text = page(all_notes(), TEMPLATE / "docs")
    assert all(f"| `{experiment_of(note.name)}" in text or "seed=300" in text for note in all_notes())
    assert text.count("![") == len(FIGURES) + 1


def invented_run(folder: Path, seed: int) -> Run:
    folder.mkdir()
    rows = [f"{epoch},{10 * epoch},{0.1 * (epoch + seed)},{2 - 0.1 * epoch},{3.0 + seed}" for epoch in range(4 + seed)]
    (folder / "metrics.csv").write_text("\n".join(["epoch,step,val/accuracy,val/loss,gradient/norm", *rows, ""]))
    (folder / "config.yaml").write_text("trainer: {max_epochs: 8}\n")
    (folder / "summary.json").write_text(json.dumps({"best": {"val/accuracy": 0.5 + 0.1 * seed}}))
    return Run(folder)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_from_the_runs_of_its_notes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = FIGURES[name]
    own = [override[0] if override else "" for _, _, *override in settings.get("lines", [])] or [""]
    if settings.get("kind") == "over":
        own = [" ".join(sorted([override, f"{settings['across']}={x}"])) for override in own for x in (2, 4)]
    places = ((note, key) for note in settings["notes"] for key in dict.fromkeys(own))
    runs: dict[str, dict[str, list[Run]]] = {note: {} for note in settings["notes"]}
    for number, (note, key) in enumerate(places):
        runs[note][key] = [invented_run(tmp_path / f"{number}-{seed}", seed) for seed in SEEDS]
    monkeypatch.setattr("benchmarks.gallery.plots.activations", lambda project: panels("nothing")[0])
    draw_all(None, runs, tmp_path)
    assert (tmp_path / f"{name}.png").stat().st_size > 5000


def test_every_activation_is_drawn(project: Project) -> None:
    drawn = [axes.get_title("left") for axes in activations(project).axes]
    assert drawn == sorted(path.stem for path in (project.folder / "configs" / "activation").glob("*.yaml"))


@pytest.mark.weekly
@pytest.mark.parametrize("notes", LONGEST_FIRST, ids=lambda notes: notes[0].name)
def test_the_claims_hold_on_two_seeds(notes: list[Note], project: Project) -> None:
    pairs = {
        (note.name, claim): [claim.pair(note.name, seed) for seed in SEEDS] for note in notes for claim in note.claims
    }
    for _ in project.train({job for of_claim in pairs.values() for pair in of_claim for job in pair}):
        pass
    for (name, claim), of_claim in pairs.items():
        differences = claim.differences((project.run(mine), project.run(theirs)) for mine, theirs in of_claim)
        assert claim.holds(differences), f"{name}: {claim.text}: {differences}"


def test_a_claim_compares_runs_that_differ_only_in_what_it_names() -> None:
    claim = Claim("residual.depth=64: last val/loss at least 0.20 below residual.connection=plain")
    assert (claim.metric, claim.bound, claim.margin, claim.side) == ("last val/loss", "least", 0.2, "below")
    mine, theirs = claim.pair("baseline", seed=3)
    assert mine == {"+experiment=baseline", "seed=3", "residual.depth=64"}
    assert theirs - mine == {"residual.connection=plain"}


def test_a_claim_compares_with_another_experiment_of_the_gallery() -> None:
    mine, theirs = Claim("val/accuracy at least 0.10 above dead_relu").pair("leaky_relu", seed=0)
    assert mine - theirs == {"+experiment=gallery/leaky_relu"}
    assert theirs - mine == {"+experiment=gallery/dead_relu"}


def test_a_claim_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValueError, match="a claim must be"):
        Claim("val/accuracy is much better than before")


def test_a_difference_on_the_other_side_is_shown_as_such() -> None:
    claim = Claim("val/accuracy at most 0.03 above weight_decay")
    # The half width of three is t(0.975, 2) = 4.303 times the deviation 0.01 over the root of 3.
    assert shown_line([-0.01, -0.02, -0.03], claim) == "0.020 below, 95 % interval -0.005 to 0.045"


def test_rewriting_a_note_changes_its_numbers_alone(tmp_path: Path) -> None:
    note = next(note for note in all_notes() if note.name == "label_noise")
    copy = Note(tmp_path / "label_noise.yaml")
    copy.path.write_text(note.path.read_text("utf-8"), "utf-8")
    rewrite(copy, note.result, dict(zip(note.under("Claim"), note.under("Shown"), strict=True)))
    assert copy.lines == note.lines


def test_sweeps_consist_of_exactly_the_jobs() -> None:
    jobs = [frozenset({f"seed={s}", f"a={a}"}) for s, a in ((0, 0), (1, 0), (0, 1), (2, 1))]
    made = []
    for *others, seeds in sweeps(jobs):
        made += [frozenset({*others, f"seed={seed}"}) for seed in seeds.removeprefix("seed=").split(",")]
    assert sorted(map(sorted, made)) == sorted(map(sorted, jobs))
