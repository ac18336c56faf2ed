"""Build what a configuration describes, check that the parts fit together, and load a run that has ended."""

import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning import Callback, LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import BaseFinetuning
from omegaconf import DictConfig, OmegaConf
from torch.nn.modules.batchnorm import _BatchNorm

from ..config.validate import did_you_mean
from ..data.batches import Batches
from ..data.in_memory import InMemoryDataModule
from ..errors import place_of
from ..lightning_internals import starts_further_processes
from .checkpoint_io import load_weights, read_checkpoint
from .folder import find
from .stored_config import read_config


class TrainedRun(NamedTuple):
    """``task`` has the best weights and is in evaluation mode; ``data``, set up, is what it was trained on."""

    task: LightningModule
    data: LightningDataModule
    config: DictConfig
    folder: Path


def load_run(run: str | Path, *, stage: str = "fit") -> TrainedRun:
    """Load a run: its folder, the short id at the end of it, ``latest``, or its W&B path.

    With ``stage="predict"``, a data module that has saved what it measured needs no training data.

    Raises: ValueError: there is no such run, its configuration is not allowed, its weights are missing or damaged, or
        its data or network cannot be built.
    """
    folder = find(str(run))
    config = read_config(folder)
    weights = folder / "checkpoints" / "best.ckpt"
    if not weights.exists():
        raise ValueError(f"{folder} has no weights yet: checkpoints/best.ckpt is missing")
    data = build_data(config, read_checkpoint(weights), stage)
    task = build_task(without_initial_weights(config), data)
    with mistakes_as_value_errors():
        if not takes_data(config):
            data.prepare_data()
            data.setup("fit")
        data.setup("test")
    load_weights(task, weights)
    return TrainedRun(task.eval(), data, config, folder)


def without_initial_weights(config: DictConfig) -> DictConfig:
    """The same run without ``network.weights``, a file that may be gone: its checkpoint replaces these weights."""
    config = config.copy()
    for key in ("network.weights", "task.network.weights"):
        if OmegaConf.select(config, key) is not None:
            OmegaConf.update(config, key, None)
    return config


def build(config: DictConfig) -> tuple[LightningDataModule, LightningModule]:
    """Build the data module and the task.

    Raises: ValueError: a part refuses its arguments, a target cannot be found, or the data cannot be read.
    """
    data = build_data(config)
    return data, build_task(config, data)


def build_data(
    config: DictConfig, checkpoint: Mapping[str, Any] | None = None, stage: str = "fit"
) -> LightningDataModule:
    """Build the data module; set it up if the task is built from it.

    Data in memory first get the state that a ``checkpoint`` keeps of them, which they set up with; Lightning gives a
    data module its state when it has been set up.
    """
    with mistakes_as_value_errors():
        data = instantiate(config.data)
        in_memory = isinstance(data, InMemoryDataModule)
        if in_memory and checkpoint is not None and (state := checkpoint.get(type(data).__qualname__)):
            data.load_state_dict(state)
        if takes_data(config):
            data.prepare_data()
            data.setup(stage if in_memory else "fit")
    return data


def build_task(config: DictConfig, data: LightningDataModule) -> LightningModule:
    """Build the task, from the data if it is ``_partial_``; its initial weights depend on ``config.seed`` alone."""
    with mistakes_as_value_errors():
        seed_everything(config.seed, verbose=False)
        if not takes_data(config):
            return instantiate(config.task)
        factory = instantiate(with_metric_factories(config))
        refuse_wrong_arguments(factory, data)
        return factory(data)


def with_metric_factories(config: DictConfig) -> DictConfig:
    """``config.task``, whose ``metrics`` are factories: only the data say how many classes or outputs there are."""
    task: Any = OmegaConf.create({"task": OmegaConf.to_container(config.task, resolve=True)}).task
    metrics = task.get("metrics")
    for metric in metrics.values() if isinstance(metrics, DictConfig) else ():
        metric._partial_ = True
    return task


def takes_data(config: DictConfig) -> bool:
    return bool(OmegaConf.select(config, "task._partial_"))


