"""Log to Weights & Biases without risk to the training."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.loggers.logger import DummyExperiment, rank_zero_experiment

from ..metrics import VALIDATION
from .wandb_run import WANDB_ID_FILE, delete, failures, group_of, pieces, reason, start_run, tags_of

log = logging.getLogger(__name__)

BROKEN = (ImportError, AttributeError, TypeError, ValueError)  # raised by installations and settings that cannot work
STEP = "trainer/global_step"
NOTHING = ("does not work here", "this run is recorded in its folder alone")


class SafeWandbLogger(WandbLogger):
    """A ``WandbLogger`` whose troubles are not the training's: the first is reported in one line, and W&B left alone.

    The W&B run begins when ``experiment`` is first used, which Lightning does as ``fit`` starts; until then nothing is
    read, written or sent. Only the process of rank zero has a W&B run. With ``code_diff``, the uncommitted changes in
    the run folder's ``code.diff`` are uploaded, unless ``WANDB_DISABLE_CODE`` is set. With ``log_model``, the best
    weights become an artifact of the run when it ends.
    """

    def __init__(
        self,
        project: str,
        run_folder: str,
        code_diff: bool = False,
        log_model: bool = False,
        job_type: str | None = None,
        tags: Sequence[str] = (),
    ) -> None:
        with suppress(ModuleNotFoundError):  # wandb is not installed: reported when the run begins
            super().__init__(project=project)
        self.project = project
        self.folder = Path(run_folder)
        self.code_diff = code_diff
        self.log_model = log_model
        self.tags = list(tags)
        self.described: dict[str, Any] = {"job_type": job_type} if job_type else {}
        self.higher_is_better: Callable[[str], bool | None] = dict[str, bool]().get  # none is known
        self.summarized: set[str] = set()  # metrics whose best value is in the summary
        self.trouble: str | None = None
        self.run: Any = None  # wandb.Run, once it has begun
        self.written: list[Path] = []  # by this logger: a folder in wandb/, and perhaps the id file

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "run": None}  # a spawned process attaches by the id file

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run; where W&B does not work, an object that accepts every call and does nothing."""
        if self.run is None and self.trouble is None:
            try:
                self._begin()
            except BROKEN as error:
                self._give_up(*NOTHING, error)
        return DummyExperiment() if self.run is None else self.run

    @property
    def works(self) -> bool:
        """Whether this process records anything in W&B; starts the run."""
        return self.experiment is self.run and self.trouble is None

    @property
    def name(self) -> str:
        """The W&B project."""
        return self.project

    @property
    def version(self) -> str | None:
        """The run's id in W&B, once it has begun."""
        return None if self.run is None else self.run.id

    @property
    def save_dir(self) -> str:
        return str(self.folder)

    def describe(
        self, overrides: Sequence[str], choices: Mapping[str, str], higher_is_better: Callable[[str], bool | None]
    ) -> None:
        """Name the run's group and tags by its options, before it begins; say which metrics are better when higher."""
        self.described |= {
            "group": group_of(self.folder.parent.name, overrides),
            "tags": [*self.tags, *tags_of(overrides, choices)],
        }
        self.higher_is_better = higher_is_better

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        for name in [name for name in metrics if VALIDATION.match(name) and name not in self.summarized]:
            self.summarized.add(name)
            if (higher := self.higher_is_better(name)) is not None:
                self.summarize_best(name, "max" if higher else "min")
        self._safely(partial(super().log_metrics, metrics, step))

    def log_hyperparams(self, params: Any) -> None:
        self._safely(partial(super().log_hyperparams, params))

    def log_images_from_files(self, images: Mapping[str, Path]) -> None:
        for name, path in images.items():
            self._safely(partial(self.log_image, name, [str(path)]))

    def log_objects(self, objects: Mapping[str, Any]) -> None:
        """Log what is not a number, such as ``wandb.Histogram`` and ``wandb.Table``."""
        self._safely(lambda: self.run.log(dict(objects)))

    def summarize_best(self, metric: str, mode: str) -> None:
        """Let W&B's table of runs show the best value of a metric (``mode``: min or max) beside its last."""
        self.summarized.add(metric)
        self._safely(lambda: self.run.define_metric(metric, step_metric=STEP, summary=f"{mode},last"))

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Checkpoints stay in the run folder."""

    def finalize(self, status: str) -> None:
        """Lightning ends each ``fit`` and ``test`` with this; the W&B run ends with ``finish``."""

    def finish(self, exit_code: int = 0) -> None:
        """End the W&B run, if it has begun; waits up to 30 seconds for its upload."""
        weights = self.folder / "checkpoints" / "best.ckpt"
        if self.run is not None and self.log_model and exit_code == 0 and weights.is_file():
            self._safely(lambda: self._log_artifact(weights))
        if self.run is not None:
            try:
                self.run.finish(exit_code=exit_code)
            except failures() as error:
                self._give_up("could not finish", "what was not uploaded is kept in wandb/", error)

    def discard(self) -> None:
        """End the W&B run and delete what this logger has written, never what an earlier part of the run has."""
        self.finish(exit_code=1)
        for path in self.written:
            delete(path)
        self.written = []

    def how_to_view(self) -> list[str]:
        """What to open or to type in order to see the run; empty where there is none."""
        if self.run is None or self.run.disabled:
            return []
        if not self.run.offline and self.trouble is None:
            return [str(self.run.url)] if self.run.url else []
        folder = Path(self.run.settings.sync_dir).parent
        shown = os.path.relpath(folder)
        parts = " ".join(f"{shown}/{piece.name}" for piece in sorted(pieces(folder, self.run.id)))
        login = ", after `wandb login`" if self.run.offline else ""
        return [f"wandb leet {shown}", f"wandb sync {parts}   (uploads it{login})"]

    def _log_artifact(self, weights: Path) -> None:
        import wandb

        artifact = wandb.Artifact(f"weights-{self.run.id}", type="model", metadata={"folder": str(self.folder)})
        artifact.add_file(str(weights))
        self.run.log_artifact(artifact, aliases=["best"])

    def _safely(self, action: Callable[[], object]) -> None:
        if self.works:
            try:
                action()
            except failures() as error:
                self._give_up("stopped recording", "the run continues, and its folder has everything", error)

    def _give_up(self, what: str, consequence: str, error: Exception) -> None:
        if self.trouble is None:
            self.trouble = reason(error)
            log.warning(f"W&B: {what} ({self.trouble}); {consequence}")

    def _begin(self) -> None:
        import wandb

        try:
            if wandb.run is None:
                self._start()
            else:  # begun by the user's own code, or by a sweep agent that calls a function
                self.run = wandb.run
            if self.folder.exists() and not self.run.disabled:
                (self.folder / WANDB_ID_FILE).write_text(self.run.id, encoding="utf-8")
            if self.code_diff and (self.folder / "code.diff").exists() and not self.run.settings.disable_code:
                self.run.save(self.folder / "code.diff", base_path=self.folder, policy="now")
        except failures() as error:
            self._give_up(*NOTHING, error)

    def _start(self) -> None:
        id_file = self.folder / WANDB_ID_FILE
        known_id = id_file.read_text(encoding="utf-8").strip() if id_file.exists() else None
        self.run = start_run(self.project, self.folder, known_id, self.described)
        self.written = [Path(self.run.settings.sync_dir)] + ([] if known_id else [id_file])
        self.run.define_metric(STEP)
        self.run.define_metric("*", step_metric=STEP, step_sync=True)


def safe_wandb_loggers(trainer: Trainer) -> list[SafeWandbLogger]:
    return [logger for logger in trainer.loggers if isinstance(logger, SafeWandbLogger)]
