"""Checkpoints: plain tensors and numbers, never pickled code, in whole files; damage is detected before use."""

import time
import zipfile
import zlib
from copy import deepcopy
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

LABEL = b"crc32:"
LENGTH = len(LABEL) + 8  # of the checksum at the end of a file: the label and eight hexadecimal digits
CHUNK = 2**22  # bytes
BEST = "best.ckpt"
PAUSE = 99  # between two writes of the best weights, in units of the time that one takes: one percent of the time
UNREADABLE = (  # what torch.load makes of a file that is no checkpoint
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    UnpicklingError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint under another name and rename it; verify it before it is loaded.

    Lightning copies it from the system's temporary folder, which can break off halfway. The checksum stands behind the
    zip archive that torch.save writes. Programs that read torch checkpoints ignore it there. It covers all bytes; the
    checksums within the archive leave out names and offsets.

    Writing the weights of a large network can take as long as an epoch. So new best weights wait in memory, on their
    device, if the last were written a short time ago: until another checkpoint is saved, from which a run resumes, and
    until training ends. A run that is killed meanwhile and resumed finds them again.
    """

    def __init__(self) -> None:
        self.waiting: tuple[dict[str, Any], Path] | None = None
        self.due = 0.0  # when the best weights may be written again

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        place, begun = Path(path), time.monotonic()
        if place.name != BEST:
            self.write_waiting()
            write(checkpoint, place)
        elif begun < self.due:
            self.waiting = deepcopy(checkpoint), place
        else:
            self.waiting = None
            write(checkpoint, place)
            self.due = time.monotonic() + PAUSE * (time.monotonic() - begun)

    def write_waiting(self) -> None:
        if self.waiting is not None:
            write(*self.waiting)
            self.waiting = None

    def teardown(self) -> None:
        self.write_waiting()

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Raises: ValueError: the file is damaged."""
        verify(Path(path))
        return super().load_checkpoint(path, *args, **kwargs)


def write(checkpoint: dict[str, Any], place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.with_name(f"{place.name}.unfinished")
    try:
        content = BytesIO()  # into a file, torch.save turns a full disk into a RuntimeError of its own
        torch.save(checkpoint, content)
        content.write(LABEL + b"%08x" % zlib.crc32(content.getbuffer()))
        unfinished.write_bytes(content.getbuffer())
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    unfinished.replace(place)


def verify(path: Path) -> None:
    """Check every byte of a checkpoint; in one without our checksum, such as somebody else's, only its records.

    Raises: ValueError: the file is damaged, or no regular file.
    """
    if not path.is_file():  # reading a pipe could wait for ever
        raise ValueError(f"{path} is not a regular file")
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - LENGTH))
        end = file.read()
        if not end.startswith(LABEL):
            if not records_are_whole(path):
                raise ValueError(f"{path} is damaged")
            return
        file.seek(0)
        checksum, left = 0, size - LENGTH
        while left > 0 and (chunk := file.read(min(CHUNK, left))):
            checksum, left = zlib.crc32(chunk, checksum), left - len(chunk)
    if end != LABEL + b"%08x" % checksum:
        raise ValueError(f"{path} is damaged: its bytes do not have the checksum that was saved with them")


def records_are_whole(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except UNREADABLE:
        return False


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Load a checkpoint onto the CPU, after it has been verified.

    Raises: ValueError: it is damaged or not a checkpoint; one line says why.
    """
    try:
        verify(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = str(error).partition("\n")[0].removeprefix(f"{path} ").rstrip(".")[:120]
        raise ValueError(f"{path} cannot be read: {reason or type(error).__name__}") from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), dict):
        raise ValueError(f"{path} cannot be read: it holds no weights of a LightningModule")
    return checkpoint


def load_weights(module: LightningModule, path: Path) -> None:
    """Give ``module`` the weights of a checkpoint, on whatever device it is.

    Raises: ValueError: the checkpoint cannot be read, or its weights do not fit the module.
    """
    checkpoint = read_checkpoint(path)
    module.configure_model()
    module.on_load_checkpoint(checkpoint)
    if misfit := first_misfit(checkpoint["state_dict"], module.state_dict(), strict=module.strict_loading):
        raise ValueError(f"{path} does not fit the network that the code builds today: {misfit}")
    module.load_state_dict(checkpoint["state_dict"], strict=module.strict_loading)


def first_misfit(then: dict[str, Any], now: dict[str, Any], *, strict: bool) -> str | None:
    """The first entry of two state dicts whose shape differs, in words; ``strict``: or which one of them lacks."""
    was, is_ = (
        {name: tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__ for name, value in it.items()}
        for it in (then, now)
    )
    names = {**was, **is_} if strict else was.keys() & is_.keys()
    name = next((name for name in names if was.get(name) != is_.get(name)), None)
    return None if name is None else f"{name} was {was.get(name, 'missing')}, is {is_.get(name, 'missing')}"
