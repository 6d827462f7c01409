"""How a user's trades did in a window: figures, a score made of them, trends. What too few trades cannot tell is None.

Figures are of closed trades, in order of their closing; a return is a share of what the trade had at stake (0.01: 1 %)
after costs. As in the threshold service, returns, drawdown and volatility are told in per cent, and the ratios are per
trade, not per year:

    total_return      100 (prod(1 + r) - 1)
    avg_trade_return  100 mean(r)
    volatility        100 std(r, n - 1)
    sharpe_ratio      (mean(r) - f) / std(r, n - 1)                Sharpe, J. Portfolio Management 21(1), 1994
    sortino_ratio     (mean(r) - f) / sqrt(mean(min(r - f, 0)^2))  Sortino and Price, J. Investing 3(3), 1994
    max_drawdown      100 max(1 - E / cummax(E)), E = cumprod(1 + r) from 1
    profit_factor     sum(gains) / |sum(losses)|
    calmar_ratio      return per year / max drawdown               Young, Futures, October 1991
    win_rate          share of r > 0

f is the riskless return per trade. The service took 2 %/365 and drew down on summed percentages; f is 0 here unless
said otherwise, and a drawdown is that of compounded equity: it cannot exceed 100 %. A trade that lost more than it had
at stake ends that equity at zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

DAY_NS: Final = 86_400_000_000_000
YEAR_DAYS: Final = 365.25
ENOUGH: Final = 10
"""With fewer trades in the window nothing is said."""
NOISE: Final = 1e-13
"""A spread below this part of the largest value is what floating point leaves of none."""


class ClosedTrade(msgspec.Struct, frozen=True, gc=False):
    """One trade: when it was closed (ns), and its return after costs, a share."""

    ts: int
    outcome: float


class Performance(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Figures of a window; None: unknown. `trades`: how many there were, `minimum`: how many are asked for."""

    ts_from: int
    ts_to: int
    trades: int
    minimum: int
    total_return: float | None = None
    avg_trade_return: float | None = None
    win_rate: float | None = None
    volatility: float | None = None
    sharpe_ratio: float | None = None
    sortino_ratio: float | None = None
    max_drawdown: float | None = None
    profit_factor: float | None = None
    calmar_ratio: float | None = None


class ScoreWeights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The composite score's: those of the threshold service."""

    total_return: float = 0.30
    sharpe: float = 0.25
    win_rate: float = 0.20
    max_drawdown: float = 0.15
    volatility: float = 0.10


class Trend(msgspec.Struct, frozen=True, gc=False):
    """A figure over time. `slope`: per day, least squares; None: fewer than two points, or all of one moment."""

    trend_slope: float | None
    latest_value: float | None
    change_from_start: float | None
    data_points: int


def performance(
    trades: Sequence[ClosedTrade], ts_from: int, ts_to: int, *, minimum: int = ENOUGH, riskless: float = 0.0
) -> Performance:
    """The figures of the trades closed in [ts_from, ts_to). Raises ValueError for a return that is no number."""
    inside = sorted((trade for trade in trades if ts_from <= trade.ts < ts_to), key=lambda trade: trade.ts)
    found = [trade.outcome for trade in inside]
    for each in found:
        if not math.isfinite(each):
            raise ValueError(f"outcome: expected a finite share, got {each}")
    if len(found) < max(1, minimum):
        return Performance(ts_from=ts_from, ts_to=ts_to, trades=len(found), minimum=minimum)
    mean = math.fsum(found) / len(found)
    spread = _spread(found, mean)
    short = math.sqrt(math.fsum(min(each - riskless, 0.0) ** 2 for each in found) / len(found))
    total, drawdown = _compounded(found)
    losses = -math.fsum(each for each in found if each < 0)
    return Performance(
        ts_from=ts_from,
        ts_to=ts_to,
        trades=len(found),
        minimum=minimum,
        total_return=_finite(100 * total),
        avg_trade_return=100 * mean,
        win_rate=sum(each > 0 for each in found) / len(found),
        volatility=None if spread is None else 100 * spread,
        sharpe_ratio=None if not spread else (mean - riskless) / spread,
        sortino_ratio=None if short == 0 else (mean - riskless) / short,
        max_drawdown=100 * drawdown,
        profit_factor=None if losses == 0 else math.fsum(each for each in found if each > 0) / losses,
        calmar_ratio=_calmar(total, drawdown, ts_to - ts_from),
    )


