"""``trainwell predict``: predictions for new samples, of any number; they are read and written a chunk at a time."""

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.options import REQUIRED, Option
from ..data.files.image_folder import SUFFIXES
from ..data.files.readers import READERS
from .command import check_output, run_command

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import Tensor

    from ..data.in_memory import InMemoryDataModule

log = logging.getLogger(__name__)

SUMMARY = "Predict new samples with the best weights of a run."
NOTES = """A .csv file (with or without column names) or a .parquet file has a column for each number of a sample, in
the order of the training data; an .npy file is an array of samples. After data=table, columns are found by their names,
and others left out; after data=images the input is a folder of images, a .csv file with a column file, or one image.
Samples are prepared as in training. The output has a line for each sample: of classes the predicted one, its
probability and that of every class; of labels the probability of each; of numbers the prediction."""


def check_input(value: str) -> str | None:
    path = Path(value)
    fits = path.is_dir() or (path.is_file() and path.suffix.lower() in (*READERS, *SUFFIXES))
    return None if fits else "must be a .csv, .npy or .parquet file that exists, or images"


OPTIONS = {
    "input": Option(REQUIRED, "new samples without targets: a .csv, .npy or .parquet file, or images", check_input),
    "output": Option(REQUIRED, "a .csv file to write", partial(check_output, suffix=".csv")),
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
    from ..runs.folder import draft
    from ..runs.load import load_run
    from . import scores

    run = load_run(folder, stage="predict")
    scores.refuse_without_forward(run.task)
    data = run.data
    if not isinstance(data, InMemoryDataModule):
        raise ValueError(f"predict needs an InMemoryDataModule, which prepares new samples; got {type(data).__name__}")
    device, count, names = scores.device_for(run.config), 0, data.new_names(Path(input))
    task = run.task.to(device)
    with draft(Path(output)) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file, torch.no_grad():
        for x in data.new_samples(Path(input)):
            table = table_of(task(x.to(device)).float().cpu(), data)
            table.index += count
            if names is not None:
                table.insert(0, "file", names[count : count + len(x)])
            table.to_csv(file, index_label="sample", header=not count)
            count += len(x)
    log.info(f"predicted {count} samples: {output}")


def table_of(outputs: "Tensor", data: "InMemoryDataModule") -> "DataFrame":
    """A row for each sample, as ``predictions`` makes it, and of classes the probability of each."""
    from ..outputs import names_of, numbered, predictions

    names = names_of(data, outputs[0].numel())
    if data.targets == "classes" and outputs.shape[1:] == (getattr(data, "num_classes", None),):
        return predictions(outputs, "classes", names).join(numbered("probability", outputs.softmax(dim=-1), names))
    are_labels = data.targets == "labels" and outputs.ndim == 2
    return predictions(outputs, "labels" if are_labels else None, names)
