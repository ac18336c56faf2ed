"""New samples from a ``.csv``, ``.npy`` or ``.parquet`` file, a chunk at a time, to predict on.

A file that does not fit is a ValueError that names the file, the row as it is counted from 0, and the column.
"""

from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path

import numpy as np

from .columns import is_number, read_chunks

CHUNK = 1024  # samples in memory at a time

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


def from_table(path: Path, in_shape: tuple[int, ...]) -> Chunks:
    """A first line of a .csv file that is not all numbers holds the columns' names."""
    for frame in read_chunks(path, most=CHUNK, names_optional=True):
        names = [f"column {name}" for name in frame]
        refuse_misfit(path, names, in_shape)
        try:
            table = frame.to_numpy(np.float64, na_value=np.nan)
        except ValueError:
            cells = frame.to_numpy(object, na_value=np.nan)
            row, column = next(place for place, cell in np.ndenumerate(cells) if not is_number(cell))
            text = str(cells[row, column])
            shown = f"{text[:20]!r}{' ...' if text[20:] else ''}"
            raise ValueError(f"{path}: row {frame.index[row]}, {names[column]}: {shown} is no number") from None
        yield names, table


def refuse_misfit(path: Path, names: Sequence[str], in_shape: tuple[int, ...]) -> None:
    if len(names) != prod(in_shape):
        detail = ", ".join(name.removeprefix("column ") for name in names[:8]) + (", ..." if len(names) > 8 else "")
        raise ValueError(
            f"{path} must have {prod(in_shape)} columns, one for each number of a sample of shape {in_shape}; "
            f"it has {len(names)}: {detail}"
        )


READERS = {".csv": from_table, ".npy": from_npy, ".parquet": from_table}
