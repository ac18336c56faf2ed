"""Which images there are, of which class and, where that is given, in which split: a folder, or an index file."""

import csv
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..split import SPLIT_SEED

log = logging.getLogger(__name__)

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
COLUMNS = ("file", "label", "split")
FEWEST = 5  # images of a class to divide into three splits
SHOWN = 10


class Image(NamedTuple):
    file: Path
    label: str
    split: str  # train, also where splits are not given


class ImageList(NamedTuple):
    """N images in an order that is random and always the same, so that any part of it has all classes."""

    files: list[Path]
    y: np.ndarray  # (N,), the place of each label among the classes
    splits: np.ndarray  # (N,), of train, val and test
    classes: list[str]


def list_images(path: str) -> ImageList:
    """A folder of each class, or train, val and test with these in each; or a table of ``file,label[,split]``.

    Raises: ValueError: every fault, a line each.
    """
    root = Path(path)
    if not (root.is_dir() or (root.is_file() and root.suffix == ".csv")):
        raise ValueError(f"data.path must be a folder of images or an index file ending in .csv, got {path}")
    faults: list[str] = []
    found = sorted(in_folder(root, faults) if root.is_dir() else in_index(root, faults))
    if found or not faults:
        faults += faults_of(found)
    if faults:
        raise ValueError(in_lines(f"data.path={path}", faults, f"{len(faults)} faults"))
    classes = sorted({image.label for image in found})
    order = np.random.default_rng(SPLIT_SEED).permutation(len(found))
    files, labels, splits = zip(*(found[place] for place in order), strict=True)
    return ImageList(list(files), np.searchsorted(classes, labels), np.array(splits), classes)


def in_lines(where: str, faults: list[str], count: str) -> str:
    """A message of a line each; of many faults the first ones."""
    more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
    head = [count] if len(faults) > 1 else []
    return "\n".join(f"{where}: {line}" for line in (*head, *faults[:SHOWN], *more))


def in_folder(root: Path, faults: list[str]) -> Iterator[Image]:
    """The images below the folders of classes; files with other endings and hidden ones are left out."""
    folders = visible_folders(root)
    names = {folder.name.lower() for folder in folders}
    are_splits = "train" in names and names <= SPLITS.keys()
    parts = [(folder, SPLITS[folder.name.lower()]) for folder in folders] if are_splits else [(root, "train")]
    others = 0
    for part, split in parts:
        if not (of_classes := visible_folders(part)):
            faults.append(f"{part} has no folders of classes; give each class one, such as {part / 'cat' / '1.png'}")
        for folder in of_classes:
            files = [*files_below(folder)]
            images = [file for file in files if is_image(file)]
            if not images:
                faults.append(f"{folder} holds no image ({' '.join(SUFFIXES)}), and {len(files)} other files")
            others += len(files) - len(images)
            yield from (Image(file, folder.name, split) for file in images)
    if others:
        log.info(f"{'left out':12} {others} files in {root} whose names do not end in {' '.join(SUFFIXES)}")


def visible_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES


def files_below(folder: Path) -> Iterator[Path]:
    """All but hidden ones. Raises: OSError: a folder cannot be read."""

    def refuse(error: OSError) -> None:
        raise error

    for place, _, names in os.walk(folder, onerror=refuse):
        yield from (Path(place, name) for name in names if not name.startswith("."))


def in_index(path: Path, faults: list[str]) -> Iterator[Image]:
    """The rows of a table; files are relative to it."""
    for number, row in enumerate(rows_of(path, faults, COLUMNS[:2]), start=1):
        split = SPLITS.get(row.get("split", "train").lower())
        if not row["file"] or not row["label"] or split is None:
            given = {name: row[name] for name in COLUMNS if name in row}
            faults.append(f"row {number}: needs file, label and, as split, train, val or test; it has {given}")
        else:
            yield Image(path.parent / row["file"], row["label"], split)


def rows_of(path: Path, faults: list[str], columns: Sequence[str]) -> Iterator[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, restkey="", restval="")
            names = list(rows.fieldnames or ())
            if set(columns) <= set(names):
                yield from ({name: row[name].strip() for name in names} for row in rows)
            else:
                faults.append(f"must have the columns {', '.join(columns)}; it has {', '.join(names) or 'none'}")
    except (UnicodeDecodeError, csv.Error) as error:
        faults.append(f"is no table in UTF-8 with commas between its columns ({error})")


def new_files(path: Path) -> list[Path]:
    """Images without labels: those below a folder, those in the column ``file`` of a table, or a single one.

    Raises: ValueError: there are none.
    """
    faults: list[str] = []
    if path.is_dir():
        files = sorted(file for file in files_below(path) if is_image(file))
    elif path.suffix == ".csv":
        files = [path.parent / row["file"] for row in rows_of(path, faults, COLUMNS[:1])]
    else:
        files = [path]
    if not files or faults:
        raise ValueError(in_lines(str(path), faults or [f"holds no image ({' '.join(SUFFIXES)})"], ""))
    return files


def faults_of(images: list[Image]) -> Iterator[str]:
    """What keeps readable images from being divided and trained on."""
    yield from (f"{file} is listed {n} times" for file, n in Counter(image.file for image in images).items() if n > 1)
    counts = {split: Counter(image.label for image in images if image.split == split) for split in SPLITS.values()}
    train, given = counts["train"], [split for split in ("val", "test") if counts[split]]
    if len(train) < 2:
        yield f"a classification needs images of two classes to train on, there are {', '.join(train) or 'none'}"
    fewest = 2 if len(given) == 2 else FEWEST
    for label, count in train.items():
        if count < fewest:
            yield f"class {label} has {count} image{'s' * (count > 1)} to train on, the fewest are {fewest}"
    for split in given:
        yield from (f"class {label} has images in {split} but not in train" for label in counts[split] - train.keys())
        yield from (f"class {label} has no image in {split}" for label in train if label not in counts[split])
