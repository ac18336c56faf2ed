"""A comparison as ``comparison.html``: one file that needs no other file and no network."""

import base64
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
<h1>{{ headline }}</h1>
{% for title, rows, note in tables %}
<h2>{{ title }}</h2>
<div><table>
<tr>{% for name in rows[0] %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in rows %}
<tr>{% for value in row.values() %}<td>{{ value }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
<p>{{ note }}</p>
{% endfor %}
{% if image %}
<h2>Plots</h2>
<p>{{ caption }}</p>
<img src="data:image/png;base64,{{ image }}" alt="Learning curves, gradient norms">
{% endif %}
"""
CAPTION = (
    f"Mean and one standard deviation over seeds and folds; of more than {plots.GROUPS} groups, the best are drawn."
)


def write(comparison: Comparison, path: Path) -> None:
    from jinja2 import Environment

    note, skipped = " ".join(table.notes(comparison)), " ".join(f"Skipped: {why}." for why in comparison.skipped)
    tables = [("Groups", table.group_rows(comparison), note), ("Runs", table.run_rows(comparison), skipped)]
    image = base64.b64encode(plots.draw(comparison) or b"").decode()
    page = Environment(autoescape=True, trim_blocks=True, finalize=table.cell).from_string(PAGE)
    text = page.render(headline=table.headline(comparison), tables=tables, image=image, caption=CAPTION)
    path.write_text(text, encoding="utf-8")
