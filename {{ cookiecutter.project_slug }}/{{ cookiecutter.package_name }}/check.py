"""Every mistake that a configuration can hold, found before anything heavy is imported.

A mistake is one sentence: the key as it is typed, the rule, the value. What can only be known from the data or from a
part itself is a ValueError of ``build``.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

METRICS = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")
KINDS = {bool: "true or false", int: "a whole number", float: "a number"}
NULLABLE = ("trainer.gradient_clip_val", "trainer.gradient_clip_algorithm")
OPEN = ("trainer", "callbacks", "logger", "optimizer")  # groups that pass any argument on to a library
GROUPS_INSIDE_A_NETWORK = ("activation", "residual", "normalisation", "initialisation", "dropout")


class Rule(NamedTuple):
    """What a value must be, in words and as a test of it."""

    words: str
    holds: Callable[[Any], bool]


POSITIVE = Rule("above 0", lambda value: value > 0)
NOT_NEGATIVE = Rule("0 or more", lambda value: value >= 0)
AT_LEAST_ONE = Rule("1 or more", lambda value: value >= 1)
ODD = Rule("1, 3, 5 or another odd number", lambda value: value > 0 and value % 2 == 1)
PROBABILITY = Rule("in [0, 1)", lambda value: 0 <= value < 1)
FRACTION = Rule("between 0 and 1, neither of them", lambda value: 0 < value < 1)

RULES = {
    "seed": Rule("from 0 to 4294967295", lambda value: 0 <= value < 2**32),
    "monitor": Rule(f"one of {', '.join(METRICS)}", lambda value: value in METRICS),
    "activation.slope": PROBABILITY,
    "activation.alpha": POSITIVE,
    "residual.depth": AT_LEAST_ONE,
    "residual.connection": Rule("skip or plain", lambda value: value in ("skip", "plain")),
    "initialisation.std": NOT_NEGATIVE,
    "dropout.rate": PROBABILITY,
    "weight_decay.strength": NOT_NEGATIVE,
    "weight_decay.alpha": NOT_NEGATIVE,
    "network.width": AT_LEAST_ONE,
    "network.kernel": ODD,
    "network.stages": AT_LEAST_ONE,
    "network.heads": AT_LEAST_ONE,
    "network.patch": ODD,
    "network.stride": AT_LEAST_ONE,
    "data.batch_size": AT_LEAST_ONE,
    "data.label_noise": PROBABILITY,
    "data.path": Rule("a file that exists", lambda value: Path(value).is_file()),
    "optimizer.lr": POSITIVE,
    "optimizer.momentum": PROBABILITY,
    "scheduler.warmup_steps": NOT_NEGATIVE,
    "scheduler.warmup_fraction": FRACTION,
    "scheduler.factor": FRACTION,
    "scheduler.patience": NOT_NEGATIVE,
    "trainer.max_epochs": AT_LEAST_ONE,
    "trainer.gradient_clip_val": Rule("above 0, or null for no clipping", lambda value: value > 0),
    "trainer.gradient_clip_algorithm": Rule("norm or value", lambda value: value in ("norm", "value")),
    "trainer.accumulate_grad_batches": AT_LEAST_ONE,
    "trainer.check_val_every_n_epoch": AT_LEAST_ONE,
    "trainer.log_every_n_steps": AT_LEAST_ONE,
    "callbacks.early_stopping.patience": AT_LEAST_ONE,
    "callbacks.early_stopping.min_delta": NOT_NEGATIVE,
    "format": Rule("onnx or torch", lambda value: value in ("onnx", "torch")),
    "input": Rule(
        "a .csv, .npy or .parquet file that exists",
        lambda value: Path(value).is_file() and Path(value).suffix in (".csv", ".npy", ".parquet"),
    ),
    "output": Rule("a file in a folder that exists", lambda value: Path(value).parent.is_dir()),
    "split": Rule("train, val or test", lambda value: value in ("train", "val", "test")),
}


def mistakes(config: DictConfig, as_written: DictConfig, touched: Mapping[str, str]) -> list[str]:
    """Every mistake in ``config``, a sentence each.

    ``as_written`` is what the YAML files alone make of the same choices: it tells which keys there are and what kind
    of value each has. ``touched`` maps each group that was changed to what was typed.
    """
    found = [f"{key} must be given: {key}=..." for key in missing(config)]
    found += [f"{key}: nothing reads such a key" for key in unread(config, as_written)]
    found += wrong_kinds(config, as_written)
    wrong_so_far = {sentence.partition(" ")[0] for sentence in found}
    found += broken_rules(config, wrong_so_far)
    if found or "trainer" not in config:
        return found
    return [sentence for contradiction in CONTRADICTIONS for sentence in contradiction(config, touched)]


def unread(config: DictConfig, as_written: DictConfig) -> Iterator[str]:
    """Keys that were added where no function takes them. What stands in OPEN is handed on as it is."""
    known = {key for key, _ in leaves(as_written)} | set(missing(as_written)) | set(as_written)
    for key, _ in leaves(config):
        if key not in known and key.partition(".")[0] not in OPEN:
            yield key


def wrong_kinds(config: DictConfig, as_written: DictConfig) -> Iterator[str]:
    """A number stays a number, a whole number a whole one, a switch a switch."""
    for key, default in leaves(as_written):
        value = OmegaConf.select(config, key, default=default)
        if value is None and default is not None and key not in NULLABLE:
            yield f"{key} must be {KINDS.get(type(default), 'given')}, got null"
        elif value is not None and type(default) in KINDS and not same_kind(value, default):
            yield f"{key} must be {KINDS[type(default)]}, got {shown(value)}"


def missing(node: Any, prefix: str = "") -> Iterator[str]:
    """The keys, in full, that have no value yet."""
    for key in node:
        if OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key):
            yield f"{prefix}{key}"
        elif not OmegaConf.is_interpolation(node, key) and isinstance(node[key], DictConfig):
            yield from missing(node[key], f"{prefix}{key}.")


def leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The keys that a user can set, in full, with their values; references to other keys are left out."""
    for key in node:
        if OmegaConf.is_interpolation(node, key) or OmegaConf.is_missing(node, key):
            continue
        if isinstance(node[key], DictConfig):
            yield from leaves(node[key], f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", node[key]


def same_kind(value: Any, default: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    return isinstance(value, int if isinstance(default, int) else int | float)


def broken_rules(config: DictConfig, wrong_so_far: set[str]) -> Iterator[str]:
    for key, rule in RULES.items():
        value = None if key in wrong_so_far else OmegaConf.select(config, key, throw_on_missing=False)
        if value is not None and not rule.holds(value):
            yield f"{key} must be {rule.words}, got {shown(value)}"


def shown(value: Any) -> str:
    return "nothing" if value == "" else str(value)


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
