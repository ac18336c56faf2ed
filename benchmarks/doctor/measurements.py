"""What is measured of each case: the whole training, what the doctor finds, and what its repair leads to.

Everything is measured once and kept in ``build/doctor/``: an examination until code of the template changes, a training
until something changes that trains. So the doctor can be worked on without training anything again.
"""

import logging
import os
import re
import warnings
from functools import partial
from pathlib import Path
from time import thread_time
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from omegaconf import DictConfig

from ..project import PLAIN, QUIET, TEMPLATE, Project, code_in, hashed, kept
from . import datasets, stacks
from .cases import HERE, TABLES, Case
from .field import cases as field_cases
from .field import data as field_data
from .stacks import Stack

SEEDS = (0, 1, 2)
FOLDER = TEMPLATE / "build" / "doctor"
TRAINS = ("{{ cookiecutter.package_name }}", "trainwell/data", "trainwell/metrics.py")  # code
NEVER_TRAINS = {"experiment", "hydra", "logger", "callbacks"}  # config groups
MAKES = {"data", "datasets", "faults", "networks", "stacks"}  # modules that a case's data and networks are made by

Findings = list[dict[str, Any]]  # as doctor.json has them
Metrics = dict[str, float]


class Epochs(Callback):
    """The validation metrics of every epoch."""

    def __init__(self) -> None:
        self.metrics: list[Metrics] = []

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self.metrics.append({name: float(value) for name, value in trainer.callback_metrics.items()})


class Measurements:
    """A baked project with the data of the cases, in whose folder the process runs from now on."""

    def __init__(self, folder: Path = FOLDER) -> None:
        datasets.write_files(folder / "data", TABLES["files"], datasets.arrays_of)
        datasets.write_files(folder / "field", field_cases.files(), field_data.arrays_of)
        self.project = Project(folder)
        os.chdir(self.project.folder)  # the doctor reads configs/ there
        self.examinations, self.trainings = self.project.folder / "examinations", folder.resolve() / "trainings"
        self.configuration, self.code = configuration(), code_in(*TRAINS)
        torch.set_num_threads(1)
        for name in ("trainwell", "lightning.pytorch"):
            logging.getLogger(name).setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module="lightning")  # advice for long runs

    def epochs(self, case: Case, seed: int = 0) -> list[Metrics]:
        """The validation metrics of every epoch of a whole training."""
        path = self.trainings / key(case.folder, case.overrides, seed, self.configuration, self.code)
        return kept(path, lambda: self.train(*self.built(case, seed)))

    def training(self, case: Case, seed: int = 0) -> Metrics:
        return self.epochs(case, seed)[-1]

    def examination(self, case: Case, seed: int = 0) -> dict[str, Any]:
        """What the doctor ``found`` in the first steps, and the ``seconds`` of computing that it took."""
        path = self.examinations / key(case.folder, case.overrides, seed, self.configuration)
        return kept(path, lambda: self.examine(*self.built(case, seed)))

    def repair(self, case: Case) -> list[str]:
        """The overrides that ``trainwell doctor --repair`` ends with."""
        from trainwell.doctor import remedies

        offers = list(remedies.offers())
        path = self.examinations / key(case.folder, case.overrides, self.configuration, offers)
        return kept(path, lambda: self.repaired(list(case.overrides)))

    def remedy(self, case: Case, finding: dict[str, Any]) -> str | None:
        """The first override that is offered against a finding, and that the configuration can take."""
        from trainwell.doctor.remedies import applicable
        from trainwell.findings import Finding

        with self.project.hydra():
            remedies = applicable(Finding(**finding), [*QUIET, *case.overrides, "seed=0"]).remedies
        return remedies[0] if remedies else None

    def stack_training(self, stack: Stack) -> dict[str, Any]:
        """As ``stacks.train`` returns it."""
        return kept(self.trainings / key(HERE, stack, stacks.STEPS), lambda: stacks.train(stack))

    def stack_examination(self, stack: Stack) -> Findings:
        """What the doctor finds in the stack, given to it as a stranger's module."""
        return kept(self.examinations / key(HERE, stack), lambda: self.examine_stack(stack))

    def built(self, case: Case, seed: int) -> tuple[DictConfig, Any, Any]:
        return self.project.built([*QUIET, *case.overrides, f"seed={seed}"])

    def train(self, config: DictConfig, data: Any, task: Any) -> list[Metrics]:
        from trainwell.doctor.examine import trainer_settings

        settings, epochs = trainer_settings(config, task), Epochs()
        settings["callbacks"].append(epochs)
        Trainer(**settings, enable_checkpointing=False, logger=False).fit(task, datamodule=data)
        return epochs.metrics

    def examine(self, config: DictConfig, data: Any, task: Any) -> dict[str, Any]:
        from trainwell.doctor.examine import examine, trainer_settings

        begun = thread_time()
        found = examine(task, data, seed=config.seed, **trainer_settings(config, task))
        return {"found": [finding.plain() for finding in found], "seconds": thread_time() - begun}

    def repaired(self, overrides: list[str]) -> list[str]:
        from trainwell.doctor.command import examined_overrides
        from trainwell.doctor.repair import repaired

        with self.project.hydra():
            _, after = repaired(overrides, lambda tried: examined_overrides([*QUIET, *tried]))
        return after.overrides

    def examine_stack(self, stack: Stack) -> Findings:
        from trainwell.doctor.examine import examine

        data = stacks.data_of(stack)
        torch.manual_seed(0)
        optimizer = partial(torch.optim.Adam, lr=stacks.LEARNING_RATE)
        module = stacks.PlainTraining(stack.network(data.num_classes), optimizer)
        return [finding.plain() for finding in examine(module, data)]


def key(folder: Path, *parts: Any) -> str:
    """The name of a file for a result that depends on these values, and on what makes data and networks in a folder."""
    code = [path.read_text("utf-8") for path in sorted(folder.glob("*.py")) if path.stem in MAKES]
    return hashed(repr([*parts, code, TABLES["files"]]))[:24] + ".json"


def configuration() -> list[str]:
    """The text, without comments, of all config files that a training depends on."""
    configs = PLAIN / "configs"
    paths = sorted(path.relative_to(configs) for path in configs.glob("**/*.yaml"))
    texts = [(configs / path).read_text("utf-8") for path in paths if path.parts[0] not in NEVER_TRAINS]
    return [re.sub(r"\s*(?<!\S)#.*", "", text) for text in texts]