def score(figures: Performance, weights: ScoreWeights = ScoreWeights()) -> float | None:  # noqa: B008 - frozen
    """The threshold service's composite, 0 to 1; None while any figure in it is unknown: unknown is not poor.

    clamp01(w_r tanh(total_return / 10) + w_s tanh(sharpe) + w_w win_rate - w_d tanh(max_drawdown / 5)
    - w_v tanh(volatility / 3)), figures in per cent.
    """
    total, sharpe, won = figures.total_return, figures.sharpe_ratio, figures.win_rate
    fell, spread = figures.max_drawdown, figures.volatility
    if total is None or sharpe is None or won is None or fell is None or spread is None:
        return None
    found = (
        weights.total_return * math.tanh(total / 10)
        + weights.sharpe * math.tanh(sharpe)
        + weights.win_rate * won
        - weights.max_drawdown * math.tanh(fell / 5)
        - weights.volatility * math.tanh(spread / 3)
    )
    return min(1.0, max(0.0, found))


def is_poor(figures: Performance, below: float = 0.2, weights: ScoreWeights = ScoreWeights()) -> bool:  # noqa: B008
    """Whether the performance is known, and known to be poor."""
    found = score(figures, weights)
    return found is not None and found < below


def windows(
    trades: Sequence[ClosedTrade], ts_to: int, days: int, step_days: int = 1, *, length_days: int = 30
) -> list[Performance]:
    """The figures of windows of `length_days` that end on each of the last `days` days, `step_days` apart, oldest
    first; what trends are made of. Raises ValueError."""
    if min(days, step_days, length_days) < 1:
        raise ValueError("days, step_days, length_days: expected 1 or more")
    ends = range(ts_to - (days - 1) // step_days * step_days * DAY_NS, ts_to + 1, step_days * DAY_NS)
    return [performance(trades, end - length_days * DAY_NS, end) for end in ends]


def trend(points: Sequence[tuple[int, float | None]]) -> Trend:
    """The trend of (time in ns, value) points; unknown values are left out, they are no zeros."""
    known = [(ts, value) for ts, value in points if value is not None and math.isfinite(value)]
    if not known:
        return Trend(None, None, None, 0)
    first, last = known[0], known[-1]
    days = [(ts - first[0]) / DAY_NS for ts, _ in known]
    centre, middle = math.fsum(days) / len(days), math.fsum(value for _, value in known) / len(known)
    wide = math.fsum((day - centre) ** 2 for day in days)
    slope = None
    if wide > 0:
        slope = math.fsum((day - centre) * (value - middle) for day, (_, value) in zip(days, known, strict=True)) / wide
    change = last[1] - first[1] if len(known) > 1 else None
    return Trend(slope, last[1], change, len(known))


def _spread(values: Sequence[float], mean: float) -> float | None:
    """Standard deviation of a sample; None of fewer than two, 0 where nothing varies."""
    if len(values) < 2:
        return None
    found = math.sqrt(math.fsum((each - mean) ** 2 for each in values) / (len(values) - 1))
    return 0.0 if found <= NOISE * max(abs(each) for each in values) else found


def _compounded(values: Sequence[float]) -> tuple[float, float]:
    """The return of all in a row, and the deepest fall from a peak, both shares."""
    equity = peak = 1.0
    deepest = 0.0
    for each in values:
        equity *= max(0.0, 1 + each)
        peak = max(peak, equity)
        # Equity beyond the largest float: the fall from there cannot be told, and is not made up.
        deepest = max(deepest, 1 - equity / peak) if math.isfinite(peak) else deepest
    return equity - 1, deepest


def _calmar(total: float, drawdown: float, length_ns: int) -> float | None:
    """Compounded return per year over the drawdown; None without a drawdown."""
    if drawdown == 0 or length_ns <= 0:
        return None
    if total <= -1:
        return -1.0 / drawdown
    exponent = math.log1p(total) * YEAR_DAYS * DAY_NS / length_ns
    return math.expm1(exponent) / drawdown if exponent < 700 else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
