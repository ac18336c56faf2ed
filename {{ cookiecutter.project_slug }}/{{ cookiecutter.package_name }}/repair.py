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
BETTER = 0.02  # validation accuracy; less may be luck


@dataclass(frozen=True)
class Outcome:
    """What the doctor says of a configuration over all seeds, and how well it does on validation rows by then."""

    overrides: list[str]
    findings: list[Finding]  # of the seed that has most
    accuracy: float

    def beats(self, other: "Outcome") -> bool:
        """Healthy is better than sick, and so is a higher accuracy; among the healthy it must be measurably higher."""
        if bool(self.findings) != bool(other.findings):
            return not self.findings
        return self.accuracy > other.accuracy + (0.0 if self.findings else BETTER)

    def line(self) -> str:
        state = ", ".join(finding.code for finding in self.findings) or "healthy"
        return f"val/accuracy {self.accuracy:6.1%}   {state}"


Examined = Callable[[list[str]], tuple[list[Finding], float]]


def over_seeds(overrides: list[str], examined: Examined) -> Outcome:
    seen = [examined([*overrides, f"seed={seed}"]) for seed in SEEDS]
    return Outcome(overrides, max((findings for findings, _ in seen), key=len), mean(score for _, score in seen))


def repaired(overrides: list[str], examined: Examined) -> tuple[Outcome, Outcome]:
    """Before, and a healthy configuration; else the best one that remedies lead to.

    The remedies of the root cause are tried first, the cheapest of them first. Of those that make the network healthy a
    dearer one is kept only if it trains measurably better. If none does, the remedies of the next finding are tried,
    and then, on top of what helped most, those of what is still wrong. What is healthy may still train better with
    another of the remedies beside the first.
    """
    before = best = over_seeds(overrides, examined)
    log.info(f"\nover {len(SEEDS)} seeds   {before.line()}")
    for _ in range(MOST_REMEDIES):
        start, kept, tried = best, "", list[str]()
        for finding in start.findings:
            for remedy in finding.remedies:
                if remedy in tried:
                    continue
                tried.append(remedy)
                outcome = attempt(start, remedy, examined)
                if outcome.beats(best):
                    best, kept = outcome, remedy
            if not best.findings:
                better = faster(best, examined) if key_of(kept) == RATE else best
                return before, with_more(better, kept, tried, examined)
        if best is start:
            break
    return before, best


def attempt(start: Outcome, remedy: str, examined: Examined) -> Outcome:
    outcome = over_seeds(with_remedy(start.overrides, remedy), examined)
    log.info(f"{remedy:34} {outcome.line()}")
    return outcome


def with_more(healthy: Outcome, kept: str, tried: Sequence[str], examined: Examined) -> Outcome:
    """With those remedies that were ``tried`` too, on top of the one ``kept``, by which it measurably gains."""
    taken = groups_of(kept)
    if not all(taken & groups_of(remedy) for remedy in tried):
        log.info(f"\non top of {kept}")
    for remedy in tried:
        if not taken & groups_of(remedy):
            outcome = attempt(healthy, remedy, examined)
            if outcome.beats(healthy):
                healthy, taken = outcome, taken | groups_of(remedy)
    return healthy


def groups_of(remedy: str) -> set[str]:
    return {key_of(override).partition(".")[0] for override in remedy.split()}


def faster(healthy: Outcome, examined: Examined) -> Outcome:
    """With a higher learning rate, as long as that is healthy as well and trains measurably better.

    A rate that makes a network healthy may be a slow one still.
    """
    rate = float(next(word for word in healthy.overrides if key_of(word) == RATE).partition("=")[2])
    tried = attempt(healthy, f"{RATE}={FASTER * rate:.1g}", examined)
    return faster(tried, examined) if tried.beats(healthy) else healthy


def with_remedy(overrides: Sequence[str], remedy: str) -> list[str]:
    """The overrides with another one, or several, instead of those of the same keys.

    With another word for a group go the keys that were typed for the old one: another file may not have them.
    """
    new = remedy.split()
    keys = {key_of(override) for override in new}
    left = [word for word in overrides if not keys & {key_of(word), key_of(word).partition(".")[0]}]
    return left + new


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
