"""Charts of a report, drawn in the browser by BokehJS (BSD-3-Clause), which the page holds: 1.3 MB, no network.

plotly.js would be 4.5 MB in each page; matplotlib's SVG grows with the data and can be neither zoomed nor asked. Bokeh
is imported by whoever draws, never by who only reads figures. No text of a user goes into a chart's labels, where it
might be read as TeX; in hover boxes Bokeh escapes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from bokeh.embed import json_item
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, HoverTool, NumeralTickFormatter, Range1d
from bokeh.models.annotations import BoxAnnotation, Span
from bokeh.plotting import figure
from bokeh.resources import Resources
from numpy.typing import NDArray

from actors.research.metrics import drawdowns
from actors.research.metrics.metric import Unknown
from actors.research.metrics.sample import daily, simple_returns
from actors.research.report.formatting import money
from actors.research.results import RoundTrip, RunResult, Series
from actors.research.statistics.distributions import Fan
from actors.research.statistics.selection import Overfitting
from actors.research.statistics.walk_forward import WalkForward

Floats = NDArray[np.float64]

MS_NS: Final = 1_000_000
PLAIN: Final = "0,0.[00000000]"
"""As many decimals as there are: equity may be dollars or parts of a bitcoin."""
MOST_POINTS: Final = 4_000
MOST_TRADES: Final = 1_000
COLOURS: Final = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8a7a00", "#000000", "#7f3c8d", "#666666",
)  # fmt: skip
"""Okabe and Ito's, told apart by the colour-blind; the yellow is darkened to be seen on white."""
BLUE, ORANGE, GREEN, RED = COLOURS[0], COLOURS[1], COLOURS[2], COLOURS[4]
GREY: Final = "#8c8c8c"


class Chart(NamedTuple):
    """What the page needs of a chart. `said`: its content in words, for who cannot see it. `item`: for BokehJS."""

    title: str
    said: str
    item: dict[str, Any]


def script() -> str:
    """BokehJS as JavaScript: the core alone, without widgets, tables, WebGL or TeX."""
    return "\n".join(Resources(mode="inline", components=["bokeh"], minified=True).js_raw)


def over_time(result: RunResult) -> Chart:
    """Equity with the benchmark, drawdown, and price with the trades, on one time axis."""
    times, equity = result.equity.times(), result.equity.array()
    shared = _range(times)
    top = _time_figure("Equity", shared, 300)
    _line(top, times, equity, BLUE, "Equity", width=1.8)
    if result.benchmark is not None and result.benchmark.array().size and result.benchmark.array()[0] > 0:
        stamps, values = result.benchmark.times(), result.benchmark.array()
        _line(top, stamps, values / values[0] * equity[0], GREY, "Benchmark, same capital", dash="dashed")
    _legend(top)
    top.yaxis.formatter = NumeralTickFormatter(format=PLAIN)
    below = _time_figure("Drawdown", shared, 160)
    depth = _drawdown(below, times, equity)
    below.yaxis.formatter = NumeralTickFormatter(format="0.[00] %")
    rows = [top, below]
    trades = ""
    if result.price is not None and result.price.array().size:
        rows.append(_price(result, result.price, shared))
        count = len(result.round_trips)
        trades = f" {min(count, MOST_TRADES)} of {count} trades on the price." if count > MOST_TRADES else ""
    ends = f"Equity from {money(equity[0])} to {money(equity[-1])} {result.currency}"
    said = f"{ends}; deepest drawdown {depth:.1%}.{trades}"
    return _chart("Equity, drawdown, price and trades", said, column(*rows, sizing_mode="stretch_width"))


