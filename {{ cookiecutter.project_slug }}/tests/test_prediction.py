"""New rows: prepared as the training's were, alike from any kind of file, refused by name where they do not fit."""

import csv
import re
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from sklearn.datasets import load_digits

from your_package import new_rows
from your_package.build import build
from your_package.data import arrays
from your_package.loading import load_run
from your_package.prediction import predict_file

Compose = Callable[..., DictConfig]
Command = Callable[..., subprocess.CompletedProcess[str]]

DIGITS = load_digits().images.astype(np.float32)


def read(path: Path | str) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def write_csv(path: str, table: np.ndarray, names: list[str] | None = None) -> None:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([*([names] if names else []), *table.tolist()])


def write_parquet(path: str, table: np.ndarray) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({f"pixel_{n}": column for n, column in enumerate(table.T)}), path)


def test_rows_of_the_data_itself_are_prepared_bit_for_bit_as_it_was(compose: Compose, empty_folder: Path) -> None:
    data, _ = build(compose("data=digits"))
    prepared = data.prepared(DIGITS)
    rows = {row.numpy().tobytes() for row in prepared}
    for part in (data.train, data.val, data.test):
        assert {row.numpy().tobytes() for row in part.x} <= rows
    rng = np.random.default_rng(0)
    np.savez(
        "own.npz",
        x=rng.normal(3, 7, size=(60, 4)),
        y=np.arange(60) % 3,
        x_test=np.ones((6, 4)),
        y_test=np.arange(6) % 3,
    )
    own = arrays(path="own.npz", standardise=True)
    assert torch.equal(own.prepared(np.ones((6, 4))), own.test.x)
    assert torch.equal(arrays(path="own.npz", standardise=False).prepared(np.ones((6, 4))), torch.ones(6, 4))


def test_a_row_gets_the_same_prediction_from_every_kind_of_file(trained: Path) -> None:
    run = load_run("latest")
    rows = DIGITS[:1500]  # more than a chunk
    np.save("rows.npy", rows)
    write_csv("named.csv", rows.reshape(1500, -1), [f"pixel_{n}" for n in range(64)])
    write_csv("bare.csv", rows.reshape(1500, -1))
    for source in ("rows.npy", "named.csv", "bare.csv"):
        predict_file(run.folder, Path(source), Path(f"{source}.out"))
    assert Path("rows.npy.out").read_text() == Path("named.csv.out").read_text() == Path("bare.csv.out").read_text()
    found = read("rows.npy.out")
    with torch.no_grad():
        expected = run.network(run.data.prepared(rows)).softmax(dim=-1)
    assert [int(row["row"]) for row in found] == list(range(1500))
    assert [int(row["prediction"]) for row in found] == expected.argmax(dim=-1).tolist()
    assert [float(row["probability_3"]) for row in found] == pytest.approx(expected[:, 3].tolist(), abs=1e-6)
    write_parquet("rows.parquet", rows.reshape(1500, -1))
    predict_file(run.folder, Path("rows.parquet"), Path("parquet.out"))
    assert Path("parquet.out").read_text() == Path("rows.npy.out").read_text()


def lines(*rows: str) -> str:
    return "".join(f"{row}\n" for row in rows)


MISFITS = {
    "too few columns": (
        lines("a,b", "1,2"),
        "must have 3 columns, one for each number of a row of shape (3,); it has 2: a, b",
    ),
    "too many columns": (lines("1,2,3,4"), "it has 4: 0, 1, 2, 3"),
    "a word": (lines("a,b,c", "1,2,3", "1,x,3"), "row 1, column b: 'x' is no number"),
    "a missing value": (lines("a,b,c", "1,2,"), "row 0, column c: the value is missing"),
    "an infinite value": (lines("a,b,c", "1,2,3", "inf,2,3"), "row 1, column a: the value is missing or not finite"),
    "a short row": (lines("a,b,c", "1,2,3", "1,2"), "row 1 has 2 columns, not 3"),
    "no rows": (lines("a,b,c"), "has no rows"),
    "nothing": ("", "has no rows"),
}


