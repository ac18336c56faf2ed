"""Going on where a run stopped, to the end that it would have come to: bit for bit on the same processor."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from . import again, check, checkpoint

log = logging.getLogger(__name__)

MAY_DIFFER = (
    again.EPOCHS,
    "trainer.enable_progress_bar",
    "callbacks.progress_bar._target_",
    "trainer.callbacks",  # the same as callbacks
)


@dataclass(frozen=True)
class Stopped:
    """A run that has stopped, and the checkpoint to go on from; None if it stopped before the first."""

    folder: Path
    path: Path | None = None
    step: int = 0
    rows: int = 0  # of metrics.csv
    seconds: float = 0.0


def stopped(config: DictConfig, module: torch.nn.Module) -> Stopped:
    """Find the newest checkpoint of a run that can be read.

    Raises: ValueError: there are some and none can be read, or configuration or network are not the run's any more.
    """
    folder = Path(config.run_folder)
    unreadable = []
    for path, found in checkpoint.saved_in(folder):
        if isinstance(found, str):
            unreadable.append(f"{path} {found}")
            continue
        refuse_another_configuration(folder, found["resume"]["config"], OmegaConf.to_container(config, resolve=True))
        refuse_another_network(folder, shapes_of(found["state_dict"]), shapes_of(module.state_dict()))
        for reason in unreadable:
            log.warning(f"{reason}; so this goes on from the one before, {path.name}")
        if path.name == checkpoint.NEXT:  # killed before it could
            path = checkpoint.move_up(path.parent)
        kept = found["resume"]
        return Stopped(folder, path, found["global_step"], kept["rows"], kept["seconds"])
    if unreadable:
        again = f"to begin it again in a folder of its own:  python train.py reproduce={folder}"
        raise ValueError("\n".join([f"resume={folder}: there is nothing to go on from", *unreadable, again]))
    return Stopped(folder)


def refuse_another_configuration(folder: Path, then: Any, now: Any) -> None:
    was, is_ = (dict(check.leaves(OmegaConf.create(config))) for config in (then, now))
    odd = [key for key in {**was, **is_} if was.get(key) != is_.get(key) and key not in MAY_DIFFER]
    if odd:
        changed = ", ".join(f"{key} was {was.get(key)}, is {is_.get(key)}" for key in odd)
        raise ValueError(f"resume={folder}: config.yaml has been changed since the run began ({changed}); put it back")


def refuse_another_network(folder: Path, then: dict[str, tuple[int, ...]], now: dict[str, tuple[int, ...]]) -> None:
    odd = next((name for name in {**then, **now} if then.get(name) != now.get(name)), None)
    if odd is not None:
        raise ValueError(
            f"resume={folder}: the code has changed since the run began: {odd} was {then.get(odd, 'not there')}, is "
            f"{now.get(odd, 'not there')}; go on with the code of that time, whose commit is in origin.json"
        )


def shapes_of(state: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}
