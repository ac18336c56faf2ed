"""Compare runs:  python compare.py RUN ...   (run folders, a sweep's folder, or runs/*; python compare.py --help)"""

import argparse
from pathlib import Path

from your_package import comparison, comparison_page, comparison_table


def main() -> None:
    """Print a table of the runs, grouped by what differs but the seed, and write the page and the CSV file."""
    parser = argparse.ArgumentParser(
        description="Compare runs. Those that differ only in seed are one group; groups are compared over common seeds."
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run folder, a sweep's folder, or a folder of runs")
    parser.add_argument("--baseline", metavar="GROUP", help="its number or name in the table, or a run in it; else 1")
    parser.add_argument("--output", type=Path, default=Path(), metavar="FOLDER", help="where the files go; else here")
    told = parser.parse_args()

    try:
        compared = comparison.compare(told.runs, told.baseline)
        told.output.mkdir(parents=True, exist_ok=True)
    except (ValueError, FileExistsError) as error:
        parser.exit(2, f"{error}\n")
    for line in comparison_table.lines(compared):
        print(line)
    comparison_table.write_csv(compared, told.output / "comparison.csv")
    comparison_page.write(compared, told.output / "comparison.html")
    print(f"\npage    {told.output / 'comparison.html'}\ntable   {told.output / 'comparison.csv'}")


if __name__ == "__main__":
    main()
