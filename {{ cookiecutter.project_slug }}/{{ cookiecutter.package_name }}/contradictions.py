"""Settings that cannot go together, each of them right by itself.

A contradiction is a function of the configuration and of the groups that were changed, with what was typed; it yields
sentences that say what to type instead.
"""

from collections.abc import Iterator, Mapping

from omegaconf import DictConfig

GROUPS_INSIDE_A_NETWORK = ("activation", "residual", "normalisation", "initialisation", "dropout")


def decay_that_the_optimizer_couples(config: DictConfig, touched: Mapping[str, str]) -> Iterator[str]:
    if config.weight_decay._target_.endswith(".decoupled") and config.optimizer._target_ != "torch.optim.AdamW":
        yield (
            "weight_decay=decoupled needs an optimizer that keeps decay apart from the gradient: type optimizer=adamw, "
            "or weight_decay=l2"
        )


def patience_that_never_runs_out(config: DictConfig, touched: Mapping[str, str]) -> Iterator[str]:
    stopping = config.callbacks.get("early_stopping")
    validations = config.trainer.max_epochs // config.trainer.check_val_every_n_epoch
    if stopping is not None and stopping.patience >= validations:
        yield (
            f"callbacks.early_stopping.patience must be below the number of validations, {validations} in "
            f"{config.trainer.max_epochs} epochs, or it can never stop anything; got {stopping.patience} "
            "(lower it, raise trainer.max_epochs, or take it out with ~callbacks.early_stopping)"
        )


def best_weights_that_nobody_keeps(config: DictConfig, touched: Mapping[str, str]) -> Iterator[str]:
    if "checkpoint" not in config.callbacks or config.trainer.get("enable_checkpointing") is False:
        yield "callbacks.checkpoint cannot be taken out: the best weights are restored from it when training ends"


def callbacks_that_are_null(config: DictConfig, touched: Mapping[str, str]) -> Iterator[str]:
    for name, callback in config.callbacks.items():
        if callback is None:
            yield f"callbacks.{name} cannot be null; to take it out, type ~callbacks.{name}"


def no_validation(config: DictConfig, touched: Mapping[str, str]) -> Iterator[str]:
    if config.trainer.limit_val_batches == 0:
        yield f"trainer.limit_val_batches must be above 0: {config.monitor} decides which weights are kept"


def groups_that_cannot_reach_in(config: DictConfig, touched: Mapping[str, str]) -> Iterator[str]:
    if config.network._target_.endswith(".own"):
        for group in GROUPS_INSIDE_A_NETWORK:
            if group in touched:
                yield f"network=own builds itself, so {touched[group]} would be ignored; take it out"


def momentum_that_is_taken_over(config: DictConfig, touched: Mapping[str, str]) -> Iterator[str]:
    if config.scheduler._target_.endswith(".one_cycle") and "optimizer.momentum" in touched.get("optimizer", ""):
        yield "scheduler=one_cycle moves the momentum itself, so optimizer.momentum would be ignored; take it out"


def a_bar_that_stays(config: DictConfig, touched: Mapping[str, str]) -> Iterator[str]:
    if not config.trainer.enable_progress_bar and "progress_bar" in config.callbacks:
        yield "trainer.enable_progress_bar=false needs its bar taken out as well: type ~callbacks.progress_bar"


def penalty_of_a_part_of_the_batch(config: DictConfig, touched: Mapping[str, str]) -> Iterator[str]:
    if config.weight_decay._target_.endswith(".sklearn") and config.trainer.accumulate_grad_batches > 1:
        yield (
            "weight_decay=sklearn shares alpha among the rows of a batch, so it cannot be had with "
            f"trainer.accumulate_grad_batches={config.trainer.accumulate_grad_batches}: type weight_decay=l2"
        )


def batch_statistics_of_one_row(config: DictConfig, touched: Mapping[str, str]) -> Iterator[str]:
    if config.normalisation._target_.endswith(".batch") and config.data.batch_size == 1:
        yield "normalisation=batch needs data.batch_size of 2 or more, got 1"


def fused_with_scaled_gradients(config: DictConfig, touched: Mapping[str, str]) -> Iterator[str]:
    if str(config.trainer.precision) in ("16", "16-mixed") and config.optimizer.get("fused"):
        yield "trainer.precision=16-mixed cannot clip with a fused optimizer; type optimizer.fused=false or bf16-mixed"


CONTRADICTIONS = (
    callbacks_that_are_null,
    decay_that_the_optimizer_couples,
    patience_that_never_runs_out,
    best_weights_that_nobody_keeps,
    no_validation,
    groups_that_cannot_reach_in,
    momentum_that_is_taken_over,
    a_bar_that_stays,
    penalty_of_a_part_of_the_batch,
    batch_statistics_of_one_row,
    fused_with_scaled_gradients,
)


def mistakes_with_data(config: DictConfig, train_rows: int) -> Iterator[str]:
    """The mistakes that depend on how many rows there are to train on."""
    batch_size = config.data.batch_size
    if batch_size > train_rows:
        yield f"data.batch_size must be at most the number of train rows, {train_rows}, got {batch_size}"
    elif config.normalisation._target_.endswith(".batch") and train_rows % batch_size == 1:
        yield (
            f"data.batch_size={batch_size} leaves one row of {train_rows} for the last batch, and normalisation=batch "
            f"needs two: try data.batch_size={batch_size + 1}"
        )
    batches = -(-train_rows // batch_size)
    steps = config.trainer.max_epochs * -(-batches // config.trainer.accumulate_grad_batches)
    rising = config.scheduler.get("warmup_fraction", 1) * steps
    if rising <= 1:
        yield f"scheduler.warmup_fraction must give more than one of the {steps} steps, got {rising:g}"
    warmup = config.scheduler.get("warmup_steps", 0)
    if warmup >= steps and isinstance(config.trainer.limit_train_batches, float):
        yield f"scheduler.warmup_steps must be below the number of steps, {steps}, got {warmup}"
