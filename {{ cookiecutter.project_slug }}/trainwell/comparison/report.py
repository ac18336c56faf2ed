"""A comparison as ``comparison.html``: one file that needs no other file and no network."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from . import plots, table
from .statistics import Comparison

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Comparison of runs</title>
<style>
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
div { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem 1rem .3rem .3rem; white-space: nowrap; border-bottom: 1px solid #8884; }
img { max-width: 100%; background: white; }
</style>
"""
CAPTION = (
    f"Mean and one standard deviation over seeds and folds; of more than {plots.GROUPS} groups, the best are drawn."
)


def write(comparison: Comparison, path: Path) -> None:
    parts = [PAGE, element("h1", table.headline(comparison))]
    note, skipped = " ".join(table.notes(comparison)), " ".join(f"Skipped: {why}." for why in comparison.skipped)
    for title, rows, text in (
        ("Groups", table.group_rows(comparison), note),
        ("Runs", table.run_rows(comparison), skipped),
    ):
        parts += [element("h2", title), f"<div>{html_table(rows)}</div>", element("p", text)]
    if drawn := plots.draw(comparison):
        source = f"data:image/png;base64,{base64.b64encode(drawn).decode()}"
        parts += [
            element("h2", "Plots"),
            element("p", CAPTION),
            f'<img src="{source}" alt="Learning curves, gradient norms">',
        ]
    path.write_text("\n".join(parts), encoding="utf-8")


def element(name: str, text: str) -> str:
    return f"<{name}>{escape(table.cell(text))}</{name}>"


def html_table(rows: Sequence[table.Row]) -> str:
    import pandas

    cells = [[table.cell(value) for value in row.values()] for row in rows]
    with pandas.option_context("display.max_colwidth", None):
        return pandas.DataFrame(cells, columns=[table.cell(name) for name in rows[0]]).to_html(index=False, border=0)
