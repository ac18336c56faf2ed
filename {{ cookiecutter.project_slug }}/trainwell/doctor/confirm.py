"""Confirm before speaking: what data or ratios look like is a suspicion until a remedy measurably helps in a trial."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite, sqrt
from statistics import fmean

from ..findings import Finding
from .history import History
from .rules.optimization import late_losses
from .treatments import SUSPICIONS, Treatment, against

OF_VALIDATION = {"validation_leak", "validation_too_small"}  # facts that keep no network from learning
STEPS = {"learning_rate_too_high", "learning_rate_too_low", "oscillating_loss", "exploding_gradient"}
TOO_LONG = {"learning_rate_too_high", "oscillating_loss"}
OF_UNITS = {"saturated_units", "dead_units"}
INSTEAD = {  # what else looks like it
    "learning_rate_too_low": ("learning_rate_too_high",),
    "vanishing_gradient": ("learning_rate_too_low",),
}
MOST_REMEDIES = 3
MOST_TRIALS = 9
LESS_LOSS = 0.15  # share of the validation loss that a remedy saves, and
LITTLE = 0.05  # the same for longer steps, since a loss may have a part that no training takes away
LESS_OF_CHANCE = 0.02  # the same as a share of the loss of equal chances
MORE_ACCURACY = 0.03
WORTH = 0.5  # share of the best remedy's gain, below which a remedy is not offered
FAR_OFF = 10.0  # times the loss of a constant guess, at the start, if the network does not come down to it either
MUCH_MORE = 0.15  # accuracy that training what is frozen gains; less is the usual price of a frozen backbone
SMALL = 1e-3  # so that any gain in accuracy counts more than one in loss alone
SIGMAS = 2.5
WELL, ALMOST = 0.95, 0.8  # of the way from chance to simple learners

Run = Callable[[Treatment], History | None]  # None: the treatment cannot be tried


@dataclass
class Confirmation:
    """Repeats the trial with remedies and judges the suspicions by what they gain."""

    history: History
    run: Run
    longer: Callable[[], History | None]  # the same trial with more steps
    tried: dict[str, History | None] = field(default_factory=dict)
    ineffective: set[str] = field(default_factory=set)  # overrides that were tried and did not help

    def judged(self, findings: Sequence[Finding]) -> list[Finding]:
        """Facts and confirmed suspicions in their order, then what is left, mostly as notes."""
        kept: list[Finding] = []
        doubtful: list[Finding] = []
        for finding in findings:
            if not is_suspicion(finding):
                kept.append(self.with_gains(finding))
            elif any(is_suspicion(each) for each in kept):
                doubtful.append(finding.as_note())  # a cure is known; whether this is one of its effects is not
            elif found := self.confirmed(finding):
                kept.append(found)
            else:
                doubtful.append(finding)
        known = any(each.severity == "error" and each.code not in OF_VALIDATION for each in kept)  # why it goes badly
        if not known and not any(is_suspicion(each) for each in kept):
            return merged(self.unexplained(doubtful), kept)
        return [*kept, *(finding.as_note() for finding in doubtful)]

    def confirmed(self, finding: Finding) -> Finding | None:
        """The finding with what its remedies gain, best first; None if none gains anything."""
        gains = self.gains(finding)
        if not gains:
            return self.plainly_harmful(finding)
        best, _, text = gains[0]
        evidence = f"{finding.evidence}; with {best.name} in the trial: {text}"
        advice = best.advice or finding.advice
        return with_gained(replace(finding, evidence=evidence, advice=advice), gains)

    def with_gains(self, finding: Finding) -> Finding:
        """A fact, with what its remedies gain."""
        return with_gained(finding, self.gains(finding))

    def plainly_harmful(self, finding: Finding) -> Finding | None:
        """A finding that no treatment could be tried against, in a network that does badly."""
        last = self.history.last
        guess, start = self.history.chance_loss, self.history.start_loss or 0.0
        if finding.code == "bad_initial_loss" and start > FAR_OFF * guess and last and last.val_loss > guess:
            return finding
        after = [self.tried.get(key_of(each)) for each in self.treatments(finding)]
        if finding.code == "symmetric_units" and last is None:
            return finding  # units that were equal and still are, which no score can tell the price of
        if finding.code == "frozen_parameters":
            if self.history.inspection.frozen_at_random and not self.history.reached(ALMOST):
                return finding
            if self.forgotten and last is None:
                return finding  # no trial can be scored
            if any(after) and not self.forgotten:
                return None  # what changes nothing when it is trained takes no part
        untried = not any(map(self.changed, after))
        return finding if untried and last and not self.history.reached(WELL) else None

    @property
    def forgotten(self) -> bool:
        """Whether parameters that no optimizer has get gradients all the same."""
        seen = self.history.inspection
        return bool(set(seen.not_given) - set(seen.unreached))

    def learns(self, after: History) -> bool | None:
        return replace(after, chance=self.history.chance, baseline=self.history.baseline).learns

    def changed(self, after: History | None) -> bool:
        """Whether a treatment did anything: a penalty in the loss, say, is no weight decay of the optimizer's."""
        return after is not None and (self.history.last is None or after.last != self.history.last)

    def gains(self, finding: Finding) -> list[tuple[Treatment, float, str]]:
        """The treatments that help, best first."""
        found = sorted(self.gains_of(finding), key=lambda found: -found[1])
        kept = [each for each in found if each[1] >= WORTH * found[0][1]]
        cures = {treatment.remedy for treatment, _, _ in kept}
        tried = {treatment.remedy for treatment in self.treatments(finding) if key_of(treatment) in self.tried}
        self.ineffective |= tried - cures
        return kept

    def gains_of(self, finding: Finding) -> Iterator[tuple[Treatment, float, str]]:
        most = MUCH_MORE if finding.code == "frozen_parameters" and not self.forgotten else 0.0
        share = LITTLE if finding.code == "learning_rate_too_low" else LESS_LOSS
        for treatment in self.treatments(finding):
            after = self.attempt(treatment)
            if after is None:
                continue
            if finding.code == "excess_dropout" and self.history.learns is False and not self.learns(after):
                continue  # something else keeps the network from learning
            found = gain(self.history, after, most, share)
            little = found is not None and found[0] <= SMALL
            if found and finding.code in STEPS and not fits_better(self.history, after):
                continue  # it generalizes better, as a shorter training also does
            if little and finding.code in TOO_LONG and self.history.learns and self.history.beats_chance:
                continue  # steps that are long at first pay later
            if little and finding.code in OF_UNITS and self.history.reached(0.9):
                continue  # units at the ends of their range may be meant, such as bits
            if found and finding.code == "overfitting" and not after.beats_chance:
                continue  # a lower loss alone: the network only became less confident
            if not found and finding.code == "oscillating_loss":
                found = steadier(self.history, after)
            if found:
                yield treatment, *found

    def treatments(self, finding: Finding) -> list[Treatment]:
        return list(against(finding.code, self.history))[:MOST_REMEDIES]

    def attempt(self, treatment: Treatment) -> History | None:
        key = key_of(treatment)
        if key not in self.tried and len(self.tried) < MOST_TRIALS:
            self.tried[key] = self.run(treatment)
        return self.tried.get(key)

    def unexplained(self, doubtful: Sequence[Finding]) -> list[Finding]:
        """No remedy is known to help: the suspicions stand if the network does not learn, also in more steps."""
        if not doubtful or self.history.last is None or not is_stuck(self.history, doubtful[0]):
            return [finding.as_note() for finding in doubtful]
        longer = self.longer()
        if longer is not None and not is_stuck(longer, doubtful[0]):
            return [finding.as_note() for finding in doubtful]
        first, *others = doubtful
        for code in INSTEAD.get(first.code, ()):
            other = self.confirmed(replace(first, code=code, remedies=(), advice=()))
            if other and other.gains:
                first = other
        return [first, *(finding.as_note() for finding in others)]


