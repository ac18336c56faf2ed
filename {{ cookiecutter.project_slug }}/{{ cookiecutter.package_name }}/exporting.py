"""A run's network as one file for other programs, from rows as they come to logits, checked on real rows."""

import importlib.util
import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .data import Data
from .loading import load_run
from .scaling import Scale

log = logging.getLogger(__name__)

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}
MOST_ROWS = 1000  # that a file is checked on
TOLERANCE = 1e-4  # of logits, in units of their largest; runtimes sum in another order


class Whole(nn.Module):
    """The network behind the standardising that its training rows went through.

    Shape: (B, *in_shape) -> (B, num_classes), logits
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, scale: Scale | None) -> None:
        super().__init__()
        self.network = network
        self.scaled = scale is not None
        if scale is not None:
            self.register_buffer("mean", scale.mean)
            self.register_buffer("deviation", scale.deviation)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(Scale(self.mean, self.deviation)(x) if self.scaled else x)


def export_run(folder: Path, format: str, output: Path | None) -> Path:
    """Write the run's network, see that the file gives its logits, and only then give the file its name.

    Raises: ValueError: a package is missing. RuntimeError: the file's logits are not the network's.
    """
    if format == "onnx" and not all(map(importlib.util.find_spec, ("onnx", "onnxscript", "onnxruntime"))):
        raise ValueError('format=onnx needs more packages: pip install -c constraints.txt ".[export]"')
    run = load_run(folder)
    target = output or run.folder / f"model{SUFFIXES[format]}"
    unfinished = target.with_name(f"unfinished_{target.name}")  # with its suffix: the libraries look at it
    whole = Whole(run.network, run.data.scale).eval()
    rows = raw_rows(run.data)
    try:
        WRITERS[format](whole, rows[:2], unfinished)
        compare(whole, READERS[format](unfinished), rows)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    log.info(f"{target}: batches of any size; logits as the network's on {len(rows)} validation rows")
    return target


def raw_rows(data: Data) -> Tensor:
    """Validation rows as they were before they were standardised."""
    x = data.val.x[:MOST_ROWS]
    return x if data.scale is None else (x.double() * data.scale.deviation + data.scale.mean).float()


@torch.no_grad()
def compare(whole: nn.Module, exported: Callable[[Tensor], Tensor], rows: Tensor) -> None:
    """Raise a RuntimeError where the exported network differs, on one row, a few and all."""
    for batch in (rows[:1], rows[:7], rows):
        expected, got = whole(batch), exported(batch)
        distance = float((got - expected).abs().max() / expected.abs().max().clamp(min=1.0))
        if not distance < TOLERANCE:
            raise RuntimeError(
                f"the exported network differs by {distance:.2g} on {len(batch)} rows; nothing is written"
            )


def write_torch(whole: nn.Module, example: Tensor, path: Path) -> None:
    program = torch.export.export(whole, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, path)


def read_torch(path: Path) -> Callable[[Tensor], Tensor]:
    return torch.export.load(path).module()


def write_onnx(whole: nn.Module, example: Tensor, path: Path) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of every part of torchvision, which is not used
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch's own code
        torch.onnx.export(
            whole,
            (example,),
            path,
            input_names=["rows"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def read_onnx(path: Path) -> Callable[[Tensor], Tensor]:
    from onnxruntime import InferenceSession

    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(np.asarray(session.run(None, {"rows": x.numpy()})[0]))


WRITERS = {"onnx": write_onnx, "torch": write_torch}
READERS = {"onnx": read_onnx, "torch": read_torch}
