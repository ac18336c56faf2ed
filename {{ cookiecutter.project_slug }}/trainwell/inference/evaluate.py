"""``trainwell evaluate``: metrics of a run's best weights on one split, with intervals, every prediction and plots."""

import logging
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config.options import Option, one_of
from ..loggers.wandb_run import WANDB_ID_FILE
from ..runs.folder import draft, note_test_evaluation, write_json
from .command import run_command

if TYPE_CHECKING:
    from torch import Tensor

    from ..comparison.statistics import Interval
    from ..runs.load import TrainedRun
    from .scores import Outputs

log = logging.getLogger(__name__)

SPLIT = Option("val", "train, val or test; test once, when every choice is made", one_of("train", "val", "test"))
SUMMARY = "Evaluate the best weights of a run on a split of its data."
NOTES = """Prints metrics with 95 % bootstrap intervals. They go to evaluation/SPLIT/ in the run folder, with every
prediction (predictions.csv) and plots: of a classification the confusion matrix, the reliability diagram, the most
confident mistakes and, of two classes, the ROC curve; of a regression predicted against true values and residuals; of
labels the ROC and the calibration curve of each. test_evaluations.txt counts the evaluations of the test split. If
the module has no torchmetrics, or no forward(x) for batches (x, y), what its own steps log is printed."""


def main(arguments: list[str]) -> int:
    return run_command(arguments, evaluate_run, {"split": SPLIT}, "evaluate", SUMMARY, NOTES)


def evaluate_run(folder: Path, split: str = "val") -> "dict[str, Interval]":
    """Evaluate a run, write the results into its folder, and return the metrics, such as ``val/loss``.

    An evaluation on the test split is counted before it starts. Of a task without metrics of its own they are what its
    steps log, without an interval.

    Raises: ValueError: the run cannot be loaded, or its data or task are not of a kind that can be evaluated.
    """
    from ..outputs import names_of
    from ..runs.load import load_run
    from . import scores

    run = load_run(folder)
    results = folder / "evaluation" / split
    if results.resolve() != folder.resolve() / "evaluation" / split:
        raise ValueError(f"{results} must not be a link: files elsewhere would be replaced")
    loader, x = scores.batches_of(run.data, split)
    command = f"trainwell evaluate run={folder} split={split}"
    evaluations = note_test_evaluation(folder, command) if split == "test" else None
    found: scores.Outputs | None = None
    metrics: dict[str, Interval] = {}
    refusal: ValueError | None = None
    try:
        found = scores.outputs_of(run.task, loader, scores.device_for(run.config))
        metrics = scores.scores(run.task, found)
    except ValueError as error:
        refusal = error
    metrics = metrics or scores.logged_by_steps(run, loader, split)
    if refusal and not metrics:
        raise refusal
    if found is not None and found.kind is not None:
        found = found._replace(names=names_of(run.data, found.outputs.shape[-1]))
    report = {"samples": len(found.y) if found else None, "evaluations": evaluations, "calibration_error": None}
    write(report, metrics, found, x, results)
    for name, value in described(report, metrics).items():
        log.info(f"{name:12} {value}")
    log.info(f"{'written':12} {results}")
    show_in_wandb(run, {f"evaluation/{split}/{path.stem}": path for path in sorted(results.glob("*.png"))})
    return {f"{split}/{name}": metric for name, metric in metrics.items()}


def write(
    report: dict[str, Any], metrics: "dict[str, Interval]", found: "Outputs | None", x: "Tensor | None", results: Path
) -> None:
    """Write the results, each file whole or not at all, and add the calibration error to the report."""
    from ..outputs import targets_and_predictions
    from . import plots

    results.mkdir(parents=True, exist_ok=True)
    if found is not None:
        table = targets_and_predictions(found.outputs, found.y, found.names)
        with draft(results / "predictions.csv") as path:
            table.to_csv(path, index_label="sample")
        if found.kind is not None:
            report |= plots.WRITERS[found.kind](results, found, x)
    plain = {name: {k: v for k, v in m._asdict().items() if isfinite(v)} for name, m in metrics.items()}
    write_json(results / "metrics.json", report | {"metrics": plain})


def described(report: dict[str, Any], metrics: "dict[str, Interval]") -> dict[str, str]:
    lines = {"samples": str(report["samples"])} if report["samples"] else {}
    for name, m in metrics.items():
        interval = f"95 % interval {m.low:.4g} to {m.high:.4g}"
        known = interval if isfinite(m.low) else "logged by its steps, without an interval"
        lines[name] = f"{m.value:<9.4g} {known}"
    if (error := report["calibration_error"]) is not None:
        lines["calibration"] = f"{error:<9.4g} expected calibration error: confidence against accuracy"
    if count := report["evaluations"]:
        lines["evaluations"] = f"{count:<9} on the test split; choose by the validation split, or it tests nothing"
    return lines


def show_in_wandb(run: "TrainedRun", images: dict[str, Path]) -> None:
    from omegaconf import OmegaConf

    project = OmegaConf.select(run.config, "logger.wandb.project")
    if project is None or not (run.folder / WANDB_ID_FILE).exists():
        return
    from ..loggers.wandb import SafeWandbLogger

    logger = SafeWandbLogger(project=project, run_folder=str(run.folder))
    logger.log_images_from_files(images)
    logger.finish()
    for view in logger.how_to_view():
        log.info(f"{'view':12} {view}")
