"""How risky an account is now: each figure against its limit, a score, a level and alerts. Floats: statistics.

A level is that of the utilisation, the figure over its limit: `low` below 50 %, `medium` below 75 %, `high` below
100 %, `critical` from there on: the limit is reached (`breach`). A figure that is not known is None, with the level
`unknown`; so is one without a limit, which has no utilisation. The overall score, 0 to 100, is the highest utilisation
capped at 100, not a mean: one limit that is reached is not made better by nine that are not.

Value at risk is historical: with n returns and confidence c the k = ⌈(1-c)·n⌉ worst are looked at; VaR is the loss of
the mildest of them, CVaR their mean loss (P. Jorion, "Value at Risk", 2006, chapter 10; R. T. Rockafellar, S. Uryasev,
"Optimization of conditional value-at-risk", 2000). Both are losses: positive, and never below 0. They are unknown with
fewer than 1/(1-c) returns, of which not one would be expected beyond it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from actors.execution.risk.limits import PAPER_DEFAULTS, RiskLimits
from protocols.nanos import NANO

Level = Literal["low", "medium", "high", "critical", "unknown"]

PAPER_VOLATILITY: Final = 0.05
"""Of a paper account: a spike of the volatility of its returns, those of one day, is above it."""
_LEVELS: Final[tuple[tuple[float, Level], ...]] = ((50.0, "low"), (75.0, "medium"), (100.0, "high"))
_TITLES: Final = {
    "position_size": "largest position, share of the equity",
    "concentration": "largest underlying, share of the equity",
    "leverage": "gross exposure over equity",
    "exposure": "gross exposure, share of the equity",
    "daily_loss": "lost today, share of the equity that the day began with",
    "drawdown": "below the highest equity, share of it",
    "margin_use": "margin in use, share of the equity",
    "positions": "markets with a position",
    "open_orders": "open orders",
    "volatility": "standard deviation of the returns",
    "var_95": "value at risk of one period, 95 %",
    "cvar_95": "mean loss beyond it",
}


class RiskFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an account. Money in nanos of its currency; None: not known.

    `values`: money in each position, both sides, by market; a price that is missing is a None. `bases`: underlyings,
    by market, where they differ from it. `returns`: of the equity, one a period (a day), oldest first.
    """

    equity: int | None
    day_start_equity: int | None = None
    peak_equity: int | None = None
    values: Mapping[str, int | None] = {}
    bases: Mapping[str, str] = {}
    margin_used: int | None = None
    open_orders: int | None = None
    returns: Sequence[float] = ()


class RiskMetric(msgspec.Struct, frozen=True, kw_only=True):
    """One figure. `utilization_pct`: of its limit, in per cent."""

    name: str
    value: float | None
    limit: float | None
    utilization_pct: float | None
    risk_level: Level
    breach: bool


class RiskAlert(msgspec.Struct, frozen=True, kw_only=True):
    """A figure that is near its limit (`high`) or has reached it (`critical`)."""

    metric: str
    level: Literal["high", "critical"]
    message: str


