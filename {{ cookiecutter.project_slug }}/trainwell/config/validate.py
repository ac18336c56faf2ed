"""Every mistake that a configuration can hold, found before anything heavy is imported.

A mistake is one sentence: the key as it is typed, the rule, the value. What only the data or a technique can know is a
ValueError raised by them, before training starts.
"""

import inspect
import pydoc
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import combinations
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from . import constraints

KINDS = {bool: "true or false", int: "a whole number", float: "a number"}
LIMITS = ("trainer.limit_train_batches", "trainer.limit_val_batches")  # a number of batches, or a share of them
NULLABLE = ("trainer.gradient_clip_val", "trainer.gradient_clip_algorithm", "trainer.check_val_every_n_epoch", *LIMITS)
DEVICES = "trainer.devices"  # a number, a list or auto: Lightning checks it
READ_BY_A_RUN = ("data", "task", "trainer", "callbacks", "logger")
REFERENCE = re.compile(r"\$\{(\w+)")
WAYS_TO_SPLIT = ("column", "group", "time", "val_path", "test_path")  # keys of data.split
# Their values go on to other code.
OPEN = ("trainer", "callbacks", "logger", "optimizer", "task", "loss", "data", "network")


def mistakes(
    config: DictConfig,
    as_written: DictConfig,
    changed: Mapping[str, str],
    choices: Mapping[str, str],
    configs: Sequence[Path],
) -> list[str]:
    """Every mistake in ``config``, a sentence each.

    ``as_written`` is what the YAML files alone make of the same ``choices``: it tells which keys there are and the kind
    of each value. ``changed`` maps each group that was changed to what was typed.
    """
    found = [f"{key} must be given: {key}=..." for key in sorted(OmegaConf.missing_keys(config))]
    known = [*(key for key, _ in leaves(as_written)), *(path.name for folder in configs for path in folder.glob("*/"))]
    for key in unread(config, as_written):
        package = "; an experiment's file begins with # @package _global_" if key.startswith("experiment.") else ""
        found.append(f"{key}: nothing reads such a key{package or did_you_mean(key, known)}")
    found += dict.fromkeys(refused_by_targets(config, as_written))
    ranges = constraints.ranges(configs, choices)
    found += wrong_kinds(config, as_written, ranges)
    wrong_so_far = {sentence.partition(" ")[0] for sentence in found}
    found += broken_ranges(config, ranges, wrong_so_far)
    if found:
        return found
    found += constraints.conflicts(config, configs, choices, changed)
    found += patience_that_never_runs_out(config, as_written)
    return found + [sentence for rule in RULES_ACROSS_KEYS for sentence in rule(config)]


def unread(config: DictConfig, as_written: DictConfig) -> Iterator[str]:
    """Keys that were added where no function takes them. What stands in OPEN is passed on as it is."""
    known = {key for key, _ in leaves(as_written)} | OmegaConf.missing_keys(as_written) | set(as_written)
    for key, _ in leaves(config):
        if key not in known and (key.partition(".")[0] not in OPEN or key.startswith("data.split.")):
            yield key


def refused_by_targets(config: DictConfig, as_written: DictConfig) -> Iterator[str]:
    """Added keys that are no arguments of the ``_target_`` above them."""
    known = {key for key, _ in leaves(as_written)} | OmegaConf.missing_keys(as_written)
    for key in [key for key, _ in leaves(config) if key not in known and key.partition(".")[0] in OPEN]:
        steps = key.split(".")
        for depth in range(1, len(steps)):
            owner, name = ".".join(steps[:depth]), steps[depth]
            added = f"{owner}.{name}" not in known and OmegaConf.select(as_written, f"{owner}.{name}") is None
            target = OmegaConf.select(config, f"{owner}._target_")
            if added and target and not name.startswith("_") and not takes(target, name):
                yield f"{owner}.{name}: {target} has no such argument"


def takes(target: str, name: str) -> bool:
    """Whether a function or class has an argument of this name; True if its signature is not known."""
    try:
        parameters = inspect.signature(pydoc.locate(target)).parameters  # type: ignore[arg-type]
    except (pydoc.ErrorDuringImport, TypeError, ValueError):  # building it reports what is wrong
        return True
    return name in parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())


