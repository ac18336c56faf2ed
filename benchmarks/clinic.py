"""Where the patients are trained and examined, each once: what has been found is kept in build/doctor/.

An examination is found again as long as no code of the package has changed, a training as long as nothing has that
trains: so the doctor can be worked on without training anything anew.
"""

import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any

import sick_parts
import torch
from hydra.utils import instantiate
from lightning import Trainer
from omegaconf import DictConfig
from patients import Patient
from runs import PACKAGE, PLAIN, QUIET, TEMPLATE, Project
from sick_parts import Stack
from torch.nn.functional import cross_entropy

SEEDS = (0, 1, 2)
FOLDER = TEMPLATE / "build" / "doctor"
TRAINS = "activation build classifier cnn data dropout initialisation loader network normalisation patches residual"
TRAINS += " scheduler transformer weight_decay"
STACK_STEPS = 2000  # of a stack's whole training
STACK_BATCH = 128
STACK_RATE = 1e-3

Found = list[dict[str, Any]]  # findings, as doctor.json has them


class Clinic:
    """A baked project with its data, and what is known of the patients."""

    def __init__(self, folder: Path = FOLDER) -> None:
        sick_parts.write_files(folder / "data")
        self.project = Project(folder)
        self.examinations = self.project.folder / "examinations"
        self.trainings = folder / "trainings"
        torch.set_num_threads(1)
        for chatty in (PACKAGE, "lightning.pytorch"):
            logging.getLogger(chatty).setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module="lightning")  # advice for long runs

    def composed(self, overrides: tuple[str, ...], seed: int) -> DictConfig:
        composition = self.project.composition
        with composition.hydra_here():
            return composition.without_hydra(composition.composed("train", [*QUIET, *overrides, f"seed={seed}"]))

    def training(self, overrides: tuple[str, ...], seed: int) -> dict[str, float]:
        """How a whole training ends: accuracy and loss on the validation rows."""
        name = key(overrides, seed, CONFIGURATION, TRAINING)
        return kept(self.trainings, name, lambda: self.train(self.composed(overrides, seed)))

    def examination(self, patient: Patient, seed: int) -> Found:
        """What the doctor finds in the first steps."""
        name = key(patient.overrides, seed, CONFIGURATION)
        return kept(self.examinations, name, lambda: self.examine(self.composed(patient.overrides, seed)))

    def repair(self, patient: Patient) -> tuple[str, ...]:
        """The overrides that ``doctor.py --repair`` ends with."""
        offers = list(self.project.module("remedies").offers())
        name = key(patient.overrides, CONFIGURATION, offers)
        return tuple(kept(self.examinations, name, lambda: self.mend(list(patient.overrides))))

    def train(self, config: DictConfig) -> dict[str, Any]:
        data, classifier = self.project.module("build").build(config)
        batches = partial(self.project.module("loader").Batches, batch_size=config.data.batch_size)
        stopping = [instantiate(config.callbacks.early_stopping)] if "early_stopping" in config.callbacks else []
        ours = ("_target_", "callbacks", "plugins", "profiler", "default_root_dir")
        settings = {name: value for name, value in config.trainer.items() if name not in ours}
        trainer = Trainer(**{**settings, "devices": 1, "callbacks": stopping, "enable_checkpointing": False})
        trainer.fit(classifier, batches(data.train, seed=config.seed), batches(data.val))
        return {name: float(trainer.callback_metrics[f"val/{name}"]) for name in ("accuracy", "loss")}

    def examine(self, config: DictConfig) -> Found:
        doctor = self.project.module("doctor")
        data, classifier = self.project.module("build").build(config)
        settings = {"batch_size": config.data.batch_size, "seed": config.seed}
        found = doctor.examine(classifier, data, **settings, **doctor.trainer_settings(config.trainer))
        return [finding.plain() for finding in found]

    def mend(self, overrides: list[str]) -> list[str]:
        tried = self.project.module("consultation").tried
        _, after = self.project.module("repair").repaired(overrides, lambda words: tried([*QUIET, *words]))
        return after.overrides

    def stack_training(self, stack: Stack) -> dict[str, Any]:
        """The accuracy on its train rows after a plain loop, that of saying one class, and the number of rows."""
        return kept(self.trainings, key(asdict(stack), STACK_STEPS), lambda: train_stack(stack, self.data_of(stack)))

    def stack_examination(self, stack: Stack) -> Found:
        """What the doctor says of the stack as a stranger's module."""

        def examine() -> Found:
            doctor = self.project.module("doctor")
            data = self.data_of(stack)
            torch.manual_seed(0)
            network = doctor.wrapped(
                stack.network(data.num_classes), optimizer=partial(torch.optim.Adam, lr=STACK_RATE)
            )
            return [finding.plain() for finding in doctor.examine(network, data, batch_size=STACK_BATCH)]

        return kept(self.examinations, key(asdict(stack)), examine)

    def data_of(self, stack: Stack) -> Any:
        """A fifth of the rows for validation, and nothing done to the inputs."""
        module = self.project.module("data")
        x, y = stack.rows()
        held_out = module.stratified_choice(y, module.VALIDATION_FRACTION)
        train, val = (module.rows(x[part], y[part]) for part in (~held_out, held_out))
        return module.Data(train, val, val, num_classes=int(y.max()) + 1)


def train_stack(stack: Stack, data: Any) -> dict[str, Any]:
    """Adam on batches in a new order every epoch, and nothing else."""
    torch.manual_seed(0)
    network = stack.network(data.num_classes)
    optimizer = torch.optim.Adam(network.parameters(), lr=STACK_RATE, fused=True)
    x, y = data.train
    for index in orders(len(y), STACK_STEPS):
        optimizer.zero_grad()
        cross_entropy(network(x[index]), y[index]).backward()
        optimizer.step()
    right = (network.eval()(x).argmax(dim=1) == y).double().mean().item()
    return {"accuracy": right, "chance": y.bincount().max().item() / len(y), "rows": len(y)}


def orders(rows: int, steps: int) -> Iterator[torch.Tensor]:
    step = 0
    while True:
        for index in torch.randperm(rows).split(STACK_BATCH):
            if step == steps:
                return
            yield index
            step += 1


def kept(folder: Path, name: str, make: Callable[[], Any]) -> Any:
    """What ``make`` once returned; it is called if that is not known."""
    path = folder / f"{name}.json"
    if not path.exists():
        started = perf_counter()
        made = {"result": make(), "seconds": perf_counter() - started}
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(made), "utf-8")
        unfinished.replace(path)
    return json.loads(path.read_text("utf-8"))["result"]


def key(*parts: Any) -> str:
    """Stands for what is told, and for the data and networks that it may name."""
    text = repr([*parts, Path(sick_parts.__file__).read_text("utf-8")])
    return sha256(text.encode()).hexdigest()[:24]


def without_comments(path: Path) -> str:
    return re.sub(r"\s*(?<!\S)#.*", "", path.read_text("utf-8"))


CONFIGURATION = [
    without_comments(path)
    for path in sorted((PLAIN / "configs").glob("**/*.yaml"))
    if path.parent.name not in ("experiment", "hydra", "logger", "callbacks")
]
TRAINING = [(PLAIN / "{{ cookiecutter.package_name }}" / f"{name}.py").read_text("utf-8") for name in TRAINS.split()]
