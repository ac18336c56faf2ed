"""Checkpoints: plain tensors and numbers, never pickled code, in files that are whole."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import nn

NEXT, LAST, PREVIOUS = "next.ckpt", "last.ckpt", "previous.ckpt"  # the first only while the others make room
UNREADABLE = (RuntimeError, UnpicklingError, EOFError, OSError)  # what torch.load makes of a file that is no checkpoint


class WholeFiles(TorchCheckpointIO):
    """Write a checkpoint beside its place and rename it, so that whatever has its name is whole.

    Lightning moves it from the system's temporary folder: where that is another disk, a copy, which can break off.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished = place.with_name(f"{place.name}.unfinished")
        try:
            content = BytesIO()  # into a file, torch.save turns a full disk into a RuntimeError of its own
            torch.save(checkpoint, content)
            unfinished.write_bytes(content.getbuffer())
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        unfinished.replace(place)


def load_weights(module: nn.Module, path: str | Path) -> None:
    """Give ``module`` the weights of a checkpoint, on whatever device it is."""
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    module.load_state_dict(checkpoint["state_dict"])


def saved_in(folder: Path) -> Iterator[tuple[Path, dict[str, Any] | str]]:
    """The checkpoints of a run folder to go on from, newest first: each as it is, or why it cannot be read."""
    for name in (NEXT, LAST, PREVIOUS):
        path = folder / "checkpoints" / name
        if path.exists():
            try:
                checkpoint = torch.load(path, map_location="cpu", weights_only=True)
            except UNREADABLE as error:
                yield path, f"cannot be read ({str(error).partition(chr(10))[0].rstrip('.')[:100]})"
            else:
                whole = isinstance(checkpoint, dict) and "resume" in checkpoint
                yield path, checkpoint if whole else "was not written by this project"


def move_up(place: Path) -> Path:
    """Make the next checkpoint the last one, and the last one the one before."""
    if (place / LAST).exists():
        (place / LAST).replace(place / PREVIOUS)
    return (place / NEXT).replace(place / LAST)
