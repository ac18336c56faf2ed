"""Every use of a private name of Lightning, Hydra or torch, one function each, with the versions it was checked with.

Exact resume and early refusals are not possible through public interfaces alone. Each function has a test in the
template's ``tests/trainwell/test_lightning_internals.py`` that fails when the library changes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from lightning import Trainer
    from torch.nn import Module

CHECKED_WITH = {"lightning": "2.6", "hydra-core": "1.3"}  # release lines


@contextmanager
def before_the_epoch(trainer: "Trainer") -> Iterator[None]:
    """Save as if the epoch that is starting had not started: Lightning 2.6 would resume in the middle of it."""
    progress = trainer.fit_loop.epoch_progress
    for counts in (progress.total, progress.current):
        counts.ready -= 1
    yield
    for counts in (progress.total, progress.current):
        counts.ready += 1


def forget_restart(trainer: "Trainer") -> None:
    """Treat the epoch at hand like one that was not resumed.

    After a resume in the middle of an epoch, Lightning 2.6 would leave out the plateau scheduler at the epoch's end.
    """
    trainer.fit_loop._restarting = False


def forget_restart_of_batches(trainer: "Trainer") -> None:
    """Start an epoch at its first batch: with ``max_steps`` Lightning 2.6 takes every resume for one in the middle.

    Not through ``fit_loop.restarting``, which then stays true whatever it is set to.
    """
    trainer.fit_loop.epoch_loop.restarting = trainer.fit_loop._restarting = False


def draw_batches_again(trainer: "Trainer") -> None:
    """Start the epoch's iterator anew: Lightning 2.6 starts it before a callback could restore random states."""
    iter(trainer.fit_loop._data_fetcher)  # type: ignore[arg-type]


def running_means(trainer: "Trainer") -> dict[str, dict[str, Any]]:
    """What ``self.log(..., on_epoch=True)`` has accumulated in this epoch, which Lightning 2.6 does not save."""
    metrics = trainer.fit_loop.epoch_loop._results
    return {
        key: {name: value.detach().cpu() for name, value in metric.metric_state.items()}
        for key, metric in metrics.items()
        if metric.is_tensor and metric.meta.on_epoch and (metric.meta.is_mean_reduction or metric.meta.is_sum_reduction)
    }


def add_running_means(trainer: "Trainer", saved: dict[str, dict[str, Any]]) -> None:
    """Add what was accumulated before the resume; called once, when the first batch after it has been logged."""
    metrics = trainer.fit_loop.epoch_loop._results
    for key, values in saved.items():
        for name, value in values.items() if key in metrics else ():
            current = getattr(metrics[key], name)
            setattr(metrics[key], name, value.to(current.device) + current)


def starts_further_processes(trainer: "Trainer") -> bool:
    """Whether this trainer runs the command line again for each further device, as Lightning 2.6 does for ``ddp``."""
    from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

    launcher = trainer.strategy.launcher
    externally = getattr(getattr(launcher, "cluster_environment", None), "creates_processes_externally", False)
    return isinstance(launcher, _SubprocessScriptLauncher) and trainer.world_size > 1 and not externally


def is_compiled(module: "Module") -> bool:
    """Whether ``torch.compile`` or ``module.compile`` was applied to this very module, as torch 2.13 records it."""
    return module._compiled_call_impl is not None or hasattr(module, "_orig_mod")


def hydra_arguments() -> "ArgumentParser":
    """The parser of Hydra 1.3's own options, such as ``--multirun`` and ``--config-dir``."""
    from hydra._internal.utils import get_args_parser

    return get_args_parser()


@contextmanager
def hydra_initialized(config_dir: str, further_dir: str | None) -> Iterator[None]:
    """Let Hydra 1.3 compose from two folders; ``initialize_config_dir`` takes one."""
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import create_config_search_path
    from hydra.core.global_hydra import GlobalHydra

    path = create_config_search_path(config_dir)
    if further_dir is not None:
        path.prepend("command-line", f"file://{further_dir}", anchor="schema")
    Hydra.create_main_hydra2("trainwell", path)
    try:
        yield
    finally:
        GlobalHydra.instance().clear()


def jobs_of_the_basic_sweeper(overrides: Sequence[Any]) -> list[list[str]]:
    """The overrides of every job that Hydra 1.3's own sweeper makes of parsed overrides."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    (batch,) = BasicSweeper.split_arguments(list(overrides), max_batch_size=None)
    return batch
