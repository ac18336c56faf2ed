"""What can only be checked when data, module and trainer exist, and before anything is written."""

from lightning import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import BaseFinetuning
from omegaconf import DictConfig, OmegaConf
from torch.nn.modules.batchnorm import _BatchNorm

from ..data.batches import Batches
from ..lightning_internals import starts_further_processes


def check(
    config: DictConfig, trainer: Trainer, data: LightningDataModule, module: LightningModule, multirun: bool
) -> None:
    """Check the batches of the train split against the trainer and the module.

    Raises: ValueError: every mistake, a line each.
    """
    if multirun and starts_further_processes(trainer):
        raise ValueError(
            "a sweep cannot start further processes for its runs: type trainer.strategy=ddp_spawn, or start the runs "
            "one by one, without -m"
        )
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    finetuning = next((type(part).__name__ for part in callbacks if isinstance(part, BaseFinetuning)), None)
    scheduler = OmegaConf.select(config, "scheduler._target_", default="")
    if finetuning and scheduler.endswith((".one_cycle", ".OneCycleLR")):
        raise ValueError(
            f"scheduler=one_cycle plans the rates of all parameters at the start, and {finetuning} adds some later: "
            "type scheduler=cosine or another"
        )
    loader = data.train_dataloader() if config.task.get("_partial_") else None  # set up already; others may not be
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
