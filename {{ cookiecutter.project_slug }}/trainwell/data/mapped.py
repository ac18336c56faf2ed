"""Samples that are larger than memory: prepared once into a folder beside their file, then read from disk as needed."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast
from zlib import crc32

import numpy as np
import torch
from numpy.lib import format
from torch import Tensor
from tqdm import tqdm

from .batches import Samples
from .npz import read_arrays, refuse_other_files
from .on_disk import MappedRows, made_once
from .prepare import prepared, split_arrays
from .split import PARTS, SPLIT_SEED, SplitRule
from .standardize import Standardizer


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
    write = partial(write_splits, wanted)
    return made_once(wanted.folder, wanted.sources(), write, read_splits, "data.memory=map cannot write")


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
    shutil.rmtree(folder / "unpacked")
    if standardizer is not None:
        np.savez(folder / "standardizer.npz", **{key: value.numpy() for key, value in standardizer._asdict().items()})


def read_splits(folder: Path) -> tuple[list[Samples], Standardizer | None]:
    splits: list[Samples] = []
    for name in PARTS:
        y = torch.from_numpy(np.load(folder / f"{name}_y.npy"))
        x = MappedRows(np.load(folder / f"{name}_x.npy", mmap_mode="r"))
        splits.append(Samples(cast(Tensor, x), y))
    if not (folder / "standardizer.npz").exists():
        return splits, None
    with np.load(folder / "standardizer.npz") as kept:
        return splits, Standardizer(torch.from_numpy(kept["mean"]), torch.from_numpy(kept["deviation"]))
