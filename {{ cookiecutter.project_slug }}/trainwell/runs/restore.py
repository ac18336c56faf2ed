"""Find the checkpoint to resume a run from, and refuse what would not lead to the result the run was heading for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from lightning import LightningDataModule, LightningModule
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.model_helpers import is_overridden
from omegaconf import DictConfig, OmegaConf

from ..callbacks.resumable_checkpoint import LAST, NEXT, PREVIOUS, rotate
from ..data.in_memory import InMemoryDataModule
from .checkpoint_io import first_misfit, read_checkpoint

# Keys, and groups of keys.
MAY_DIFFER = ("trainer.max_epochs", "trainer.max_time", "trainer.enable_progress_bar", "callbacks.progress_bar")
FILES = ("best_model_path", "kth_best_model_path", "last_model_path")  # in the state of a ModelCheckpoint


@dataclass(frozen=True)
class ResumePoint:
    """The checkpoint to resume from; ``path`` is None if the run stopped before its first one."""

    folder: Path
    path: Path | None = None
    step: int = 0
    rows: int = 0  # of metrics.csv
    columns: int = 0
    seconds: float = 0.0
    passed_over: tuple[str, ...] = ()  # newer checkpoints, each with what is wrong with it


def resume_point(config: DictConfig, task: LightningModule, data: LightningDataModule | None = None) -> ResumePoint:
    """Find the newest checkpoint of a run that is whole; damaged ones are passed over.

    Raises: ValueError: there are checkpoints and none can be read, or the configuration, the network or data in memory
        have changed, or a checkpoint names files outside the run folder.
    """
    folder = Path(config.run_folder)
    unreadable = []
    for name in (NEXT, LAST, PREVIOUS):
        path = folder / "checkpoints" / name
        if not path.exists():
            continue
        try:
            checkpoint = read_checkpoint(path)
            point = point_in(folder, path, checkpoint)
        except ValueError as error:
            unreadable.append(str(error))
            continue
        refuse_other_configuration(folder, checkpoint["resume"]["config"], OmegaConf.to_container(config, resolve=True))
        complete = task.strict_loading and not is_overridden("configure_model", task)
        if misfit := first_misfit(checkpoint["state_dict"], task.state_dict(), strict=complete):
            raise ValueError(
                f"resume={folder}: the code has changed since the run began: {misfit}; resume it with the code of that "
                "time, whose commit is in provenance.json"
            )
        if isinstance(data, InMemoryDataModule) and (state := checkpoint.get(type(data).__qualname__)):
            data.load_state_dict(state)  # as Lightning will, but before the folder is touched
        for state in checkpoint["callbacks"].values():
            localize_checkpoint_state(state, folder / "checkpoints")
        if name == NEXT and getattr(rank_zero_only, "rank", 0) == 0:  # a kill came before the file was renamed
            rotate(path.parent)
        return replace(point, passed_over=tuple(unreadable))
    if unreadable:
        restart = f"to run it again in a new folder:  python train.py reproduce={folder}"
        raise ValueError("\n".join([f"resume={folder}: there is no checkpoint to resume from", *unreadable, restart]))
    return ResumePoint(folder)


def point_in(folder: Path, path: Path, checkpoint: Mapping[str, Any]) -> ResumePoint:
    """Raises: ValueError: the checkpoint lacks what this project's runs save."""
    saved = checkpoint.get("resume")
    kinds = {"config": dict, "rows": int, "columns": int, "seconds": float, "ranks": list}
    if not (
        isinstance(checkpoint.get("global_step"), int)
        and isinstance(checkpoint.get("callbacks"), dict)
        and isinstance(saved, dict)
        and all(isinstance(saved.get(key), kind) for key, kind in kinds.items())
    ):
        raise ValueError(f"{path} was not written by this project")
    path = path.with_name(LAST) if path.name == NEXT else path
    return ResumePoint(folder, path, checkpoint["global_step"], saved["rows"], saved["columns"], saved["seconds"])


def refuse_other_configuration(folder: Path, then: Any, now: Any) -> None:
    was, is_ = dict(flattened(then)), dict(flattened(now))
    free = tuple(f"{key}." for key in MAY_DIFFER)
    changed = [key for key in {**was, **is_} if was.get(key) != is_.get(key) and not f"{key}.".startswith(free)]
    if changed:
        changes = ", ".join(f"{key} was {was.get(key)}, is {is_.get(key)}" for key in changed)
        raise ValueError(f"resume={folder}: config.yaml has changed since the run began ({changes}); change it back")


def flattened(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its full key; a list is one value."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def localize_checkpoint_state(state: Any, checkpoints: Path) -> Any:
    """The state of a ModelCheckpoint, with every path moved to where the run folder is now.

    ModelCheckpoint deletes the files that its state names. A path is taken from behind the name of the run folder; of
    any other path only the last part, below ``checkpoints``. The state of any other callback is returned as it is.

    Raises: ValueError: a path leads out of the run folder, for example through a link, or is one of its own folders.
    """
    if not isinstance(state, dict):
        return state
    moved: dict[str, Any] = {key: localized(state[key], checkpoints) for key in FILES if state.get(key)}
    if state.get("dirpath"):
        moved["dirpath"] = localized(state["dirpath"], checkpoints, is_folder=True)
    if isinstance(best := state.get("best_k_models"), dict):
        moved["best_k_models"] = {localized(path, checkpoints): score for path, score in best.items()}
    return {**state, **moved}


def localized(path: Any, checkpoints: Path, *, is_folder: bool = False) -> str:
    run = checkpoints.parent.resolve()
    parts = PurePosixPath(str(path).replace("\\", "/")).parts
    known = run.name in parts
    below = parts[len(parts) - parts[::-1].index(run.name) :] if known else (checkpoints.name, *parts[-1:])
    place = run.joinpath(*below)
    leaves = ".." in below or "\0" in str(path) or not place.resolve().is_relative_to(run)
    if leaves or (not is_folder and place.is_dir() and place.parent in (run, run.parent)):
        raise ValueError(f"{checkpoints}: a checkpoint names {str(path)!r:.100}, which is no checkpoint of this run")
    return str(place)
