"""Every mistake that a configuration can hold, found before anything heavy is imported.

A mistake is one sentence: the key as it is typed, the rule, the value. What can only be known from the data or from a
part itself is a ValueError of ``build``.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from .contradictions import CONTRADICTIONS

METRICS = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")
KINDS = {bool: "true or false", int: "a whole number", float: "a number"}
NULLABLE = ("trainer.gradient_clip_val", "trainer.gradient_clip_algorithm")
OPEN = ("trainer", "callbacks", "logger", "optimizer")  # groups that pass any argument on to a library


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
    "callbacks.diagnostics.every_n_steps": AT_LEAST_ONE,
    "callbacks.early_stopping.patience": AT_LEAST_ONE,
    "callbacks.last_checkpoint.share": Rule("above 0 and at most 1", lambda value: 0 < value <= 1),
    "callbacks.showcase.every_n_validations": AT_LEAST_ONE,
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