def did_you_mean(wrong: str, right: Sequence[str], before: str = "") -> str:
    """The likeliest word: one that is the same behind its last dot or slash, else one that looks alike."""
    ends = {word: re.split(r"[./]", word)[-1] for word in right}
    end = re.split(r"[./]", wrong)[-1]
    near = [word for word in right if ends[word] == end]
    near = near or ([] if "/" in wrong else get_close_matches(wrong, right, n=1))
    near = near or [word for word in right if ends[word] in get_close_matches(end, set(ends.values()), n=1)]
    return f"; did you mean {before}{near[0]}?" if near else ""


def unread_groups(config: DictConfig, choices: Mapping[str, str], changed: Mapping[str, str]) -> Iterator[str]:
    """Groups that were changed, and that neither the task nor what it refers to uses."""
    plain: Any = OmegaConf.to_container(config, resolve=False)
    used: set[str] = set()
    waiting = list(READ_BY_A_RUN)
    while waiting:
        key = waiting.pop()
        if key not in used:
            used.add(key)
            waiting += REFERENCE.findall(str(plain.get(key)))
    makers = [f"{group}={choices[group]}" for group in ("task", "network") if group in used and group in choices]
    for group, typed in changed.items():
        if group not in used:
            user = " and ".join(makers) or "this task"
            yield f"{group} is not used by {user}, so {typed} would be ignored; leave it out"


def wrong_kinds(config: DictConfig, as_written: DictConfig, ranges: Mapping[str, constraints.Rule]) -> Iterator[str]:
    """A number stays a number, a whole number a whole one, a switch without further choices a switch."""
    for key, default in leaves(as_written):
        value = OmegaConf.select(config, key, default=default)
        default = 1.0 if key in LIMITS else default
        if key == DEVICES or (isinstance(default, bool) and key in ranges and value is not None):
            continue
        if value is None and default is not None and key not in NULLABLE:
            yield f"{key} must be {KINDS.get(type(default), 'given')}, got null"
        elif isinstance(value, str) and isinstance(default, ListConfig):
            yield f"{key} must be a list, such as [{value}], got {value}"
        elif value is not None and type(default) in KINDS and not same_kind(value, default):
            yield f"{key} must be {KINDS[type(default)]}, got {shown(value)}"


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


def broken_ranges(config: DictConfig, ranges: Mapping[str, constraints.Rule], wrong_so_far: set[str]) -> Iterator[str]:
    for key, rule in ranges.items():
        value = None if key in wrong_so_far else OmegaConf.select(config, key, throw_on_missing=False)
        if value is not None and not rule.holds(value):
            yield f"{key} must be {rule.words}, got {shown(value)}"


def shown(value: Any) -> str:
    return "nothing" if value == "" else str(value)


def patience_that_never_runs_out(config: DictConfig, as_written: DictConfig) -> Iterator[str]:
    """A patience that was typed and changes nothing. The default one may be longer than a short training."""
    key, trainer = "callbacks.early_stopping.patience", config.trainer
    patience = OmegaConf.select(config, key)
    if patience is None or patience == OmegaConf.select(as_written, key):
        return
    by_steps = trainer.get("max_epochs") is None or trainer.max_epochs < 1 or trainer.get("max_steps", -1) != -1
    share = trainer.get("val_check_interval") or 1.0
    if by_steps or trainer.check_val_every_n_epoch is None or not isinstance(share, float) or not 0 < share <= 1:
        return  # the number of validations depends on the data, or the interval is refused
    validations = trainer.max_epochs // trainer.check_val_every_n_epoch * int(1 / share)
    if patience >= validations:
        yield (
            f"{key} must be below the number of validations, {validations} in {trainer.max_epochs} epochs, or it can "
            f"never stop anything; got {patience} (lower it, raise trainer.max_epochs, or type "
            "~callbacks.early_stopping)"
        )


