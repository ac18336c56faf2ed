"""Write and read an exported network, and compare it with the network that it was made of."""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from lightning import LightningDataModule
from torch import Tensor, nn

from ..data.in_memory import InMemoryDataModule
from ..data.standardize import Standardizer
from ..errors import RunFailed
from .scores import batches_of

MOST_SAMPLES = 1000  # that a file is checked on
TOLERANCE = 1e-4  # of outputs, in units of their largest; runtimes sum in another order


class StandardizedNetwork(nn.Module):
    """A network behind the standardization that its train samples went through, (B, *in_shape) -> outputs."""

    def __init__(self, network: nn.Module, standardizer: Standardizer | None) -> None:
        super().__init__()
        self.network = network
        self.standardizer = standardizer

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x if self.standardizer is None else self.standardizer(x))


def raw_samples(data: LightningDataModule) -> Tensor:
    """Validation samples as they were before they were standardized.

    Raises: ValueError: the validation batches are not pairs (x, y).
    """
    if isinstance(data, InMemoryDataModule):
        x, standardizer = data.val.x[:MOST_SAMPLES], data.standardizer
        if data.transform is not None:  # which standardizes batches; pixels are kept as they are
            return x if x.is_floating_point() else x.float()
        return x if standardizer is None else (x.double() * standardizer.deviation + standardizer.mean).float()
    batch = next(iter(batches_of(data, "val")[0]))
    if not (isinstance(batch, tuple | list) and isinstance(batch[0], Tensor)):
        raise ValueError(f"export needs batches that begin with inputs; the data give a {type(batch).__name__}")
    return batch[0][:MOST_SAMPLES]


@torch.no_grad()
def compare(network: nn.Module, exported: Callable[[Tensor], Tensor], samples: Tensor) -> None:
    """Compare outputs for one sample, a few and all.

    Raises: RunFailed: they differ.
    """
    for batch in (samples[:1], samples[:7], samples):
        expected, got = network(batch), exported(batch)
        distance = float((got - expected).abs().max() / expected.abs().max().clamp(min=1.0))
        if not distance < TOLERANCE:
            raise RunFailed(f"the exported network differs by {distance:.2g} on {len(batch)} samples")


def write(format: str, network: nn.Module, example: Tensor, path: Path) -> None:
    """Raises: RunFailed: the network cannot be exported."""
    try:
        WRITERS[format](network, example, path)
    except RuntimeError as error:  # of torch.export and torch.onnx
        raise RunFailed(f"the network cannot be exported: {str(error).strip().partition(chr(10))[0]}") from error


def write_torch(network: nn.Module, example: Tensor, path: Path) -> None:
    program = torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, path)


def read_torch(path: Path) -> Callable[[Tensor], Tensor]:
    return torch.export.load(path).module()


def write_onnx(network: nn.Module, example: Tensor, path: Path) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of every part of torchvision, which is not used
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch's own code
        torch.onnx.export(
            network,
            (example,),
            path,
            input_names=["x"],
            output_names=["outputs"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def read_onnx(path: Path) -> Callable[[Tensor], Tensor]:
    from onnxruntime import InferenceSession

    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(np.asarray(session.run(None, {"x": x.numpy()})[0]))


WRITERS = {"onnx": write_onnx, "torch": write_torch}
READERS = {"onnx": read_onnx, "torch": read_torch}
