"""Measure the lab notes, and write the results into them, into ``docs/gallery.md`` and into its figures:

    python -m benchmarks.gallery [NOTE ...]

Names of notes limit it to these. Runs of the same code and configuration are kept in ``build/gallery/``.
"""

import sys
from pathlib import Path

from tqdm import tqdm

from ..pages import filled, row
from ..project import TEMPLATE, Project, write
from .lab_notes import Note, all_notes, combinations, result_lines, rewrite, shown_line
from .plots import FIGURES, draw_all

DOCS = TEMPLATE / "docs"
SEEDS = "seed=0,1,2,3,4"


def main(names: list[str]) -> None:
    project = Project(TEMPLATE / "build" / "gallery")
    notes = [note for note in all_notes() if note.name in names or not names]
    for note in (bar := tqdm(notes, unit="note")):
        for left in project.train(project.jobs(note.overrides)):
            bar.set_description(f"{note.name}, {left} runs left")
        write_note(project, note)
    every = {note: project.jobs(note.overrides) for note in all_notes()}
    ended = {note.name: of_note for note, of_note in every.items() if not project.missing(of_note)}
    draw_all(project, {name: combinations(ended[name], project.run) for name in ended}, DOCS / "gallery")
    write(DOCS / "gallery.md", page(all_notes(), DOCS))


def write_note(project: Project, note: Note) -> None:
    grouped = combinations(project.jobs(note.overrides), project.run)
    seeds = sorted({run.summary["seed"] for group in grouped.values() for run in group})
    shown = {}
    for claim in note.claims:
        pairs = [claim.pair(note.name, seed) for seed in seeds]
        for _ in project.train([job for pair in pairs for job in pair]):
            pass  # nearly all exist: they are runs of this note and of the one that it is compared with
        shown[claim.text] = shown_line(claim.differences((project.run(a), project.run(b)) for a, b in pairs), claim)
    rewrite(note, list(result_lines(note, grouped)), shown)


def page(notes: list[Note], docs: Path) -> str:
    """A table of what the notes say, those of one figure together, and the figures below it."""
    shown = list(dict.fromkeys(name for settings in FIGURES.values() for name in settings["notes"]))
    notes = sorted(notes, key=lambda note: shown.index(note.name) if note.name in shown else len(shown))
    drawn = [name for name in ("activations", *FIGURES) if (docs / "gallery" / f"{name}.png").exists()]
    sections = {"rows": (row(*row_of(note)) for note in notes), "figures": map(captioned, drawn)}
    return filled(Path(__file__).with_name("page.md"), sections, seeds=SEEDS)


def captioned(name: str) -> str:
    """A figure below its title, and the experiments whose runs it shows."""
    title = name.replace("_", " ").replace("relu", "ReLU")
    notes = [f"`+experiment=gallery/{note}`" for note in FIGURES.get(name, {}).get("notes", ())]
    caption = f"The runs of {', '.join(notes)}." if notes else "Each activation, and its derivative."
    return f"\n## {title[0].upper()}{title[1:]}\n\n![{title}](gallery/{name}.png)\n\n{caption}"


def row_of(note: Note) -> tuple[str, ...]:
    first, *more = note.result
    numbers, _, rest = first.partition(" (")
    how, _, by_hand = rest.partition(")")
    result = [numbers + by_hand, *(line.replace("  ", ": ", 1) if "  " in line else line for line in more)]
    command = " ".join(override for override in note.overrides if override != SEEDS)
    seconds = next((part.removesuffix(" a run") for part in how.split(", ") if part.endswith(" a run")), "")
    (question,) = note.under("Question")
    cells = ["<br>".join(cell) for cell in (result, note.under("Claim"), note.under("Shown"))]
    return question, f"`{command}`", *cells, seconds


if __name__ == "__main__":
    main(sys.argv[1:])
