"""Performance of users over HTTP: figures of a window, and trends."""

from __future__ import annotations

import math
from typing import Annotated, Final

import msgspec
import trio

from actors.edge.call import Call
from actors.thresholds.http.bodies import Name, Success, User, named, when
from actors.thresholds.http.entrance import admit, bounds
from actors.thresholds.intake import history
from actors.thresholds.intake.settings import OutcomeSettings
from actors.thresholds.performance import DAY_NS, ClosedTrade, Performance, performance, score, trend, windows
from actors.thresholds.records import confidence_of
from protocols.execution import OUTCOMES
from protocols.paths import QUERIES, THRESHOLD_ROSTER
from protocols.signal_stream import timestamp
from protocols.threshold_outcomes import THRESHOLD_INTAKE
from protocols.thresholds import MOVES, AdaptationRecord, GetRecords, Records

SETTLE_S: Final = 1.0
POLL_S: Final = 0.01
MOST_TRADES: Final = 20_000
FIGURES: Final = (
    "total_return",
    "sharpe_ratio",
    "sortino_ratio",
    "win_rate",
    "avg_trade_return",
    "max_drawdown",
    "volatility",
    "profit_factor",
    "calmar_ratio",
)
HOUR_NS: Final = DAY_NS // 24


class WhichPerformance(msgspec.Struct, frozen=True):
    """Of whom; without a symbol: on all."""

    user_id: User
    symbol: Name = ""
    days_back: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 30


class MetricsBody(msgspec.Struct, frozen=True, kw_only=True):
    """Returns, drawdown and volatility in per cent; ratios per trade. Null: not known."""

    total_return: float | None
    sharpe_ratio: float | None
    win_rate: float | None
    avg_trade_return: float | None
    max_drawdown: float | None
    volatility: float | None
    sortino_ratio: float | None
    profit_factor: float | None
    calmar_ratio: float | None


class PerformanceBody(msgspec.Struct, frozen=True, kw_only=True):
    """How a user's trades did. `unknown`: why figures are null. `behind`: accepted trades that are not in it yet."""

    user_id: str
    symbol: str | None
    period_days: int
    metrics: MetricsBody
    performance_score: float | None
    trade_count: int
    minimum_trades: int
    unknown: str | None
    behind: int
    calculated_at: str


class WhichAnalytics(msgspec.Struct, frozen=True):
    """Of whom; without a symbol: on all."""

    user_id: User
    symbol: Name = ""
    hours_back: Annotated[int, msgspec.Meta(ge=1, le=8760)] = 24


class ParameterAnalytics(msgspec.Struct, frozen=True, kw_only=True):
    """How a threshold moved. `average_change`: per move, with its sign; null without one."""

    adaptations: int
    first_value: float | None
    latest_value: float | None
    total_change: float
    average_change: float | None
    average_confidence: float | None
    last_adaptation: str | None
    reasons: dict[str, int]


class TrendBody(msgspec.Struct, frozen=True):
    """A figure over time. `trend_slope` per day."""

    trend_slope: float | None
    latest_value: float | None
    change_from_start: float | None
    data_points: int


class AnalyticsSummary(msgspec.Struct, frozen=True):
    """At a glance. `remark`: records that could not be read."""

    total_adaptations: int
    parameters_adapted: int
    trade_count: int
    performance_score: float | None
    remark: str | None


class AnalyticsBody(msgspec.Struct, frozen=True):
    """What moved, and how the figures of windows that end within the time have changed."""

    user_id: str
    symbol: str | None
    period_hours: int
    adaptation_analytics: dict[str, ParameterAnalytics]
    performance_trends: dict[str, TrendBody]
    summary: AnalyticsSummary


async def measures(call: Call) -> OutcomeSettings:
    """How performance is measured."""
    found = await bounds(call)
    return OutcomeSettings() if found is None else found.performance


async def settled(call: Call) -> int:
    """Wait a moment until the database has the trades that were accepted; answers how many rows it lacks.

    Raises Refused `unavailable`.
    """
    log, queries = call.node.require_log(), call.ref(QUERIES)
    wanted = {"threshold_intake": log.last_seq(THRESHOLD_INTAKE), "outcomes": log.last_seq(OUTCOMES)}
    streams = {"threshold_intake": THRESHOLD_INTAKE, "outcomes": OUTCOMES}
    deadline = trio.current_time() + SETTLE_S
    while True:
        behind = 0
        for table, last in wanted.items():
            if last:
                behind += max(0, last - await history.stored_up_to(queries, table, streams[table]))
        if not behind or trio.current_time() >= deadline:
            return behind
        await trio.sleep(POLL_S)