def distribution(result: RunResult) -> Chart | None:
    """Histogram of daily returns beside the normal of their mean and deviation. None where there are too few."""
    try:
        values = simple_returns(daily(result.equity.times(), result.equity.array())[1])
    except Unknown:
        return None
    if values.size < 10 or float(values.std()) == 0:
        return None
    counts, edges = np.histogram(values, bins=int(min(80, max(10, 2 * np.sqrt(values.size)))))
    plot = figure(height=260, sizing_mode="stretch_width", tools="xpan,xwheel_zoom,box_zoom,reset,save")
    bars = {"left": edges[:-1], "right": edges[1:], "top": counts}
    drawn = plot.quad(bottom=0, fill_color=BLUE, line_color="white", fill_alpha=0.7, source=ColumnDataSource(bars))
    tips = [("from", "@left{0.00 %}"), ("to", "@right{0.00 %}"), ("days", "@top")]
    plot.add_tools(HoverTool(renderers=[drawn], tooltips=tips))
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    grid = np.linspace(edges[0], edges[-1], 200)
    density = np.exp(-0.5 * ((grid - mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))
    plot.line(grid, density * values.size * (edges[1] - edges[0]), color=ORANGE, line_width=2, legend_label="normal")
    plot.add_layout(Span(location=0, dimension="height", line_color=GREY))
    plot.xaxis.formatter = NumeralTickFormatter(format="0.0[0] %")
    plot.yaxis.axis_label = "days"
    _legend(plot)
    said = f"{values.size} daily returns: mean {mean:.3%}, deviation {deviation:.3%}."
    return _chart("Distribution of daily returns", said, plot)


def logits(found: Overfitting) -> Chart:
    """Where the winners in sample ended out of sample: below zero is below the median."""
    widest = max(1.0, *(abs(logit) for logit in found.logits))
    # A logit of zero is the median itself, which is not above it: it belongs to the left.
    counts, edges = np.histogram(np.array(found.logits) - 1e-9, bins=np.linspace(-widest - 1e-6, widest + 1e-6, 41))
    plot = figure(height=220, sizing_mode="stretch_width", tools="xpan,xwheel_zoom,box_zoom,reset,save")
    for name, colour, chosen in (("worse than the median", RED, edges[1:] < 1e-9), ("better", BLUE, edges[1:] >= 1e-9)):
        bars = {"left": edges[:-1][chosen], "right": edges[1:][chosen], "top": counts[chosen]}
        source = ColumnDataSource(bars)
        plot.quad(bottom=0, fill_color=colour, line_color="white", fill_alpha=0.7, source=source, legend_label=name)
    plot.add_layout(Span(location=0, dimension="height", line_color=GREY))
    plot.xaxis.axis_label = "logit of the winner's rank out of sample"
    plot.yaxis.axis_label = "splits"
    _legend(plot)
    said = (
        f"In {found.probability:.1%} of {found.splits:,} splits the best of {found.trials:,} trials in sample was not "
        f"above the median out of sample; in {found.loss_probability:.1%} it lost there."
    )
    return _chart("Overfitting: the winners' ranks out of sample", said, plot)


def windows(found: WalkForward) -> Chart | None:
    """The stitched curve over the windows' training and test. None without windows."""
    if not found.windows:
        return None
    edges = [(each.window.train_start, each.window.test_end) for each in found.windows]
    shared = _range(np.array([min(start for start, _ in edges), max(end for _, end in edges)]))
    top = _time_figure("Stitched out-of-sample equity", shared, 240)
    times, values = found.stitched.times(), found.stitched.array()
    _line(top, times, values, BLUE, "Out of sample, stitched", width=1.8)
    for number, each in enumerate(found.windows):
        shade = BoxAnnotation(
            left=each.window.test_start / MS_NS,
            right=each.window.stitch_end / MS_NS,
            fill_alpha=0.08 + 0.08 * (number % 2),
        )
        shade.fill_color = GREEN
        top.add_layout(shade)
    _legend(top)
    top.yaxis.formatter = NumeralTickFormatter(format=PLAIN)
    bottom = _time_figure("Windows", shared, 120 + 14 * min(len(found.windows), 40))
    for name, colour, first, last in (
        ("training", ORANGE, "train_start", "train_end"),
        ("test", GREY, "test_start", "test_end"),
        ("stitched", GREEN, "test_start", "stitch_end"),
    ):
        bottom.hbar(
            y=[each.window.number for each in found.windows],
            left=[getattr(each.window, first) / MS_NS for each in found.windows],
            right=[getattr(each.window, last) / MS_NS for each in found.windows],
            height=0.7 if name != "test" else 0.35,
            color=colour,
            legend_label=name,
        )
    _legend(bottom)
    bottom.legend.orientation = "horizontal"
    bottom.add_layout(bottom.legend[0], "above")
    bottom.y_range.flipped = True
    bottom.yaxis.visible = False
    said = f"{len(found.windows)} windows; the stitched curve has {times.size} samples."
    return _chart("Walk-forward windows", said, column(top, bottom, sizing_mode="stretch_width"))


def fan(found: Fan, method: str) -> Chart:
    """Quantiles of the simulated equity, with what was observed."""
    plot = figure(height=280, sizing_mode="stretch_width", tools="xpan,xwheel_zoom,box_zoom,reset,save")
    x = np.array(found.position, dtype=np.float64)
    lines = {key: np.array(values) for key, values in found.quantiles.items()}
    for low, high, alpha in (("0.05", "0.95", 0.15), ("0.25", "0.75", 0.25)):
        label = f"{float(low):.0%} to {float(high):.0%}"
        plot.varea(x=x, y1=lines[low], y2=lines[high], fill_color=BLUE, fill_alpha=alpha, legend_label=label)
    plot.line(x, lines["0.5"], color=BLUE, line_dash="dashed", legend_label="median")
    plot.line(x, np.array(found.observed), color=RED, line_width=1.8, legend_label="observed")
    plot.yaxis.formatter = NumeralTickFormatter(format=PLAIN)
    plot.xaxis.axis_label = found.axis
    _legend(plot)
    ends = ", ".join(f"{float(key):.0%}: {money(values[-1])}" for key, values in found.quantiles.items())
    said = f"Simulated equity at the end: {ends}; observed {money(found.observed[-1])}."
    return _chart(f"Monte Carlo: {method.replace('_', ' ')}", said, plot)


def together(results: Sequence[RunResult]) -> Chart:
    """Equity of several runs, each over its capital. Runs are named A, B, …: the page says which is which."""
    known = [each for each in results if each.equity.array().size and each.equity.array()[0] > 0]
    shared = _range(np.array([moment for each in known for moment in each.equity.times()[[0, -1]].tolist()], np.int64))
    plot = _time_figure("Equity over capital", shared, 340)
    ends = []
    for number, each in enumerate(results):
        if each not in known:
            continue
        values = each.equity.array() / each.equity.array()[0]
        _line(plot, each.equity.times(), values, COLOURS[number % len(COLOURS)], letter(number), width=1.6)
        ends.append(f"{letter(number)} {values[-1] - 1:.1%}")
    _legend(plot)
    plot.yaxis.formatter = NumeralTickFormatter(format=PLAIN)
    return _chart("Runs compared", f"Returns: {', '.join(ends)}.", plot)


def letter(number: int) -> str:
    """A for 0, B for 1 …."""
    return chr(ord("A") + number) if number < 26 else str(number + 1)


def thinned(times: NDArray[np.int64], values: Floats, most: int = MOST_POINTS) -> tuple[NDArray[np.int64], Floats]:
    """At most about `most` points: of each stretch the first, the lowest, the highest and the last."""
    n = values.size
    if n <= most:
        return times, values
    edges = np.linspace(0, n, most // 4 + 1).astype(np.int64)
    kept = set()
    for first, after in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        part = values[first:after]
        kept |= {first, first + int(np.argmin(part)), first + int(np.argmax(part)), after - 1}
    chosen = np.array(sorted(kept))
    return times[chosen], values[chosen]


def _price(result: RunResult, price: Series, shared: Range1d) -> Any:
    plot = _time_figure("Price and trades", shared, 300)
    _line(plot, price.times(), price.array(), "#555555", "Price")
    trips = _chosen(result.round_trips)
    for side, colour, marker in (("long", GREEN, "triangle"), ("short", RED, "inverted_triangle")):
        own = [trip for trip in trips if trip.side == side]
        if own:
            _trades(plot, own, side, colour, marker)
    _legend(plot)
    return plot


def _trades(plot: Any, trips: Sequence[RoundTrip], side: str, colour: str, marker: str) -> None:
    """A line from each entry (triangle, up for long) to its exit (cross)."""
    columns = {
        "x0": [trip.entry_ts / MS_NS for trip in trips],
        "x1": [trip.exit_ts / MS_NS for trip in trips],
        "y0": [trip.entry_price for trip in trips],
        "y1": [trip.exit_price for trip in trips],
        "market": [trip.market for trip in trips],
        "size": [trip.size for trip in trips],
        "pnl": [trip.pnl for trip in trips],
        "why": [trip.exit_reason or "—" for trip in trips],
    }
    source = ColumnDataSource(columns)
    tips = [
        ("market", "@market"),
        (side, "@size{0,0.[00000000]}"),
        ("entry", "@x0{%F %T} at @y0{0,0.[00000000]}"),
        ("exit", "@x1{%F %T} at @y1{0,0.[00000000]}"),
        ("profit", "@pnl{0,0.[00000000]}"),
        ("exit reason", "@why"),
    ]
    plot.segment("x0", "y0", "x1", "y1", source=source, color=colour, line_alpha=0.5)
    entries = plot.scatter(
        "x0", "y0", source=source, marker=marker, size=8, color=colour, legend_label=f"{side}, entry"
    )
    exits = plot.scatter("x1", "y1", source=source, marker="x", size=7, color=colour, legend_label=f"{side}, exit")
    formats: Any = {"@x0": "datetime", "@x1": "datetime"}
    plot.add_tools(HoverTool(renderers=[entries, exits], tooltips=tips, formatters=formats))


def _chosen(trips: Sequence[RoundTrip]) -> Sequence[RoundTrip]:
    if len(trips) <= MOST_TRADES:
        return trips
    return [trips[place] for place in np.linspace(0, len(trips) - 1, MOST_TRADES).astype(int).tolist()]


def _drawdown(plot: Any, times: NDArray[np.int64], equity: Floats) -> float:
    """Draws; returns the deepest."""
    try:
        depth = drawdowns.series(equity)
    except Unknown:
        return float("nan")
    stamps, values = thinned(times, depth)
    plot.varea(x=stamps / MS_NS, y1=values, y2=np.zeros(values.size), fill_color=RED, fill_alpha=0.35)
    return float(depth.min())


def _range(times: NDArray[np.int64]) -> Range1d:
    start, end = (float(times.min()) / MS_NS, float(times.max()) / MS_NS) if times.size else (0.0, 1.0)
    return Range1d(start=start, end=max(end, start + 1))


def _time_figure(title: str, shared: Range1d, height: int) -> Any:
    return figure(
        title=title,
        x_axis_type="datetime",
        x_range=shared,
        height=height,
        sizing_mode="stretch_width",
        # The frames of charts below one another begin and end at the same place.
        min_border_left=75,
        min_border_right=20,
        tools="xpan,xwheel_zoom,box_zoom,reset,save",
    )


def _line(
    plot: Any,
    times: NDArray[np.int64],
    values: Floats,
    colour: str,
    label: str,
    *,
    width: float = 1.2,
    dash: str = "solid",
) -> None:
    stamps, shown = thinned(times, values)
    source = ColumnDataSource({"x": stamps / MS_NS, "y": shown})
    drawn = plot.line("x", "y", source=source, color=colour, line_width=width, line_dash=dash, legend_label=label)
    tips = [("", label), ("time", "@x{%F %T}"), ("value", "@y{0,0.[00000000]}")]
    plot.add_tools(HoverTool(renderers=[drawn], tooltips=tips, formatters={"@x": "datetime"}, mode="vline"))


def _legend(plot: Any) -> None:
    plot.legend.location = "top_left"
    plot.legend.click_policy = "hide"
    plot.legend.background_fill_alpha = 0.6
    plot.legend.label_text_font_size = "11px"


def _chart(title: str, said: str, model: Any) -> Chart:
    return Chart(title, said, dict(json_item(model)))
