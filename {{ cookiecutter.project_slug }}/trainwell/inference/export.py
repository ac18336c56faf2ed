"""``trainwell export``: a run's network as one file for other programs, checked on validation samples."""

import importlib.util
import logging
import sys
from pathlib import Path

from ..config.options import Option, one_of
from ..errors import RunFailed
from .command import check_output, run_command

log = logging.getLogger(__name__)

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}
SUMMARY = "Export the best weights of a run for other programs."
NOTES = """The file takes batches of any size, of samples that are not standardized, and returns the network's outputs
(of a classification, logits). It is written only if its outputs are the network's on validation samples."""
OPTIONS = {
    "format": Option("onnx", "onnx, for ONNX Runtime and others, or torch, for torch.export.load", one_of(*SUFFIXES)),
    "output": Option(None, "a file; by default model.onnx or model.pt2 in the run folder", check_output),
}


def main(arguments: list[str]) -> int:
    try:
        return run_command(arguments, export_run, OPTIONS, "export", SUMMARY, NOTES)
    except RunFailed as failed:
        print(f"{failed}; nothing is written", file=sys.stderr)
        return 1


def export_run(folder: Path, format: str, output: str | None = None) -> Path:
    """Write the run's network, from raw samples to outputs; the file is whole and checked, or there is none.

    Raises: ValueError: the run cannot be loaded, or a package is missing. RunFailed: the network cannot be exported,
        or the file's outputs are not the network's.
    """
    if format == "onnx" and not all(map(importlib.util.find_spec, ("onnx", "onnxscript", "onnxruntime"))):
        raise ValueError('format=onnx needs more packages: pip install -c constraints.txt -e ".[export]"')
    target = folder / f"model{SUFFIXES[format]}" if output is None else Path(output)
    if reason := check_output(str(target), SUFFIXES[format]):
        raise ValueError(f"output {reason}, got {target}")
    from ..runs.folder import draft
    from ..runs.load import load_run
    from . import formats, scores

    run = load_run(folder)
    scores.refuse_without_forward(run.task)
    network = formats.StandardizedNetwork(run.task, getattr(run.data, "standardizer", None)).eval()
    samples = formats.raw_samples(run.data)
    with draft(target) as unfinished:
        formats.write(format, network, samples[:2], unfinished)
        formats.compare(network, formats.READERS[format](unfinished), samples)
    log.info(f"{target}: batches of any size; outputs as the network's on {len(samples)} validation samples")
    return target
