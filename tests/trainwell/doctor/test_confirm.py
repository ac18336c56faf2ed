"""Suspicions and facts, with trials that are made up."""

from dataclasses import replace

import pytest
from trainwell.doctor.confirm import Confirmation, gain
from trainwell.doctor.history import History, Scores
from trainwell.findings import Finding

STUCK, NO_BETTER, BETTER = Scores(2.3, 0.1, 2.3, 0.1), Scores(2.31, 0.1, 2.31, 0.1), Scores(1.5, 0.4, 1.5, 0.4)
VANISHING = Finding("vanishing_gradient", "error", "layers", "10^-7")


def history(last: Scores = STUCK) -> History:
    return History(10, learning_rate=0.01, chance=(0.1, 0.01), baseline=0.5, val_count=400, scores={200: last})


@pytest.mark.parametrize(
    ("after", "code"),
    [(NO_BETTER, "vanishing_gradient"), (None, "vanishing_gradient"), (BETTER, "learning_rate_too_low")],
    ids=["nothing helps", "no time to try it", "longer steps help"],
)
def test_another_cause_is_named_only_if_its_remedy_helps(after: Scores | None, code: str) -> None:
    def run(treatment: object) -> History | None:
        longer_steps = "learning rate" in getattr(treatment, "name", "")
        return history(NO_BETTER) if not longer_steps else after and history(after)

    (finding,) = Confirmation(history(), run, history).judged([VANISHING])
    assert (finding.code, finding.severity) == (code, "error")


@pytest.mark.parametrize(("seen", "severity"), [("constant_input", "note"), ("validation_leak", "error")])
def test_what_is_seen_explains_what_is_suspected_unless_it_is_about_validation(seen: str, severity: str) -> None:
    fact = Finding(seen, "error", "samples", "all of them")
    findings = Confirmation(history(), lambda treatment: history(NO_BETTER), history).judged([fact, VANISHING])
    assert {finding.code: finding.severity for finding in findings} == {seen: "error", "vanishing_gradient": severity}


def test_remedies_that_gain_little_beside_the_best_one_are_not_offered() -> None:
    exploding = Finding("exploding_gradient", "error", "layers", "10^4")
    after = {"initialisation=torch_default": BETTER, "trainer.gradient_clip_val=1.0": Scores(1.8, 0.2, 1.8, 0.2)}
    confirmation = Confirmation(history(), lambda tried: history(after.get(tried.remedy, NO_BETTER)), history)
    (finding,) = confirmation.judged([exploding])
    assert finding.remedies == ("initialisation=torch_default",)
    assert {"trainer.gradient_clip_val=1.0", "activation=relu initialisation=he"} <= confirmation.ineffective


def test_a_fact_is_shown_with_what_its_remedies_gain() -> None:
    overfitted, decayed, no_surer = (
        Scores(0.01, 1.0, 9.0, 0.4), Scores(0.5, 0.8, 0.6, 0.7), Scores(2.3, 0.1, 2.31, 0.4),
    )  # fmt: skip
    after = {"weight_decay=l2 weight_decay.strength=0.01": decayed, "dropout=standard": no_surer}
    confirmation = Confirmation(
        history(overfitted), lambda tried: history(after.get(tried.remedy, overfitted)), history
    )
    offered = Finding("overfitting", "warning", "network", "1", ("callbacks.early_stopping.patience=3",))
    (finding,) = confirmation.judged([offered])
    assert finding.gains == {"weight_decay=l2 weight_decay.strength=0.01": "validation accuracy 70.0% instead of 40.0%"}
    assert finding.remedies == (*finding.gains, *offered.remedies)
    assert confirmation.ineffective == {"dropout=standard"}


@pytest.mark.parametrize(("late", "severity"), [(0.9, "warning"), (2.0, "note")])
def test_a_loss_that_goes_up_and_down_is_judged_by_its_mean(late: float, severity: str) -> None:
    """Its last value is as good as with shorter steps, by chance."""

    def of(losses: list[float]) -> History:
        scores = {25 * n: Scores(loss, 0.49, loss, 0.49) for n, loss in enumerate([*losses, 1.5])}
        return replace(history(), scores=scores)

    oscillating = Finding("oscillating_loss", "warning", "network", "1.0")
    before, after = of([2.3, 2.2, 1.4, 2.2] * 2), of([2.3, 2.2, *[late] * 6])
    (finding,) = Confirmation(before, lambda treatment: after, lambda: before).judged([oscillating])
    assert finding.severity == severity


@pytest.mark.parametrize(("noise", "gains"), [((0.0, 0.0), True), ((0.2, 0.5), False)])
def test_what_two_evaluations_differ_by_is_no_gain(noise: tuple[float, float], gains: bool) -> None:
    assert (gain(replace(history(), noise=noise), history(BETTER)) is not None) == gains