def steps_and_validations(config: DictConfig) -> Iterator[str]:
    trainer, interval = config.trainer, config.trainer.get("val_check_interval")
    epochs = 1 if trainer.get("max_epochs") is None else trainer.max_epochs
    steps = trainer.get("max_steps", -1)
    if not isinstance(steps, int) or isinstance(steps, bool):
        yield f"trainer.max_steps must be a whole number, got {constraints.as_typed(steps)}"
    elif epochs == -1 and steps < 1:
        yield "trainer.max_epochs=-1 needs the number of steps as well: type +trainer.max_steps=..."
    elif epochs < 1 and epochs != -1:
        yield f"trainer.max_epochs must be 1 or more, or -1 beside trainer.max_steps, got {epochs}"
    if trainer.get("fast_dev_run"):
        yield "trainer.fast_dev_run saves nothing that a run needs; for a quick check type trainer=smoke"
    if isinstance(interval, float) and not 0 < interval <= 1:
        yield f"trainer.val_check_interval must be in (0, 1] as a share of an epoch, or a whole number, got {interval}"
    elif isinstance(interval, int) and interval < 1:
        yield f"trainer.val_check_interval must be 1 or more batches, got {interval}"
    elif trainer.check_val_every_n_epoch is None and not isinstance(interval, int):
        yield "trainer.check_val_every_n_epoch=null needs trainer.val_check_interval, a number of batches"
    if trainer.limit_val_batches == 0:
        yield f"trainer.limit_val_batches must be above 0: {config.monitor} decides which weights are kept"


def callbacks_that_are_needed(config: DictConfig) -> Iterator[str]:
    for name, callback in config.callbacks.items():
        if callback is None:
            yield f"callbacks.{name} cannot be null; to remove it, type ~callbacks.{name}"
    if "checkpoint" not in config.callbacks or config.trainer.get("enable_checkpointing") is False:
        yield "callbacks.checkpoint cannot be removed: the best weights are restored from it when training ends"
    if not config.trainer.enable_progress_bar and "progress_bar" in config.callbacks:
        yield "trainer.enable_progress_bar=false needs its bar removed as well: type ~callbacks.progress_bar"


def folder_that_is_not_chosen(config: DictConfig) -> Iterator[str]:
    if config.get("run_folder") is not None:
        yield f"run_folder cannot be chosen: it is runs/<experiment>/<date>_<time>_<id>, got {config.run_folder}"


def compiling_that_nothing_does(config: DictConfig) -> Iterator[str]:
    """A LightningModule of the user's own is built without this key."""
    if config.get("compile", False) is not False and "compile" not in config.task:
        typed = constraints.as_typed(config.compile)
        yield f"compile={typed} has no effect on this task, which does not take it: compile in its module"


def one_known_monitor(config: DictConfig) -> Iterator[str]:
    """The metric that stops the training also chooses the best weights and is reported.

    The metrics of a task of the user's own are known only when they are logged.
    """
    for name in ("early_stopping", "checkpoint"):
        monitored = (config.callbacks.get(name) or {}).get("monitor", config.monitor)
        if monitored != config.monitor:
            yield f"callbacks.{name}.monitor must be ${{monitor}}, got {monitored}: type monitor={monitored} for both"
    metrics = config.task.get("metrics")
    known = [f"{split}/{name}" for split in ("train", "val") for name in ("loss", *(metrics or {}))]
    if metrics is not None and config.monitor not in known:
        yield f"monitor must be one of {', '.join(known)}, got {shown(config.monitor)}"


def one_way_to_split(config: DictConfig) -> Iterator[str]:
    split = config.data.get("split")
    if not isinstance(split, DictConfig):
        return
    used = [key for key in WAYS_TO_SPLIT if split.get(key) is not None]
    for first, second in combinations(used, 2):
        if {first, second} & {"column"} or {first, second} == {"group", "time"}:
            yield f"data.split.{first} and data.split.{second} are two ways to split: set one of them to null"
    if config.data.get("fold") is not None and split.get("val_path") is not None:
        yield "data.fold chooses the validation samples itself: set data.split.val_path to null"


def fold_among_folds(config: DictConfig) -> Iterator[str]:
    fold, folds = config.data.get("fold"), config.data.get("folds")
    if isinstance(fold, int) and isinstance(folds, int) and fold >= folds:
        yield f"data.fold must be below data.folds, {folds}, got {fold}"


RULES_ACROSS_KEYS = (
    folder_that_is_not_chosen,
    callbacks_that_are_needed,
    compiling_that_nothing_does,
    steps_and_validations,
    one_known_monitor,
    one_way_to_split,
    fold_among_folds,
)
