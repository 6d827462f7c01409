"""Parts of a finished backtest as HTTP shows them: days, rolling figures, trades, the whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from actors.research.backtest.report import Report
from actors.research.metrics.metric import Unknown
from actors.research.metrics.sample import Sample
from actors.research.results import RoundTrip, RunResult, Series
from protocols.signal_stream import timestamp

DAY_S = 86_400
MOST_POINTS = 5_000
"""Of the equity curve in one answer; a longer one is thinned to the last point of each part."""


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """One day. `daily_return` null on the first, or where the equity was not positive; `drawdown` from the peak."""

    date: str
    equity: float
    daily_return: float | None
    cumulative_return: float | None
    drawdown: float | None


class Rolling(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of the last so many days; null where they are not known."""

    date: str
    total_return: float | None
    volatility: float | None
    sharpe: float | None


class TradeBody(msgspec.Struct, frozen=True, kw_only=True):
    """A round trip."""

    symbol: str
    side: str
    quantity: float
    entry_time: str
    entry_price: float
    exit_time: str
    exit_price: float
    pnl: float
    pnl_pct: float | None
    fees: float
    mae: float | None
    mfe: float | None
    exit_reason: str
    open: bool


def days(run: RunResult) -> list[Day]:
    """The equity at the end of each UTC day."""
    sample = Sample.of(run, None, 0.0, None)
    values = sample.daily_equity
    peak = np.maximum.accumulate(values) if values.size else values
    found = []
    for place in range(1, values.size):
        before, value, first = float(values[place - 1]), float(values[place]), float(values[0])
        found.append(
            Day(
                date=_date(int(sample.days[place])),
                equity=value,
                daily_return=value / before - 1 if before > 0 else None,
                cumulative_return=value / first - 1 if first > 0 else None,
                drawdown=value / float(peak[place]) - 1 if peak[place] > 0 else None,
            )
        )
    return found


def rolling(run: RunResult, window: int) -> list[Rolling]:
    """Return, volatility and Sharpe ratio (both annualised) of the last `window` daily returns, from the first full."""
    sample = Sample.of(run, None, 0.0, None)
    try:
        returns = sample.returns
    except Unknown:
        return []
    found = []
    for end in range(window, returns.size + 1):
        part = returns[end - window : end]
        deviation = float(np.std(part, ddof=1)) if window > 1 else 0.0
        root = math.sqrt(sample.periods)
        found.append(
            Rolling(
                date=_date(int(sample.days[end])),
                total_return=float(np.prod(1 + part) - 1),
                volatility=deviation * root if window > 1 else None,
                sharpe=float(np.mean(part)) / deviation * root if deviation > 0 else None,
            )
        )
    return found


def trade_body(trade: RoundTrip) -> TradeBody:
    """A round trip as it is shown."""
    return TradeBody(
        symbol=trade.market,
        side=trade.side,
        quantity=trade.size,
        entry_time=timestamp(trade.entry_ts),
        entry_price=trade.entry_price,
        exit_time=timestamp(trade.exit_ts),
        exit_price=trade.exit_price,
        pnl=trade.pnl,
        pnl_pct=None if math.isnan(trade.return_) else trade.return_,
        fees=trade.fees,
        mae=trade.mae,
        mfe=trade.mfe,
        exit_reason=trade.exit_reason,
        open=trade.open,
    )


def chosen(trades: Sequence[RoundTrip], *, symbol: str = "", side: str = "", outcome: str = "") -> list[RoundTrip]:
    """Trades of a market, a side ("long", "short"), an outcome ("win", "loss")."""
    return [
        trade
        for trade in trades
        if (not symbol or trade.market == symbol)
        and (not side or trade.side == side)
        and (not outcome or (trade.pnl > 0) == (outcome == "win"))
    ]


def curve(series: Series | None) -> list[tuple[str, float]]:
    """(time, value); thinned where it is long."""
    if series is None:
        return []
    times, values = series.times(), series.array()
    step = max(1, math.ceil(times.size / MOST_POINTS))
    places = sorted({*range(step - 1, times.size, step), 0, times.size - 1}) if times.size else []
    return [(timestamp(int(times[place])), float(values[place])) for place in places]


def whole(report: Report) -> dict[str, Any]:
    """All of it, as plain data."""
    run = report.run
    return {
        "run_id": run.run_id,
        "strategy": run.strategy,
        "family": msgspec.to_builtins(report.family),
        "methodology": run.methodology,
        "markets": list(run.markets),
        "data": list(run.data),
        "data_hashes": list(run.data_hashes),
        "parameters": run.parameters,
        "seed": run.seed,
        "currency": run.currency,
        "initial_capital": run.initial_capital,
        "final_equity": run.final_equity,
        "start": timestamp(run.first),
        "end": timestamp(run.last),
        "counts": {
            name: getattr(run, name)
            for name in ("events", "bars", "signals", "orders", "fills", "denied", "rejected", "ambiguous", "trials")
        },
        "fees": run.fees,
        "funding": run.funding,
        "exposure": run.exposure,
        "order_hash": run.order_hash,
        "marks": list(run.marks),
        "warnings": list(run.warnings),
        "metrics": [msgspec.to_builtins(metric) for metric in report.metrics],
        "equity_curve": curve(run.equity),
        "benchmark_curve": curve(run.benchmark),
        "trades": [msgspec.to_builtins(trade_body(trade)) for trade in run.round_trips],
        "search": msgspec.to_builtins(report.search),
        "walk_forward": _without_series(report.walk_forward),
        "folds": msgspec.to_builtins(report.folds),
        "monte_carlo": msgspec.to_builtins(report.monte_carlo),
        "brackets": msgspec.to_builtins(report.brackets),
        "elapsed_s": report.elapsed_s,
    }


def _without_series(found: Any) -> Any:
    if found is None:
        return None
    return {
        "windows": [
            {
                "number": outcome.window.number,
                "train": [timestamp(outcome.window.train_start), timestamp(outcome.window.train_end)],
                "test": [timestamp(outcome.window.test_start), timestamp(outcome.window.test_end)],
                "parameters": outcome.parameters,
                "trials": outcome.trials,
                **msgspec.to_builtins(figures),
            }
            for outcome, figures in zip(found.windows, found.figures, strict=True)
        ],
        "efficiency": found.efficiency,
        "reason": found.reason,
        "t_statistic": found.t_statistic,
        "rules": msgspec.to_builtins(found.rules),
        "stitched": curve(found.stitched),
        "trials": found.trials,
    }


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_S, UTC).strftime("%Y-%m-%d")
