"""A user's ``.npz`` file: from its arrays to the train, validation and test samples that a network is to see.

In memory or, where they are larger than memory, prepared once into a folder beside the file and read from there.
"""

import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from numpy.lib import format
from torch import Tensor
from tqdm import tqdm

from ..batches import Samples
from ..on_disk import MappedRows, cached_folder
from ..split import PARTS, SPLIT_SEED, SplitRule, split_samples
from ..standardize import Standardizer, fit, network_input, samples_per_block
from .npz_faults import GIVEN, NAMES, faults_of

UNREADABLE_NPZ = (BadZipFile, EOFError, NotImplementedError, OSError, RuntimeError, ValueError, zlib.error)


def load_npz(
    path: str, standardize: bool, targets: str = "classes", rule: SplitRule | None = None
) -> tuple[list[Samples], Standardizer | None]:
    """Train, validation and test samples, in memory, and what they were standardized by.

    Raises: ValueError: every fault of the file, a line each.
    """
    rule = rule or SplitRule()
    splits, standardizer = split_arrays(path, read_arrays(path, rule), standardize, targets, rule)
    samples = [Samples.from_numpy(np.concatenate([*prepared(path, split, standardizer)]), split.y) for split in splits]
    return samples, standardizer


def map_npz(
    path: str, standardize: bool, targets: str = "classes", rule: SplitRule | None = None
) -> tuple[list[Samples], Standardizer | None]:
    """What ``load_npz`` makes of the same file, number for number, with inputs that stay on disk.

    The first time the samples are prepared, a block in memory at a time, and written into ``FILE.npz.mapped``, a folder
    beside the file; later they are found there, until the file changes. The folder may be deleted.

    Raises: ValueError: every fault of the file, a line each; the folder cannot be written.
    """
    refuse_other_files(path)
    rule = rule or SplitRule()
    name = "standardized" if standardize else "as_given"
    if (targets, rule) != ("classes", SplitRule()):  # a folder for every split: folds can be trained on side by side
        name += f"_{zlib.crc32(repr((targets, rule)).encode()):08x}"
    files = [Path(file) for file in (path, rule.val_path, rule.test_path) if file is not None]
    stats = [[file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    made_of = {
        "files": stats,
        "targets": targets,
        "split": [*rule, SPLIT_SEED],
        "version": 4,
    }  # 5 when this module changes
    write = partial(write_splits, path, standardize, targets, rule)
    return cached_folder(Path(f"{path}.mapped", name), made_of, write, read_splits, "data.memory=map cannot write")


def read_arrays(path: str, rule: SplitRule, folder: Path | None = None) -> dict[str, np.ndarray]:
    """The arrays of a file and, as ``x_val``, ``y_val``, ``x_test``, ``y_test``, of those that ``rule`` names.

    Raises: ValueError: a file is of another kind, damaged, or lacks an array.
    """
    arrays = read_npz(path, folder, tuple(rule.column_keys()))
    for name, key in rule.column_keys().items():
        if name not in arrays:
            raise ValueError(f"{key}={name}: {path} lacks such an array; it has {', '.join(arrays) or 'none'}")
    for part, given in (("val", rule.val_path), ("test", rule.test_path)):
        if given is None:
            continue
        where = f"data.split.{part}_path={given}"
        if not arrays.keys().isdisjoint(GIVEN[part]):
            raise ValueError(f"{where}: {path} has {part} samples already, x_{part} and y_{part}")
        other = read_npz(given, folder and folder / part)
        if missing := [name for name in ("x", "y") if name not in other]:
            raise ValueError(f"{where}: lacks the array {' and '.join(missing)}")
        arrays |= dict(zip(GIVEN[part], (other["x"], other["y"]), strict=True))
    return arrays


def read_npz(path: str, folder: Path | None = None, others: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """``x``, ``y``, ``x_test``, ``y_test`` and ``others`` that are there; with a ``folder``, inputs are mapped from it.

    Raises: ValueError: it is another kind of file, or damaged.
    """
    refuse_other_files(path)
    arrays = {}
    try:
        with ZipFile(path) as archive:
            if damaged := archive.testzip():  # before the shape that an array claims to have is believed
                raise ValueError(f"{damaged} fails its checksum")
            for name in dict.fromkeys((*NAMES, *others)):
                if f"{name}.npy" not in archive.namelist():
                    continue
                if folder is not None and name in ("x", "x_test"):
                    arrays[name] = np.load(archive.extract(f"{name}.npy", folder), mmap_mode="r", allow_pickle=False)
                else:
                    with archive.open(f"{name}.npy") as file:
                        arrays[name] = format.read_array(file, allow_pickle=False)
    except UNREADABLE_NPZ as error:
        advice = "is damaged, or holds Python objects; save arrays of numbers again"
        raise ValueError(f"data.path={path}: {advice} ({error})") from error
    return arrays


def refuse_other_files(path: str) -> None:
    if not Path(path).is_file():
        raise ValueError(f"data.path must be a file that exists, got {path}")
    with open(path, "rb") as file:
        start = file.read(6)
    if not start.startswith(b"PK"):
        kind = "an empty" if not start else "an .npy" if start == b"\x93NUMPY" else "no .npz"
        save = f'save one with numpy.savez("{Path(path).stem}.npz", x=x, y=y)'
        raise ValueError(f"data.path={path}: is {kind} file; {save}")


class Split(NamedTuple):
    """The samples of one split as they are stored: in the array ``name``, at ``places``."""

    name: str
    x: np.ndarray
    places: np.ndarray
    y: np.ndarray

    def blocks(self) -> Iterator[np.ndarray]:
        at_once = samples_per_block(self.x.shape)
        yield from (self.x[self.places[start : start + at_once]] for start in range(0, len(self.places), at_once))


def split_arrays(
    path: str, arrays: Mapping[str, np.ndarray], standardize: bool, targets: str, rule: SplitRule
) -> tuple[list[Split], Standardizer | None]:
    """Train, validation and test samples, and what standardizes them, measured on the train samples.

    Raises: ValueError: every fault of the arrays, a line each.
    """
    if faults := [f"data.path={path}: {fault}" for fault in faults_of(arrays, standardize, targets)]:
        raise ValueError("\n".join(faults))
    y = arrays["y"]
    given = [part for part, (name, _) in GIVEN.items() if name in arrays]
    classes = y if targets == "classes" else np.zeros(len(y), dtype=int)
    masks = split_samples(classes, rule, arrays, given=given)
    splits = []
    for part, mask in zip(PARTS, masks, strict=True):
        inputs, outputs = GIVEN[part] if part in given else ("x", "y")
        places = np.arange(len(arrays[outputs])) if part in given else np.flatnonzero(mask)
        splits.append(Split(inputs, arrays[inputs], places, as_targets(arrays[outputs][places], targets)))
    if not standardize:
        return splits, None
    standardizer = fit(torch.from_numpy(block.astype(np.float64)) for block in splits[0].blocks())
    if not standardizer.deviation.isfinite().all():
        raise ValueError(f"data.path={path}: x has values too large to be standardized; scale them down")
    return splits, standardizer


def as_targets(y: np.ndarray, targets: str) -> np.ndarray:
    """Classes (N,), numbers (N, K) or labels (N, L), in the types of ``Samples``."""
    if targets == "numbers":
        return y.reshape(len(y), -1).astype(np.float32)
    return y.astype(np.int64)


def prepared(path: str, split: Split, standardizer: Standardizer | None) -> Iterator[np.ndarray]:
    """Blocks of inputs as the network is to see them: float32, or int64 if they are integers and not standardized.

    Raises: ValueError: a value is beyond what these can hold.
    """
    integers = split.x.dtype.kind in "iu" and standardizer is None
    done = 0
    for block in split.blocks():
        x, bad = network_input(block, standardizer, integers)
        if bad.any():
            sample = split.places[done + bad.reshape(len(x), -1).any(axis=1).argmax()]
            detail = f"{split.name} has values beyond the range of {x.dtype}, the first in sample {sample}"
            raise ValueError(f"data.path={path}: {detail}; scale them down")
        yield x
        done += len(block)


def write_splits(path: str, standardize: bool, targets: str, rule: SplitRule, folder: Path) -> None:
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
        np.save(folder / "standardizer.npy", torch.stack(standardizer).numpy())


def read_splits(folder: Path) -> tuple[list[Samples], Standardizer | None]:
    splits: list[Samples] = []
    for name in PARTS:
        y = torch.from_numpy(np.load(folder / f"{name}_y.npy"))
        x = MappedRows(np.load(folder / f"{name}_x.npy", mmap_mode="r"))
        splits.append(Samples(cast(Tensor, x), y))
    if not (folder / "standardizer.npy").exists():
        return splits, None
    return splits, Standardizer(*torch.from_numpy(np.load(folder / "standardizer.npy")))
