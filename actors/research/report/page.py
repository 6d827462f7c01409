"""A report as one HTML page that needs no network: tables that can be read without scripts, and charts.

Its policy (CSP) lets nothing be fetched and runs the two scripts that it holds, by their hashes, and no other: what a
user wrote into a name could not run even if it were not escaped.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, Final

import msgspec

from actors.research.metrics.metric import Metric
from actors.research.metrics.registry import evaluate, warnings
from actors.research.report import fragments
from actors.research.results import RunResult
from actors.research.statistics.comparison import Comparison
from actors.research.statistics.monte_carlo import MonteCarlo
from actors.research.statistics.selection import Overfitting
from actors.research.statistics.walk_forward import WalkForward

if TYPE_CHECKING:
    from actors.research.report.charts import Chart

START: Final = """
for (const each of JSON.parse(document.getElementById("charts").textContent)) {
  Bokeh.embed.embed_item(each.item, each.target);
}
"""
IN_SCRIPT: Final = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A table that who makes the report adds to a run: folds, brackets, the parameters that were tried. All is text."""

    title: str
    said: str = ""
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A run with all that is shown of it. Metrics that are not given are evaluated."""

    result: RunResult
    metrics: tuple[Metric, ...] = ()
    monte_carlo: MonteCarlo | None = None
    walk_forward: WalkForward | None = None
    overfitting: Overfitting | None = None
    listings: tuple[Listing, ...] = ()


def write_html(
    path: Path, results: Sequence[RunResult | Section], *, comparison: Comparison | None = None, title: str = ""
) -> None:
    """Write the page, whole or not at all. Raises OSError, or ValueError without a run."""
    text = html(results, comparison=comparison, title=title)
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def html(results: Sequence[RunResult | Section], *, comparison: Comparison | None = None, title: str = "") -> str:
    """The page as text. Imports Bokeh, which takes half a second: not for a loop that must answer."""
    from actors.research.report import charts

    sections = [_whole(each) for each in results]
    if not sections:
        raise ValueError("report: expected one run or more, got none")
    names = {each.result.run_id: charts.letter(number) for number, each in enumerate(sections)}
    holder = _Charts()
    heading = title or f"Report: {', '.join(dict.fromkeys(each.result.strategy for each in sections))}"
    parts = [f"<h1>{escape(heading)}</h1>", _warnings(sections, names)]
    if len(sections) > 1 or comparison is not None:
        parts.append("<h2>Comparison</h2>")
        parts.append(holder.place(charts.together([each.result for each in sections])))
        listed = ", ".join(f"{letter} = {escape(run_id)}" for run_id, letter in names.items())
        parts.append(f"<p>{listed}</p>")
    if comparison is not None:
        parts.append(fragments.compared(comparison, names))
    for section in sections:
        parts += _section(section, names[section.result.run_id] if len(sections) > 1 else "", holder)
    library = charts.script()
    return Template(files("actors.research.report").joinpath("page.html").read_text(encoding="utf-8")).substitute(
        title=escape(heading),
        policy=_policy(library, START),
        body="\n".join(parts),
        charts=embedded(holder.items),
        library=library,
        start=START,
    )


def embedded(value: Any) -> str:
    """JSON that can stand in a script element: it holds nothing that could end one."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.translate(IN_SCRIPT)


def _policy(*scripts: str) -> str:
    """Only these scripts; no requests, no frames, no forms. Styles inline: Bokeh sets them on its elements."""
    hashes = " ".join(f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


class _Charts:
    """The charts of a page, with the place of each."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []

    def place(self, chart: Chart | None) -> str:
        if chart is None:
            return ""
        target = f"chart-{len(self.items) + 1}"
        self.items.append({"target": target, "item": chart.item})
        label = escape(f"{chart.title}. {chart.said}")
        return (
            f'<figure><div class="chart" id="{target}" role="img" aria-label="{label}"></div>'
            f"<figcaption>{escape(chart.said)}</figcaption></figure>"
        )


def _whole(given: RunResult | Section) -> Section:
    section = given if isinstance(given, Section) else Section(result=given)
    return section if section.metrics else msgspec.structs.replace(section, metrics=evaluate(section.result))


def _warnings(sections: Sequence[Section], names: dict[str, str]) -> str:
    """Of all runs, before anything else; each with its run where there are several."""
    found = []
    for section in sections:
        said = f"{names[section.result.run_id]}: " if len(sections) > 1 else ""
        found += [said + text for text in warnings(section.result, section.metrics)]
    return fragments.warned(found)


def _section(section: Section, letter: str, holder: _Charts) -> list[str]:
    from actors.research.report import charts

    result = section.result
    name = f"{letter} " if letter else ""
    parts = [f"<h2>{name}{escape(result.strategy)} {fragments.marked(result)}</h2>"]
    parts.append(fragments.selected(result, section.metrics, section.overfitting))
    parts.append(fragments.identified(result))
    if result.equity.array().size:
        parts.append(holder.place(charts.over_time(result)))
    parts += ["<h3>Months</h3>", fragments.monthly(result)]
    parts += ["<h3>Metrics</h3>", fragments.measured(section.metrics, result.currency)]
    if (distribution := charts.distribution(result)) is not None:
        parts += ["<h3>Distribution of daily returns</h3>", holder.place(distribution)]
    if section.walk_forward is not None:
        parts += ["<h3>Walk-forward</h3>", holder.place(charts.windows(section.walk_forward))]
        parts.append(fragments.walked(section.walk_forward))
    if section.monte_carlo is not None:
        parts.append("<h3>Monte Carlo</h3>")
        fans = ((each.fan, each.method) for each in section.monte_carlo.methods)
        for fan, method in fans:
            if fan is not None:
                parts += [f"<h4>{escape(method.replace('_', ' '))}</h4>", holder.place(charts.fan(fan, method))]
        parts.append(fragments.simulated(section.monte_carlo, result.currency))
    if section.overfitting is not None:
        parts += ["<h3>Overfitting</h3>", holder.place(charts.logits(section.overfitting))]
    for each in section.listings:
        parts += [f"<h3>{escape(each.title)}</h3>", fragments.listed(each.said, each.head, each.rows)]
    parts += ["<h3>Trades</h3>", fragments.traded(result)]
    return parts
