"""Start a network from weights in a file: by name, and only if they fit."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .runs.checkpoint_io import UNREADABLE

log = logging.getLogger(__name__)

INSIDE = "network."  # how the names of a network start in a run's checkpoint


def load_weights(network: nn.Module, path: str, *, strict: bool) -> None:
    """Copy the tensors of a state dict, or of a run's checkpoint, to the network's tensors of the same names.

    If not ``strict``, what does not fit stays as it is and is listed.

    Raises: ValueError: the file cannot be read, something does not fit, or nothing does.
    """
    found, own = read(path), network.state_dict()
    fitting = {name: tensor for name, tensor in found.items() if name in own and tensor.shape == own[name].shape}
    misfits = list(misfits_of(found, own))
    if not fitting or (strict and misfits):
        hint = "; network.weights_strict=false loads the others" if fitting else ""
        raise ValueError(f"network.weights={path} does not fit the network: {'; '.join(misfits)}{hint}")
    network.load_state_dict(fitting, strict=False)
    log.info(f"weights {path}: {len(fitting)} of {len(own)} tensors loaded")
    for misfit in misfits:
        log.info(f"        {misfit}")


def misfits_of(found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Iterator[str]:
    for name, tensor in own.items():
        if name not in found:
            yield f"{name} is not in the file"
        elif found[name].shape != tensor.shape:
            yield f"{name} is {tuple(found[name].shape)} in the file, {tuple(tensor.shape)} in the network"
    yield from (f"{name} is not in the network" for name in found if name not in own)


def read(path: str) -> dict[str, Tensor]:
    """The tensors in a file by the names that they have in a network.

    Raises: ValueError: it is no file of tensors that ``torch.load`` reads with ``weights_only=True``.
    """
    try:
        content: Any = torch.load(Path(path), map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise ValueError(f"network.weights={path} cannot be read with weights_only=True: {reason}") from error
    checkpoint = content.get("state_dict") if isinstance(content, dict) else None
    named = content if checkpoint is None else checkpoint
    pairs = named.items() if isinstance(named, dict) else ()
    tensors = {str(name): value for name, value in pairs if isinstance(value, Tensor)}
    if checkpoint is not None:
        tensors = inside(tensors) or tensors
        if all(name.startswith((INSIDE, "input_layer.")) for name in tensors):  # the network lay behind an input layer
            tensors = inside(tensors)
    if not tensors:
        raise ValueError(f"network.weights={path} holds no tensors with names")
    return tensors


def inside(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(INSIDE): value for name, value in tensors.items() if name.startswith(INSIDE)}
