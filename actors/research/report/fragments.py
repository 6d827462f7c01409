"""Pieces of the page. Everything that is shown goes through `escape`: names and reasons are written by users."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby
from typing import Final

from actors.research.metrics.metric import Metric
from actors.research.report.formatting import (
    NONE,
    explained,
    figure,
    identity,
    moment,
    money,
    note,
    shown,
    shown_benchmark,
)
from actors.research.report.monthly import MONTHS, by_month
from actors.research.results import RunResult
from actors.research.statistics.comparison import Comparison
from actors.research.statistics.monte_carlo import MonteCarlo
from actors.research.statistics.selection import Overfitting
from actors.research.statistics.walk_forward import WalkForward

TRADES_LISTED: Final = 500


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "", text: Iterable[int] = ()) -> str:
    """Cells are HTML already. `text`: columns that are read from the left, beside the first."""
    left = set(text)
    names = "".join(f'<th scope="col"{_class(n, left)}>{name}</th>' for n, name in enumerate(head))
    lines = []
    for row in rows:
        first, *rest = row
        cells = "".join(f"<td{_class(n, left)}>{cell}</td>" for n, cell in enumerate(rest, 1))
        lines.append(f"<tr><td>{first}</td>{cells}</tr>")
    said = f"<caption>{caption}</caption>" if caption else ""
    body = "\n".join(lines)
    return f'<div class="scroll"><table>{said}<thead><tr>{names}</tr></thead>\n<tbody>{body}</tbody></table></div>'


def warned(texts: Sequence[str]) -> str:
    """The box at the top; nothing where there is nothing to warn of."""
    if not texts:
        return ""
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<div class="warnings" role="note"><strong>Read first</strong><ul>{items}</ul></div>'


def marked(result: RunResult) -> str:
    """`synthetic` and the like, beside the run's name."""
    return "".join(f'<span class="mark">{escape(mark)}</span>' for mark in result.marks)


def identified(result: RunResult) -> str:
    """What the run was."""
    pairs = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in identity(result))
    return f'<dl class="identity">{pairs}</dl>'


def selected(result: RunResult, metrics: Sequence[Metric], overfitting: Overfitting | None) -> str:
    """How many runs stand behind this one, and what is left of it after that: the first thing to read of a result."""
    parts = [f"Run {result.trials:,} of its family." if result.trials > 1 else "The only run of its family so far."]
    known = {metric.key: metric for metric in metrics}
    for key in ("psr", "dsr"):
        if key in known:
            each = known[key]
            parts.append(f"{each.name}: {shown(each)}{f' ({note(each)})' if note(each) else ''}.")
    if overfitting is not None:
        parts.append(
            f"Probability of backtest overfitting: {overfitting.probability:.1%} "
            f"({overfitting.trials:,} trials, {overfitting.splits:,} splits)."
        )
    return f"<p><strong>{escape(' '.join(parts))}</strong></p>"


