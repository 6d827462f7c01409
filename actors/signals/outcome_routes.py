"""The HTTP routes of what became of signals: the summary of many, and the performance of one.

A figure that cannot be said is null, and `reasons` says why, by field.
"""

from __future__ import annotations

from typing import Any

import msgspec

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.signals.requests import GetSignalOutcome
from actors.signals.totals import period_ns, totals
from protocols.nanos import decimal_text
from protocols.paths import HUB
from protocols.signal_stream import Number, timestamp
from protocols.signals import Action, SignalStatus, TallySignals, UpdateSignal

SUMMARY_S = 25.0
NO_SIGNALS = "no signals in this period"
NO_OUTCOMES = "no signal of this period was executed with a known profit or loss"


class Summarise(msgspec.Struct, frozen=True):
    """Which signals: those created in the last `time_period` (as 1h, 24h, 7d, 30d); lists separated by commas."""

    time_period: str = "24h"
    symbols: str = ""
    strategy_ids: str = ""


class SignalAnalytics(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of the chosen signals.

    `success_rate`: the share of executed signals with a known profit or loss that made a profit. `total_pnl` is in
    `currency`; with several currencies it is null and `pnl_by_currency` has them all. `behind`: so many rows were
    accepted but not in the database yet, and are not counted.
    """

    total_signals: int
    signals_by_action: dict[Action, int]
    signals_by_status: dict[SignalStatus, int]
    average_confidence: float | None
    average_risk_score: float | None
    success_rate: float | None
    total_pnl: Number | None
    currency: str | None
    pnl_by_currency: dict[str, Number]
    time_period: str
    reasons: dict[str, str]
    behind: int


class PerformanceOf(msgspec.Struct, frozen=True):
    """Which signal."""

    signal_id: str


class SignalPerformance(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a signal, as its newest execution has it. `execution_duration`: seconds from its making to it."""

    signal_id: str
    status: SignalStatus
    execution_price: Number | None
    execution_time: str | None
    executed_quantity: Number | None
    pnl: Number | None
    currency: str | None
    pnl_percentage: float | None
    slippage: float | None
    fill_rate: float | None
    execution_duration: float | None
    reasons: dict[str, str]


async def summary(request: Summarise, call: Call) -> SignalAnalytics:
    """Answer the figures of a period."""
    try:
        length = period_ns(request.time_period)
    except ValueError as error:
        raise HttpError(400, "invalid", str(error), "time_period") from None
    chosen = await call.ref(HUB).ask(
        TallySignals(
            from_ts=call.node.clock.now() - length,
            symbols=several(request.symbols),
            strategy_ids=several(request.strategy_ids),
        ),
        SUMMARY_S,
    )
    found = totals(chosen.tallies)
    reasons: dict[str, str] = {}
    if not found.signals:
        reasons |= dict.fromkeys(("average_confidence", "average_risk_score"), NO_SIGNALS)
    if not found.outcomes:
        reasons |= dict.fromkeys(("success_rate", "total_pnl"), NO_OUTCOMES if found.signals else NO_SIGNALS)
    only = next(iter(found.pnl)) if len(found.pnl) == 1 else None
    if len(found.pnl) > 1:
        reasons["total_pnl"] = f"there are several currencies: {', '.join(sorted(found.pnl))}"
    return SignalAnalytics(
        total_signals=found.signals,
        signals_by_action=found.by_action,
        signals_by_status=found.by_status,
        average_confidence=found.average_confidence,
        average_risk_score=found.average_risk_score,
        success_rate=found.success_rate,
        total_pnl=None if only is None else number(found.pnl[only]),
        currency=only,
        pnl_by_currency={currency: number(pnl) for currency, pnl in sorted(found.pnl.items())},
        time_period=request.time_period,
        reasons=reasons,
        behind=chosen.behind,
    )


async def performance(request: PerformanceOf, call: Call) -> SignalPerformance:
    """Answer what became of one signal."""
    outcome = await call.ref(HUB).ask(GetSignalOutcome(request.signal_id))
    status = outcome.stored.status_at(call.node.clock.now())
    executed = outcome.last.update if outcome.last is not None and outcome.last.update.status == "executed" else None
    said = executed or UpdateSignal(signal_id=request.signal_id, status=status)
    duration = None if said.ts_executed is None else (said.ts_executed - outcome.stored.signal.ts_created) / 1e9
    figures: dict[str, Any] = {
        "execution_price": _optional(said.execution_price),
        "execution_time": None if said.ts_executed is None else timestamp(said.ts_executed),
        "executed_quantity": _optional(said.executed_quantity),
        "pnl": _optional(said.pnl),
        "currency": said.currency,
        "pnl_percentage": said.pnl_percentage,
        "slippage": said.slippage,
        "fill_rate": said.fill_rate,
        "execution_duration": duration,
    }
    why = f"the signal is {status}, not executed" if executed is None else "the execution did not say it"
    reasons = {name: why for name, value in figures.items() if value is None}
    return SignalPerformance(signal_id=request.signal_id, status=status, reasons=reasons, **figures)


def several(text: str) -> tuple[str, ...] | None:
    """The parts of a list that is separated by commas; None if there are none."""
    return tuple(part.strip() for part in text.split(",") if part.strip()) or None


def number(nanos: int) -> msgspec.Raw:
    """Nanos as a JSON number with exactly their digits."""
    return msgspec.Raw(decimal_text(nanos).encode())


def _optional(nanos: int | None) -> msgspec.Raw | None:
    return None if nanos is None else number(nanos)