def with_gained(finding: Finding, gains: Sequence[tuple[Treatment, float, str]]) -> Finding:
    shown = {key_of(treatment): text for treatment, _, text in gains}
    remedies = [treatment.remedy for treatment, _, _ in gains if treatment.remedy]
    return replace(finding, gains=shown).with_remedies(dict.fromkeys([*remedies, *finding.remedies]))


def merged(first: list[Finding], then: list[Finding]) -> list[Finding]:
    """Notes last."""
    return sorted([*first, *then], key=lambda finding: finding.severity == "note")


def is_stuck(history: History, finding: Finding) -> bool:
    """Whether a network does not learn; one whose gradients vanish may fit train samples alone."""
    chance, deviation = history.chance
    can_be_learned = not history.baseline or history.baseline > chance + 6 * deviation  # as far as is known
    fits_alone = finding.code == "vanishing_gradient" and can_be_learned
    return history.severity == "error" or (fits_alone and history.learns is False)


def is_suspicion(finding: Finding) -> bool:
    seen = finding.code == "frozen_parameters" and finding.severity == "error"  # cut from the graph
    return finding.code in SUSPICIONS and not seen


def key_of(treatment: Treatment) -> str:
    return treatment.remedy or treatment.name


def fits_better(before: History, after: History) -> bool:
    if before.last is None or after.last is None:
        return bool(before.objective and after.objective and after.objective[0] < before.objective[0])
    return after.last.train_loss < before.last.train_loss or not isfinite(before.last.train_loss)


