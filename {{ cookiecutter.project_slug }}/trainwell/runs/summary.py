"""The end of a run: ``summary.json``, and the same for the terminal."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import RunFailed, with_place
from ..metrics import VALIDATION

COLUMNS = 5  # of metrics in the terminal


def results(epochs: Sequence[Mapping[str, float]], monitor: str, mode: str) -> dict[str, Any]:
    """``best`` and ``last``: epoch, step, the monitor and every validation metric; null before the first validation."""
    validated = [epoch for epoch in epochs if any(map(VALIDATION.match, epoch))]
    validated = validated or [epoch for epoch in epochs if monitor in epoch]
    best = best_of(validated, monitor, mode)
    return {
        "best": of_epoch(best, monitor) if best else None,
        "last": of_epoch(validated[-1], monitor) if validated else None,
    }


def best_of(epochs: Sequence[Mapping[str, float]], monitor: str, mode: str) -> Mapping[str, float] | None:
    """The first epoch with the best value of the monitor, whose weights are kept."""
    ranked = [epoch for epoch in epochs if not math.isnan(epoch.get(monitor, math.nan))]
    choose = max if mode == "max" else min
    return choose(ranked, key=lambda epoch: epoch[monitor]) if ranked else None


def of_epoch(epoch: Mapping[str, float], monitor: str) -> dict[str, float]:
    names = [name for name in epoch if VALIDATION.match(name) or name == monitor]
    names.sort(key=lambda name: not name.endswith("loss"))
    return {"epoch": int(epoch["epoch"]), "step": int(epoch["step"])} | {name: epoch[name] for name in names}


def report(
    summary: Mapping[str, Any], monitor: str, run: Path, views: Sequence[str], error: BaseException | None = None
) -> Iterator[str]:
    """The result in a small table, where it is, how to view it, and in the last line best against last."""
    best, last, test = summary["best"], summary["last"], summary["test"]
    status = summary["status"].replace("_", " ")
    yield f"\n{status} after {summary['epochs']} epochs in {summary['seconds']:.1f} s"
    if best:
        names = [name for name in best if name not in ("epoch", "step")][:COLUMNS]
        yield f"{'':8}{'epoch':>6}" + "".join(f"{heading(name):>{width(name)}}" for name in names)
        yield row("best", best["epoch"], best, names, "validation samples")
        yield row("last", last["epoch"], last, names, "validation samples")
        if test:
            of_test = [VALIDATION.sub(lambda found: f"test{found[0][-1]}", name, count=1) for name in names]
            yield row("best", best["epoch"], test, of_test, "test samples", names)
        if summary.get("baseline"):
            yield row("baseline", "-", summary["baseline"], names, "a constant guess")
    if last and not math.isfinite(last.get(monitor, 0.0)):
        yield f"{'last':8}{monitor} is not finite: the learning rate or the initial weights were too large"
        yield f"{'try':8}trainer.gradient_clip_val=1.0, a lower optimizer.lr, or initialisation=zero_residual"
    failed = isinstance(error, RunFailed)
    if error is not None and summary["status"] == "failed":
        yield f"{'why':8}{error if failed else with_place(error)}"
    if isinstance(error, RunFailed):
        yield from (f"{'try':8}{' or '.join(finding.remedies)}" for finding in error.findings)
        if (run / "checkpoints" / "last.ckpt").exists():
            yield f"{'kept':8}{run / 'checkpoints' / 'last.ckpt'}, from before"
    yield f"\nrun     {run}"
    yield from (f"view    {view}" for view in views)
    if best:
        yield f"best    {described(best, monitor)}; last {described(last, monitor)}; the best weights are kept"
    if summary["status"] in ("interrupted", "failed", "out_of_time") and not failed:
        yield f"resume  python train.py resume={run}"


def heading(name: str) -> str:
    return name.removeprefix("val/")


def width(name: str) -> int:
    return max(10, len(heading(name)) + 2)


def row(
    title: str,
    epoch: int | str,
    values: Mapping[str, float],
    names: Sequence[str],
    note: str,
    columns: Sequence[str] | None = None,
) -> str:
    """``columns`` are the names in the table's head, if they differ."""
    widths = map(width, columns or names)
    cells = "".join(f"{number(values.get(name)):>{size}}" for name, size in zip(names, widths, strict=True))
    return f"{title:8}{epoch:>6}{cells}   {note}"


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}" if abs(value) >= 100 else f"{value:.3f}"


def described(epoch: Mapping[str, float], monitor: str) -> str:
    return f"epoch {epoch['epoch']}: {monitor} {number(epoch.get(monitor))}"