def listed(said: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts of whoever makes the report."""
    paragraph = f"<p>{escape(said)}</p>" if said else ""
    cells = [[escape(cell) for cell in row] for row in rows]
    return paragraph + (table([escape(name) for name in head], cells) if cells else "")


def measured(metrics: Sequence[Metric], currency: str) -> str:
    """The metrics by group in one table, with the formula on hover."""
    groups = []
    for group, members in groupby(metrics, key=lambda metric: metric.group):
        lines = [f'<tr><th scope="rowgroup" colspan="4">{escape(group)}</th></tr>']
        for each in members:
            name = f'<abbr tabindex="0" title="{escape(explained(each))}">{escape(each.name)}</abbr>'
            value, benchmark = escape(shown(each, currency)), escape(shown_benchmark(each, currency))
            said = f'<td class="text dim">{escape(note(each))}</td>'
            lines.append(f"<tr><td>{name}</td><td>{value}</td><td>{benchmark}</td>{said}</tr>")
        groups.append("<tbody>" + "\n".join(lines) + "</tbody>")
    head = "<th>Metric</th><th>Value</th><th>Benchmark</th>" + '<th class="text">Note</th>'
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>{"".join(groups)}</table></div>'


def monthly(result: RunResult) -> str:
    """Returns by month, a row per year."""
    rows = []
    for year in by_month(result.equity):
        cells = [_tinted(cell) for cell in (*year.months, year.total)]
        rows.append((str(year.year), *cells))
    if not rows:
        return "<p>No month has a return.</p>"
    return table(("Year", *MONTHS, "Year"), rows, caption="Returns by month, %")


def traded(result: RunResult) -> str:
    """Closed trades, folded away."""
    trips = result.round_trips
    if not trips:
        return "<p>No trades.</p>"
    rows = [
        (
            escape(trip.market),
            f"{'▲' if trip.side == 'long' else '▼'} {escape(trip.side)}",
            f"{trip.size:,.10g}",
            moment(trip.entry_ts),
            f"{trip.entry_price:,.10g}",
            moment(trip.exit_ts),
            f"{trip.exit_price:,.10g}",
            money(trip.pnl),
            figure(trip.return_, "share"),
            money(trip.fees),
            NONE if trip.mae is None else money(trip.mae),
            NONE if trip.mfe is None else money(trip.mfe),
            escape(("still open; " if trip.open else "") + trip.exit_reason) or NONE,
        )
        for trip in trips[:TRADES_LISTED]
    ]
    head = (
        "Market",
        "Side",
        "Size",
        "Entry",
        "Price",
        "Exit",
        "Price",
        "Profit",
        "Return",
        "Fees",
        "MAE",
        "MFE",
        "Why",
    )
    more = f", the first {TRADES_LISTED}" if len(trips) > TRADES_LISTED else ""
    listed = table(head, rows, text={1, 12})
    return f"<details><summary>{len(trips):,} trades{more}</summary>{listed}</details>"


def simulated(found: MonteCarlo, currency: str) -> str:
    """Every figure of every method, with what its p means."""
    rows: list[tuple[str, ...]] = []
    for method in found.methods:
        name = f'<abbr tabindex="0" title="{escape(method.keeps)}">{escape(method.method.replace("_", " "))}</abbr>'
        sizes = f"{method.simulations:,} of {method.observations:,}"
        if method.reason:
            rows.append((name, NONE, "", "", "", "", "", "", f'<span class="dim">{escape(method.reason)}</span>'))
        for each in method.distributions:
            quantiles = (escape(figure(each.quantiles[q], each.unit, currency)) for q in ("0.05", "0.5", "0.95"))
            observed = escape(figure(each.observed, each.unit, currency))
            cells = (name, escape(each.name), sizes, observed, *quantiles, f"{each.p:.4f}", escape(each.p_means))
            rows.append(cells)
    head = ("Method", "Figure", "Simulations", "Observed", "5 %", "50 %", "95 %", "p", "p is the")
    caption = f"Seed {found.seed}; simulations of so many trades or days; p = (1 + count) / (1 + simulations)"
    return table(head, rows, caption=caption, text={1, 8})


def walked(found: WalkForward) -> str:
    """Windows, then the rules."""
    rows = []
    for outcome, figures in zip(found.windows, found.figures, strict=True):
        window = outcome.window
        chosen = ", ".join(f"{key} = {value}" for key, value in outcome.parameters.items())
        rows.append(
            (
                str(window.number),
                moment(window.train_start)[:10],
                moment(window.train_end)[:10],
                moment(window.test_start)[:10],
                moment(window.stitch_end)[:10],
                figure(figures.in_sample, "share"),
                figure(figures.out_of_sample, "share"),
                f"{outcome.trials:,}",
                escape(chosen) or NONE,
            )
        )
    head = ("Window", "Train from", "to", "Test from", "to", "In sample", "Out of sample", "Tried", "Parameters")
    efficiency = found.reason if found.efficiency is None else f"{found.efficiency:.1%}"
    t = "unknown" if found.t_statistic is None else f"{found.t_statistic:.2f}"
    sharpe = "unknown" if found.sharpe is None else f"{found.sharpe:.2f}"
    said = (
        f"<p>t-statistic of the stitched daily returns <strong>{t}</strong>, Sharpe ratio {sharpe}; "
        f"efficiency (out of sample over in sample) {escape(efficiency)}; {found.trials:,} fits tried.</p>"
    )
    words = {None: "cannot be told", True: "passed", False: "FAILED"}
    rules = table(
        ("TradeStation's rule", "", ""),
        ((escape(rule.name), words[rule.passed], escape(rule.detail)) for rule in found.rules),
        text={1, 2},
    )
    return said + table(head, rows, text={8}) + rules


def compared(found: Comparison, letters: dict[str, str]) -> str:
    """Ranks of the runs, then the tests of every pair. `letters` by run id."""
    keys = list(dict.fromkeys(key for run in found.runs for key in run.ranks))
    names = {metric.key: metric.name for run in found.runs for metric in run.metrics}
    rows = []
    for run in found.runs:
        values = {metric.key: metric for metric in run.metrics}
        cells = (
            f"{escape(shown(values[key]))} <span class='dim'>({run.ranks[key]})</span>" if key in run.ranks else NONE
            for key in keys
        )
        mean = NONE if run.mean_rank is None else f"{run.mean_rank:.2f}"
        rows.append((f"{letters.get(run.run_id, '')} {escape(run.run_id)}", escape(run.strategy), *cells, mean))
    ranks = table(("Run", "Strategy", *(escape(names[key]) for key in keys), "Mean rank"), rows, text={1})
    pairs = []
    for pair in found.pairs:
        interval = NONE if pair.low is None or pair.high is None else f"{pair.low:.2f} to {pair.high:.2f}"
        numbers = (pair.difference, pair.p, pair.p_holm)
        difference, p, p_holm = (NONE if value is None else f"{value:.4f}" for value in numbers)
        both = f"{escape(pair.first)} − {escape(pair.second)}"
        said = escape(pair.verdict or pair.reason)
        pairs.append((both, f"{pair.days:,}", difference, interval, p, p_holm, said))
    caption = (
        f"Differences of annual Sharpe ratios: {found.simulations:,} paired circular block bootstraps, studentised "
        f"(Ledoit and Wolf, 2008), Holm's correction, seed {found.seed}"
    )
    head = ("Pair", "Days", "Difference", f"{found.confidence:.0%} interval", "p", "p, corrected", "Verdict")
    return warned(found.warnings) + ranks + table(head, pairs, caption=caption, text={6})


def _class(column: int, left: set[int]) -> str:
    return ' class="text"' if column in left else ""


def _tinted(value: float | None) -> str:
    if value is None:
        return NONE
    colour = "up" if value > 0 else "down" if value < 0 else ""
    return f'<span class="{colour}">{value * 100:+.1f}</span>'
