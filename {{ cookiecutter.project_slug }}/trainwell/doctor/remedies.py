"""Remedies: the overrides that the YAML files of the techniques offer against a finding.

A line ``# Remedy for: dead_units`` at the head of ``configs/activation/leaky_relu.yaml`` offers
``activation=leaky_relu``. Other overrides stand in the line itself:
``# Remedy for: exploding_gradient with trainer.gradient_clip_val=1.0``.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from ..config import compose
from ..config.compose import key_of
from ..findings import Finding
from .advice import advised

CONFIGS = Path("configs")  # in the root of the project
LINE = re.compile(r"^# Remedy for: ([a-z_]+(?:, [a-z_]+)*)(?: with (.+))?$", re.MULTILINE)
READ = ("seed", "data", "task", "trainer", "callbacks", "compile")  # keys of which a training is built
BY_COST = ("optimizer", "trainer", "callbacks", "data", "initialisation", "dropout", "weight_decay", "normalisation")


def offers(configs: Path = CONFIGS) -> Iterator[tuple[str, str]]:
    """Each code with an override against it: settings first, then what changes the network."""
    costs = {group: cost for cost, group in enumerate(BY_COST)}
    for path in sorted(configs.glob("*/*.yaml"), key=lambda path: (costs.get(path.parent.name, len(costs)), path)):
        for codes, overrides in LINE.findall(path.read_text(encoding="utf-8")):
            for code in codes.split(", "):
                yield code, overrides or f"{path.parent.name}={path.stem}"


def treated(findings: Iterable[Finding], configs: Path = CONFIGS) -> list[Finding]:
    """The findings, each with the offers against it after the remedies derived from its evidence."""
    listed = list(findings)
    known = list(offers(configs)) if listed else []
    found = []
    for finding in listed:
        offered = [remedy for code, remedy in known if code == finding.code]
        found.append(advised(finding.with_remedies(dict.fromkeys([*finding.remedies, *offered]))))
    return found


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
