"""Figures of a strategy over a period, in the words of the inference service. What nobody knows is null, with a reason.

* `signals_generated`: what the hub has stored of the strategy. What its gate held back was no signal.
* `execution_rate`: executed / generated, a share.
* `total_trades`, `winning_trades`, `win_rate`: executed signals whose profit or loss was reported.
* `uptime_percentage`, 0 to 100: how much of the period the strategy ran; of its life, where that is shorter.
* `error_rate`: errors / calls of the strategy's code, a share.
* `total_return`, `max_drawdown`, `sharpe_ratio`: need the equity of an account, which comes with execution.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from actors.signals.totals import Totals

BEGINS: Final = frozenset({"started", "swapped"})
ENDS: Final = frozenset({"stopped", "failed", "barred"})

NO_SIGNALS: Final = "no signals in this period"
NO_FILLS: Final = "no execution has reported a profit or loss in this period"
NO_EQUITY: Final = "needs the equity of an account, which a run without execution has not"
NEVER_RAN: Final = "the strategy did not run in this period"
NO_CALLS: Final = "the strategy was not called in this period"


class RunSpan(msgspec.Struct, frozen=True, gc=False):
    """A time in which a strategy ran, ns. `end` None: it still runs."""

    start: int
    end: int | None


class StrategyMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """`reasons`: why a figure is null, by its name."""

    signals_generated: int
    signals_executed: int
    execution_rate: float | None
    average_confidence: float | None
    total_trades: int | None
    winning_trades: int | None
    win_rate: float | None
    total_return: float | None
    max_drawdown: float | None
    sharpe_ratio: float | None
    average_risk_score: float | None
    uptime_percentage: float | None
    error_rate: float | None
    reasons: dict[str, str]


def run_spans(events: Iterable[tuple[int, str]]) -> tuple[RunSpan, ...]:
    """When a strategy ran, from its events (ns, kind) in order; events of other kinds change nothing."""
    spans: list[RunSpan] = []
    start: int | None = None
    for ts, event in events:
        if event in BEGINS and start is None:
            start = ts
        elif event in ENDS and start is not None:
            spans.append(RunSpan(start, max(start, ts)))
            start = None
    if start is not None:
        spans.append(RunSpan(start, None))
    return tuple(spans)


def uptime_percentage(spans: Sequence[RunSpan], from_ts: int, now: int) -> float | None:
    """How much of `from_ts` to `now` the strategy ran, counted from its first start; None if it never did."""
    parts = [(max(each.start, from_ts), now if each.end is None else min(each.end, now)) for each in spans]
    first = min((each.start for each in spans), default=now)
    length = now - max(from_ts, first)
    if length <= 0 or not any(end > start for start, end in parts):
        return None
    return 100.0 * sum(max(0, end - start) for start, end in parts) / length


def strategy_metrics(
    found: Totals,
    spans: Sequence[RunSpan],
    from_ts: int,
    now: int,
    *,
    errors: int | None = None,
    calls: int | None = None,
) -> StrategyMetrics:
    """The figures of a strategy from `from_ts` to `now`.

    `found`: of its signals in that time. `errors` and `calls` of its code; None: nobody has counted them.
    """
    executed = found.by_status["executed"]
    uptime = uptime_percentage(spans, from_ts, now)
    reasons = dict.fromkeys(("total_return", "max_drawdown", "sharpe_ratio"), NO_EQUITY)
    if not found.signals:
        reasons |= dict.fromkeys(("execution_rate", "average_confidence", "average_risk_score"), NO_SIGNALS)
    if not found.outcomes:
        reasons |= dict.fromkeys(("total_trades", "winning_trades", "win_rate"), NO_FILLS)
    if uptime is None:
        reasons["uptime_percentage"] = NEVER_RAN
    if errors is None or not calls:
        reasons["error_rate"] = NO_CALLS
    return StrategyMetrics(
        signals_generated=found.signals,
        signals_executed=executed,
        execution_rate=executed / found.signals if found.signals else None,
        average_confidence=found.average_confidence,
        total_trades=found.outcomes or None,
        winning_trades=found.won if found.outcomes else None,
        win_rate=found.success_rate,
        total_return=None,
        max_drawdown=None,
        sharpe_ratio=None,
        average_risk_score=found.average_risk_score,
        uptime_percentage=uptime,
        error_rate=None if errors is None or not calls else errors / calls,
        reasons=reasons,
    )
