"""New rows from a file, a chunk at a time: ``.csv``, ``.npy`` or ``.parquet``, as the network takes them.

A file that does not fit is a ValueError that names the column, and the row as it is counted from 0.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

CHUNK = 1024  # rows in memory at a time


def chunks(path: Path, in_shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """The rows of a file, float32, (rows, *in_shape); a table's columns fill the shape from left to right.

    Raises: ValueError: a column or the shape does not fit, or a value is missing, infinite or no number.
    """
    count = 0
    for names, table in READERS[path.suffix](path, in_shape):
        finite = np.isfinite(table).reshape(len(table), -1)
        if not finite.all():
            row, column = np.argwhere(~finite)[0].tolist()
            raise ValueError(f"{path}: row {count + row}, {names[column]}: the value is missing or not finite")
        count += len(table)
        yield table.reshape(-1, *in_shape)
    if not count:
        raise ValueError(f"{path} has no rows")


def from_npy(path: Path, in_shape: tuple[int, ...]) -> Iterator[tuple[Sequence[str], np.ndarray]]:
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:  # which speak of pickles
        raise ValueError(f"{path} is no .npy file of an array of numbers") from error
    if rows.dtype.kind not in "fiub":
        raise ValueError(f"{path} must hold numbers, it holds {rows.dtype}")
    if rows.shape[1:] not in (in_shape, (prod(in_shape),)):
        raise ValueError(f"{path}: one row must have the shape {in_shape}, it has {rows.shape[1:]}")
    for start in range(0, len(rows), CHUNK):
        part = np.array(rows[start : start + CHUNK], dtype=np.float32)
        yield [f"number {number}" for number in range(prod(in_shape))], part


def from_csv(path: Path, in_shape: tuple[int, ...]) -> Iterator[tuple[Sequence[str], np.ndarray]]:
    """A first line that is not all numbers holds the columns' names."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(text_of(file, path))
        first = next(lines, [])
        if not first:
            raise ValueError(f"{path} has no rows")
        named = not all(map(is_number, first))
        names = [f"column {name}" for name in first] if named else [f"column {number}" for number in range(len(first))]
        refuse_misfit(path, names, in_shape)
        count = 0
        rest = lines if named else chain([first], lines)
        while block := list(islice(rest, CHUNK)):
            yield names, numbers(path, names, block, count)
            count += len(block)


def text_of(file: Iterable[str], path: Path) -> Iterator[str]:
    try:
        yield from file
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8") from error


def numbers(path: Path, names: Sequence[str], block: Sequence[Sequence[str]], count: int) -> np.ndarray:
    try:
        return np.array(block, dtype=np.float32).reshape(len(block), len(names))
    except ValueError:
        for row, line in enumerate(block, start=count):
            if len(line) != len(names):
                raise ValueError(f"{path}: row {row} has {len(line)} columns, not {len(names)}") from None
            for name, cell in zip(names, line, strict=True):
                if not is_number(cell):
                    told = f"{cell!r} is no number" if cell else "the value is missing or not finite"
                    raise ValueError(f"{path}: row {row}, {name}: {told}") from None
        raise


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def from_parquet(path: Path, in_shape: tuple[int, ...]) -> Iterator[tuple[Sequence[str], np.ndarray]]:
    try:
        from pyarrow import parquet, types
    except ImportError as error:
        raise ValueError(f'{path} needs pyarrow: pip install -c constraints.txt ".[parquet]"') from error
    with parquet.ParquetFile(path) as file:
        schema = file.schema_arrow
        for field in schema:
            if not (types.is_floating(field.type) or types.is_integer(field.type) or types.is_boolean(field.type)):
                raise ValueError(f"{path}: column {field.name} must hold numbers, it holds {field.type}")
        names = [f"column {name}" for name in schema.names]
        refuse_misfit(path, names, in_shape)
        for batch in file.iter_batches(batch_size=CHUNK):
            yield names, np.stack([as_floats(column) for column in batch.columns], axis=1)


def as_floats(column: Any) -> np.ndarray:
    return np.array(column.to_numpy(zero_copy_only=False), dtype=np.float32)  # what is missing becomes NaN


def refuse_misfit(path: Path, names: Sequence[str], in_shape: tuple[int, ...]) -> None:
    if len(names) != prod(in_shape):
        told = ", ".join(name.removeprefix("column ") for name in names[:8]) + (", ..." if len(names) > 8 else "")
        raise ValueError(
            f"{path} must have {prod(in_shape)} columns, one for each number of a row of shape {in_shape}; "
            f"it has {len(names)}: {told}"
        )


Reader = Callable[[Path, tuple[int, ...]], Iterator[tuple[Sequence[str], np.ndarray]]]
READERS: dict[str, Reader] = {".csv": from_csv, ".npy": from_npy, ".parquet": from_parquet}
