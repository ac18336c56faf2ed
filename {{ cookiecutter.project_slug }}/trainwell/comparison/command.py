"""``trainwell compare RUN ...``: print a comparison of runs, and write it as a page and a CSV file."""

import argparse
import os
import sys
from pathlib import Path

from . import report, table
from .statistics import compare


def main(arguments: list[str]) -> int:
    """Return the exit status: 0, or 2 for a mistake in the arguments, described in one sentence."""
    parser = argparse.ArgumentParser(
        prog="trainwell compare",
        description="Compare runs. Those that differ only in seed or fold are one group; "
        "groups are compared over their common seeds and folds.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run, the folder of a sweep, or a folder of runs")
    parser.add_argument("--baseline", metavar="GROUP", help="its number or name in the table, or a run in it; else 1")
    parser.add_argument("--output", type=Path, default=Path(), metavar="FOLDER", help="where the files go; else here")
    options = parser.parse_args(arguments)
    page, csv_file = options.output / "comparison.html", options.output / "comparison.csv"
    try:
        comparison = compare(options.runs, options.baseline)
        options.output.mkdir(parents=True, exist_ok=True)
        table.write_csv(comparison, csv_file)
        report.write(comparison, page)
    except (OSError, ValueError) as error:
        problem = "--output must be a folder that can be written to: " if isinstance(error, OSError) else ""
        print(table.cell(f"{problem}{error}"), file=sys.stderr)
        return 2
    for reason in comparison.skipped:
        print(table.cell(f"skipped: {reason}"), file=sys.stderr)
    try:
        for line in [*table.lines(comparison), "", f"page    {page}", f"table   {csv_file}"]:
            print(table.cell(line))
        sys.stdout.flush()
    except BrokenPipeError:  # such as `| head`: keep Python's own flush at exit quiet
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
