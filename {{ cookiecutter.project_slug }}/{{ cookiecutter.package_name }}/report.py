"""The end of a run as the terminal tells it."""

from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from .failure import Failed


def report(summary: dict[str, Any], folder: Path, looks: Sequence[str], failed: Failed | None = None) -> Iterator[str]:
    """The result in a small table, where it lies, how to look at it, and in the last line best against last."""
    best, last, test = summary["best"], summary["last"], summary["test"]
    yield f"\n{summary['status'].replace('_', ' ')} after {summary['epochs']} epochs in {summary['seconds']:.1f} s"
    if best:
        yield f"{'':8}{'epoch':>6}{'loss':>10}{'accuracy':>10}"
        yield f"{'best':8}{best['epoch']:6}{best['val/loss']:10.3f}{best['val/accuracy']:10.1%}   validation rows"
        yield f"{'last':8}{last['epoch']:6}{last['val/loss']:10.3f}{last['val/accuracy']:10.1%}   validation rows"
    if test:
        yield f"{'best':8}{best['epoch']:6}{test['test/loss']:10.3f}{test['test/accuracy']:10.1%}   test rows"
    if last and not isfinite(last["val/loss"]):
        yield f"{'last':8}{last['epoch']:6}: val/loss is not finite; the steps were too long, or the start too strong"
        yield f"{'try':8}trainer.gradient_clip_val=1.0, a lower optimizer.lr, or initialisation=zero_residual"
    if failed:
        yield f"{'why':8}{failed}"
        yield from (f"{'try':8}{' or '.join(finding.remedies)}" for finding in failed.findings)
        if (folder / "checkpoints" / "last.ckpt").exists():
            yield f"{'kept':8}{folder / 'checkpoints' / 'last.ckpt'}, from before that"
    yield f"\nrun     {folder}"
    yield from (f"look    {how}" for how in looks)
    if best:
        yield f"best    {validated(best)}; last {validated(last)}; the best weights are kept"
    if summary["status"] in ("interrupted", "failed") and not failed:
        yield f"go on   python train.py resume={folder}"


def validated(epoch: dict[str, float]) -> str:
    return f"epoch {epoch['epoch']}: val/loss {epoch['val/loss']:.3f}, val/accuracy {epoch['val/accuracy']:.1%}"
