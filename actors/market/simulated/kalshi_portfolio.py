"""The account's side of the simulated Kalshi as it is read: REST lists, and the messages of the private channels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from actors.market.simulated.face import json_answer, whole
from actors.market.simulated.http import Answer, Request
from actors.market.simulated.kalshi_account import Holding, KalshiAccount, PrivateFill, PrivateOrder, Settled
from protocols.market import Side
from protocols.nanos import NANO
from protocols.venues import kalshi, kalshi_orders
from protocols.venues.kalshi import FillBody
from protocols.venues.kalshi_orders import (
    Balance,
    FillRow,
    FillsPage,
    OneOrder,
    OrderRow,
    OrdersPage,
    PositionBody,
    PositionRow,
    PositionsPage,
    SettlementRow,
    SettlementsPage,
    UserDataTimestamp,
    UserOrderBody,
    cents,
    contracts,
    dollars,
    encode,
)
from protocols.venues.rfc3339 import rfc3339_text

_MILLISECOND: Final = 1_000_000
_FOREVER: Final = 2**40
_ONE: Final = re.compile(r"/portfolio/orders/(?P<id>[^/]+)")
_BAD: Final = json_answer({"error": {"code": "invalid_parameters", "message": "invalid parameters"}}, 400)
T = TypeVar("T")


class Private(msgspec.Struct, frozen=True, gc=False):
    """A message of a private channel: the `msg` of its frames, encoded once."""

    channel: str
    type: bytes
    market: str
    body: bytes


def fill_event(fill: PrivateFill) -> Private:
    """On the channel `fill`."""
    order = fill.order
    body = FillBody(
        trade_id=fill.fill_id,
        order_id=order.order_id,
        client_order_id=order.client_order_id,
        market_ticker=order.ticker,
        is_taker=fill.is_taker,
        yes_price_dollars=dollars(fill.price),
        count_fp=contracts(fill.size),
        fee_cost=dollars(fill.fee),
        post_position_fp=contracts(fill.position),
        outcome_side=_outcome(order.side),
        book_side=order.side,
        ts_ms=fill.ts // _MILLISECOND,
    )
    return Private(kalshi.FILL, b"fill", order.ticker, encode(body))


def order_event(order: PrivateOrder, ts: int) -> Private:
    """On the channel `user_orders`."""
    body = UserOrderBody(
        order_id=order.order_id,
        client_order_id=order.client_order_id,
        ticker=order.ticker,
        status=order.status,
        book_side=order.side,
        outcome_side=_outcome(order.side),
        yes_price_dollars=dollars(order.price),
        fill_count_fp=contracts(order.filled),
        remaining_count_fp=contracts(order.remaining),
        initial_count_fp=contracts(order.initial),
        last_update_reason=order.reason or None,
        created_ts_ms=order.created // _MILLISECOND,
        last_updated_ts_ms=ts // _MILLISECOND,
    )
    return Private(kalshi_orders.USER_ORDERS, b"user_order", order.ticker, encode(body))


def position_event(ticker: str, holding: Holding) -> Private:
    """On the channel `market_positions`."""
    body = PositionBody(
        market_ticker=ticker,
        position_fp=contracts(holding.quantity),
        position_cost_dollars=dollars(holding.cost // NANO),
        realized_pnl_dollars=dollars(holding.realized),
        fees_paid_dollars=dollars(holding.fees),
    )
    return Private(kalshi_orders.MARKET_POSITIONS, b"market_position", ticker, encode(body))


def portfolio(account: KalshiAccount, as_of: int, request: Request, path: str) -> Answer | None:
    """Answer a question; None where the path is none of these. What happened after `as_of` is not told yet."""
    one = _ONE.fullmatch(path)
    if path == "/exchange/user_data_timestamp":
        return json_answer(UserDataTimestamp(rfc3339_text(as_of, 6)))
    if path == "/portfolio/balance":
        worth = sum(abs(each.quantity) // 2 for each in account.holdings.values())
        return json_answer(
            Balance(balance=cents(account.cash), portfolio_value=cents(worth), balance_dollars=dollars(account.cash))
        )
    if path == "/portfolio/positions":
        rows = [_position(ticker, each) for ticker, each in sorted(account.holdings.items()) if _named(request, ticker)]
        return json_answer(PositionsPage(tuple(row for row in rows if row.position_fp != "0.00")))
    if path == "/portfolio/orders":
        return _orders(account, as_of, request)
    if path == "/portfolio/fills":
        return _fills(account, as_of, request)
    if path == "/portfolio/settlements":
        settled = [each for each in account.settled if _between(request, each.ts) and each.ts <= as_of]
        page, cursor = _page(settled, request)
        return json_answer(SettlementsPage(tuple(_settlement(each) for each in page), cursor))
    if one is not None:
        order = account.orders.get(one["id"])
        if order is None or order.created > as_of:
            return json_answer({"error": {"code": "not_found", "message": "not found"}}, 404)
        return json_answer(OneOrder(_order(order)))
    return None


def _orders(account: KalshiAccount, as_of: int, request: Request) -> Answer:
    status = request.one("status")
    if status not in ("", "resting", "canceled", "executed"):
        return _BAD
    found = [
        order
        for order in account.orders.values()
        if order.created <= as_of
        and status in ("", order.status)
        and _named(request, order.ticker)
        and _between(request, order.created)
    ]
    page, cursor = _page(found, request)
    return json_answer(OrdersPage(tuple(_order(order) for order in page), cursor))


def _fills(account: KalshiAccount, as_of: int, request: Request) -> Answer:
    of_order = request.one("order_id")
    found = [
        fill
        for fill in account.fills
        if fill.ts <= as_of
        and of_order in ("", fill.order.order_id)
        and _named(request, fill.order.ticker)
        and _between(request, fill.ts)
    ]
    page, cursor = _page(found, request)
    return json_answer(FillsPage(tuple(_fill(fill) for fill in page), cursor))


def _page(found: Sequence[T], request: Request) -> tuple[list[T], str]:
    """The newest of `found`, which is the oldest first, and the cursor for more. It counts from the oldest, so that
    what comes meanwhile moves no page."""
    limit = whole(request.one("limit"), 100, 1, 1000) or 100
    end = whole(request.one("cursor"), len(found), 0, len(found))
    end = len(found) if end is None else end
    begin = max(0, end - limit)
    return list(reversed(found[begin:end])), str(begin) if begin else ""


def _named(request: Request, ticker: str) -> bool:
    return request.one("ticker") in ("", ticker)


def _between(request: Request, ts: int) -> bool:
    least = whole(request.one("min_ts"), 0, 0, _FOREVER) or 0
    most = whole(request.one("max_ts"), _FOREVER, 0, _FOREVER)
    return least * NANO <= ts and (most is None or ts <= most * NANO + NANO - 1)


def _outcome(side: Side) -> kalshi.Outcome:
    return "yes" if side == "bid" else "no"


def _order(order: PrivateOrder) -> OrderRow:
    return OrderRow(
        order_id=order.order_id,
        client_order_id=order.client_order_id,
        ticker=order.ticker,
        status=order.status,
        book_side=order.side,
        outcome_side=_outcome(order.side),
        yes_price_dollars=dollars(order.price),
        no_price_dollars=dollars(NANO - order.price),
        initial_count_fp=contracts(order.initial),
        fill_count_fp=contracts(order.filled),
        remaining_count_fp=contracts(order.remaining),
        taker_fees_dollars=dollars(order.taker_fees),
        maker_fees_dollars=dollars(order.maker_fees),
        created_time=rfc3339_text(order.created, 6),
        last_update_time=rfc3339_text(order.updated, 6),
        expiration_time=None if order.expires is None else rfc3339_text(order.expires, 6),
        last_update_reason=order.reason or None,
    )


def _fill(fill: PrivateFill) -> FillRow:
    return FillRow(
        fill_id=fill.fill_id,
        order_id=fill.order.order_id,
        ticker=fill.order.ticker,
        is_taker=fill.is_taker,
        count_fp=contracts(fill.size),
        yes_price_dollars=dollars(fill.price),
        no_price_dollars=dollars(NANO - fill.price),
        fee_cost=dollars(fill.fee),
        book_side=fill.order.side,
        outcome_side=_outcome(fill.order.side),
        created_time=rfc3339_text(fill.ts, 6),
    )


def _position(ticker: str, holding: Holding) -> PositionRow:
    return PositionRow(
        ticker=ticker,
        position_fp=contracts(holding.quantity),
        market_exposure_dollars=dollars(holding.cost // NANO),
        realized_pnl_dollars=dollars(holding.realized),
        fees_paid_dollars=dollars(holding.fees),
        total_traded_dollars=dollars(holding.traded),
        last_updated_ts=rfc3339_text(holding.updated, 6),
    )


def _settlement(settled: Settled) -> SettlementRow:
    long = settled.quantity > 0
    count, cost = contracts(abs(settled.quantity)), dollars(settled.cost // NANO)
    return SettlementRow(
        ticker=settled.ticker,
        settled_time=rfc3339_text(settled.ts, 6),
        market_result={NANO: "yes", 0: "no"}.get(settled.value, "scalar"),
        yes_count_fp=count if long else "0.00",
        no_count_fp="0.00" if long else count,
        yes_total_cost_dollars=cost if long else "0.0000",
        no_total_cost_dollars="0.0000" if long else cost,
        revenue=cents(settled.revenue),
        revenue_dollars=dollars(settled.revenue),
        value=cents(settled.value),
        value_dollars=dollars(settled.value),
        fee_cost=dollars(settled.fees),
    )
