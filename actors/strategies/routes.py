"""The HTTP routes of strategies, in the shapes of the inference service."""

from __future__ import annotations

from typing import Final

import msgspec

from actors.edge.call import Call
from actors.edge.routing import Route, get
from actors.strategies.status import ROSTER, ListStrategies, StrategyState, StrategyStatus
from protocols.signal_stream import timestamp

TAGS: Final = ("strategies",)


class OneStrategy(msgspec.Struct, frozen=True):
    """Which strategy: its name in the configuration."""

    strategy_id: str


class StrategyAnswer(msgspec.Struct, frozen=True):
    """One strategy. `execution_id` names one life of it; a restart is another."""

    execution_id: str
    strategy_id: str
    status: StrategyState
    started_at: str | None
    last_execution: str | None
    signals_generated: int
    error_count: int
    last_error: str | None
    strategy: str
    symbols: tuple[str, ...]
    figures: dict[str, str | int | float | bool | None]


async def active(call: Call) -> list[StrategyAnswer]:
    """Answer the strategies that run."""
    found = await call.ref(ROSTER).ask(ListStrategies())
    return [_shown(each) for each in found.strategies if each.status in ("active", "paused", "loading")]


async def status(request: OneStrategy, call: Call) -> StrategyAnswer:
    """Answer how a strategy is, whether it runs or not."""
    [found] = (await call.ref(ROSTER).ask(ListStrategies(request.strategy_id))).strategies
    return _shown(found)


def _shown(found: StrategyStatus) -> StrategyAnswer:
    return StrategyAnswer(
        found.execution_id,
        found.strategy_id,
        found.status,
        timestamp(found.ts_started) if found.ts_started else None,
        timestamp(found.ts_last_execution) if found.ts_last_execution else None,
        found.signals_generated,
        found.error_count,
        found.last_error or None,
        found.strategy,
        found.markets,
        dict(found.figures),
    )


routes: list[Route] = [
    get("/api/strategies/active/list", active, summary="Strategies that run", tags=TAGS),
    get("/api/strategies/{strategy_id}/status", status, summary="How a strategy is", tags=TAGS),
]
