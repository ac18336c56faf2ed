"""A user's table: its cells, and which columns are numbers and which are categories.

A column that is neither, such as dates, free text or identifiers, is refused by name, with what to do about it.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from pandas import DataFrame, Series

MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "<NA>")  # how a cell says that it has no value
DATE = re.compile(
    r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}([ T]+\d{1,2}:.*)?"  # 2026-01-31, 31.1.2026, with a time
    r"|\d{1,2}:\d{2}(:\d{2}.*)?"
    r"|(\d{1,2}[ -])?(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[ ,-]+\d{1,4}.*",
    re.IGNORECASE,
)
ID = re.compile(r"(.*[\W_])?(id|uuid|guid|key|index)|.*[a-z](ID|Id)|unnamed.*|", re.IGNORECASE)
FEW = 20  # distinct values that are never taken for free text or identifiers
MOST_DISTINCT = 0.5  # of the values of a column of categories
AS_TEXT: dict[str, Any] = dict(header=None, dtype=str, skipinitialspace=True, encoding="utf-8-sig")
AT_ONCE = 16_384  # rows in memory
EXAMINED = 1000  # values, to recognize dates by


class Kinds(NamedTuple):
    """What the columns of inputs are, in the order of the table."""

    numbers: list[str]
    categories: list[str]


def read_table(path: str, columns: Sequence[str] | None = None) -> "DataFrame":
    """All rows of a table, or some columns of it.

    Raises: ValueError: it is no .csv or .parquet file, has no rows, lacks a column or has two of the same name.
    """
    import pandas

    return pandas.concat([*read_chunks(Path(path), columns)])


def read_chunks(
    path: Path, columns: Sequence[str] | None = None, most: int = AT_ONCE, names_optional: bool = False
) -> "Iterator[DataFrame]":
    """Some rows at a time, numbered from 0. Cells of numbers are float64 or text, others text; without a value, None.

    With ``names_optional`` a first line of a .csv file that is all numbers is a row, and so is a blank line.

    Raises: ValueError: as ``read_table``.
    """
    if path.suffix not in CELLS:
        raise ValueError(f"{path} must be a .csv or a .parquet file with a name for each column")
    count = 0
    for names, frame in CELLS[path.suffix](path, most, names_optional):
        if not names_optional and (double := sorted({name for name in names if names.count(name) > 1})):
            raise ValueError(f"{path} must have a name of its own for each column, two are {double[0]!r}")
        if absent := [name for name in columns or () if name not in names]:
            raise ValueError(f"{path} {lacks(absent, names)}")
        frame.columns = names
        frame.index = range(count, count + len(frame))
        count += len(frame)
        if len(frame):
            yield frame if columns is None else frame[list(columns)]
    if not count:
        raise ValueError(f"{path} has no rows")


def lacks(absent: Sequence[str], names: Sequence[str]) -> str:
    """That a table lacks columns, and which there are."""
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    hint = "; its columns must be separated by commas" if len(names) == 1 and re.search(r"[;\t|]", names[0]) else ""
    return f"has no column {', '.join(absent)}; it has {shown}{hint}"


def cells_of_csv(path: Path, most: int, names_optional: bool) -> "Iterator[tuple[list[str], DataFrame]]":
    import pandas  # takes half a second

    options = AS_TEXT | {"skip_blank_lines": not names_optional}
    with no_faults_in_csv(path):
        first = pandas.read_csv(path, nrows=1, na_filter=False, **options).iloc[0]
    named = not (names_optional and all(map(is_number, first)))
    names = [str(name).strip() for name in (first if named else range(len(first)))]
    options |= {"na_values": MISSING, "keep_default_na": False, "chunksize": most}
    with no_faults_in_csv(path, named), pandas.read_csv(path, **options) as reader:
        for number, frame in enumerate(reader):
            cells = frame.astype(object).where(frame.notna(), None)
            yield names, cells.iloc[1:] if named and number == 0 else cells


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


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def cells_of_parquet(path: Path, most: int, names_optional: bool) -> "Iterator[tuple[list[str], DataFrame]]":
    """Raises: ValueError: it is another kind of file, or pyarrow is missing."""
    import pandas

    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise ValueError(f'{path} needs pyarrow: pip install -c constraints.txt -e ".[parquet]"') from error
    numbers = "iufb" if names_optional else "iuf"  # where columns have kinds, true and false are categories
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=most):
                frame = batch.to_pandas(integer_object_nulls=True)
                columns = [column_of_parquet(frame.iloc[:, place], numbers) for place in range(frame.shape[1])]
                yield [str(name) for name in frame.columns], pandas.concat(columns, axis=1)
    except (ArrowException, OSError) as error:
        raise ValueError(f"{path} is no .parquet file, or a damaged one") from error


def column_of_parquet(column: "Series", numbers: str) -> "Series":
    if column.dtype.kind in numbers:
        return column.astype(np.float64)
    text = column.astype(object).map(lambda cell: cell if type(cell) in (int, float) else str(cell))
    return text.mask(column.isna() | text.isin(MISSING), None)


CELLS = {".csv": cells_of_csv, ".parquet": cells_of_parquet}


def as_numbers(column: "Series") -> np.ndarray:
    """The cells as float64; NaN where there is no value, or one that is no number."""
    import pandas

    return pandas.to_numeric(column, errors="coerce").to_numpy(np.float64, copy=True)


def as_categories(column: "Series") -> "Series":
    """The cells as text; whole numbers without a fraction, as a .csv file has them. None where there is no value."""
    text = column.map(lambda cell: str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell))
    return text.astype(object).mask(column.isna(), None)


def kinds_of(frame: "DataFrame", numbers: Sequence[str], categories: Sequence[str]) -> Kinds:
    """The kinds of all columns; ``numbers`` and ``categories`` are taken for that whatever they look like.

    Raises: ValueError: a sentence for each column that cannot be an input as it is.
    """
    found, faults = Kinds([], []), []
    for name in frame:
        column = frame[name]
        is_number = name in numbers or (name not in categories and looks_like_numbers(column))
        (found.numbers if is_number else found.categories).append(str(name))
        check = fault_of_numbers if is_number else fault_of_categories
        if fault := check(str(name), column, declared=name in [*numbers, *categories]):
            faults.append(f"data.path: column {name} {fault}")
    if not len(frame.columns):
        faults.append("data.path: no column is left as an input")
    if faults:
        raise ValueError("\n".join(faults))
    return found


def looks_like_numbers(column: "Series") -> bool:
    present = column.dropna()
    return bool(len(present)) and np.isfinite(as_numbers(present)).mean() > MOST_DISTINCT


def fault_of_numbers(name: str, column: "Series", declared: bool) -> str | None:
    values, present = as_numbers(column), column.notna().to_numpy()
    if (bad := present & ~np.isfinite(values)).any():
        cell, row = column[bad].iloc[0], column.index[bad][0]
        return (
            f"holds numbers, but row {row} has {str(cell)[:30]!r}: leave cells without a value empty, or type "
            f"data.as_categories=[{name}] or data.drop=[{name}]"
        )
    known = values[present]
    if declared or len(known) <= FEW or len(np.unique(known)) < len(known) or (known != np.trunc(known)).any():
        return None
    if known.max() - known.min() == len(known) - 1 or ID.fullmatch(name):
        return (
            f"numbers the rows: type data.drop=[{name}], or data.as_numbers=[{name}] if it is a quantity that can be "
            "learned from"
        )
    return None


def fault_of_categories(name: str, column: "Series", declared: bool) -> str | None:
    present = column.dropna()
    if not len(present):
        return f"has no value in any row: type data.drop=[{name}]"
    if declared:
        return None
    some: list[Any] = [str(cell).strip() for cell in present.iloc[:EXAMINED]]
    if all(map(DATE.fullmatch, some)):
        return (
            f"holds dates or times, such as {some[0]!r}: type data.drop=[{name}], or replace them with numbers, such "
            "as the days since the first"
        )
    distinct = present.nunique()
    if distinct > max(FEW, MOST_DISTINCT * len(present)):
        return (
            f"has {distinct} different texts in {len(present)} rows, such as {some[0][:30]!r}, like identifiers or "
            f"free text: type data.drop=[{name}], or data.as_categories=[{name}] if they are categories"
        )
    return None
