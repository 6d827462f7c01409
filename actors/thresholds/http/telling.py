"""Closed trades that are told over HTTP: one, or a history of them."""

from __future__ import annotations

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.thresholds.http.bodies import Success
from actors.thresholds.http.entrance import admit
from actors.thresholds.http.trade_bodies import (
    ToldTrade,
    TradesTakenBody,
    TradeTakenBody,
    UpdatePerformance,
    UpdatePerformances,
    nanoseconds,
    share_of,
)
from actors.thresholds.intake.rows import check
from protocols.control import Refused
from protocols.paths import THRESHOLD_OUTCOMES
from protocols.signal_stream import timestamp
from protocols.threshold_outcomes import ReportTrade, TradeTaken


async def update_performance(request: UpdatePerformance, call: Call) -> Success[TradeTakenBody]:
    """Take a closed trade."""
    await admit(call)
    report = _report(request.user_id, request)
    return Success(data=_taken(report, await call.ref(THRESHOLD_OUTCOMES).ask(report), call))


async def update_performances(request: UpdatePerformances, call: Call) -> Success[TradesTakenBody]:
    """Take closed trades, in their order: all of them, or none where one of them cannot be."""
    await admit(call)
    reports = []
    for place, each in enumerate(request.trades):
        try:
            reports.append(_report(request.user_id, each))
            check(reports[-1])
        except (HttpError, Refused) as error:
            where = f"trades[{place}]."
            raise HttpError(400, error.code, where + error.message, f"{where}{error.field}") from None
    keeper = call.ref(THRESHOLD_OUTCOMES)
    taken = tuple([_taken(report, await keeper.ask(report), call) for report in reports])
    return Success(
        data=TradesTakenBody(
            trades=taken,
            total=len(taken),
            repeated=sum(each.repeated for each in taken),
            learning=sum(each.learning for each in taken),
        )
    )


def _report(user_id: str, told: ToldTrade) -> ReportTrade:
    """What the keeper of outcomes is told. Raises HttpError 400."""
    trade, signal = told.trade, told.signal
    return ReportTrade(
        user_id=user_id,
        symbol=told.symbol,
        outcome=share_of(trade),
        trade_id=trade.trade_id,
        signal_id=told.signal_id or ("" if signal is None else signal.signal_id),
        session_id=trade.session_id,
        signal=None if signal is None else signal.gated(),
        entry_price=trade.entry_price,
        exit_price=trade.exit_price,
        quantity=trade.quantity,
        pnl=trade.pnl,
        fees=trade.fees,
        opened_at=nanoseconds(trade.opened_at, "trade.opened_at"),
        closed_at=nanoseconds(trade.closed_at, "trade.closed_at"),
    )


def _taken(report: ReportTrade, taken: TradeTaken, call: Call) -> TradeTakenBody:
    return TradeTakenBody(
        trade_id=taken.trade_id,
        symbol=report.symbol,
        pnl_percent=100 * report.outcome,
        repeated=taken.repeated,
        learning=taken.teaches,
        remark=taken.why or None,
        recorded_at=timestamp(call.node.clock.now()),
    )
