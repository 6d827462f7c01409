"""Why an order: the chain from its signal to its outcome, out of what is stored.

signal → verdict of the deployment → order events (risk, venue) → fills with why → postings → round trip
"""

from __future__ import annotations

from typing import Final

import msgspec

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.execution.accounts.rows import ExecutionLedgerRow, ExecutionOrderRow, ledger_stream, orders_stream
from actors.execution.http import reading
from actors.execution.http.bodies import (
    FillBody,
    OrderBody,
    PostingBody,
    RoundTripBody,
    VerdictBody,
    fill_row_body,
    order_body,
    posting_body,
    trade_body,
    verdict_body,
)
from actors.execution.more_rows import ExecutionTradeRow, trade_stream
from protocols.control import Refused
from protocols.orders import NewOrder
from protocols.paths import HUB
from protocols.signal_stream import TradingSignal, timestamp, trading_signal
from protocols.signals import GetSignal

HUB_S: Final = 5.0
MOST: Final = 499


class EventBody(msgspec.Struct, frozen=True):
    """Something that happened to an order."""

    seq: int
    timestamp: str
    kind: str
    state: str
    filled: str
    reason_code: str
    reason: str
    fill_id: str


class Explanation(msgspec.Struct, frozen=True):
    """The chain of an order. `summary`: the same in words, one line each; null: there is none, or it is not stored.

    `trades`: round trips of the account in the market that the order's fills are a part of, once they are closed.
    """

    account_id: str
    order: OrderBody
    signal: TradingSignal | None
    verdict: VerdictBody | None
    related: tuple[OrderBody, ...]
    events: tuple[EventBody, ...]
    fills: tuple[FillBody, ...]
    postings: tuple[PostingBody, ...]
    trades: tuple[RoundTripBody, ...]
    summary: tuple[str, ...]


async def explanation(call: Call, client_order_id: str, account: str = "") -> Explanation:
    """The chain of an order. Raises HttpError 404."""
    named = account or await reading.account_of_order(call, client_order_id) or ""
    events = await reading.order_events(call, named, client_order_id) if named else ()
    if not events:
        raise HttpError(404, "not_found", f"there is no order {client_order_id}", "client_order_id")
    shown = events[-1].order()
    order = shown.order
    filled = (await reading.fills(call, named, reading.LAST, MOST, client_order_id=client_order_id)).rows[::-1]
    fills = tuple(map(fill_row_body, filled))
    postings = await _postings(call, named, tuple(each.fill_id for each in fills))
    trades = await _trades(call, named, order, filled[0].ts_event, filled[-1].ts_event) if filled else ()
    signal = await _signal(call, order.signal_id) if order.signal_id else None
    verdict = await _verdict(call, named, order) if order.signal_id else None
    related = await _related(call, named, order)
    lines = tuple(map(event_body, events))
    found = Explanation(
        account_id=named,
        order=order_body(shown),
        signal=signal,
        verdict=verdict,
        related=related,
        events=lines,
        fills=fills,
        postings=postings,
        trades=trades,
        summary=(),
    )
    return msgspec.structs.replace(found, summary=tuple(told(found)))


def event_body(row: ExecutionOrderRow) -> EventBody:
    """An event of an order."""
    shown = order_body(row.order())
    return EventBody(
        row.seq,
        timestamp(row.ts),
        row.kind,
        row.state,
        shown.filled,
        row.reason_code,
        row.reason,
        row.fill_id,
    )


async def _signal(call: Call, signal_id: str) -> TradingSignal | None:
    try:
        stored = await call.ref(HUB).ask(GetSignal(signal_id), HUB_S)
    except Refused as refused:
        if refused.code != "not_found":
            raise
        return None
    return trading_signal(stored, stored.status_at(call.node.clock.now()))


async def _verdict(call: Call, account: str, order: NewOrder) -> VerdictBody | None:
    page = await reading.verdicts(call, account, reading.LAST, 1, order.deployment_id, order.signal_id)
    return verdict_body(page.rows[0]) if page.rows else None


