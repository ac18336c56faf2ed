"""A study: trials that several processes may work on, in a folder that survives a kill."""

import logging
import math
import os
import secrets
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from filelock import FileLock, Timeout
from omegaconf import OmegaConf
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from ..data.batches import mixed
from ..runs.stored_config import parsed

STUDIES = Path("runs", "studies")
NAMES = "its folder, the short id at the folder's end, or latest"
RANDOM_TRIALS = 10  # before the sampler has something to learn from
TRIALS_BEFORE_PRUNING, VALIDATIONS_BEFORE_PRUNING = 5, 3

log = logging.getLogger(__name__)


class Plan(NamedTuple):
    """What a study searches; ``study.yaml``."""

    search: str
    overrides: Sequence[str]  # of every trial
    space: dict[str, Any]
    monitor: str
    mode: str  # min or max
    seed: int


class Study:
    """An Optuna study in a folder: ``study.yaml``, ``journal.log``, and a lock for each process that works on it."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        journal = str(folder / "journal.log")
        storage = JournalStorage(JournalFileBackend(journal, lock_obj=JournalFileOpenLock(journal)))
        direction = StudyDirection.MAXIMIZE if plan.mode == "max" else StudyDirection.MINIMIZE
        pruner = MedianPruner(TRIALS_BEFORE_PRUNING, VALIDATIONS_BEFORE_PRUNING)
        self.optuna = optuna.create_study(
            study_name="study", storage=storage, direction=direction, pruner=pruner, load_if_exists=True
        )
        self.optuna.sampler = self.sampler()

    def sampler(self) -> TPESampler:
        """A sampler that draws other values than the processes before this one did."""
        seed = mixed(self.plan.seed, len(self.optuna.get_trials(deepcopy=False)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return TPESampler(n_startup_trials=RANDOM_TRIALS, multivariate=True, seed=seed)

    @contextmanager
    def worker(self) -> Iterator[str]:
        """Mark this process as alive for as long as the block lasts; the system ends the mark of one that dies."""
        name = f"{os.getpid()}_{secrets.token_hex(4)}"
        self.lock_of(name).parent.mkdir(exist_ok=True)
        with FileLock(self.lock_of(name)):
            try:
                yield name
            finally:
                self.lock_of(name).unlink(missing_ok=True)

    def lock_of(self, worker: str) -> Path:
        return self.folder / "workers" / f"{worker}.lock"

    def is_alive(self, worker: str) -> bool:
        if not self.lock_of(worker).exists():
            return False
        try:
            with FileLock(self.lock_of(worker)).acquire(blocking=False):
                return False
        except Timeout:
            return True

    def ask(self, worker: str, space: Any, trials: int) -> optuna.Trial | None:
        """The next trial; None: there are as many as wanted."""
        with FileLock(self.folder / ".lock"):
            self.requeue_abandoned()
            if len(self.counted()) >= trials:
                return None
            trial = self.optuna.ask(space)
            trial.set_user_attr("worker", worker)
            return trial

    def requeue_abandoned(self) -> None:
        """Try the parameters of trials again whose processes have died."""
        for trial in self.optuna.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            if not self.is_alive(trial.user_attrs.get("worker", "none")):
                self.optuna.tell(trial.number, state=TrialState.FAIL)
                self.optuna.enqueue_trial(trial.params)
                log.info(f"trial {trial.number} was interrupted; its values are tried again")

    def counted(self) -> list[FrozenTrial]:
        """Trials that have ended by themselves, which a failure does with a reason, or still run."""
        trials = self.optuna.get_trials(deepcopy=False)
        abandoned = [t.number for t in trials if t.state is TrialState.FAIL and "reason" not in t.user_attrs]
        return [t for t in trials if t.state is not TrialState.WAITING and t.number not in abandoned]

    def completed(self) -> list[FrozenTrial]:
        """Trials with a result, the best one first."""
        found = self.optuna.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        return sorted(found, key=attrgetter("value"), reverse=self.plan.mode == "max")

    def record(self, trial: optuna.Trial, value: float) -> None:
        if math.isnan(value):
            self.end(trial, TrialState.FAIL, f"{self.plan.monitor} has no value")
        else:
            self.optuna.tell(trial, value)

    def end(self, trial: optuna.Trial, state: TrialState, reason: str) -> None:
        """End a trial without a result."""
        trial.set_user_attr("reason", reason)
        self.optuna.tell(trial, state=state)


def create(plan: Plan) -> Study:
    folder = STUDIES / f"{plan.search}_{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(4)}"
    folder.mkdir(parents=True)
    OmegaConf.save(OmegaConf.create(plan._asdict()), folder / "study.yaml")
    return Study(folder, plan)


def find(name: str) -> Path:
    """The folder of the study that ``name`` names.

    Raises: ValueError: there is none.
    """
    if (Path(name) / "study.yaml").is_file():
        return Path(name)
    found = sorted(STUDIES.glob("*/study.yaml"), key=lambda path: path.stat().st_mtime)
    folders = [path.parent for path in found if name == "latest" or path.parent.name.endswith(f"_{name}")]
    if not folders:
        raise ValueError(f"there is no such study in {STUDIES}; a study is named by {NAMES}")
    return folders[-1]


def open_study(folder: Path) -> Study:
    """Raises: ValueError: ``study.yaml`` is missing, malformed or not a study's."""
    path = folder / "study.yaml"
    values: Any = OmegaConf.to_container(parsed(path))
    try:
        return Study(folder, Plan(**values))
    except TypeError as error:
        raise ValueError(f"{path} does not describe a study") from error
