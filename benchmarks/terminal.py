"""Draw what two commands print in a fresh project, as a picture of a terminal:  python -m benchmarks.terminal"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.sax.saxutils import escape

from cookiecutter.main import cookiecutter

from .project import TEMPLATE, write

PICTURE = TEMPLATE / "docs" / "terminal.svg"
RESCUE = "python train.py +experiment=gallery/residual_rescue callbacks.early_stopping.patience=3"
COMMANDS = {  # each with the pattern of the first line that is shown
    "trainwell doctor +experiment=gallery/vanishing_gradient": "found",
    RESCUE: "finished after|stopped early",
}
COLOURS = {"command": "#7ee787", "finding": "#ff7b72", "plain": "#e6edf3"}
FINDING = re.compile(r"^\w[\w ]+ +\((error|warning)\)$")
LINE, CHARACTER, MARGIN = 19, 8.4, 18  # pixels
COLUMNS = 110


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = Path(cookiecutter(str(TEMPLATE), no_input=True, default_config=True, output_dir=folder))
        lines = [line for command, first in COMMANDS.items() for line in [*printed(project, command, first), ""]]
    write(PICTURE, svg(lines[:-1]))


def printed(project: Path, command: str, first: str) -> list[str]:
    program, *words = command.split()
    environment = {**os.environ, "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, *(["-m", program] if program == "trainwell" else []), *words]
    ended = subprocess.run(arguments, cwd=project, env=environment, text=True, capture_output=True)
    lines = ended.stdout.rstrip().splitlines()
    start = next((number for number, line in enumerate(lines) if re.search(first, line)), None)
    if start is None:
        raise RuntimeError(f"{command} printed no {first!r}:\n{ended.stdout}\n{ended.stderr}")
    return [f"$ {command}", *(part for line in lines[start:] for part in pieces(line))]


def pieces(line: str) -> list[str]:
    """A line as a terminal with so many columns breaks it."""
    return [line[start : start + COLUMNS] for start in range(0, max(len(line), 1), COLUMNS)]


def svg(lines: list[str]) -> str:
    """Lines of text in a monospaced font on a dark ground."""
    width = round(2 * MARGIN + CHARACTER * max(map(len, lines)))
    height = round(2 * MARGIN + LINE * len(lines))
    texts = [
        f'<text x="{MARGIN}" y="{MARGIN + LINE * number + 14}" fill="{COLOURS[kind(line)]}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    ]
    style = "text { font: 14px ui-monospace, SFMono-Regular, Menlo, 'DejaVu Sans Mono', monospace; white-space: pre; }"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">'
    ground = f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>'
    return "\n".join([head, f"<style>{style}</style>", ground, *texts, "</svg>", ""])


def kind(line: str) -> str:
    return "command" if line.startswith("$ ") else "finding" if FINDING.match(line) else "plain"


if __name__ == "__main__":
    main()
