"""``trainwell compare RUN ...``: print a comparison of runs, and write it as a page and a CSV file."""

import argparse
import logging
import sys
from pathlib import Path

from ..errors import Refused
from . import page, table
from .statistics import compare

log = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Raises: Refused: a mistake in the arguments."""
    parser = argparse.ArgumentParser(
        prog="trainwell compare",
        description="Compare runs. Those that differ only in seed or fold are one group; "
        "groups are compared over their common seeds and folds.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run, the folder of a sweep, or a folder of runs")
    parser.add_argument("--baseline", metavar="GROUP", help="its number or name in the table, or a run in it; else 1")
    parser.add_argument("--output", type=Path, default=Path(), metavar="FOLDER", help="where the files go; else here")
    options = parser.parse_args(arguments)
    html_file, csv_file = options.output / "comparison.html", options.output / "comparison.csv"
    try:
        comparison = compare(options.runs, options.baseline)
        options.output.mkdir(parents=True, exist_ok=True)
        table.write_csv(comparison, csv_file)
        page.write(comparison, html_file)
    except (OSError, ValueError) as error:
        problem = "--output must be a folder that can be written to: " if isinstance(error, OSError) else ""
        raise Refused([table.cell(f"{problem}{error}")]) from error
    for reason in comparison.skipped:
        print(table.cell(f"skipped: {reason}"), file=sys.stderr)
    for line in [*table.lines(comparison), "", f"page    {html_file}", f"table   {csv_file}"]:
        log.info(table.cell(line))
    return 0
