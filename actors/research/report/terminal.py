"""A run as text for a terminal: plain, in columns, no wider than its longest note."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from actors.research.metrics.metric import Metric
from actors.research.metrics.registry import warnings
from actors.research.report.formatting import NONE, figure, identity, note, shown, shown_benchmark
from actors.research.report.monthly import MONTHS, by_month
from actors.research.results import RunResult
from actors.research.statistics.comparison import Comparison
from actors.research.statistics.monte_carlo import MonteCarlo
from actors.research.statistics.walk_forward import WalkForward


def render(result: RunResult, metrics: Sequence[Metric]) -> str:
    """Warnings, what the run was, its metrics by group beside the benchmark's, and its months."""
    parts = [*(f"! {printable(text)}" for text in warnings(result, metrics)), ""]
    width = max(len(name) for name, _ in identity(result))
    parts += [f"{name:<{width}}  {printable(value)}" for name, value in identity(result)]
    parts += ["", render_metrics(metrics, result.currency), "", render_months(result)]
    return "\n".join(parts).strip() + "\n"


def render_metrics(metrics: Sequence[Metric], currency: str) -> str:
    """One table for all groups, so that the columns stand below one another."""
    rows: list[tuple[str, ...]] = [("METRIC", "VALUE", "BENCHMARK", "NOTE")]
    for group, members in groupby(metrics, key=lambda metric: metric.group):
        rows.append((f"{group.upper()}",))
        rows += [
            (f"  {each.name}", shown(each, currency), shown_benchmark(each, currency), note(each)) for each in members
        ]
    return table(rows, left={0, 3})


def render_months(result: RunResult) -> str:
    """A line per year."""
    rows: list[tuple[str, ...]] = [("%", *MONTHS, "Year")]
    for year in by_month(result.equity):
        cells = (*year.months, year.total)
        rows.append((str(year.year), *(NONE if cell is None else f"{cell * 100:.1f}" for cell in cells)))
    return table(rows, left={0}) if len(rows) > 1 else "no month has a return"


def render_monte_carlo(found: MonteCarlo, currency: str = "") -> str:
    """A line per figure of each method."""
    rows: list[tuple[str, ...]] = [("METHOD", "FIGURE", "OBSERVED", "5 %", "50 %", "95 %", "p", "p MEANS")]
    for method in found.methods:
        if method.reason:
            rows.append((method.method, NONE, "", "", "", "", "", method.reason))
        for each in method.distributions:
            quantiles = (figure(each.quantiles[q], each.unit, currency) for q in ("0.05", "0.5", "0.95"))
            observed = figure(each.observed, each.unit, currency)
            rows.append((method.method, each.name, observed, *quantiles, f"{each.p:.4f}", each.p_means))
    return f"{found.simulations} simulations, seed {found.seed}\n{table(rows, left={0, 1, 7})}\n"


def render_walk_forward(found: WalkForward) -> str:
    """A line per window, then what all say together."""
    rows: list[tuple[str, ...]] = [("WINDOW", "IN SAMPLE", "OUT OF SAMPLE", "PARAMETERS")]
    for outcome, figures in zip(found.windows, found.figures, strict=True):
        chosen = ", ".join(f"{key} = {value}" for key, value in outcome.parameters.items())
        returns = (figure(value, "share") for value in (figures.in_sample, figures.out_of_sample))
        rows.append((str(figures.number), *returns, printable(chosen)))
    said = {None: "?", True: "yes", False: "NO"}
    rules = table([(said[rule.passed], rule.name, rule.detail) for rule in found.rules], left={0, 1, 2})
    efficiency = found.reason if found.efficiency is None else f"{found.efficiency:.1%}"
    t = NONE if found.t_statistic is None else f"{found.t_statistic:.2f}"
    head = f"efficiency {efficiency}, t-statistic of the stitched curve {t}, {found.trials} fits tried"
    return f"{table(rows, left={0, 3})}\n\n{head}\n{rules}\n"


def render_comparison(found: Comparison) -> str:
    """Ranks, then a line per pair."""
    rows: list[tuple[str, ...]] = [("RUN", "STRATEGY", "MEAN RANK")]
    for run in found.runs:
        mean = NONE if run.mean_rank is None else f"{run.mean_rank:.2f}"
        rows.append((printable(run.run_id), printable(run.strategy), mean))
    pairs: list[tuple[str, ...]] = [("FIRST", "SECOND", "SHARPE DIFF.", f"{found.confidence:.0%}", "p HOLM", "VERDICT")]
    for pair in found.pairs:
        interval = NONE if pair.low is None or pair.high is None else f"{pair.low:.2f} … {pair.high:.2f}"
        difference = NONE if pair.difference is None else f"{pair.difference:.2f}"
        p = NONE if pair.p_holm is None else f"{pair.p_holm:.4f}"
        names = printable(pair.first), printable(pair.second)
        pairs.append((*names, difference, interval, p, printable(pair.verdict or pair.reason)))
    said = "".join(f"! {text}\n" for text in found.warnings)
    return f"{said}{table(rows, left={0, 1})}\n\n{table(pairs, left={0, 1, 5})}\n"


def table(rows: Sequence[Sequence[str]], left: Iterable[int] = ()) -> str:
    """Aligned columns; a row of one cell is a heading and widens none."""
    kept = set(left)
    columns = max((len(row) for row in rows), default=0)
    widths = [max((len(row[n]) for row in rows if 1 < len(row) > n), default=0) for n in range(columns)]
    lines = []
    for row in rows:
        cells = (f"{cell:<{widths[n]}}" if n in kept else f"{cell:>{widths[n]}}" for n, cell in enumerate(row))
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def printable(text: str) -> str:
    """Without control characters: a name must not move the cursor of who reads it."""
    return "".join(char if char.isprintable() else "�" for char in text)
