"""Runs of a baked project, each made once: a run that has ended is found again by its resolved configuration."""

import importlib
import json
import multiprocessing
import os
import runpy
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parents[1]
PLAIN = TEMPLATE / "{{ cookiecutter.project_slug }}"
PACKAGE = "my_network"
QUIET = ("logger=none", "~callbacks.progress_bar", "trainer.enable_progress_bar=false", "trainer.accelerator=cpu")

Job = tuple[str, ...]  # the overrides of one run, with its seed


@dataclass(frozen=True)
class Run:
    """What a run has left in its folder."""

    folder: Path

    @cached_property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.folder / "summary.json").read_text())


def bake(parent: Path) -> Path:
    """Bake into a folder that is named after the package's code, so that runs of other code are never taken for its own."""
    project = parent / hash_of_code() / PACKAGE
    shutil.rmtree(project / "configs", ignore_errors=True)
    answers = {"project_slug": PACKAGE, "package_name": PACKAGE}
    cookiecutter(
        str(TEMPLATE),
        no_input=True,
        default_config=True,
        overwrite_if_exists=True,
        extra_context=answers,
        output_dir=str(project.parent),
    )
    return project


def hash_of_code() -> str:
    code = [PLAIN / "train.py", *sorted((PLAIN / "{{ cookiecutter.package_name }}").glob("*.py"))]
    return sha256(b"\0".join(path.read_bytes() for path in code)).hexdigest()[:12]


class Project:
    """A baked project, whose runs can be asked for.

    Its package composes the configurations, so there can be one project in a process.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.composition = module_of(folder, "composition")
        module_of(folder, "command_line").register_resolvers()
        # A run is forked from a process that has imported what takes seconds, and that knows no other run.
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["lightning", "sklearn.datasets", "mnist1d.data", f"{PACKAGE}.recording"])
        self.runs = {key: run for run in map(Run, folder.glob("runs/*/*")) if (key := key_of_ended(run))}

    def jobs(self, command: str) -> list[Job]:
        """The runs that a command line starts: ``python train.py -m seed=0,1 +experiment=x`` starts two."""
        overrides = [word for word in command.split()[2:] if word != "-m"]
        with self.composition.hydra_here():
            return [tuple(job) for job in self.composition.jobs(overrides)]

    def key(self, job: Job) -> str:
        """The whole configuration of a job, but for the place of its folder."""
        from omegaconf import OmegaConf

        with self.composition.hydra_here():
            config = self.composition.without_hydra(self.composition.composed("train", [*QUIET, *job]))
        config.run_folder = "RUN"
        return sha256(OmegaConf.to_yaml(config, resolve=True).encode()).hexdigest()

    def made(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Run]]:
        """Each job with its run, which is trained now if none has ended yet."""
        for job in jobs:
            key = self.key(job)
            if key not in self.runs:
                before = set(self.folder.glob("runs/*/*"))
                self.train(job)
                (folder,) = set(self.folder.glob("runs/*/*")) - before
                self.runs[key] = Run(folder)
            yield job, self.runs[key]

    def train(self, job: Job) -> None:
        log = self.folder / "last_run.log"
        process = self.context.Process(target=train, args=(self.folder, [*QUIET, *job], log))
        process.start()
        process.join()
        if process.exitcode:
            raise RuntimeError(f"python train.py {' '.join(job)}\n{log.read_text()}")


def module_of(folder: Path, name: str) -> ModuleType:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return importlib.import_module(f"{PACKAGE}.{name}")


def key_of_ended(run: Run) -> str | None:
    """As ``Project.key``, of a run that came to its own end; None for any other."""
    if not (run.folder / "summary.json").exists() or run.summary["status"] not in ("finished", "stopped_early"):
        return None
    text = (run.folder / "config.yaml").read_text()
    return sha256(text.replace(yaml.safe_load(text)["run_folder"], "RUN").encode()).hexdigest()


def train(folder: Path, overrides: list[str], log: Path) -> None:
    """Be ``python train.py OVERRIDES`` on one core."""
    import torch

    torch.set_num_threads(1)
    os.chdir(folder)
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["train.py", *overrides]
    runpy.run_path("train.py", run_name="__main__")
