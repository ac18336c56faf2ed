"""New samples from a ``.csv``, ``.npy`` or ``.parquet`` file, a chunk at a time, to predict on.

A file that does not fit is a ValueError that names the file, the row as it is counted from 0, and the column.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

CHUNK = 1024  # samples in memory at a time
AS_TEXT: dict[str, Any] = dict(header=None, dtype=str, na_filter=False, skip_blank_lines=False, encoding="utf-8-sig")

Chunks = Iterator[tuple[Sequence[str], np.ndarray]]  # the columns' names and some rows


def chunks(path: Path, in_shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """The samples of a file, (samples, *in_shape); the columns of a table fill the shape from left to right.

    Raises: ValueError: a column or the shape does not fit, or a value is missing, infinite or no number.
    """
    if path.suffix not in READERS:
        raise ValueError(f"{path} must be a {', '.join(READERS)} file")
    count = 0
    for names, table in READERS[path.suffix](path, in_shape):
        finite = np.isfinite(table).reshape(len(table), prod(in_shape))
        if not finite.all():
            row, column = np.argwhere(~finite)[0].tolist()
            raise ValueError(f"{path}: row {count + row}, {names[column]}: the value is missing or not finite")
        count += len(table)
        yield table.reshape(-1, *in_shape)
    if not count:
        raise ValueError(f"{path} has no rows")


def from_npy(path: Path, in_shape: tuple[int, ...]) -> Chunks:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:  # which speak of pickles
        raise ValueError(f"{path} is no .npy file of an array of numbers") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise ValueError(f"{path} must hold an array of numbers, it holds {getattr(array, 'dtype', 'several arrays')}")
    if array.shape[1:] not in (in_shape, (prod(in_shape),)):
        raise ValueError(f"{path}: one sample must have the shape {in_shape}, it has {array.shape[1:]}")
    names = [f"number {number}" for number in range(prod(in_shape))]
    yield from ((names, np.array(array[start : start + CHUNK])) for start in range(0, len(array), CHUNK))


def from_csv(path: Path, in_shape: tuple[int, ...]) -> Chunks:
    """A first line that is not all numbers holds the columns' names."""
    import pandas  # takes half a second

    with no_faults_in_csv(path):
        first = pandas.read_csv(path, nrows=1, **AS_TEXT).to_numpy()[0]
        named = not all(map(is_number, first))
        names = [f"column {name}" for name in (first if named else range(len(first)))]
        refuse_misfit(path, names, in_shape)
    row = 0
    with no_faults_in_csv(path, named), pandas.read_csv(path, chunksize=CHUNK, **AS_TEXT) as reader:
        for frame in reader:
            table = frame.to_numpy()[1 if named and row == 0 else 0 :]
            yield names, numbers(path, names, table, row)
            row += len(table)


@contextmanager
def no_faults_in_csv(path: Path, named: bool = False) -> Iterator[None]:
    """Raises: ValueError: what pandas says of a file that is no table, in words; ``named``: its first line is names."""
    import pandas

    try:
        yield
    except pandas.errors.EmptyDataError as error:
        raise ValueError(f"{path} has no rows") from error
    except pandas.errors.ParserError as error:
        if found := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error)):
            expected, line, got = map(int, found.groups())
            raise ValueError(f"{path}: row {line - 1 - named} has {got} columns, not {expected}") from error
        raise ValueError(f"{path} is no table with commas between its columns ({error})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8") from error


def numbers(path: Path, names: Sequence[str], table: np.ndarray, first: int) -> np.ndarray:
    """The cells as float64. ``first`` is the number of the table's first row."""
    try:
        return table.astype(np.float64)
    except ValueError:
        row, column = next(place for place, cell in np.ndenumerate(table) if not is_number(cell))
        cell = table[row, column]
        detail = (
            f"{cell[:20]!r}{' ...' if cell[20:] else ''} is no number" if cell else "the value is missing or not finite"
        )
        raise ValueError(f"{path}: row {first + row}, {names[column]}: {detail}") from None


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def from_parquet(path: Path, in_shape: tuple[int, ...]) -> Chunks:
    with opened_parquet(path) as file:
        from pyarrow import types

        for field in file.schema_arrow:
            if not (types.is_floating(field.type) or types.is_integer(field.type) or types.is_boolean(field.type)):
                raise ValueError(f"{path}: column {field.name} must hold numbers, it holds {field.type}")
        names = [f"column {name}" for name in file.schema_arrow.names]
        refuse_misfit(path, names, in_shape)
        for batch in file.iter_batches(batch_size=CHUNK):  # what is missing becomes NaN
            columns = [column.to_numpy(zero_copy_only=False).astype(np.float64) for column in batch.columns]
            yield names, np.stack(columns, axis=1)


@contextmanager
def opened_parquet(path: Path) -> Iterator[Any]:
    """A ``pyarrow.parquet.ParquetFile``. Raises: ValueError: it is another kind of file, or pyarrow is missing."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise ValueError(f'{path} needs pyarrow: pip install -c constraints.txt ".[parquet]"') from error
    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except (ArrowException, OSError) as error:
        raise ValueError(f"{path} is no .parquet file, or a damaged one") from error


def refuse_misfit(path: Path, names: Sequence[str], in_shape: tuple[int, ...]) -> None:
    if len(names) != prod(in_shape):
        detail = ", ".join(name.removeprefix("column ") for name in names[:8]) + (", ..." if len(names) > 8 else "")
        raise ValueError(
            f"{path} must have {prod(in_shape)} columns, one for each number of a sample of shape {in_shape}; "
            f"it has {len(names)}: {detail}"
        )


READERS: dict[str, Callable[[Path, tuple[int, ...]], Chunks]] = {
    ".csv": from_csv,
    ".npy": from_npy,
    ".parquet": from_parquet,
}