async def _related(call: Call, account: str, order: NewOrder) -> tuple[OrderBody, ...]:
    """The other orders of its signal and of its bracket, as they stand."""
    page = await reading.rows(
        call,
        ExecutionOrderRow,
        orders_stream(account),
        limit=20,
        where=reading.NEWEST
        + "AND o.client_order_id <> $7 AND o.ts_created >= $8 AND (($9 <> '' AND o.signal_id = $9) "
        "OR o.detail->'order'->>'parent' = $7 OR ($10 <> '' AND (o.client_order_id = $10 "
        "OR o.detail->'order'->>'parent' = $10)))",
        arguments=(order.market, order.deployment_id, "", order.client_order_id, 0, order.signal_id, order.parent),
    )
    return tuple(order_body(row.order()) for row in page.rows[::-1])


async def _postings(call: Call, account: str, references: tuple[str, ...]) -> tuple[PostingBody, ...]:
    if not references:
        return ()
    page = await reading.rows(
        call,
        ExecutionLedgerRow,
        ledger_stream(account),
        limit=MOST,
        where="AND o.reference = ANY($4)",
        arguments=(references,),
    )
    return tuple(map(posting_body, page.rows[::-1]))


async def _trades(call: Call, account: str, order: NewOrder, first: int, last: int) -> tuple[RoundTripBody, ...]:
    page = await reading.rows(
        call,
        ExecutionTradeRow,
        trade_stream(account),
        limit=20,
        where="AND o.market = $4 AND ($5 = '' OR o.deployment_id = $5) AND o.entry_ts <= $7 AND o.exit_ts >= $6",
        arguments=(order.market, order.deployment_id, first, last),
    )
    return tuple(map(trade_body, page.rows[::-1]))


def told(found: Explanation) -> list[str]:
    """The chain in words."""
    order = found.order
    lines = []
    if found.signal is not None:
        signal = found.signal
        lines.append(
            f"signal {signal.signal_id}: {signal.strategy_id} said {signal.action} {signal.symbol} "
            f"with confidence {signal.confidence:g} at {signal.timestamp}"
        )
    elif order.source == "manual":
        lines.append(f"signal {order.signal_id}: ordered by hand")
    elif order.signal_id:
        lines.append(f"signal {order.signal_id}: not stored any more")
    else:
        lines.append(f"no signal: ordered by {order.source}")
    if found.verdict is not None:
        verdict = found.verdict
        what = f"orders {', '.join(verdict.orders)}" if verdict.orders else f"{verdict.code}: {verdict.reason}"
        lines.append(f"deployment {verdict.deployment_id}: {what}")
    at = "" if order.price is None else f" at {order.price}"
    lines.append(
        f"order {order.client_order_id}: {order.side} {order.quantity} {order.symbol}, {order.order_type}{at}, "
        f"{order.time_in_force}"
    )
    for event in found.events:
        why = f" ({event.reason_code}: {event.reason})" if event.reason_code and event.kind != "filled" else ""
        lines.append(f"  {event.timestamp} {event.kind} -> {event.state}{why}")
    for fill in found.fills:
        why_ = fill.why
        queue = "" if why_.queue_ahead_at_rest is None else f", queue ahead {why_.queue_ahead_at_rest}"
        queue += "" if why_.queue_ahead_at_fill is None else f" -> {why_.queue_ahead_at_fill}"
        lines.append(
            f"fill {fill.fill_id}: {fill.quantity} at {fill.price}, {fill.liquidity}, fee {fill.fee} "
            f"{fill.fee_currency}; {why_.model}{queue}, book {why_.session}:{why_.seq}, "
            f"latency {why_.entry_ns}/{why_.response_ns} ns"
        )
    if found.postings:
        lines.append(f"ledger: {len(found.postings)} postings")
    for trade in found.trades:
        lines.append(
            f"outcome: {trade.side} {trade.quantity} {trade.symbol} {trade.entry_price} -> {trade.exit_price}, "
            f"{trade.pnl} {trade.currency} after costs ({trade.exit_reason})"
        )
    if found.fills and not found.trades:
        left = found.fills[-1].position
        lines.append(f"outcome: the account held {left} {order.symbol} behind it, and no round trip has ended")
    return lines
