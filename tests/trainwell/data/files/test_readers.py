"""New samples: alike from any kind of file, refused by file, row and column where they do not fit."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from trainwell.data.files import readers

TABLE = np.random.default_rng(0).normal(size=(1500, 6))  # more than a chunk


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(name: str, *in_shape: int) -> np.ndarray:
    return np.concatenate([*readers.chunks(Path(name), in_shape)])


def csv(table: np.ndarray, *header: str) -> str:
    return "".join(f"{','.join(map(str, line))}\n" for line in [*([header] if header else []), *table.tolist()])


def test_a_sample_is_the_same_from_every_kind_of_file() -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    np.save("flat.npy", TABLE)
    np.save("shaped.npy", TABLE.reshape(-1, 2, 3))
    Path("named.csv").write_text(csv(TABLE, *"abcdef"))
    Path("bare.csv").write_text(csv(TABLE))
    Path("windows.csv").write_text("\ufeff" + csv(TABLE, *"abcdef").replace("\n", "\r\n"), encoding="utf-8")
    parquet.write_table(pyarrow.table({f"pixel_{n}": column for n, column in enumerate(TABLE.T)}), "rows.parquet")
    for name in ("flat.npy", "shaped.npy", "named.csv", "bare.csv", "windows.csv", "rows.parquet"):
        assert np.array_equal(read(name, 2, 3), TABLE.reshape(-1, 2, 3)), name


MISFITS = {
    "too few columns": ("a,b\n1,2\n", "one for each number of a sample of shape (3,); it has 2: a, b"),
    "too many columns": ("1,2,3,4\n", "it has 4: 0, 1, 2, 3"),
    "text": ("a,b,c\n1,2,3\n1,x,3\n", "rows.csv: row 1, column b: 'x' is no number"),
    "a long text": (f"a,b,c\n1,{'x' * 200_000},3\n", f"rows.csv: row 0, column b: '{'x' * 20}' ... is no number"),
    "a missing value": ("a,b,c\n1,2,\n", "rows.csv: row 0, column c: the value is missing or not finite"),
    "an infinite value": ("a,b,c\n1,2,3\ninf,2,3\n", "rows.csv: row 1, column a: the value is missing or not finite"),
    "a missing value in words": ("1,2,3\n1,NA,3\n", "rows.csv: row 1, column 1: the value is missing or not finite"),
    "an infinite value in a first line": ("inf,2,3\n", "rows.csv: row 0, column 0: the value is missing or not finite"),
    "a short row": ("a,b,c\n1,2,3\n1,2\n", "rows.csv: row 1, column c: the value is missing or not finite"),
    "an empty row": ("1,2,3\n\n1,2,3\n", "rows.csv: row 1, column 0: the value is missing or not finite"),
    "a long row": ("a,b,c\n1,2,3\n1,2,3,4\n", "rows.csv: row 1 has 4 columns, not 3"),
    "a long row without names": ("1,2,3\n1,2,3\n1,2,3,4\n", "rows.csv: row 2 has 4 columns, not 3"),
    "an open quote": ('1,2,3\n"1,2,3\n', "rows.csv is no table with commas between its columns"),
    "no rows": ("a,b,c\n", "rows.csv has no rows"),
    "nothing": ("", "rows.csv has no rows"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), MISFITS.values(), ids=MISFITS.keys())
def test_a_table_that_does_not_fit_is_refused_by_name(text: str, said: str) -> None:
    Path("rows.csv").write_text(text)
    with pytest.raises(ValueError, match=r"^rows\.csv") as refusal:
        read("rows.csv", 3)
    assert said in str(refusal.value)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(("bad", "said"), [("x", "'x' is no number"), ("nan", "the value is missing or not finite")])
def test_a_row_of_a_later_chunk_is_counted_from_the_first(bad: str, said: str) -> None:
    lines = csv(TABLE, *"abcdef").splitlines()
    lines[1 + 1300] = f"1,2,{bad},4,5,6"
    Path("rows.csv").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=rf"^rows.csv: row 1300, column c: {said}$"):
        read("rows.csv", 6)
    lines[1 + 1300] = "1,2,3,4,5,6,7"
    Path("rows.csv").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"^rows.csv: row 1300 has 7 columns, not 6$"):
        read("rows.csv", 6)


@pytest.mark.parametrize(
    ("name", "said"),
    [("rows.csv", "is no text in UTF-8"), ("rows.npy", "is no .npy file"), ("rows.parquet", "is no .parquet file")],
)
@pytest.mark.parametrize("content", [b"\x80\x81\n", b"PAR1" + bytes(range(256)) + b"PAR1"])
def test_a_file_of_another_kind_is_refused_by_name(name: str, said: str, content: bytes) -> None:
    Path(name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{name} {said}"):
        read(name, 3)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((4, 5)), r"one sample must have the shape \(3,\), it has \(5,\)"),
        (np.array([["a"] * 3]), "must hold an array of numbers, it holds <U1"),
        (np.array([[object()] * 3]), "is no .npy file of an array of numbers"),
        (np.array([[0, 0, 0], [0, np.nan, 0]]), "row 1, number 1: the value is missing"),
        (np.zeros((0, 3)), "has no rows"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(array: np.ndarray, said: str) -> None:
    np.save("rows.npy", array)
    with pytest.raises(ValueError, match=said):
        read("rows.npy", 3)


def test_a_parquet_column_that_does_not_fit_is_refused_by_name() -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"a": [1.0], "colour": ["red"], "c": [3]}), "rows.parquet")
    with pytest.raises(ValueError, match=r"^rows.parquet: row 0, column colour: 'red' is no number$"):
        read("rows.parquet", 3)
    parquet.write_table(pyarrow.table({"a": [1.0, None], "b": [1, 2], "c": [3, None]}), "rows.parquet")
    with pytest.raises(ValueError, match=r"^rows.parquet: row 1, column a: the value is missing or not finite$"):
        read("rows.parquet", 3)


def test_columns_of_a_name_and_truth_values_are_numbers_by_their_place() -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table([[1.0, 2.0], [True, False]], names=["a", "a"]), "rows.parquet")
    assert np.array_equal(read("rows.parquet", 2), [[1.0, 1.0], [2.0, 0.0]])


def test_a_parquet_file_with_rotten_pages_is_one_sentence() -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({str(n): column for n, column in enumerate(TABLE.T)}), "rows.parquet")
    content = bytearray(Path("rows.parquet").read_bytes())
    content[4:2000] = bytes(1996)
    Path("rows.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=r"^rows.parquet is no .parquet file, or a damaged one"):
        read("rows.parquet", 6)


def test_a_long_file_takes_no_more_memory_than_a_short_one() -> None:
    peaks = []
    for length in (4 * readers.CHUNK, 40 * readers.CHUNK):
        Path("rows.csv").write_text("1,2,3\n" * length)
        tracemalloc.start()
        assert sum(len(chunk) for chunk in readers.chunks(Path("rows.csv"), (3,))) == length
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 3 * peaks[0]  # not ten times as much