def gain(
    before: History, after: History, most: float = 0.0, least_share: float = LESS_LOSS
) -> tuple[float, str] | None:
    """How much better ``after`` is, and in words; None if that is not measurable, or ``most`` accuracy or less.

    Where only losses are known, a ``least_share`` of it must be saved.
    """
    if before.last is None or after.last is None:
        return gain_in_loss(before.objective, after.objective, least_share) if not most else None
    a, b = before.last, after.last
    of_count = max(sqrt(0.25 / max(before.val_count, 1)), before.chance[1]) if before.num_classes else 0.0
    noise = SIGMAS * max(of_count, before.noise[0])
    more = b.val_accuracy - a.val_accuracy
    less = a.val_loss - b.val_loss if isfinite(a.val_loss) else float(isfinite(b.val_loss)) * 1e9
    better = more > max(MORE_ACCURACY, noise, most)
    saved = less > max(LESS_LOSS * abs(a.val_loss), LESS_OF_CHANCE * before.chance_loss, SIGMAS * before.noise[1])
    surer = saved and not most and more > -noise / 3
    if before.num_classes and not b.val_loss < FAR_OFF * before.chance_loss:
        return None  # no cure leaves a network there
    if not isfinite(b.val_loss) or not (better or surer):
        return None
    if after.num_classes == 0 and b.val_accuracy < 3 * before.chance[1]:
        return None  # it still explains next to nothing
    if better:
        return more, f"validation {before.score} {b.val_accuracy:.1%} instead of {a.val_accuracy:.1%}"
    share = min(less / max(abs(a.val_loss), 1e-9), 1.0)
    return SMALL * share, f"validation loss {b.val_loss:.3g} instead of {a.val_loss:.3g}"


def steadier(before: History, after: History) -> tuple[float, str] | None:
    """The same for a loss that goes up and down, whose last value says little: the mean of the late ones."""
    if after.last is None or not isfinite(after.last.val_loss):
        return None
    a, b = (fmean(late_losses(history)) for history in (before, after))
    share = (a - b) / max(abs(a), 1e-9)
    return (SMALL * share, f"mean train loss {b:.3g} instead of {a:.3g}") if share > LESS_LOSS else None


def gain_in_loss(
    before: tuple[float, float] | None, after: tuple[float, float] | None, least: float
) -> tuple[float, str] | None:
    """The same where nothing but the loss of train and validation samples is known."""
    if before is None or after is None or not isfinite(after[1]):
        return None
    share = (before[1] - after[1]) / max(abs(before[1]), 1e-9) if isfinite(before[1]) else 1.0
    return (SMALL * share, f"validation loss {after[1]:.3g} instead of {before[1]:.3g}") if share > least else None
