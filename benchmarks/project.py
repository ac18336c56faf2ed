"""A baked project and its runs. Each run is made once: later it is found again by its resolved configuration."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

TEMPLATE = Path(__file__).parents[1]
PLAIN = TEMPLATE / "{{ cookiecutter.project_slug }}"
PACKAGE = "my_network"
QUIET = ("logger=none", "~callbacks.progress_bar", "trainer.enable_progress_bar=false", "trainer.accelerator=cpu")
UNMONITORED = (*QUIET, "~callbacks.diagnostics")  # the weights are the same, and no plots are drawn

Job = frozenset[str]  # the overrides of one run, with its seed


class Run:
    """What a run has left in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.folder / "summary.json").read_text())

    def key(self) -> str | None:
        """As ``Project.key`` of its job, if the run has ended by itself, be it because of a loss that is not finite."""
        if not (self.folder / "summary.json").exists():
            return None
        exploded = any(finding["code"] == "non_finite" for finding in self.summary["findings"])
        if self.summary["status"] not in ("finished", "stopped_early") and not exploded:
            return None
        text = (self.folder / "config.yaml").read_text()
        return hashed(text.replace(yaml.safe_load(text)["run_folder"], "RUN"))


class Project:
    """A project baked into a folder that is named after the code of the template, so that other code makes other runs.

    Its packages are imported from there, so one process can have one project.
    """

    def __init__(self, parent: Path) -> None:
        code = code_in("train.py", "{{ cookiecutter.package_name }}", "trainwell")
        self.folder = parent.resolve() / hashed("\0".join(code))[:12] / PACKAGE
        shutil.rmtree(self.folder / "configs", ignore_errors=True)
        bake = [sys.executable, "-m", "cookiecutter", "--no-input", "--default-config", "--overwrite-if-exists"]
        bake += ["--output-dir", str(self.folder.parent), str(TEMPLATE)]
        bake += [f"{answer}={PACKAGE}" for answer in ("project_slug", "package_name")]
        subprocess.run(bake, check=True, stdout=subprocess.DEVNULL)
        sys.path.insert(0, str(self.folder))
        self.runs: dict[str, Run] = {}  # by key
        self.keys: dict[Job, str] = {}

    def hydra(self) -> AbstractContextManager[Any]:
        """Let Hydra compose this project's configurations."""
        from trainwell.config import compose

        return compose.hydra_here(config_path=str(self.folder / "configs"))

    def composed(self, overrides: Sequence[str]) -> DictConfig:
        """The configuration of these overrides, with what ``train.py`` itself learns from the monitored metric."""
        from trainwell.config import compose

        with self.hydra():
            config = compose.without_hydra(compose.composed("train", overrides))
        config.monitor_mode = "min" if config.monitor.endswith("/loss") else "max"
        return config

    def built(self, overrides: Sequence[str]) -> tuple[DictConfig, Any, Any]:
        """Their configuration, and the data and the task that it describes."""
        from trainwell.runs.load import build

        config = self.composed(overrides)
        return config, *build(config)

    def jobs(self, overrides: Sequence[str]) -> list[Job]:
        """The runs that a sweep consists of: ``seed=0,1 +experiment=x`` are two."""
        from trainwell.config import compose

        with self.hydra():
            return [frozenset(job) for job in compose.jobs("train", overrides)]

    def key(self, job: Job) -> str:
        """Identifies the configuration of a job, apart from its run folder."""
        if job not in self.keys:
            config = self.composed([*UNMONITORED, *sorted(job)])
            config.run_folder = "RUN"
            self.keys[job] = hashed(OmegaConf.to_yaml(config, resolve=True))
        return self.keys[job]

    def run(self, job: Job) -> Run:
        return self.runs[self.key(job)]

    def missing(self, jobs: Collection[Job]) -> list[Job]:
        """The jobs of which no run has ended."""
        known = {run.folder for run in self.runs.values()}
        new = [Run(folder) for folder in self.folder.glob("runs/*/*") if folder not in known]
        self.runs |= {key: run for run in new if (key := run.key())}
        return [job for job in jobs if self.key(job) not in self.runs]

    def train(self, jobs: Collection[Job]) -> Iterator[int]:
        """Train what is missing, on one core and in few processes; yield how many are left, every second.

        Raises: RuntimeError: a run failed.
        """
        for sweep in sweeps(self.missing(jobs)):
            command = [sys.executable, "train.py", "-m", *UNMONITORED, *sweep]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            with tempfile.TemporaryFile("w+") as output:
                process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=output, stderr=output)
                try:
                    while process.poll() is None:
                        yield len(self.missing(jobs))
                        with suppress(subprocess.TimeoutExpired):
                            process.wait(1)
                finally:
                    process.terminate()
                if self.missing(self.jobs(sweep)):
                    output.seek(0)
                    raise RuntimeError(f"train.py -m {' '.join(sweep)}\n{output.read()}")
        yield len(self.missing(jobs))


def sweeps(jobs: Collection[Job]) -> Iterator[list[str]]:
    """The overrides of sweeps over seeds that together consist of exactly these jobs."""
    seeds: dict[Job, list[str]] = {}
    for job in sorted(jobs, key=sorted):
        others = frozenset(override for override in job if not override.startswith("seed="))
        seeds.setdefault(others, []).extend(override.removeprefix("seed=") for override in job - others)
    yield from ([*sorted(others), f"seed={','.join(of_job)}"] for others, of_job in seeds.items())


def code_in(*names: str) -> list[str]:
    """The text of each Python file in the template of a project that is named or in a folder that is named."""
    places = [PLAIN / name for name in names]
    paths = [path for place in places for path in ([place] if place.is_file() else sorted(place.glob("**/*.py")))]
    return [path.read_text("utf-8") for path in paths]


def hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def kept(path: Path, measure: Callable[[], Any]) -> Any:
    """What ``measure`` returned the first time, as JSON can hold it."""
    if not path.exists():
        write(path, json.dumps(measure()))
    return json.loads(path.read_text("utf-8"))


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(text, "utf-8")
    unfinished.replace(path)
