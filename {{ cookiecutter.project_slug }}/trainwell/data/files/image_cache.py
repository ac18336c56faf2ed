"""Images decoded once, to one size, into an array beside them, and read from there ever after."""

import os
import shutil
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from ..on_disk import MappedRows, cached_folder
from .image_folder import in_lines, new_files

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")  # others run programs or have no decoder of their own
UNDECODED = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
)
BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
THREADS = min(8, os.cpu_count() or 1)
AT_ONCE = 1024  # images whose pixels wait to be written
PLACE = "data.cache=FOLDER must name another place for the decoded images, they cannot be written to"


class Pixels(NamedTuple):
    """Decoded images (N, C, size, size), uint8, on disk, and a checksum over them."""

    x: MappedRows
    checksum: int


def cached_pixels(path: str, files: Sequence[Path], size: int, channels: int, cache: str | None) -> Pixels:
    """The pixels of the files, from the folder ``PATH.images/<size>x<channels>``.

    They are decoded when it is missing or a file has changed. ``cache`` is another folder for ``PATH.images``, which
    may be deleted.

    Raises: ValueError: every file that cannot be decoded, a line each; the folder cannot be written.
    """
    root = Path(os.path.abspath(path))
    folder = (root.parent if cache is None else Path(cache)) / f"{root.name}.images" / f"{size}x{channels}"
    write = partial(write_pixels, path, files, size, channels)
    return cached_folder(folder, made_of(root, files, size, channels), write, read_pixels, PLACE)


def made_of(root: Path, files: Sequence[Path], size: int, channels: int) -> dict[str, Any]:
    """What pixels depend on: ``files`` is a hash over name, length and time of change of each, in their order."""
    facts = [(os.path.relpath(file, root.parent), file.stat()) for file in files]
    names = "\n".join(f"{name}\t{fact.st_size}\t{fact.st_mtime_ns}" for name, fact in facts)
    found = {"images": len(files), "bytes": sum(fact.st_size for _, fact in facts)}
    return {"version": 1, "size": size, "channels": channels, **found, "files": sha256(names.encode()).hexdigest()}


def write_pixels(path: str, files: Sequence[Path], size: int, channels: int, folder: Path) -> None:
    """Raises: ValueError: every file that cannot be decoded, a line each; there is too little room."""
    shape = (len(files), channels, size, size)
    needed, free = prod(shape), shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(f"{PLACE} {folder.parent}: {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free")
    faults, checksum = [], 0
    bar = {"desc": "decoding", "unit": " images", "total": len(files), "leave": False, "disable": None}
    with (folder / "x.npy").open("wb") as file:
        format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for name, made in zip(files, tqdm(decoded(files, size, channels), **bar), strict=True):
            if isinstance(made, str):
                faults.append(f"{name}: {made}")
            else:
                file.write(made.tobytes())
                checksum = zlib.crc32(made.tobytes(), checksum)
    if faults:
        count = f"{len(faults)} of {len(files)} images cannot be read"
        raise ValueError(in_lines(f"data.path={path}", sorted(faults), count))
    (folder / "checksum.txt").write_text(str(checksum), encoding="utf-8")


def read_pixels(folder: Path) -> Pixels:
    checksum = int((folder / "checksum.txt").read_text("utf-8"))
    return Pixels(MappedRows(np.load(folder / "x.npy", mmap_mode="r")), checksum)


def new_images(path: Path, size: int, channels: int) -> Iterator[np.ndarray]:
    """The pixels (B, channels, size, size) of a folder, a table of files or a file, some images at a time.

    Raises: ValueError: there is no image, or one cannot be decoded.
    """
    files = new_files(path)
    for start in range(0, len(files), AT_ONCE):
        some = files[start : start + AT_ONCE]
        pixels = [*decoded(some, size, channels)]
        if faults := [f"{file}: {made}" for file, made in zip(some, pixels, strict=True) if isinstance(made, str)]:
            raise ValueError(in_lines(f"input={path}", faults, f"{len(faults)} of {len(some)} images cannot be read"))
        yield np.stack(pixels)


def decoded(files: Sequence[Path], size: int, channels: int) -> Iterator[np.ndarray | str]:
    """The pixels (channels, size, size) of each file, or what is wrong with it."""
    with warnings.catch_warnings(), ThreadPoolExecutor(THREADS) as pool:  # Pillow lets other threads run
        warnings.filterwarnings("ignore", module="PIL")  # of metadata that it cannot read
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for start in range(0, len(files), AT_ONCE):
            yield from pool.map(partial(attempt, size=size, channels=channels), files[start : start + AT_ONCE])


def attempt(file: Path, size: int, channels: int) -> np.ndarray | str:
    try:
        return decode(file, size, channels)
    except UnidentifiedImageError:
        return f"is no image, or damaged (of {', '.join(FORMATS)})"
    except BOMBS as error:
        return f"has too many pixels: {error}"
    except UNDECODED as error:
        return getattr(error, "strerror", None) or f"cannot be decoded: {error}"


def decode(file: Path, size: int, channels: int) -> np.ndarray:
    """As a viewer shows it: upright, transparent pixels white; the shorter side becomes ``size``, the rest is cut.

    Raises: UNDECODED or BOMBS: it cannot be decoded.
    """
    with Image.open(file, formats=FORMATS) as opened:
        opened.draft(None, (2 * size, 2 * size))  # a JPEG can be decoded at an eighth of its size, many times as fast
        image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I"):
        sixteen_bits = np.asarray(image, np.int64)
        if not 0 <= sixteen_bits.min() <= sixteen_bits.max() < 2**16:
            raise ValueError("pixels of more than 16 bits; save them with 8 or 16")
        image = Image.fromarray((sixteen_bits / 257).round().astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("floating-point pixels have no known range; save them with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB" if channels == 3 else "L")
    pixels = np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR))
    return pixels.reshape(size, size, channels).transpose(2, 0, 1)
