"""Images decoded once, to one size, into an array beside them, and read from there ever after."""

import json
import logging
import os
import shutil
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.lib import format
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from tqdm import tqdm

from .image_folder import in_lines, new_files
from .mapped import alone_in, mapped, request

log = logging.getLogger(__name__)

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")  # others run programs or have no decoder of their own
DAMAGED = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, struct.error, zlib.error)
BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
THREADS = min(8, os.cpu_count() or 1)
AT_ONCE = 1024  # images whose pixels wait to be written
PLACE = "data.cache=FOLDER must name another place for the decoded images, they cannot be written to"


class MappedImages:
    """Those at ``places`` of a mapped tensor: as much of a tensor as batches need; what is indexed is read then."""

    def __init__(self, whole: Tensor, places: Tensor) -> None:
        self.whole, self.places = whole, places
        self.shape, self.dtype, self.device = torch.Size((len(places), *whole.shape[1:])), whole.dtype, whole.device
        self.nbytes = len(places) * whole[0].nbytes

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> Tensor:
        request(self.whole, self.places[index].reshape(-1))
        return self.whole[self.places[index]]

    def is_floating_point(self) -> bool:
        return self.whole.is_floating_point()

    def to(self, device: torch.device) -> Tensor:
        return self[:].to(device)


class Pixels(NamedTuple):
    """Decoded images (N, C, size, size), uint8, mapped, and a checksum over them."""

    x: Tensor
    checksum: int


def cached_pixels(path: str, files: Sequence[Path], size: int, channels: int, cache: str | None) -> Pixels:
    """The pixels of the files, from ``PATH.images/<size>x<channels>.npy``.

    They are decoded when this is missing or a file has changed. ``cache`` is another folder for ``PATH.images``, which
    may be deleted.

    Raises: ValueError: every file that cannot be decoded, a line each; the folder cannot be written.
    """
    root = Path(os.path.abspath(path))
    folder = (root.parent if cache is None else Path(cache)) / f"{root.name}.images"
    wanted = made_of(root, files, size, channels)
    if (found := opened(folder, wanted)) is None:
        with alone_in(folder, PLACE):
            if (found := opened(folder, wanted)) is None:
                write(path, files, folder, wanted)
                log.info(f"{'decoded':12} {len(files)} images into {folder}, which may be deleted")
                found = opened(folder, wanted)
    assert found is not None
    return found


def made_of(root: Path, files: Sequence[Path], size: int, channels: int) -> dict[str, Any]:
    """What pixels depend on: ``files`` is a hash over name, length and time of change of each, in their order."""
    facts = [(os.path.relpath(file, root.parent), file.stat()) for file in files]
    names = "\n".join(f"{name}\t{fact.st_size}\t{fact.st_mtime_ns}" for name, fact in facts)
    found = {"images": len(files), "bytes": sum(fact.st_size for _, fact in facts)}
    return {"version": 1, "size": size, "channels": channels, **found, "files": sha256(names.encode()).hexdigest()}


def opened(folder: Path, wanted: dict[str, Any]) -> Pixels | None:
    """The pixels, if they are what is wanted, before and after they are opened: another process may replace them."""
    pixels, record = names_in(folder, wanted)
    with suppress(OSError, ValueError):  # one is missing, or cut off
        before = json.loads(record.read_text("utf-8"))
        if wanted.items() <= before.items():
            found = Pixels(mapped(pixels), before["checksum"])
            return found if json.loads(record.read_text("utf-8")) == before else None
    return None


def names_in(folder: Path, wanted: dict[str, Any]) -> tuple[Path, Path]:
    name = f"{wanted['size']}x{wanted['channels']}"
    return folder / f"{name}.npy", folder / f"{name}.json"


def write(path: str, files: Sequence[Path], folder: Path, wanted: dict[str, Any]) -> None:
    """Write pixels and their record, each whole or not at all; the record last."""
    size, channels = wanted["size"], wanted["channels"]
    pixels, record = names_in(folder, wanted)
    shape = (len(files), channels, size, size)
    needed, free = len(files) * channels * size**2, shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(f"{PLACE} {folder}: {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free")
    record.unlink(missing_ok=True)
    unfinished, faults, checksum = folder / "unfinished", [], 0
    bar = {"desc": "decoding", "unit": " images", "total": len(files), "leave": False, "disable": None}
    try:
        with unfinished.open("wb") as file:
            format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for name, made in zip(files, tqdm(decoded(files, size, channels), **bar), strict=True):
                if isinstance(made, str):
                    faults.append(f"{name}: {made}")
                else:
                    file.write(made.tobytes())
                    checksum = zlib.crc32(made.tobytes(), checksum)
        if faults:
            raise ValueError(
                in_lines(f"data.path={path}", sorted(faults), f"{len(faults)} of {len(files)} images cannot be read")
            )
        unfinished.replace(pixels)
        unfinished.write_text(json.dumps(wanted | {"checksum": checksum}), encoding="utf-8")
        unfinished.replace(record)
    finally:
        unfinished.unlink(missing_ok=True)


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
    except DAMAGED as error:
        return getattr(error, "strerror", None) or f"cannot be decoded: {error}"


def decode(file: Path, size: int, channels: int) -> np.ndarray:
    """As a viewer shows it: upright, transparent pixels white; the shorter side becomes ``size``, the rest is cut.

    Raises: DAMAGED or BOMBS: it cannot be decoded.
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
