"""``trainwell predict``: predictions for new samples, of any number; they are read and written a chunk at a time."""

import logging
from pathlib import Path

from ..config.options import REQUIRED, Option
from ..data.readers import READERS, chunks
from .command import draft, run_command

log = logging.getLogger(__name__)

SUMMARY = "Predict new samples with the best weights of a run."
NOTES = """A .csv file (with or without column names) or a .parquet file has a column for each number of a sample, in
the order of the training data; an .npy file is an array of samples. Samples are standardized as in training. The
output has a line for each sample: the likeliest class, its probability, and the probability of every class."""


def check_input(value: str) -> str | None:
    path = Path(value)
    return None if path.suffix in READERS and path.is_file() else "must be a .csv, .npy or .parquet file that exists"


def check_output(value: str) -> str | None:
    path = Path(value)
    return None if path.parent.is_dir() and not path.is_dir() else "must be a file in a folder that exists"


OPTIONS = {
    "input": Option(REQUIRED, "new samples without targets: a .csv, .npy or .parquet file of any length", check_input),
    "output": Option(REQUIRED, "a .csv file to write", check_output),
}


def main(arguments: list[str]) -> int:
    return run_command(arguments, predict_file, OPTIONS, "predict", SUMMARY, NOTES)


def predict_file(folder: Path, input: str, output: str) -> None:
    """Predict every sample of ``input``; ``output`` is written whole or not at all.

    Raises: ValueError: the run cannot be loaded or cannot prepare new samples, or the file does not fit it.
    """
    if Path(input).resolve() == Path(output).resolve():
        raise ValueError(f"output must be another file than input, got {output} for both")
    import torch

    from ..data.in_memory import InMemoryDataModule
    from ..runs.load import load_run
    from . import scores

    run = load_run(folder)
    data = run.data
    if not isinstance(data, InMemoryDataModule):
        raise ValueError(f"predict needs an InMemoryDataModule, which prepares new samples; got {type(data).__name__}")
    device, count = scores.device_for(run.config), 0
    task = run.task.to(device)
    with draft(Path(output)) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file, torch.no_grad():
        for x in chunks(Path(input), data.in_shape):
            outputs = task(data.prepared(x).to(device)).float().cpu()
            are_logits = outputs.shape[1:] == (getattr(data, "num_classes", None),)
            table = scores.table(outputs, are_logits)
            if are_logits:
                table = table.join(scores.numbered("probability", outputs.softmax(dim=-1)))
            table.index += count
            table.to_csv(file, index_label="sample", header=not count)
            count += len(x)
    log.info(f"predicted {count} samples: {output}")
