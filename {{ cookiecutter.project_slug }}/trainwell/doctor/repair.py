"""Try remedies until a configuration is healthy, and write that as an experiment."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import NamedTuple

from omegaconf import OmegaConf

from ..config.compose import key_of
from ..findings import Finding
from .remedies import with_remedy

log = logging.getLogger(__name__)

SEEDS = (0, 1)
MOST_REMEDIES = 3  # one on top of the other
RATE = "optimizer.lr"
FASTER = 3  # times the learning rate
BETTER = 0.02  # of the validation score; less may be luck


class Score(NamedTuple):
    """What is compared: accuracy, or without classes the explained share of a constant guess's loss."""

    name: str
    value: float


Examined = Callable[[list[str]], tuple[list[Finding], Score]]


@dataclass(frozen=True)
class Outcome:
    """What the doctor finds in a configuration over all seeds, and its mean validation score after the trial."""

    overrides: list[str]
    findings: list[Finding]  # of the seed with most
    score: Score

    def beats(self, other: "Outcome") -> bool:
        """Healthy beats sick, then the higher score counts; between healthy ones it must be measurably higher."""
        if bool(self.findings) != bool(other.findings):
            return not self.findings
        return self.score.value > other.score.value + (0.0 if self.findings else BETTER)

    def line(self) -> str:
        state = ", ".join(finding.code for finding in self.findings) or "healthy"
        return f"validation {self.score.name} {self.score.value:6.1%}   {state}"


def over_seeds(overrides: list[str], examined: Examined) -> Outcome:
    seen = [examined([*overrides, f"seed={seed}"]) for seed in SEEDS]
    mean_score = Score(seen[0][1].name, mean(score.value for _, score in seen))
    return Outcome(overrides, max((findings for findings, _ in seen), key=len), mean_score)


def repaired(overrides: list[str], examined: Examined) -> tuple[Outcome, Outcome]:
    """The configuration as it is, and a healthy one, or else the best that remedies lead to.

    Remedies of the root cause are tried first, the cheapest first. A more expensive one that also makes the network
    healthy is kept only if it trains measurably better. If none does, the remedies of the next finding are tried, and
    then those of what is still wrong, on top of what helped most. To a healthy configuration other remedies that were
    tried are added if it trains better with them.
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
    """With each remedy of ``tried``, about other groups than ``kept``, by which accuracy measurably gains."""
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
    """With a higher learning rate, as long as that is healthy too and trains measurably better."""
    rate = float(next(override for override in healthy.overrides if key_of(override) == RATE).partition("=")[2])
    tried = attempt(healthy, f"{RATE}={FASTER * rate:.1g}", examined)
    return faster(tried, examined) if tried.beats(healthy) else healthy


def experiment(before: Outcome, after: Outcome, command: str, groups: Sequence[str]) -> Iterator[str]:
    """The lines of a file for ``configs/experiment/``."""
    stacked, chosen, keys = [], [], []
    for override in after.overrides:
        key, value = key_of(override), override.partition("=")[2]
        if key == "experiment":
            stacked += value.strip("[]").split(",")
        elif key in groups:
            chosen.append({f"override /{key}": value})
        else:
            keys.append(f"{key}={value}")
    yield "# @package _global_"
    yield "# Question: does the doctor's remedy help?"
    yield f"# Command:  {command}"
    yield f"# Result:   after the doctor's trial: before {before.line()}; after {after.line()}"
    yield OmegaConf.to_yaml({"defaults": [*stacked, *chosen, "_self_"]})
    yield OmegaConf.to_yaml(OmegaConf.from_dotlist(keys)) if keys else ""