@pytest.mark.parametrize(("text", "said"), MISFITS.values(), ids=MISFITS.keys())
def test_a_table_that_does_not_fit_is_refused_by_name(text: str, said: str, empty_folder: Path) -> None:
    Path("rows.csv").write_text(text)
    with pytest.raises(ValueError, match=f"^rows.csv.*{re.escape(said)}"):
        list(new_rows.chunks(Path("rows.csv"), (3,)))


@pytest.mark.parametrize(("name", "said"), [("rows.csv", "is no text in UTF-8"), ("rows.npy", "is no .npy file")])
def test_a_file_of_another_kind_is_refused_by_name(name: str, said: str, empty_folder: Path) -> None:
    Path(name).write_bytes(b"\x80\x81\n")
    with pytest.raises(ValueError, match=f"^{name} {said}"):
        list(new_rows.chunks(Path(name), (3,)))


def test_rows_are_not_overwritten_by_their_predictions(trained: Path) -> None:
    with pytest.raises(ValueError, match="output must be another file than input"):
        predict_file(trained, Path("rows.csv"), Path("rows.csv"))


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((4, 5)), r"one row must have the shape \(3,\), it has \(5,\)"),
        (np.array([["a"] * 3]), "must hold numbers"),
        (np.array([[0, 0, 0], [0, np.nan, 0]]), "row 1, number 1: the value is missing"),
        (np.zeros((0, 3)), "has no rows"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(array: np.ndarray, said: str, empty_folder: Path) -> None:
    np.save("rows.npy", array)
    with pytest.raises(ValueError, match=said):
        list(new_rows.chunks(Path("rows.npy"), (3,)))


def test_a_parquet_column_of_words_is_refused_by_name(empty_folder: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"a": [1.0], "colour": ["red"], "c": [3]}), "rows.parquet")
    with pytest.raises(ValueError, match="column colour must hold numbers, it holds string"):
        list(new_rows.chunks(Path("rows.parquet"), (3,)))
    parquet.write_table(pyarrow.table({"a": [1.0, None], "b": [1, 2], "c": [3, 4]}), "rows.parquet")
    with pytest.raises(ValueError, match="row 1, column a: the value is missing"):
        list(new_rows.chunks(Path("rows.parquet"), (3,)))


def test_a_long_file_takes_no_more_memory_than_a_short_one(empty_folder: Path) -> None:
    peaks = []
    for length in (4 * new_rows.CHUNK, 40 * new_rows.CHUNK):
        write_csv("rows.csv", np.ones((length, 3)))
        tracemalloc.start()
        assert sum(len(chunk) for chunk in new_rows.chunks(Path("rows.csv"), (3,))) == length
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_a_refused_file_leaves_nothing_behind(trained: Path) -> None:
    Path("out").mkdir()
    rows = DIGITS[:1100].reshape(1100, -1).copy()
    rows[1090, 5] = np.nan  # in the second chunk
    write_csv("rows.csv", rows)
    with pytest.raises(ValueError, match=r"^rows.csv: row 1090, column 5: the value is missing or not finite$"):
        predict_file(trained, Path("rows.csv"), Path("out/found.csv"))
    assert not list(Path("out").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run=latest", "input=none.csv", "output=a.csv"], "input must be a .csv, .npy or .parquet file that exists"),
        (["run=latest"], "input must be given: input=..."),
        (["run=latest", "input=rows.csv", "output=no/a.csv"], "output must be a file in a folder that exists"),
        (["run=latest", "input=rows.csv", "output=a.csv"], "there is no such run in runs/"),
    ],
)
def test_predict_refuses_before_it_imports_much(
    arguments: list[str], said: str, command: Command, empty_folder: Path
) -> None:
    Path("rows.csv").write_text("1,2\n")
    ended = command("predict.py", *arguments)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
