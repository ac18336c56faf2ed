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
from lightning import Trainer
from omegaconf import DictConfig

from ..project import PLAIN, QUIET, TEMPLATE, Project, code_in, hashed, kept
from . import datasets, networks, stacks
from .cases import Case, tables
from .field import data as field_data
from .field.cases import FieldCase
from .stacks import Stack

SEEDS = (0, 1, 2)
FOLDER = TEMPLATE / "build" / "doctor"
TRAINS = ("{{ cookiecutter.package_name }}", "trainwell/data", "trainwell/metrics.py")  # code
NEVER_TRAINS = {"experiment", "hydra", "logger", "callbacks"}  # config groups

Findings = list[dict[str, Any]]  # as doctor.json has them


class Measurements:
    """A baked project with the data of the cases, in whose folder the process runs from now on."""

    def __init__(self, folder: Path = FOLDER) -> None:
        datasets.write_files(folder / "data")
        self.field_files = (folder / "field").resolve()
        self.project = Project(folder)
        os.chdir(self.project.folder)  # the doctor reads configs/ there
        self.examinations, self.trainings = self.project.folder / "examinations", folder.resolve() / "trainings"
        self.configuration, self.code = configuration(), code_in(*TRAINS)
        torch.set_num_threads(1)
        for name in ("trainwell", "lightning.pytorch"):
            logging.getLogger(name).setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module="lightning")  # advice for long runs

    def training(self, overrides: tuple[str, ...], seed: int) -> dict[str, float]:
        """Validation accuracy and loss at the end of a whole training."""
        path = self.trainings / key(overrides, seed, self.configuration, self.code)
        return kept(path, lambda: self.train(*self.built(overrides, seed)))

    def examination(self, case: Case, seed: int) -> Findings:
        """What the doctor finds in the first steps."""
        path = self.examinations / key(case.overrides, seed, self.configuration)
        return kept(path, lambda: self.examine(*self.built(case.overrides, seed)))

    def repair(self, case: Case) -> tuple[str, ...]:
        """The overrides that ``trainwell doctor --repair`` ends with."""
        from trainwell.doctor import remedies

        path = self.examinations / key(case.overrides, self.configuration, list(remedies.offers()))
        return tuple(kept(path, lambda: self.repaired(list(case.overrides))))

    def field_training(self, case: FieldCase) -> dict[str, float]:
        """The last validation metrics of a whole training."""
        return kept(self.trainings / self.field_name(case), lambda: self.train_field(*self.built_field(case)))

    def field_name(self, case: FieldCase) -> str:
        """The name of a file for what a training of the case results in."""
        return key(*self.field_key(case), self.configuration, self.code)

    def field_examination(self, case: FieldCase) -> dict[str, Any]:
        """What ``trainwell doctor`` finds, and the seconds of computing that it takes."""
        path = self.examinations / key(*self.field_key(case), self.configuration)
        return kept(path, lambda: self.examine_field(case))

    def field_remedy(self, case: FieldCase) -> str | None:
        """The first override that is offered against the first finding, and that the configuration can take."""
        from trainwell.doctor.remedies import applicable
        from trainwell.findings import Finding

        plain = next(each for each in self.field_examination(case)["findings"] if each["severity"] != "note")
        with self.project.hydra():
            remedies = applicable(Finding(**plain), [*QUIET[1:], *case.overrides(self.field_files), "seed=0"]).remedies
        return remedies[0] if remedies else None

    def field_key(self, case: FieldCase) -> tuple[Any, ...]:
        field_data.write_file(self.field_files, case.data)
        names = ("data", "networks", "faults")
        code = [Path(__file__).parent.joinpath("field", f"{name}.py").read_text("utf-8") for name in names]
        return (*case.overrides(Path("FILES")), *code)

    def built_field(self, case: FieldCase) -> tuple[DictConfig, Any, Any]:
        from trainwell.runs.load import build

        config = self.project.composed([*QUIET[1:], *case.overrides(self.field_files), "seed=0"])
        return config, *build(config)

    def train_field(self, config: DictConfig, data: Any, task: Any, callbacks: Any = ()) -> dict[str, float]:
        from trainwell.doctor.examine import trainer_settings

        settings = trainer_settings(config, task)
        settings["callbacks"] += callbacks
        trainer = Trainer(**settings, enable_checkpointing=False, logger=False)
        trainer.fit(task, datamodule=data)
        return {name: float(value) for name, value in trainer.callback_metrics.items()}

    def examine_field(self, case: FieldCase) -> dict[str, Any]:
        from trainwell.doctor.examine import STEPS, examination, trainer_settings

        config, data, task = self.built_field(case)
        begun = thread_time()
        settings = trainer_settings(config, task)
        found, _ = examination(task, data, STEPS, config.seed, False, settings)
        return {"findings": [finding.plain() for finding in found], "seconds": thread_time() - begun}

    def stack_training(self, stack: Stack) -> dict[str, Any]:
        """As ``stacks.train`` returns it."""
        return kept(self.trainings / key(stack, stacks.STEPS), lambda: stacks.train(stack))

    def stack_examination(self, stack: Stack) -> Findings:
        """What the doctor finds in the stack, given to it as a stranger's module."""
        return kept(self.examinations / key(stack), lambda: self.examine_stack(stack))

    def built(self, overrides: tuple[str, ...], seed: int) -> tuple[DictConfig, Any, Any]:
        """Configuration, data and task."""
        from trainwell.runs.load import build

        config = self.project.composed([*QUIET, *overrides, f"seed={seed}"])
        return config, *build(config)

    def train(self, config: DictConfig, data: Any, task: Any) -> dict[str, Any]:
        from trainwell.doctor.examine import trainer_settings

        trainer = Trainer(**trainer_settings(config, task), enable_checkpointing=False, logger=False)
        trainer.fit(task, datamodule=data)
        return {name: float(trainer.callback_metrics[f"val/{name}"]) for name in ("accuracy", "loss")}

    def examine(self, config: DictConfig, data: Any, task: Any) -> Findings:
        from trainwell.doctor.examine import examine, trainer_settings

        found = examine(task, data, seed=config.seed, **trainer_settings(config, task))
        return [finding.plain() for finding in found]

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


def key(*parts: Any) -> str:
    """The name of a file for a result that depends on these values, and on the networks and data that they name."""
    code = [Path(module.__file__).read_text("utf-8") for module in (datasets, networks, stacks)]
    return hashed(repr([*parts, code, tables()["files"]]))[:24] + ".json"


def configuration() -> list[str]:
    """The text, without comments, of all config files that a training depends on."""
    configs = PLAIN / "configs"
    paths = sorted(path.relative_to(configs) for path in configs.glob("**/*.yaml"))
    texts = [(configs / path).read_text("utf-8") for path in paths if path.parts[0] not in NEVER_TRAINS]
    return [re.sub(r"\s*(?<!\S)#.*", "", text) for text in texts]
