"""Runs of a baked project, each made once: a run that has ended is found again by its resolved configuration."""

import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from functools import cached_property
from hashlib import sha256
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from omegaconf import OmegaConf

TEMPLATE = Path(__file__).parents[1]
PLAIN = TEMPLATE / "{{ cookiecutter.project_slug }}"
PACKAGE = "my_network"
QUIET = ("logger=none", "~callbacks.progress_bar", "trainer.enable_progress_bar=false", "trainer.accelerator=cpu")
UNWATCHED = (*QUIET, "~callbacks.diagnostics")  # the weights are the same, and no pictures are drawn

Job = frozenset[str]  # the overrides of one run, with its seed


class Run:
    """What a run has left in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.folder / "summary.json").read_text())

    def key(self) -> str | None:
        """As ``Project.key`` of its job, if the run came to its own end, be it numbers that are not finite."""
        if not (self.folder / "summary.json").exists():
            return None
        exploded = any(finding["code"] == "non_finite" for finding in self.summary["findings"])
        if self.summary["status"] not in ("finished", "stopped_early") and not exploded:
            return None
        text = (self.folder / "config.yaml").read_text()
        return sha256(text.replace(yaml.safe_load(text)["run_folder"], "RUN").encode()).hexdigest()


class Project:
    """A project baked into a folder that is named after the package's code, so that runs of other code are left alone.

    Its package composes the configurations, so there can be one in a process.
    """

    def __init__(self, parent: Path) -> None:
        self.folder = parent / hash_of_code() / PACKAGE
        shutil.rmtree(self.folder / "configs", ignore_errors=True)
        bake = [sys.executable, "-m", "cookiecutter", "--no-input", "--default-config", "--overwrite-if-exists"]
        bake += ["--output-dir", str(self.folder.parent), str(TEMPLATE)]
        bake += [f"{answer}={PACKAGE}" for answer in ("project_slug", "package_name")]
        subprocess.run(bake, check=True, stdout=subprocess.DEVNULL)
        sys.path.insert(0, str(self.folder))
        self.composition = self.module("composition")
        self.module("command_line").register_resolvers()
        self.runs: dict[str, Run] = {}
        self.keys: dict[Job, str] = {}

    def module(self, name: str) -> ModuleType:
        return importlib.import_module(f"{PACKAGE}.{name}")

    def jobs(self, overrides: Collection[str]) -> list[Job]:
        """The runs that a sweep consists of: ``seed=0,1 +experiment=x`` are two."""
        with self.composition.hydra_here():
            return [frozenset(job) for job in self.composition.jobs("train", overrides)]

    def key(self, job: Job) -> str:
        """Stands for the whole configuration of a job, but for the place of its folder."""
        if job not in self.keys:
            with self.composition.hydra_here():
                config = self.composition.without_hydra(self.composition.composed("train", [*UNWATCHED, *sorted(job)]))
            config.run_folder = "RUN"
            self.keys[job] = sha256(OmegaConf.to_yaml(config, resolve=True).encode()).hexdigest()
        return self.keys[job]

    def run(self, job: Job) -> Run:
        return self.runs[self.key(job)]

    def missing(self, jobs: Collection[Job]) -> list[Job]:
        """The jobs that no run has ended of."""
        known = {run.folder for run in self.runs.values()}
        new = [Run(folder) for folder in self.folder.glob("runs/*/*") if folder not in known]
        self.runs |= {key: run for run in new if (key := run.key())}
        return [job for job in jobs if self.key(job) not in self.runs]

    def train(self, jobs: Collection[Job]) -> Iterator[int]:
        """Train what is missing, on one core and in few processes; yield how many are left, again and again.

        Raises: RuntimeError: a run failed.
        """
        for sweep in sweeps(self.missing(jobs)):
            command = [sys.executable, "train.py", "-m", *UNWATCHED, *sweep]
            with tempfile.TemporaryFile("w+") as said:
                process = subprocess.Popen(
                    command, cwd=self.folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=said, stderr=said
                )
                try:
                    while process.poll() is None:
                        yield len(self.missing(jobs))
                        try_to_wait(process, seconds=1)
                finally:
                    process.terminate()
                if self.missing(self.jobs(sweep)):
                    said.seek(0)
                    raise RuntimeError(f"train.py -m {' '.join(sweep)}\n{said.read()}")
        yield len(self.missing(jobs))


def try_to_wait(process: subprocess.Popen, seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def sweeps(jobs: Collection[Job]) -> Iterator[list[str]]:
    """Overrides of a few sweeps that together consist of exactly these jobs."""
    values: dict[str, set[str]] = {}
    for override in sorted(frozenset().union(*jobs)):
        key, _, value = override.partition("=")
        values.setdefault(key, set()).add(value)
    if jobs and prod(map(len, values.values())) == len(jobs) and all(len(job) == len(values) for job in jobs):
        yield [f"{key}={','.join(sorted(words))}" for key, words in values.items()]
    elif jobs:
        partial = [override for override in frozenset().union(*jobs) if not all(override in job for job in jobs)]
        # Whatever half of the jobs, or nearly, have in common is the likeliest to part them into products.
        parting = min(sorted(partial), key=lambda override: abs(len(jobs) - 2 * sum(override in job for job in jobs)))
        yield from sweeps([job for job in jobs if parting in job])
        yield from sweeps([job for job in jobs if parting not in job])


def hash_of_code() -> str:
    code = [PLAIN / "train.py", *sorted((PLAIN / "{{ cookiecutter.package_name }}").glob("*.py"))]
    return sha256(b"\0".join(path.read_bytes() for path in code)).hexdigest()[:12]
