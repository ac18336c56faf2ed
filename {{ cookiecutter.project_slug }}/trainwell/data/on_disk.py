"""Memory-mapped samples, and caches on disk."""

import json
import logging
import mmap
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, cast
from zipfile import BadZipFile

import numpy as np
import torch
from filelock import FileLock
from platformdirs import user_cache_path
from torch import Tensor

from ..rng import preserved_random_states

log = logging.getLogger(__name__)

RECORD = "made_of.json"
UNREADABLE_CACHE = (OSError, EOFError, ValueError, BadZipFile)  # of files that are missing, cut off or empty

Made = TypeVar("Made")


class MappedRows:
    """The rows at ``places``, or all, of an array on disk: as much of a tensor as batches need. An index reads them.

    ``array`` is what ``numpy.load(path, mmap_mode="r")`` returns.
    """

    def __init__(self, array: np.memmap, places: Tensor | None = None) -> None:
        self.array, self.file = array, cast(mmap.mmap, array.base)
        self.places = torch.arange(len(array)) if places is None else places
        self.shape = torch.Size((len(self.places), *array.shape[1:]))
        self.dtype = torch.from_numpy(np.empty(0, array.dtype)).dtype
        self.device = self.places.device
        self.nbytes = len(self.places) * array[:1].nbytes

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> Tensor:
        places = self.places[index].numpy()
        if hasattr(mmap, "MADV_WILLNEED"):  # Windows lacks it
            self.request(places.reshape(-1))
        return torch.from_numpy(np.asarray(self.array.take(places, axis=0)))

    def request(self, places: np.ndarray) -> None:
        """Ask for rows at once, so that the system reads them side by side."""
        size, first = self.array[:1].nbytes, self.array.offset % mmap.ALLOCATIONGRANULARITY
        for start in (first + size * places).tolist():
            before = start % mmap.PAGESIZE  # advice is about whole pages
            self.file.madvise(mmap.MADV_WILLNEED, start - before, before + size)

    def is_floating_point(self) -> bool:
        return self.dtype.is_floating_point

    def to(self, device: torch.device) -> Tensor:
        return self[:].to(device)


def cached_folder(
    folder: Path, made_of: dict[str, Any], write: Callable[[Path], None], read: Callable[[Path], Made], refusal: str
) -> Made:
    """What ``read`` finds in the folder, which ``write`` fills if it is missing, damaged or not ``made_of`` the same.

    Raises: ValueError: ``write`` refuses, or the folder cannot be written: the sentence begins with ``refusal``.
    """
    record = folder / RECORD

    def found() -> Made | None:
        with suppress(*UNREADABLE_CACHE):
            if json.loads(record.read_text("utf-8")) == made_of:
                content = read(folder)
                if json.loads(record.read_text("utf-8")) == made_of:  # another process may have replaced the folder
                    return content
        return None

    if (content := found()) is None:
        with locked(folder.parent, refusal):
            if (content := found()) is None:
                fill(folder, write, json.dumps(made_of))
                content = read(folder)
    return content


def fill(folder: Path, write: Callable[[Path], None], record: str) -> None:
    """The folder gets its name when it is whole."""
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    for old in (folder, unfinished):
        shutil.rmtree(old, ignore_errors=True)
    unfinished.mkdir()
    try:
        write(unfinished)
        (unfinished / RECORD).write_text(record, encoding="utf-8")
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    log.info(f"prepared     {folder}: recreated when its source files change; safe to delete")


@contextmanager
def locked(folder: Path, refusal: str) -> Iterator[None]:
    """Hold an exclusive lock on a folder; after a failure remove the lock, and the folder if it is empty."""
    lock = folder / "lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            yield
    except (OSError, ValueError) as error:
        with suppress(OSError):  # the other preparation may lie there
            lock.unlink(missing_ok=True)
            folder.rmdir()
        if isinstance(error, OSError):
            raise ValueError(f"{refusal} {folder}: {error.strerror or error}") from error
        raise


def kept_arrays(name: str, arrays: Sequence[str], make: Callable[[], dict[str, Any]]) -> dict[str, np.ndarray]:
    """The ``arrays`` that ``make`` has made before under this ``name``, or makes now.

    They are kept in the user's folder for caches. The global random states are left as they were.
    """
    file = user_cache_path("trainwell") / f"{name}.npz"
    with suppress(*UNREADABLE_CACHE), file.open("rb") as opened, np.load(opened, allow_pickle=False) as kept:
        return dict(kept)
    with preserved_random_states():
        everything = make()
    made = {array: np.asarray(everything[array]) for array in arrays}
    with suppress(OSError):  # where nothing can be written, they are made each time
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(f".{os.getpid()}.npz")
        np.savez(unfinished, allow_pickle=False, **made)
        unfinished.replace(file)
    return made
