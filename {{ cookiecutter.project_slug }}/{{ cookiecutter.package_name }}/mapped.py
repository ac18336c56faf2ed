"""Your own data where they are larger than memory: prepared once beside their file, then read from disk as needed."""

import json
import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.lib import format
from torch import Tensor
from tqdm import tqdm

from .array_file import Stream, streamed_arrays
from .data import SPLIT_SEED, VALIDATION_FRACTION, Data, parted
from .mapped_rows import MappedRows
from .scaling import Scale, rows_at_once, scale_of

log = logging.getLogger(__name__)

PARTS = ("train", "val", "test")
MADE_OF = "made_of.json"


def mapped_arrays(*, path: str, standardise: bool) -> Data:
    """What ``arrays`` makes of the same file, number for number, with inputs that stay on disk.

    The first time the rows are parted, standardised and written into a folder beside the file, ``FILE.npz.mapped``, a
    few in memory at a time; later they are found there, until the file changes. The folder may be deleted. Batches are
    cut out of the mapped files: what memory has room for stays there, the rest is read when it is needed.

    Raises: ValueError: every fault of the file, each with the array's name; too little room on the disk.
    """
    folder = Path(f"{path}.mapped", "standardised" if standardise else "as_given")
    with alone_in(folder.parent):
        if made_of(folder) != wanted_of(path):
            prepare(path, folder, standardise)
        return opened(folder)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Let other processes wait, such as those of ``trainer=ddp``; where nothing comes of it, leave nothing."""
    folder.mkdir(exist_ok=True)
    lock = folder / "lock"
    try:
        with FileLock(lock):
            yield
    except ValueError:
        lock.unlink(missing_ok=True)
        with suppress(OSError):  # another preparation lies there
            folder.rmdir()
        raise


def wanted_of(path: str) -> dict[str, Any]:
    """What prepared rows depend on."""
    file = Path(path).stat()
    return {"bytes": file.st_size, "changed": file.st_mtime_ns, "split": [VALIDATION_FRACTION, SPLIT_SEED]}


def made_of(folder: Path) -> dict[str, Any] | None:
    path = folder / MADE_OF
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def prepare(path: str, folder: Path, standardise: bool) -> None:
    """Fill ``folder``, which gets its name when it is whole."""
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    for old in (folder, unfinished):
        shutil.rmtree(old, ignore_errors=True)
    wanted = wanted_of(path)
    with streamed_arrays(path) as (x, y):
        refuse_too_little_room(path, 4 * sum(prod(array.shape) for array in x.values()))
        unfinished.mkdir()
        try:
            write_parts(unfinished, x, y)
            if standardise:
                standardise_parts(unfinished)
            (unfinished / MADE_OF).write_text(json.dumps(wanted), encoding="utf-8")
            unfinished.replace(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    log.info(f"prepared     {folder}: it is made anew when {Path(path).name} changes, and may be deleted")


def refuse_too_little_room(path: str, needed: int) -> None:
    free = shutil.disk_usage(Path(path).parent).free
    if needed > free:
        raise ValueError(
            f"data.path={path}: its rows need {needed / 1e9:.1f} GB more beside it, where {free / 1e9:.1f} GB are free"
        )


def write_parts(folder: Path, x: dict[str, Stream], y: dict[str, np.ndarray]) -> None:
    """Write each part's inputs and classes, as float32 and int64, in the order in which they come."""
    masks = dict(zip(PARTS, parted(y["y"], test_given="y_test" in y), strict=True))
    if "y_test" in y:
        del masks["test"]
        write_rows(folder, x["x_test"], y["y_test"], {"test": np.ones(len(y["y_test"]), dtype=bool)})
    write_rows(folder, x["x"], y["y"], masks)


def write_rows(folder: Path, x: Stream, y: np.ndarray, masks: dict[str, np.ndarray]) -> None:
    with ExitStack() as stack:
        files = {name: stack.enter_context((folder / f"{name}_x.npy").open("wb")) for name in masks}
        for name, mask in masks.items():
            np.save(folder / f"{name}_y.npy", y[mask].astype(np.int64))
            shape = (int(mask.sum()), *x.shape[1:])
            format.write_array_header_1_0(files[name], {"descr": "<f4", "fortran_order": False, "shape": shape})
        start = 0
        for rows in x:
            for name, mask in masks.items():
                files[name].write(rows[mask[start : start + len(rows)]].astype("<f4"))
            start += len(rows)


def standardise_parts(folder: Path) -> None:
    """Do to the files what ``standardised`` does to rows in memory."""
    parts = {name: torch.from_numpy(np.load(folder / f"{name}_x.npy", mmap_mode="r+")) for name in PARTS}
    train = parts["train"].split(rows_at_once(parts["train"].shape))
    bar = {"unit": " parts", "leave": False, "disable": None}
    scale = scale_of(tqdm(train, desc="measuring", **bar))
    for name, x in parts.items():
        for rows in tqdm(x.split(rows_at_once(x.shape)), desc=f"standardising {name}", **bar):
            rows.copy_(scale(rows))
    np.savez(folder / "scale.npz", **{key: value.numpy() for key, value in scale._asdict().items()})


def opened(folder: Path) -> Data:
    train, val, test = (MappedRows(*(mapped(folder / f"{name}_{of}.npy") for of in "xy")) for name in PARTS)
    scale = None
    if (folder / "scale.npz").exists():
        with np.load(folder / "scale.npz") as kept:
            scale = Scale(torch.from_numpy(kept["mean"]), torch.from_numpy(kept["deviation"]))
    return Data(train, val, test, num_classes=int(train.y.max()) + 1, scale=scale)


def mapped(path: Path) -> Tensor:
    """A tensor to read from. The system refuses to map more than memory holds in a way that could be written to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.load(path, mmap_mode="r"))
