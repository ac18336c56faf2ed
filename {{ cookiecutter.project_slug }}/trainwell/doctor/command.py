"""``trainwell doctor``: examine a configuration, print and write the findings, and look for a repair."""

import logging
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from ..config import compose
from ..console import quiet_lightning
from ..findings import NOTE, Finding, healthy
from ..runs.folder import name, write_json, write_whole
from .confirm import MOST_REMEDIES
from .remedies import applicable
from .repair import Score, experiment, repaired

if TYPE_CHECKING:
    from .history import History

log = logging.getLogger(__name__)


def examine_config(config: DictConfig, overrides: list[str], repair: bool) -> bool:
    """Print what is wrong with ``config``, composed of ``overrides``, and write ``runs/doctor/<id>/doctor.json``.

    Returns: whether nothing is. Raises: ValueError: the configuration cannot be built.
    """
    in_data_and_training, history = examined(config)
    found = [applicable(finding, overrides) for finding in in_data_and_training]
    findings = [finding.with_remedies(finding.remedies[:MOST_REMEDIES]) for finding in found]
    folder = Path("runs", "doctor", name(overrides).name)
    folder.mkdir(parents=True)
    trial = {"steps": history.inspection.steps, "batch_size": history.trial_batch_size} if history else {}
    report = {"healthy": healthy(findings), "findings": [finding.plain() for finding in findings], "trial": trial}
    write_json(folder / "doctor.json", report)
    for line in lines_of(findings):
        log.info(line)
    if history and trial and history.trial_batch_size < history.batch_size:
        log.info(f"\nthe network is large: its trial had {trial['steps']} steps of {trial['batch_size']} samples")
    if not healthy(findings) and repair:
        find_repair(overrides, folder)
    log.info(f"\nwritten  {folder / 'doctor.json'}")
    return healthy(findings)


def examined(config: DictConfig) -> "tuple[list[Finding], History | None]":
    from ..data.batches import Batches
    from ..runs.load import build, refuse_batch_size
    from .examine import STEPS, examination, trainer_settings

    quiet_lightning()  # after its import, which sets another level
    data, task = build(config)
    loader = data.train_dataloader() if config.task.get("_partial_") else None
    if isinstance(loader, Batches):
        refuse_batch_size(loader, task)
    return examination(task, data, STEPS, config.seed, True, trainer_settings(config, task))


def examined_overrides(overrides: list[str]) -> tuple[list[Finding], Score]:
    """The findings in the configuration of ``overrides``, and its validation score after the trial."""
    with compose.hydra_here():
        config = compose.without_hydra(compose.composed("train", overrides))
    findings, history = examined(config)
    score = Score(history.score, history.last.val_accuracy) if history and history.last else Score("accuracy", 0.0)
    counted = [finding for finding in findings if finding.severity != NOTE]
    return [applicable(finding, overrides) for finding in counted], score


def find_repair(overrides: list[str], folder: Path) -> None:
    """Search for overrides that make the configuration healthy; print them and write ``repaired.yaml``."""
    from hydra.core.global_hydra import GlobalHydra

    before, after = repaired(overrides, examined_overrides)
    if after is before:
        log.info("\nno override helps; for what to change in code see above")
        return
    command = shlex.join(["python", "train.py", *after.overrides])
    log.info(f"\nbefore   {before.line()}\nafter    {after.line()}\n\ntype     {command}")
    with compose.hydra_here():
        groups = GlobalHydra.instance().config_loader().list_groups("")
    path = folder / "repaired.yaml"
    write_whole(path, "\n".join(experiment(before, after, command, groups)))
    log.info(f"keep     cp {path} configs/experiment/repaired.yaml")


def lines_of(findings: Sequence[Finding]) -> Iterator[str]:
    count = sum(finding.severity != NOTE for finding in findings)
    if not count and findings:
        yield f"healthy, with {len(findings)} {'note' if len(findings) == 1 else 'notes'}"
    elif not count:
        yield "healthy: nothing is wrong with the data, the start and the first steps"
    else:
        yield f"{count} found, the root cause first" if count > 1 else "1 found"
    for finding in findings:
        yield from ("", *finding.lines())
