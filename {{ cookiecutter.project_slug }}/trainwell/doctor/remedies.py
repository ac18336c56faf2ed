"""Remedies: overrides that the YAML files of the techniques offer against a finding; else what to change in code.

A line ``# Remedy for: dead_units`` at the head of ``configs/activation/leaky_relu.yaml`` offers
``activation=leaky_relu``. Other overrides stand in the line itself:
``# Remedy for: exploding_gradient with trainer.gradient_clip_val=1.0``.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from ..config import compose
from ..config.compose import key_of
from ..findings import Finding

CONFIGS = Path("configs")  # in the root of the project
LINE = re.compile(r"^# Remedy for: ([a-z_]+(?:, [a-z_]+)*)(?: with (.+))?$", re.MULTILINE)
READ = ("seed", "data", "task", "trainer", "callbacks", "compile")  # keys of which a training is built
BY_COST = ("optimizer", "trainer", "callbacks", "data", "initialisation", "dropout", "weight_decay", "residual")
LOWER = ("where the optimizer is made, a tenth of the learning rate:", "    torch.optim.Adam(parameters, lr=lr / 10)")
ADVICE = {
    "learning_rate_too_high": LOWER,
    "oscillating_loss": LOWER,
    "learning_rate_too_low": (
        "where the optimizer is made, ten times the learning rate:",
        "    torch.optim.Adam(parameters, lr=10 * lr)",
    ),
    "exploding_gradient": ("start the layers up to {where} smaller:", "    nn.init.kaiming_normal_(layer.weight)"),
    "vanishing_gradient": ("from {where}, ReLU and a skip connection:", "    x = x + torch.relu(layer(x))"),
    "dead_units": (
        "before {where}, biases that start at 0, and a small slope below 0:",
        "    nn.init.zeros_(layer.bias); nn.LeakyReLU(0.1)",
    ),
    "saturated_units": ("before {where}, smaller initial weights:", "    nn.init.xavier_normal_(layer.weight)"),
    "bad_initial_loss": ("start {where} at zero:", "    nn.init.zeros_(layer.weight); nn.init.zeros_(layer.bias)"),
    "symmetric_units": ("start {where} at random:", "    layer.reset_parameters()"),
    "excess_dropout": ("in {where}, drop fewer units:", "    nn.Dropout(0.2)"),
    "excess_weight_decay": ("lower it in the optimizer and in the loss:", "    weight_decay=0.0"),
    "overfitting": (
        "more samples, fewer units, dropout, or the best epoch instead of the last:",
        "    nn.Dropout(0.3)",
    ),
    "unscaled_input": ("scale each feature by the train samples:", "    x = (x - x_train.mean(0)) / x_train.std(0)"),
    "constant_input": ("read these features again, or leave them out:", "    x = x[:, x_train.std(0) > 0]"),
    "non_finite": (
        "look for a logarithm, a root or a division of values at or below 0:",
        "    torch.autograd.set_detect_anomaly(True)",
    ),
    "validation_too_small": (
        "validate on more samples, or train and validate in every fold:",
        "    data.split.val=0.3, or -m data.fold=0,1,2,3,4",
    ),
}


def offers(configs: Path = CONFIGS) -> Iterator[tuple[str, str]]:
    """Each code with an override against it: settings first, then what changes the network."""
    costs = {group: cost for cost, group in enumerate(BY_COST)}
    for path in sorted(configs.glob("*/*.yaml"), key=lambda path: (costs.get(path.parent.name, len(costs)), path)):
        for codes, overrides in LINE.findall(path.read_text(encoding="utf-8")):
            for code in codes.split(", "):
                yield code, overrides or f"{path.parent.name}={path.stem}"


def treated(findings: Iterable[Finding], configs: Path = CONFIGS, ineffective: Collection[str] = ()) -> list[Finding]:
    """The findings, each with the offers against it after the remedies derived from its evidence.

    ``ineffective`` overrides were tried without success and are left out, and so are parts of others.
    """
    listed = list(findings)
    known = list(offers(configs)) if listed else []
    found = []
    for finding in listed:
        offered = [remedy for code, remedy in known if code == finding.code and not is_part(remedy, finding.remedies)]
        remedies = dict.fromkeys([*finding.remedies, *offered])
        found.append(advised(finding.with_remedies(each for each in remedies if each not in ineffective)))
    return found


def is_part(remedy: str, others: Iterable[str]) -> bool:
    return any(set(remedy.split()) <= set(other.split()) for other in others)


def applicable(finding: Finding, overrides: Sequence[str]) -> Finding:
    """Leave out remedies that change nothing in the configuration of ``overrides``, or that it does not accept."""
    before = resolved(tuple(overrides))
    tried = {remedy: resolved(tuple(with_remedy(overrides, remedy))) for remedy in finding.remedies}
    return advised(finding.with_remedies(remedy for remedy, after in tried.items() if after not in (None, before)))


@lru_cache(maxsize=50)  # several findings ask for the same configuration, and composing is slow
def resolved(overrides: tuple[str, ...]) -> object:
    """What a training reads of the configuration of these overrides; None if it cannot be composed or is refused.

    A task of one's own may read no optimizer or scheduler; what they are then changes nothing.
    """
    try:
        with compose.hydra_here():
            whole = compose.composed("train", overrides)
            config = compose.without_hydra(whole)
            if compose.mistakes("train", config, whole.hydra):
                return None
    except compose.COMPLAINTS:
        return None
    whole_config: Any = OmegaConf.to_container(config, resolve=True)
    return {key: whole_config[key] for key in READ if key in whole_config}


def with_remedy(overrides: Sequence[str], remedy: str) -> list[str]:
    """The overrides with those of ``remedy`` in place of others of the same keys.

    A new option for a group also replaces overrides of the group's keys, which the new option may not have.
    """
    new = remedy.split()
    keys = {key_of(override) for override in new}
    kept = [override for override in overrides if not keys & {key_of(override), key_of(override).partition(".")[0]}]
    return kept + new


def advised(finding: Finding) -> Finding:
    """With advice, if it has neither that nor a remedy."""
    if finding.remedies or finding.advice or finding.code not in ADVICE:
        return finding
    rates = [remedy.partition("=")[2] for remedy in finding.gains if remedy.startswith("optimizer.lr=")]
    if rates:
        made = ("where the optimizer is made, the learning rate of the trial:", f"    lr={rates[0]}")
        return replace(finding, advice=made)
    return replace(finding, advice=tuple(line.format(where=finding.where) for line in ADVICE[finding.code]))
