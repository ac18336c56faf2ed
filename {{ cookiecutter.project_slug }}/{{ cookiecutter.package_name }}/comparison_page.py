"""A comparison as ``comparison.html``: one file with everything in it, for the light and the dark."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from .comparison import Comparison, Group
from .comparison_pictures import pictures
from .comparison_table import ending, headline, interval, number, spread
from .records import Run

STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #2e9e6b; --quiet: #888; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 84rem; margin: 2rem auto; padding: 0 1rem;
  background: light-dark(#fff, #16181c); color: light-dark(#1a1c20, #e6e6e6); }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem 1.1rem .3rem .3rem; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; vertical-align: bottom; }
td.clear { font-weight: 600; }
tr.baseline td { background: var(--line); }
p.note, figcaption { color: var(--quiet); font-size: .9rem; }
figure { margin: 1.2rem 0 2rem; } svg { width: 100%; height: auto; }
summary { cursor: pointer; font-weight: 600; }
"""


def write(comparison: Comparison, path: Path) -> None:
    """Write the page."""
    figures = "".join(
        f"<figure>{svg}<figcaption>{escape(said)}</figcaption></figure>" for said, svg in pictures(comparison)
    )
    body = [
        f"<h1>{escape(headline(comparison))}</h1>",
        "<h2>Results</h2>",
        results(comparison),
        "<h2>What differs</h2>" + settings(comparison) if comparison.differing else "",
        "<h2>Pictures</h2>" + figures if figures else "",
        "<h2>Gradients</h2>",
        gradients(comparison),
        "<h2>Runs</h2>",
        runs(comparison),
    ]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Comparison of runs</title>'
    head = f'<html lang="en"><head>{head}<style>{STYLE}</style></head>'
    path.write_text(f"<!doctype html>\n{head}\n<body>{''.join(body)}</body></html>\n", "utf-8")


def results(comparison: Comparison) -> str:
    metrics = comparison.metrics
    header = [
        "",
        "group",
        "runs",
        "ended",
        *metrics,
        *(f"{metric} against {comparison.baseline.number}" for metric in metrics),
    ]
    rows = []
    for group in comparison.groups:
        cells = [
            group.number,
            group.label,
            len(group.runs),
            ending(group),
            *(spread(group, metric) for metric in metrics),
        ]
        found = [comparison.difference(group, metric) for metric in metrics]
        marked = [cell(interval(one), "clear" if one and one.clear else "") for one in found]
        rows.append(row(map(cell, cells), marked, kind="baseline" if group is comparison.baseline else ""))
    note = (
        "Of the best weights of each run: mean ± standard deviation over seeds. Against the baseline: mean of the "
        "differences seed by seed, with its 95 % interval (Student's t); a star where that leaves 0 out. Of 20 such "
        "intervals one misses the truth by chance alone."
    )
    return table(header, rows) + f'<p class="note">{note}</p>'


def settings(comparison: Comparison) -> str:
    rows = [
        row(map(cell, [group.number, *(comparison.setting(group, key) for key in comparison.differing)]))
        for group in comparison.groups
    ]
    return table(["", *comparison.differing], rows)


def gradients(comparison: Comparison) -> str:
    names = ("median", "p90", "max", "clipped_fraction")
    rows = [
        row(map(cell, [group.number, group.label, *(gradient(group, name) for name in names)]))
        for group in comparison.groups
    ]
    header = ["", "group", "median norm", "90th percentile", "largest", "share of steps clipped"]
    return table(header, rows) + '<p class="note">Means over the runs of a group, before clipping.</p>'


def gradient(group: Group, name: str) -> str:
    found = [run.summary["gradient"][name] for run in group.runs if run.summary.get("gradient")]
    return number(sum(found) / len(found)) if found else "-"


def runs(comparison: Comparison) -> str:
    header = ["", "seed", "ended", "epochs", "best epoch", *comparison.metrics, "seconds", "folder", "command"]
    rows = [
        row(map(cell, [group.number, *facts(run, comparison.metrics)]))
        for group in comparison.groups
        for run in group.runs
    ]
    return f"<details><summary>all {len(rows)}</summary>{table(header, rows)}</details>"


def facts(run: Run, metrics: Sequence[str]) -> list[object]:
    summary = run.summary
    values = [run.value(metric) for metric in metrics]
    return [
        run.seed,
        run.status.replace("_", " "),
        summary.get("epochs", "-"),
        (summary.get("best") or {}).get("epoch", "-"),
        *("-" if value is None else number(value) for value in values),
        f"{summary['seconds']:.1f}" if summary.get("seconds") else "-",
        run.folder,
        summary.get("command", "-"),
    ]


def table(header: Sequence[str], rows: Iterable[str]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def row(*cells: Iterable[str], kind: str = "") -> str:
    return f'<tr class="{kind}">{"".join(one for some in cells for one in some)}</tr>'


def cell(value: object, kind: str = "") -> str:
    return f'<td class="{kind}">{escape(str(value))}</td>'
