"""Samples that are larger than memory: prepared once into a folder beside their file, then read from disk as needed."""

import ctypes
import json
import logging
import mmap
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import torch
from filelock import FileLock
from numpy.lib import format
from torch import Tensor
from tqdm import tqdm

from .batches import Samples
from .npz import read_arrays, refuse_other_files
from .prepare import prepared, split_arrays
from .split import PARTS, SPLIT_SEED, SplitRule
from .standardize import Standardizer

log = logging.getLogger(__name__)

MADE_OF = "made_of.json"


class MappedSamples(Samples):
    """Samples whose inputs lie in a mapped file."""

    def at(self, index: Tensor) -> Samples:
        request(self.x, index)
        return super().at(index)


def request(x: Tensor, index: Tensor) -> None:
    """Ask for samples (B,) of a mapped tensor at once, so that the system reads them side by side."""
    advise = madvise()
    if advise is not None:
        size = x[0].nbytes
        addresses = x.data_ptr() + size * index
        before = addresses % mmap.PAGESIZE  # advice is about whole pages
        for start, length in zip((addresses - before).tolist(), (before + size).tolist(), strict=True):
            advise(start, length, mmap.MADV_WILLNEED)


@cache
def madvise() -> Callable[[int, int, int], int] | None:
    """The system's call, which Windows lacks."""
    if not hasattr(mmap, "MADV_WILLNEED"):
        return None
    call = ctypes.CDLL(None).madvise
    call.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return call


class Wanted(NamedTuple):
    """Which samples to prepare; the arguments of ``load_npz``."""

    path: str
    standardize: bool
    targets: str
    rule: SplitRule

    @property
    def folder(self) -> Path:
        """Where they lie: every split has a folder of its own, so that folds can be trained on side by side."""
        name = "standardized" if self.standardize else "as_given"
        if (self.targets, self.rule) != ("classes", SplitRule()):
            name += f"_{crc32(repr((self.targets, self.rule)).encode()):08x}"
        return Path(f"{self.path}.mapped", name)

    def sources(self) -> dict[str, Any]:
        """What prepared samples depend on: the files, the split and the version of this module."""
        files = [Path(path) for path in (self.path, self.rule.val_path, self.rule.test_path) if path is not None]
        stats = [[file.stat().st_size, file.stat().st_mtime_ns] for file in files]
        return {"files": stats, "targets": self.targets, "split": [*self.rule, SPLIT_SEED], "version": 3}


def map_npz(
    path: str, standardize: bool, targets: str = "classes", rule: SplitRule | None = None
) -> tuple[list[Samples], Standardizer | None]:
    """What ``load_npz`` makes of the same file, number for number, with inputs that stay on disk.

    The first time the samples are prepared, a block in memory at a time, and written into ``FILE.npz.mapped``, a folder
    beside the file; later they are found there, until the file changes. The folder may be deleted.

    Raises: ValueError: every fault of the file, a line each; the folder cannot be written.
    """
    refuse_other_files(path)
    wanted = Wanted(path, standardize, targets, rule or SplitRule())
    with alone_in(wanted.folder.parent):
        if made_of(wanted.folder) != wanted.sources():
            prepare(wanted)
        return opened(wanted.folder)


@contextmanager
def alone_in(folder: Path, refusal: str = "data.memory=map cannot write") -> Iterator[None]:
    """Let other processes wait, such as those of ``trainer=ddp``; where nothing comes of it, leave nothing."""
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


def made_of(folder: Path) -> dict[str, Any] | None:
    path = folder / MADE_OF
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def prepare(wanted: Wanted) -> None:
    """Fill the folder, which gets its name when it is whole."""
    folder, sources = wanted.folder, wanted.sources()
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    for old in (folder, unfinished):
        shutil.rmtree(old, ignore_errors=True)
    unfinished.mkdir()
    try:
        write_splits(wanted, unfinished)
        shutil.rmtree(unfinished / "unpacked")
        (unfinished / MADE_OF).write_text(json.dumps(sources), encoding="utf-8")
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    log.info(f"prepared     {folder}: it is made anew when {Path(wanted.path).name} changes, and may be deleted")


def write_splits(wanted: Wanted, folder: Path) -> None:
    path, standardize, targets, rule = wanted
    arrays = read_arrays(path, rule, folder / "unpacked")
    splits, standardizer = split_arrays(path, arrays, standardize, targets, rule)
    for name, split in zip(PARTS, splits, strict=True):
        np.save(folder / f"{name}_y.npy", split.y)
        dtype = "<i8" if split.x.dtype.kind in "iu" and standardizer is None else "<f4"
        shape = (len(split.places), *split.x.shape[1:])
        bar = {"desc": f"preparing {name}", "unit": " blocks", "leave": False, "disable": None}
        with (folder / f"{name}_x.npy").open("wb") as file:
            format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
            for block in tqdm(prepared(path, split, standardizer), **bar):
                file.write(block.tobytes())
    if standardizer is not None:
        np.savez(folder / "standardizer.npz", **{key: value.numpy() for key, value in standardizer._asdict().items()})


def opened(folder: Path) -> tuple[list[Samples], Standardizer | None]:
    splits: list[Samples] = []
    for name in PARTS:
        y = torch.from_numpy(np.load(folder / f"{name}_y.npy"))
        splits.append(MappedSamples(mapped(folder / f"{name}_x.npy"), y))
    if not (folder / "standardizer.npz").exists():
        return splits, None
    with np.load(folder / "standardizer.npz") as kept:
        return splits, Standardizer(torch.from_numpy(kept["mean"]), torch.from_numpy(kept["deviation"]))


def mapped(path: Path) -> Tensor:
    """A tensor to read from. The system refuses to map more than memory holds in a way that could be written to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.load(path, mmap_mode="r"))
