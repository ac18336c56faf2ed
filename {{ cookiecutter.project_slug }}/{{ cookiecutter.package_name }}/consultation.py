"""What ``doctor.py`` does: examine a configuration, tell, keep ``doctor.json``, and look for what mends it."""

import json
import logging
import shlex
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from . import composition, run_folder
from .build import build
from .doctor import Examination, examination, trainer_settings
from .findings import Finding
from .repair import experiment, repaired, with_remedy

log = logging.getLogger(__name__)


def consult(config: DictConfig, overrides: list[str], repair: bool) -> bool:
    """Say and write what is wrong with ``config``, which ``overrides`` make of the defaults; whether it is healthy.

    Raises: ValueError: what ``build`` refuses.
    """
    findings = [applicable(finding, overrides) for finding in examined(config).findings]
    folder = Path("runs", "doctor", run_folder.name(overrides).name)
    folder.mkdir(parents=True)
    report = {"healthy": not findings, "findings": [finding.plain() for finding in findings]}
    (folder / "doctor.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for line in told(findings):
        log.info(line)
    if findings and repair:
        mend(overrides, folder)
    log.info(f"\nwritten  {folder / 'doctor.json'}")
    return not findings


def examined(config: DictConfig) -> Examination:
    data, classifier = build(config)
    settings = trainer_settings(config.trainer)
    return examination(classifier, data, batch_size=config.data.batch_size, seed=config.seed, bar=True, **settings)


def tried(overrides: list[str]) -> tuple[list[Finding], float]:
    """What is found in the configuration that ``overrides`` make, and its validation accuracy after the first steps."""
    with composition.hydra_here():
        config = composition.without_hydra(composition.composed("train", overrides))
    found = examined(config)
    accuracy = found.record.last.val_accuracy if found.record and found.record.last else 0.0
    return [applicable(finding, overrides) for finding in found.findings], accuracy


def mend(overrides: list[str], folder: Path) -> None:
    """Look for overrides that make the configuration healthy; say which, and write them down as an experiment."""
    before, after = repaired(overrides, tried)
    command = shlex.join(["python", "train.py", *after.overrides])
    if after is before:
        log.info("\nno remedy helps")
        return
    log.info(f"\nbefore   {before.line()}\nafter    {after.line()}\n\ntype     {command}")
    with composition.hydra_here():
        groups = GlobalHydra.instance().config_loader().list_groups("")
    path = folder / "mended.yaml"
    path.write_text("\n".join(experiment(before, after, command, groups)) + "\n", encoding="utf-8")
    log.info(f"keep     cp {path} configs/experiment/mended.yaml")


def told(findings: Sequence[Finding]) -> list[str]:
    if not findings:
        return ["healthy: nothing is wrong with the data, the start and the first steps"]
    lines = [f"{len(findings)} found, the root cause first" if len(findings) > 1 else "1 found"]
    for finding in findings:
        lines += ["", *finding.lines()]
    return lines


def applicable(finding: Finding, overrides: Sequence[str]) -> Finding:
    """Leave out remedies that change nothing here, or that this configuration refuses."""
    before = plain(tuple(overrides))
    return finding.with_remedies(
        remedy for remedy in finding.remedies if plain(tuple(with_remedy(overrides, remedy))) not in (None, before)
    )


@lru_cache(maxsize=50)  # several findings ask for the same, and composing takes a while
def plain(overrides: tuple[str, ...]) -> object:
    """The configuration that they make, None if it cannot be or has mistakes."""
    try:
        with composition.hydra_here():
            config = composition.composed("train", overrides)
            hydra = config.hydra
            config = composition.without_hydra(config)
            if composition.mistakes("train", config, hydra):
                return None
    except composition.COMPLAINTS:
        return None
    return OmegaConf.to_container(config, resolve=True)
