"""Metrics of the closed trades and of activity. Below 30 trades each says so."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from actors.research.metrics import trades
from actors.research.metrics.definition import Definition
from actors.research.metrics.drawdowns import DAY_NS
from actors.research.metrics.metric import Unknown
from actors.research.metrics.sample import Sample

ANY: Final = 1
"""A trade is enough where the figure is a fact about the trades and not a guess about others."""
SEVERAL: Final = 5


def _days(sample: Sample) -> NDArray[np.float64]:
    return np.array([(trip.exit_ts - trip.entry_ts) / DAY_NS for trip in sample.trips])


def _still_open(sample: Sample) -> str:
    still = sum(trip.open for trip in sample.trips)
    return f"{still} of them still open at the end, taken at the last price" if still else ""


def _excursion(sample: Sample, name: str, reduce: str) -> float:
    found = [value for trip in sample.trips if (value := getattr(trip, name)) is not None]
    if not found:
        raise Unknown("no price was seen while a trade was open")
    return float(getattr(np, reduce)(found))


def _geometric_mean(sample: Sample) -> float:
    if np.any(sample.trade_returns <= -1):
        raise Unknown("a return of -100 % has no geometric mean")
    return float(np.expm1(np.log1p(sample.trade_returns).mean()))


def _exposure(sample: Sample) -> float:
    if sample.run.exposure is None:
        raise Unknown("the run did not count its exposure")
    return sample.run.exposure


def traded_value(sample: Sample) -> float:
    """Money bought and sold in closed trades; a multiplier is in it, as what the entry cost is profit over return."""
    total = 0.0
    for trip in sample.trips:
        # A trade that made nothing says nothing of its multiplier.
        known = trip.return_ != 0 and trip.pnl != 0
        cost = abs(trip.pnl / trip.return_) if known else abs(trip.size * trip.entry_price)
        ratio = abs(trip.exit_price / trip.entry_price) if trip.entry_price else 1.0
        total += cost * (1 + ratio)
    return total


def _turnover(sample: Sample) -> float:
    years = sample.elapsed_days / 365.25
    if years <= 0:
        raise Unknown("no time has passed")
    mean = float(sample.equity.mean())
    if mean <= 0:
        raise Unknown("the mean equity is not positive")
    return traded_value(sample) / 2 / mean / years


def _fee_share(sample: Sample) -> float:
    fees = float(sample.run.fees)
    gross = float(sample.pnl[sample.pnl > 0].sum())
    if gross <= 0:
        raise Unknown("no trade won")
    return fees / gross


TRADES: Final = (
    Definition(
        "trades", "Trades", "Trades", "count", lambda s: float(len(s.trips)), "from flat to flat; a flip is two", "",
        "trades", 0, warns=_still_open,
    ),
    Definition(
        "win_rate", "Win Rate (zero is no win)", "Trades", "share", lambda s: trades.win_rate(s.pnl), "#{pnl > 0} / n",
        "", "trades", ANY, "higher", 0.0, 1.0,
    ),
    Definition(
        "profit_factor", "Profit Factor (of money)", "Trades", "ratio", lambda s: trades.profit_factor(s.pnl),
        "sum(pnl > 0) / |sum(pnl < 0)|, after fees", "", "trades", ANY, "higher", 0.0,
    ),
    Definition(
        "profit_factor_returns", "Profit Factor (of returns)", "Trades", "ratio",
        lambda s: trades.profit_factor(s.trade_returns), "sum(r > 0) / |sum(r < 0)|, r = pnl / cost of the entry",
        "backtesting.py, NautilusTrader", "trades", ANY, "higher", 0.0,
    ),
    Definition(
        "payoff", "Payoff Ratio", "Trades", "ratio", lambda s: trades.payoff(s.pnl), "mean win / mean loss", "",
        "trades", SEVERAL, "higher", 0.0,
    ),
    Definition(
        "expectancy", "Expectancy (per trade)", "Trades", "money", lambda s: trades.expectancy(s.pnl),
        "p_win mean win - p_loss mean loss", "", "trades", ANY, "higher",
    ),
    Definition(
        "expectancy_ratio", "Expectancy Ratio", "Trades", "ratio", lambda s: trades.expectancy_ratio(s.pnl),
        "(1 + payoff) p_win - 1", "", "trades", SEVERAL, "higher", -1.0,
    ),
    Definition(
        "trade_return", "Mean Trade Return", "Trades", "share", lambda s: float(s.trade_returns.mean()), "mean(r)", "",
        "trades", ANY, "higher",
    ),
    Definition(
        "trade_return_geometric", "Mean Trade Return, geometric", "Trades", "share", _geometric_mean,
        "prod(1 + r)^(1 / n) - 1", "backtesting.py", "trades", ANY, "higher",
    ),
    Definition(
        "best_trade", "Best Trade", "Trades", "share", lambda s: float(s.trade_returns.max()), "max(r)", "",
        "trades", ANY, "higher",
    ),
    Definition(
        "worst_trade", "Worst Trade", "Trades", "share", lambda s: float(s.trade_returns.min()), "min(r)", "",
        "trades", ANY, "higher",
    ),
    Definition(
        "losses_in_a_row", "Most Losses in a Row", "Trades", "count",
        lambda s: float(trades.longest_run_of_losses(s.pnl)), "longest run of pnl < 0", "", "trades", ANY, "lower",
    ),
    Definition(
        "trade_duration", "Mean Trade Duration", "Trades", "days", lambda s: float(_days(s).mean()),
        "mean(exit - entry)", "", "trades", ANY, "", 0.0,
    ),
    Definition(
        "trade_duration_max", "Longest Trade", "Trades", "days", lambda s: float(_days(s).max()), "max(exit - entry)",
        "", "trades", ANY, "", 0.0,
    ),
    Definition(
        "sqn", "SQN (of money)", "Trades", "ratio", lambda s: trades.quality_number(s.pnl),
        "sqrt(n) mean(pnl) / std(pnl, n - 1)", "Van Tharp, 2008", "trades", SEVERAL, "higher", -100.0, 100.0,
    ),
    Definition(
        "kelly", "Kelly Criterion", "Trades", "share", lambda s: trades.kelly(s.pnl),
        "w - (1 - w) / (mean win / mean loss)", "Kelly, Bell System Technical J. 35(4), 1956", "trades", SEVERAL,
        "higher", high=1.0,
    ),
    Definition(
        "mae_mean", "Mean Adverse Excursion", "Trades", "money", lambda s: _excursion(s, "mae", "mean"),
        "mean over trades of the worst unrealised profit", "Sweeney, 1996", "trades", ANY, "higher",
    ),
    Definition(
        "mae_worst", "Worst Adverse Excursion", "Trades", "money", lambda s: _excursion(s, "mae", "min"),
        "worst unrealised profit of any trade", "Sweeney, 1996", "trades", ANY, "higher",
    ),
    Definition(
        "mfe_mean", "Mean Favourable Excursion", "Trades", "money", lambda s: _excursion(s, "mfe", "mean"),
        "mean over trades of the best unrealised profit", "Sweeney, 1996", "trades", ANY, "higher",
    ),
)  # fmt: skip

ACTIVITY: Final = (
    Definition(
        "exposure", "Exposure", "Activity", "share", _exposure, "share of the samples with an open position", "",
        "samples", 1, "", 0.0, 1.0,
    ),
    Definition(
        "turnover", "Turnover (a year)", "Activity", "ratio", _turnover,
        "(bought + sold) / 2 / mean equity / years, of closed trades", "", "trades", ANY, "", 0.0,
    ),
    Definition(
        "fees", "Fees", "Activity", "money", lambda s: float(s.run.fees), "all fees booked", "", "samples", 0, "lower",
    ),
    Definition(
        "fee_share", "Fees over Won Money", "Activity", "ratio", _fee_share, "fees / sum(pnl > 0)", "", "trades", ANY,
        "lower",
    ),
    Definition(
        "funding", "Funding", "Activity", "money", lambda s: float(s.run.funding), "all funding booked", "",
        "samples", 0,
    ),
)  # fmt: skip
