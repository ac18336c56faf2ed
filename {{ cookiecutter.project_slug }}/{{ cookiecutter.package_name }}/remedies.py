"""What mends what: offers that the YAML files of the techniques make in a line of their head.

``# Mends: dead_units`` in ``configs/activation/leaky_relu.yaml`` offers ``activation=leaky_relu``. Where something else
is to be typed the line says so: ``# Mends: exploding_gradient with trainer.gradient_clip_val=1.0``. A new technique
offers itself by such a line, and nothing else has to be changed.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from .findings import Finding

CONFIGS = Path(__file__).parent.parent / "configs"
LINE = re.compile(r"^# Mends: ([a-z_]+(?:, [a-z_]+)*)(?: with (.+))?$", re.MULTILINE)
BY_COST = ("optimizer", "trainer", "callbacks", "data", "initialisation", "dropout", "weight_decay", "normalisation")


def offers(configs: Path = CONFIGS) -> Iterator[tuple[str, str]]:
    """Each code with an override against it: settings first, then what changes the network."""
    for path in sorted(configs.glob("*/*.yaml"), key=lambda path: (cost(path.parent.name), path)):
        for codes, override in LINE.findall(path.read_text(encoding="utf-8")):
            for code in codes.split(", "):
                yield code, override or f"{path.parent.name}={path.stem}"


def treated(findings: Iterable[Finding]) -> list[Finding]:
    """With what the techniques offer against each, after what was reckoned from the evidence."""
    listed = list(findings)
    known = list(offers()) if listed else []
    return [
        finding.with_remedies(
            dict.fromkeys([*finding.remedies, *(remedy for code, remedy in known if code == finding.code)])
        )
        for finding in listed
    ]


def cost(group: str) -> int:
    return BY_COST.index(group) if group in BY_COST else len(BY_COST)