def refuse_wrong_arguments(factory: partial[LightningModule], data: LightningDataModule) -> None:
    """Raises: ValueError: a key below ``task`` is no argument of its target."""
    try:
        inspect.signature(factory.func).bind(data, **factory.keywords)
    except TypeError as error:
        raise ValueError(f"task: {factory.func.__qualname__}: {error}") from error


def check_before_training(
    config: DictConfig, trainer: Trainer, data: LightningDataModule, module: LightningModule, multirun: bool
) -> None:
    """Check what was built together, above all the batches of the train split against the trainer and the module.

    Raises: ValueError: every mistake, a line each.
    """
    if multirun and starts_further_processes(trainer):
        raise ValueError(
            "a sweep cannot start further processes for its runs: type trainer.strategy=ddp_spawn, or start the runs "
            "one by one, without -m"
        )
    if config.get("test") and type(module).test_step is LightningModule.test_step:
        raise ValueError(f"test=true needs {type(module).__name__}.test_step; leave it out, or define that method")
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    finetuning = next((type(part).__name__ for part in callbacks if isinstance(part, BaseFinetuning)), None)
    scheduler = OmegaConf.select(config, "scheduler._target_", default="")
    if finetuning and scheduler.endswith((".one_cycle", ".OneCycleLR")):
        raise ValueError(
            f"scheduler=one_cycle plans the rates of all parameters at the start, and {finetuning} adds some later: "
            "type scheduler=cosine or another"
        )
    loader = data.train_dataloader() if takes_data(config) else None  # set up already; others may not be
    if not isinstance(loader, Batches):
        return
    refuse_batch_size(loader, module, trainer.world_size)
    interval = trainer.val_check_interval
    if isinstance(interval, int) and trainer.check_val_every_n_epoch is not None and interval > len(loader):
        raise ValueError(
            f"trainer.val_check_interval must be at most the number of batches in an epoch, {len(loader)}, got "
            f"{interval}; with trainer.check_val_every_n_epoch=null it counts batches across epochs"
        )


def refuse_batch_size(loader: Batches, module: LightningModule, processes: int = 1) -> None:
    """Raises: ValueError: there are fewer samples than a batch needs, or one is left where a module needs two."""
    size, share = loader.batch_size, len(loader.samples.y) // processes
    of_each = f" of each of {processes} processes" if processes > 1 else ""
    if size > share:
        raise ValueError(f"data.batch_size must be at most the number of train samples{of_each}, {share}, got {size}")
    if share % size == 1 and any(isinstance(part, _BatchNorm) for part in module.modules()):
        raise ValueError(
            f"data.batch_size={size} leaves one sample of {share}{of_each} for the last batch, and batch normalisation "
            f"needs two: try data.batch_size={size + 1}"
        )


@contextmanager
def mistakes_as_value_errors(owner: str = "") -> Iterator[None]:
    """While objects are built, treat a value or a file that they refuse as a mistake of the configuration.

    Raises: ValueError: with the part's own words, behind the key of the ``owner`` that is built.
    """
    try:
        yield
    except InstantiationException as error:
        if not isinstance(error.__cause__, ValueError | TypeError | ImportError | OSError | MisconfigurationException):
            raise
        key = re.search(r"full_key: (\S+)", str(error))
        where = f"{key[1]}._target_: " if key and isinstance(error.__cause__, ImportError) else ""
        words = in_words(error.__cause__)
        where = f"{owner}: " if owner and not where and not words.startswith(owner) else where
        raise ValueError(where + words) from error
    except OSError as error:
        raise ValueError(in_words(error)) from error


def in_words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if "No supported gpu backend" in str(error):
        return "trainer.accelerator=gpu needs a GPU, and torch finds none; type trainer=cpu"
    if isinstance(error, ImportError):
        cause = error.__cause__
        absent = str(cause.name) if isinstance(cause, ModuleNotFoundError) else ""
        owner, _, name = absent.rpartition(".")
        if owner and re.match(rf"Error loading '{re.escape(absent)}[.']", str(error)):
            return f"{owner} has no {name}{did_you_mean(name, dir(import_module(owner)))}"
        return " ".join(str(error).split("\n")) + place_of(cause or error)
    return str(error)