async def get_performance(request: WhichPerformance, call: Call) -> Success[PerformanceBody]:
    """Answer the figures of a window."""
    await admit(call)
    measured = await measures(call)
    behind = await settled(call)
    now = call.node.clock.now()
    since = now - request.days_back * DAY_NS
    trades = await history.closed_trades(
        call.ref(QUERIES), request.user_id, request.symbol, since, now + 1, MOST_TRADES
    )
    figures = performance(trades, since, now + 1, minimum=measured.min_trades)
    return Success(
        data=PerformanceBody(
            user_id=request.user_id,
            symbol=request.symbol or None,
            period_days=request.days_back,
            metrics=metrics_of(figures),
            performance_score=score(figures, measured.weights),
            trade_count=figures.trades,
            minimum_trades=figures.minimum,
            unknown=why_unknown(figures),
            behind=behind,
            calculated_at=timestamp(now),
        )
    )


def metrics_of(figures: Performance) -> MetricsBody:
    """Figures as they are shown."""
    return MetricsBody(**{name: getattr(figures, name) for name in FIGURES})


def why_unknown(figures: Performance) -> str | None:
    """Why figures are null; None: they are not, or only those that nothing makes (a ratio over no spread)."""
    if figures.trades < figures.minimum:
        return f"{figures.trades} closed trades in the window, at least {figures.minimum} are needed"
    return None


async def get_analytics(request: WhichAnalytics, call: Call) -> Success[AnalyticsBody]:
    """Answer what moved, and how performance changes."""
    await admit(call)
    measured = await measures(call)
    await settled(call)
    now = call.node.clock.now()
    since = now - request.hours_back * HOUR_NS
    records = await records_since(call, request.user_id, request.symbol or None, since)
    days = max(2, math.ceil(request.hours_back / 24) + 1)
    first = now - (days + measured.window_days) * DAY_NS
    trades = await history.closed_trades(
        call.ref(QUERIES), request.user_id, request.symbol, first, now + 1, MOST_TRADES
    )
    moved = [each for each in records.records if each.reason_code in MOVES and each.kind != "block"]
    current = performance(trades, now - measured.window_days * DAY_NS, now + 1, minimum=measured.min_trades)
    parameters = sorted({each.parameter for each in moved})
    return Success(
        data=AnalyticsBody(
            user_id=request.user_id,
            symbol=request.symbol or None,
            period_hours=request.hours_back,
            adaptation_analytics={
                named(name): _of_parameter([each for each in moved if each.parameter == name]) for name in parameters
            },
            performance_trends=_trends(trades, now, days, measured),
            summary=AnalyticsSummary(
                total_adaptations=len(moved),
                parameters_adapted=len(parameters),
                trade_count=current.trades,
                performance_score=score(current, measured.weights),
                remark=records.remark or None,
            ),
        )
    )


async def records_since(call: Call, user: str, symbol: str | None, since: int, most: int = 500) -> Records:
    """What moved since then, the newest first."""
    return await call.ref(THRESHOLD_ROSTER).ask(GetRecords(user_id=user, symbol=symbol, since=since, limit=most), 10.0)


def _of_parameter(moved: list[AdaptationRecord]) -> ParameterAnalytics:
    """Of moves of one threshold, the newest first."""
    changes = [each.applied - each.old for each in moved]
    reasons: dict[str, int] = {}
    for each in moved:
        reasons[each.reason_code] = reasons.get(each.reason_code, 0) + 1
    return ParameterAnalytics(
        adaptations=len(moved),
        first_value=moved[-1].old if moved else None,
        latest_value=moved[0].applied if moved else None,
        total_change=math.fsum(changes),
        average_change=math.fsum(changes) / len(changes) if changes else None,
        average_confidence=math.fsum(map(confidence_of, moved)) / len(moved) if moved else None,
        last_adaptation=when(moved[0].ts) if moved else None,
        reasons=reasons,
    )


def _trends(trades: list[ClosedTrade], now: int, days: int, measured: OutcomeSettings) -> dict[str, TrendBody]:
    """Of each figure, over windows that end on each of the last days."""
    found: list[Performance] = windows(trades, now + 1, days, length_days=measured.window_days)
    kept = [each for each in found if each.trades >= measured.min_trades]
    points = {name: [(each.ts_to, getattr(each, name)) for each in kept] for name in FIGURES}
    points["performance_score"] = [(each.ts_to, score(each, measured.weights)) for each in kept]
    trends = {name: trend(values) for name, values in points.items()}
    return {
        name: TrendBody(each.trend_slope, each.latest_value, each.change_from_start, each.data_points)
        for name, each in trends.items()
    }
