"""Try remedies until a configuration is healthy, and write it down as an experiment to keep."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean

from .composition import key_of
from .findings import Finding

log = logging.getLogger(__name__)

SEEDS = (0, 1)
MOST_REMEDIES = 3  # one on top of the other
RATE = "optimizer.lr"
FASTER = 3  # times the learning rate
BETTER = 0.02  # validation accuracy, which is more than luck over two seeds


@dataclass(frozen=True)
class Outcome:
    """What the doctor says of a configuration over all seeds, and how well it does on validation rows by then."""

    overrides: list[str]
    findings: list[Finding]  # of the seed that has most
    accuracy: float

    def line(self) -> str:
        state = ", ".join(finding.code for finding in self.findings) or "healthy"
        return f"val/accuracy {self.accuracy:6.1%}   {state}"


Examined = Callable[[list[str]], tuple[list[Finding], float]]


def over_seeds(overrides: list[str], examined: Examined) -> Outcome:
    seen = [examined([*overrides, f"seed={seed}"]) for seed in SEEDS]
    return Outcome(overrides, max((findings for findings, _ in seen), key=len), mean(score for _, score in seen))


def repaired(overrides: list[str], examined: Examined) -> tuple[Outcome, Outcome]:
    """Before, and the first healthy configuration; else the best one that remedies lead to.

    The remedies of the root cause are tried one after the other. If none makes the network healthy, the one that gives
    the best validation accuracy is kept, if that is better than without, and what is then wrong is treated next.
    A learning rate that makes it healthy may be a slow one still: it is raised for as long as that helps.
    """
    before = best = over_seeds(overrides, examined)
    log.info(f"\nover {len(SEEDS)} seeds   {before.line()}")
    for _ in range(MOST_REMEDIES):
        start = best
        for remedy in dict.fromkeys(remedy for finding in start.findings for remedy in finding.remedies):
            tried = over_seeds(with_remedy(start.overrides, remedy), examined)
            log.info(f"{remedy:34} {tried.line()}")
            if not tried.findings:
                return before, faster(tried, examined) if key_of(remedy) == RATE else tried
            if tried.accuracy > best.accuracy:
                best = tried
        if best is start:
            break
    return before, best


def faster(healthy: Outcome, examined: Examined) -> Outcome:
    """With a higher learning rate, as long as that is healthy as well and trains measurably better."""
    rate = float(next(word for word in healthy.overrides if key_of(word) == RATE).partition("=")[2])
    remedy = f"{RATE}={FASTER * rate:.1g}"
    tried = over_seeds(with_remedy(healthy.overrides, remedy), examined)
    log.info(f"{remedy:34} {tried.line()}")
    if tried.findings or tried.accuracy < healthy.accuracy + BETTER:
        return healthy
    return faster(tried, examined)


def with_remedy(overrides: Sequence[str], remedy: str) -> list[str]:
    """The overrides with another one, or several, instead of those of the same keys."""
    new = remedy.split()
    keys = {key_of(override) for override in new}
    return [override for override in overrides if key_of(override) not in keys] + new


def experiment(before: Outcome, after: Outcome, command: str, groups: Sequence[str]) -> Iterator[str]:
    """The lines of a file for ``configs/experiment/``."""
    chosen, keys, stacked = [], {}, []
    for override in after.overrides:
        key, value = key_of(override), override.partition("=")[2]
        if key == "experiment":
            stacked += value.strip("[]").split(",")
        elif key in groups:
            chosen.append(f"override /{key}: {value}")
        else:
            keys[key] = value
    yield "# @package _global_"
    yield "# Question: does what the doctor proposes mend it?"
    yield f"# Command:  {command}"
    yield f"# Result:   after the doctor's first steps: before {before.line()}; after {after.line()}"
    yield "defaults:"
    yield from (f"  - {entry}" for entry in [*stacked, *chosen, "_self_"])
    yield from nested(keys)


def nested(keys: dict[str, str]) -> Iterator[str]:
    """``optimizer.lr=0.1`` as YAML says it."""
    sections: dict[str, list[str]] = {}
    for key, value in keys.items():
        section, _, rest = key.partition(".")
        sections.setdefault(section, []).append(f"  {rest}: {value}" if rest else value)
    for section, lines in sections.items():
        if lines[0].startswith("  "):
            yield f"\n{section}:"
            yield from lines
        else:
            yield f"\n{section}: {lines[0]}"
