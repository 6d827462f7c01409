"""`GET /api/strategies/{strategy_id}/metrics`: what a strategy has done in a period."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from actors.edge.call import Call
from actors.edge.routing import Route, get
from actors.signals.totals import period_ns, totals
from actors.strategies.metrics_core import StrategyMetrics, run_spans, strategy_metrics
from actors.strategies.status import ROSTER, GetRunHistory, ListStrategies
from protocols.paths import HUB
from protocols.signals import TallySignals

TAGS: Final = ("strategies",)
TALLY_S: Final = 25.0


class MetricsQuery(msgspec.Struct, frozen=True):
    """Whose figures, of which period up to now."""

    strategy_id: str
    time_period: Literal["1h", "1d", "7d", "30d"] = "1d"


class MetricsAnswer(msgspec.Struct, frozen=True):
    """`metrics.reasons` says why a figure is null. `error_rate` is that of the strategy's present life."""

    strategy_id: str
    time_period: str
    metrics: StrategyMetrics


async def metrics(request: MetricsQuery, call: Call) -> MetricsAnswer:
    """Answer what a strategy has done, from stored signals and the times of its runs."""
    name = request.strategy_id
    roster = call.ref(ROSTER)
    history = await roster.ask(GetRunHistory(name))
    [status] = (await roster.ask(ListStrategies(name))).strategies
    now = call.node.clock.now()
    since = now - period_ns(request.time_period)
    chosen = await call.ref(HUB).ask(TallySignals(from_ts=since, strategy_ids=(name,)), TALLY_S)
    calls = dict(status.figures).get("executions")
    found = strategy_metrics(
        totals(chosen.tallies),
        run_spans(history.events),
        since,
        now,
        errors=status.error_count if isinstance(calls, int) else None,
        calls=calls if isinstance(calls, int) else None,
    )
    return MetricsAnswer(name, request.time_period, found)


routes: list[Route] = [
    get("/api/strategies/{strategy_id}/metrics", metrics, summary="What a strategy has done", tags=TAGS),
]
