"""The gallery: notes that have all their headings, and claims that still hold, on two seeds."""

from collections.abc import Iterator

import pytest
from lab_notes import Claim, Note, all_notes, claim_of
from runs import Job, Project, sweeps

SEEDS = (0, 1)
CLAIMING = [note for note in all_notes() if note.claims]


def related() -> Iterator[list[Note]]:
    """Groups of notes whose claims are about each other, so that their runs are made once."""
    groups: list[set[str]] = []
    for note in CLAIMING:
        named = {note.name} | {word for claim in note.claims for word in claim.other if "=" not in word}
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
    assert all(len(note.said(heading)) == 1 for heading in ("Question", "Command", "Result"))
    assert f"+experiment={note.name}" in note.overrides
    assert [word.count(",") for word in note.overrides if word.startswith("seed=")] == [4]
    assert len(note.said("Shown")) == len(note.claims)


def test_the_phenomena_of_the_gallery_have_claims() -> None:
    promised = (
        "vanishing_gradient residual_rescue exploding_gradient gradient_clipping dead_relu leaky_relu saturation xavier"
    )
    promised += " residual_depth initialisation overfitting early_stopping weight_decay dropout regularisation"
    promised += " label_noise architecture width_or_depth"
    assert set(promised.split()) <= {note.name for note in CLAIMING}


@pytest.mark.slow
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
    claim = claim_of("residual.depth=64: last val/loss at least 0.20 below residual.connection=plain")
    assert claim == Claim(
        claim.text, ("residual.depth=64",), "last val/loss", "least", 0.2, "below", ("residual.connection=plain",)
    )
    mine, theirs = claim.pair("deep", seed=3)
    assert mine == {"+experiment=deep", "seed=3", "residual.depth=64"}
    assert theirs - mine == {"residual.connection=plain"}


def test_a_claim_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValueError, match="a claim reads"):
        claim_of("val/accuracy is much better than before")


@pytest.mark.parametrize("left_out", [0, 1, 5])
def test_sweeps_consist_of_exactly_the_jobs(left_out: int) -> None:
    jobs = [frozenset({f"seed={s}", f"a={a}", f"b={b}"}) for s in range(3) for a in range(2) for b in range(2)][
        left_out:
    ]
    made: list[Job] = []
    for sweep in sweeps(jobs):
        product = [frozenset()]
        for override in sweep:
            key, _, values = override.partition("=")
            product = [job | {f"{key}={value}"} for job in product for value in values.split(",")]
        made += product
    assert sorted(map(sorted, made)) == sorted(map(sorted, jobs))