class RiskReport(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an account. `overall_risk_score` None: nothing that has a limit is known."""

    overall_risk_score: float | None
    overall_risk_level: Level
    risk_metrics: tuple[RiskMetric, ...]
    alerts: tuple[RiskAlert, ...]
    unknown: tuple[str, ...]


def measure(
    figures: RiskFigures, limits: RiskLimits = PAPER_DEFAULTS, *, volatility: float | None = None
) -> RiskReport:
    """Hold an account's figures against its limits. `volatility`: the limit of that of its returns."""
    metrics = tuple(
        _metric(name, value, volatility if name == "volatility" else _limit(name, limits))
        for name, value in _values(figures).items()
    )
    known = [each for each in metrics if each.utilization_pct is not None]
    score = min(100.0, max((each.utilization_pct or 0.0 for each in known), default=0.0)) if known else None
    return RiskReport(
        overall_risk_score=score,
        overall_risk_level=_level(score),
        risk_metrics=metrics,
        alerts=tuple(_alert(each) for each in metrics if each.risk_level in ("high", "critical")),
        unknown=tuple(each.name for each in metrics if each.value is None),
    )


def value_at_risk(returns: Sequence[float], confidence: float = 0.95) -> tuple[float, float] | None:
    """(VaR, CVaR) as shares of the equity; None: too few returns. Raises ValueError for a confidence not in (0, 1)."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: expected above 0 and below 1, got {confidence}")
    # Rounded: 1 - 0.95 is a little more than 0.05, and would count one return too many.
    beyond = round((1 - confidence) * len(returns), 9)
    if beyond < 1:
        return None
    worst = sorted(returns)[: math.ceil(beyond)]
    return max(0.0, -worst[-1]), max(0.0, -sum(worst) / len(worst))


def _values(figures: RiskFigures) -> dict[str, float | None]:
    equity = figures.equity
    by_base: dict[str, int | None] = {}
    for market, value in figures.values.items():
        base = figures.bases.get(market) or market
        before = by_base.get(base, 0)
        by_base[base] = None if before is None or value is None else before + value
    values = list(figures.values.values())
    gross = None if None in values else sum(each for each in values if each is not None)
    risk = value_at_risk(figures.returns)
    return {
        "position_size": _share(_largest(values), equity),
        "concentration": _share(_largest(list(by_base.values())), equity),
        "leverage": _share(gross, equity),
        "exposure": _share(gross, equity),
        "daily_loss": _fall(figures.day_start_equity, equity),
        "drawdown": _fall(figures.peak_equity, equity),
        "margin_use": _share(figures.margin_used, equity),
        "positions": float(len(values)),
        "open_orders": None if figures.open_orders is None else float(figures.open_orders),
        "volatility": _deviation(figures.returns),
        "var_95": None if risk is None else risk[0],
        "cvar_95": None if risk is None else risk[1],
    }


def _limit(name: str, limits: RiskLimits) -> float | None:
    if name == "positions":
        return _number(limits.max_positions)
    if name == "open_orders":
        return _number(limits.max_open_orders)
    field = {
        "position_size": "max_position_share",
        "concentration": "max_concentration",
        "leverage": "max_leverage",
        "exposure": "max_exposure_share",
        "daily_loss": "max_daily_loss",
        "drawdown": "max_drawdown",
        "margin_use": "max_margin_use",
    }.get(name)
    nanos = None if field is None else limits.nanos(field)
    return None if nanos is None else nanos / NANO


def _metric(name: str, value: float | None, limit: float | None) -> RiskMetric:
    used: float | None = None
    if value is not None and limit is not None:
        # A limit of nothing is reached by anything. Rounded: 0.075 of 0.1 is 75 %, and floats say a little less.
        used = round(value / limit * 100, 9) if limit else (100.0 if value > 0 else 0.0)
    level = _level(used)
    return RiskMetric(
        name=name,
        value=value,
        limit=limit,
        utilization_pct=used,
        risk_level=level,
        breach=level == "critical",
    )


def _level(used: float | None) -> Level:
    if used is None:
        return "unknown"
    return next((level for most, level in _LEVELS if used < most), "critical")


def _alert(metric: RiskMetric) -> RiskAlert:
    reached = "has reached" if metric.breach else "is near"
    return RiskAlert(
        metric=metric.name,
        level="critical" if metric.breach else "high",
        message=f"{metric.name} ({_TITLES[metric.name]}) {reached} its limit: {metric.value:.6g} of {metric.limit:.6g}",
    )


def _largest(values: Sequence[int | None]) -> int | None:
    """The largest of those values; None where one is not known, for it may be the largest."""
    return None if None in values else max((each for each in values if each is not None), default=0)


def _share(value: int | None, equity: int | None) -> float | None:
    """Nothing is known of shares of an equity that is gone."""
    return None if value is None or equity is None or equity <= 0 else value / equity


def _fall(before: int | None, equity: int | None) -> float | None:
    if before is None or equity is None or before <= 0:
        return None
    return max(0.0, (before - equity) / before)


def _deviation(returns: Sequence[float]) -> float | None:
    count = len(returns)
    if count < 2:
        return None
    mean = math.fsum(returns) / count
    return math.sqrt(math.fsum((each - mean) ** 2 for each in returns) / (count - 1))


def _number(value: int | None) -> float | None:
    return None if value is None else float(value)
