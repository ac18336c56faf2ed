"""A table's cells and kinds: alike from every kind of file; what is no input is refused by name, with what to do."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas
import pytest
from trainwell.data.files.columns import as_categories, as_numbers, kinds_of, read_chunks, read_table

N = 60
GENERATOR = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_cell_is_the_same_from_csv_and_parquet() -> None:
    pytest.importorskip("pyarrow")
    table = pandas.DataFrame(
        {
            "size": [1.5, None, 3.0],
            "count": pandas.array([1, None, 3], dtype="Int64"),
            "colour": ["red", None, "blue"],
            "sold": pandas.array([True, None, False], dtype="boolean"),
        }
    )
    table.to_csv("rows.csv", index=False)
    table.to_parquet("rows.parquet")
    for read in (read_table("rows.csv"), read_table("rows.parquet")):
        assert read.columns.tolist() == ["size", "count", "colour", "sold"]
        assert np.array_equal(as_numbers(read["size"]), [1.5, np.nan, 3], equal_nan=True)
        assert as_categories(read["count"]).tolist() == ["1", None, "3"]
        assert as_categories(read["colour"]).tolist() == ["red", None, "blue"]
        assert as_categories(read["sold"]).tolist() == ["True", None, "False"]


def test_rows_are_numbered_through_all_chunks_and_only_wanted_columns_are_read() -> None:
    Path("rows.csv").write_text("\ufeffa, b,c\n" + "".join(f"{n}, x,1\n" for n in range(25)) + "\n")
    chunks = [*read_chunks(Path("rows.csv"), ["b", "a"], most=10)]
    assert [len(chunk) for chunk in chunks] == [9, 10, 6]
    whole = pandas.concat(chunks)
    assert whole.columns.tolist() == ["b", "a"]
    assert whole.index.tolist() == list(range(25))
    assert as_numbers(whole["a"]).tolist() == list(range(25))
    assert set(whole["b"]) == {"x"}


def test_a_column_may_have_a_name_that_as_a_cell_has_no_value() -> None:
    Path("rows.csv").write_text("NA,b\nNA,1\n")
    assert read_table("rows.csv").to_dict("list") == {"NA": [None], "b": ["1"]}


FILES = {
    "no such column": ("a,b\n1,2\n", "rows.csv has no column c; it has a, b"),
    "semicolons": ("a;b;c\n1;2;3\n", "it has a;b;c; its columns must be separated by commas"),
    "two of a name": ("a,c,c\n1,2,3\n", "must have a name of its own for each column, two are 'c'"),
    "no rows": ("a,c\n", "rows.csv has no rows"),
    "an empty file": ("", "rows.csv has no rows"),
    "a long row": ("a,c\n1,2\n1,2,3\n", "rows.csv: row 1 has 3 columns, not 2"),
}


@pytest.mark.parametrize(("text", "said"), FILES.values(), ids=FILES.keys())
def test_a_file_that_is_no_such_table_is_one_sentence(text: str, said: str) -> None:
    Path("rows.csv").write_text(text)
    with pytest.raises(ValueError, match=r"rows.csv") as refusal:
        read_table("rows.csv", ["c"])
    assert said in str(refusal.value)


COLUMNS: dict[str, tuple[Sequence[object], str]] = {
    "dates": (
        [f"2026-01-{day % 28 + 1:02}" for day in range(N)],
        "column it holds dates or times, such as '2026-01-01'",
    ),
    "German dates": ([f"{day % 28 + 1}.1.2026 12:30" for day in range(N)], "column it holds dates or times"),
    "months": ([f"{day % 28 + 1} March 2026" for day in range(N)], "column it holds dates or times"),
    "names": ([f"Mr {number}" for number in range(N)], "column it has 60 different texts in 60 rows, such as 'Mr 0'"),
    "a row number": (list(range(N)), "column it numbers the rows: type data.drop=[it], or data.as_numbers=[it]"),
    "a hole in words": (["?"] + ["1.5", "2"] * 30, "column it holds numbers, but row 0 has '?': leave cells without"),
    "infinite": (["1.5"] * 59 + ["inf"], "column it holds numbers, but row 59 has 'inf'"),
    "nothing": ([None] * N, "column it has no value in any row: type data.drop=[it]"),
}


@pytest.mark.parametrize(("cells", "said"), COLUMNS.values(), ids=COLUMNS.keys())
def test_a_column_that_cannot_be_an_input_is_refused_by_name(cells: Sequence[object], said: str) -> None:
    frame = pandas.DataFrame({"it": pandas.Series(cells, dtype=object), "other": "1"}).map(lambda c: c and str(c))
    with pytest.raises(ValueError, match=r"^data.path: column it") as refusal:
        kinds_of(frame, [], [])
    assert said in str(refusal.value)


def test_an_identifier_is_known_by_its_name_where_its_numbers_have_gaps() -> None:
    numbers = GENERATOR.choice(10**6, N, replace=False).astype(float)
    with pytest.raises(ValueError, match="column customer_id numbers the rows"):
        kinds_of(pandas.DataFrame({"customer_id": numbers}), [], [])
    assert kinds_of(pandas.DataFrame({"price": numbers}), [], []).numbers == ["price"]


def test_a_column_is_what_the_configuration_says_whatever_it_looks_like() -> None:
    frame = pandas.DataFrame({"year": np.arange(N, dtype=float), "zip": GENERATOR.integers(1e4, 9e4, N).astype(str)})
    assert kinds_of(frame, ["year"], ["zip"]) == (["year"], ["zip"])


def test_all_columns_are_reported_together() -> None:
    with pytest.raises(ValueError, match=r"^data.path") as refusal:
        kinds_of(pandas.DataFrame({"a": [None] * 30, "b": [f"text {n}" for n in range(30)]}), [], [])
    assert len(str(refusal.value).splitlines()) == 2
