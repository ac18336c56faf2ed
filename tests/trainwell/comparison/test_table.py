"""The terminal's tables and the CSV file."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from trainwell.comparison import page, statistics, table

Make = Callable[..., str]

ESCAPE = "\x1b]0;owned\x07\x1b[31m"


def csv_rows(*places: str) -> list[dict[str, str]]:
    table.write_csv(statistics.compare(places), Path("comparison.csv"))
    with Path("comparison.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_csv_file_has_a_row_for_each_group(make: Make) -> None:
    for rate in (0.1, 0.2):
        make(0, rate, dropout=rate), make(1, rate + 0.1, dropout=rate)
    rows = csv_rows("runs")
    assert [row["dropout.rate"] for row in rows] == ["0.1", "0.2"]
    assert [float(row["val/loss mean"]) for row in rows] == pytest.approx([0.15, 0.25])
    assert float(rows[1]["val/loss against 1 value"]) == pytest.approx(0.1)
    assert rows[0]["val/loss against 1 value"] == ""
    assert rows[0]["folder"].split() == ["runs/train/0000", "runs/train/0001"]


@pytest.mark.parametrize("formula", ['=HYPERLINK("http://x.test","a")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(1)"])
def test_a_formula_from_a_run_is_text_in_the_csv_file(formula: str, make: Make) -> None:
    make(network={"name": formula}, summary={"experiment": formula}), make(network={formula: -1})
    rows = csv_rows("runs")
    cells = [cell for row in rows for cell in [*row, *row.values()]]
    assert f"'{formula}" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))]
    assert [cell for cell in cells if cell.startswith("-")] == ["-1"] * cells.count("-1")


def test_escape_sequences_of_a_run_reach_neither_terminal_nor_csv_file(make: Make) -> None:
    make(
        network={"name": ESCAPE},
        summary={"experiment": ESCAPE, "status": ESCAPE, "code": ESCAPE},
        folder=f"runs/a/{ESCAPE}",
    )
    make(network={f"x{ESCAPE}": "\u202egnp.exe"}), make(summary={"best": {f"val/{ESCAPE}": 1.0}})
    table.write_csv(statistics.compare(["runs"]), Path("comparison.csv"))
    written = Path("comparison.csv").read_text("utf-8")
    assert not {"\x1b", "\x07", "\u202e"} & set(written)
    assert "\\x1b" in written


def test_settings_and_metrics_may_have_the_names_of_columns(make: Make) -> None:
    best = {"best": {"group": 1.0, "val/loss": 0.5, "val/x against 1": 2.0, "seed": 3.0}}
    for value in ("a", "b"):
        run = Path(make(summary=best, network={"size": value}))
        with (run / "config.yaml").open("a") as file:
            file.write(f"number: {value}\nval/loss against 1: {value}\n")
    compared = statistics.compare(["runs"])
    assert len(compared.groups) == 2
    assert list(table.lines(compared))
    assert len(csv_rows("runs")) == 2
    page.write(compared, Path("page.html"))


@pytest.mark.parametrize(
    ("width", "shown"), [(24, [["a"], ["bb"], ["c"]]), (29, [["a", "bb"], ["c"]]), (99, [["a", "bb", "c"]])]
)
def test_a_table_is_no_wider_than_the_terminal(
    width: int, shown: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    rows = [{"number": 1, "group": "relu", "a": 0.25, "bb": "finished", "c": "-"}]
    tables = list(table.side_by_side(rows, ["number", "group"], ["a", "bb", "c"]))
    assert [lines[0].split()[2:] for lines in tables] == shown
    assert max(len(line) for lines in tables for line in lines) <= width
    assert all(lines[1].split()[:2] == ["1", "relu"] for lines in tables)
