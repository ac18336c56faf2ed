"""Measure the lab notes, and write what was found into them, docs/gallery.md and its pictures:  make gallery

What has been measured of the same code and configuration is not measured again: it can be stopped at any time. Names of
notes after the command limit it to these.
"""

import platform
import sys
from importlib.metadata import version
from pathlib import Path

from lab_notes import Note, all_notes, combinations, result_lines, rewrite, shown_line
from pictures import PICTURES, draw_all
from runs import TEMPLATE, Job, Project
from tqdm import tqdm

DOCS = TEMPLATE / "docs"
SEEDS = "seed=0,1,2,3,4"
HEAD = """# Gallery

Each row is a lab note in `configs/experiment/` of a baked project. To see one for yourself, type its command after
`python train.py -m {seeds}`. Numbers are the mean ± standard deviation over five seeds, of the best epoch unless
it says last; what a claim is shown by is the mean difference, seed by seed, with its 95 % interval.
In the pictures a band is one standard deviation, and a dotted line is what a run that has stopped keeps.

{measured}

| Question | Command | Result | Claim | Shown | Time a run |
|---|---|---|---|---|---|
"""


def main(names: list[str]) -> None:
    project = Project(TEMPLATE / "build" / "gallery")
    notes = [note for note in all_notes() if note.name in names or not names]
    jobs = {note: project.jobs(note.overrides) for note in notes}
    measure(project, jobs)
    for note in notes:
        write_note(project, note, jobs[note])
    ended = {note: project.jobs(note.overrides) for note in all_notes()}
    ended = {note: of_note for note, of_note in ended.items() if not project.missing(of_note)}
    draw_all(project, {note.name: combinations(ended[note], project.run) for note in ended}, DOCS / "gallery")
    write_page(all_notes())


def measure(project: Project, jobs: dict[Note, list[Job]]) -> None:
    """Train what is missing, note by note."""
    every = {project.key(job): job for of_note in jobs.values() for job in of_note}.values()
    with tqdm(total=len(every), unit="run") as bar:
        for note, of_note in jobs.items():
            bar.set_description(note.name)
            for _ in project.train(of_note):
                bar.update(len(every) - len(project.missing(every)) - bar.n)


def write_note(project: Project, note: Note, jobs: list[Job]) -> None:
    grouped = combinations(jobs, project.run)
    seeds = sorted({run.summary["seed"] for group in grouped.values() for run in group})
    shown = {}
    for claim in note.claims:
        pairs = [claim.pair(note.name, seed) for seed in seeds]
        for _ in project.train([job for pair in pairs for job in pair]):
            pass  # all but there: they are runs of this note and of the one it is compared with
        shown[claim.text] = shown_line(claim.differences((project.run(a), project.run(b)) for a, b in pairs), claim)
    rewrite(note, list(result_lines(note, grouped)), shown)


def write_page(notes: list[Note]) -> None:
    """A table of what the notes say, those of a picture together, and the pictures below it."""
    shown = list(dict.fromkeys(name for needed, _ in PICTURES.values() for name in needed))
    notes = sorted(notes, key=lambda note: shown.index(note.name) if note.name in shown else len(shown))
    text = HEAD.format(seeds=SEEDS, measured=f"Measured on one core of {processor()}, with {versions()}.")
    text += "".join(f"| {' | '.join(row_of(note))} |\n" for note in notes)
    for name in ["activations", *PICTURES]:
        if (DOCS / "gallery" / f"{name}.png").exists():
            text += f"\n## {name.replace('_', ' ').capitalize()}\n\n![{name}](gallery/{name}.png)\n"
    (DOCS / "gallery.md").write_text(text, "utf-8")


def row_of(note: Note) -> tuple[str, ...]:
    first, *more = note.result
    numbers, _, rest = first.partition(" (")
    how, _, by_hand = rest.partition(")")
    result = [numbers + by_hand, *(line.replace("  ", ": ", 1) if "  " in line else line for line in more)]
    command = " ".join(word for word in note.overrides if word != SEEDS)
    seconds = next((part.removesuffix(" a run") for part in how.split(", ") if part.endswith(" a run")), "")
    claims, shown = (note.said(heading) for heading in ("Claim", "Shown"))
    (question,) = note.said("Question")
    return question, f"`{command}`", *("<br>".join(cell) for cell in (result, claims, shown)), seconds


def processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return f"an {names[0]}" if names else platform.processor()


def versions() -> str:
    packages = ", ".join(f"{name} {version(name).partition('+')[0]}" for name in ("torch", "lightning", "numpy"))
    return f"Python {platform.python_version()}, {packages}"


if __name__ == "__main__":
    main(sys.argv[1:])
