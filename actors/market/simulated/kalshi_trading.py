"""Order entry and portfolio of the simulated Kalshi: REST calls of the one account there is, and what it is told.

Forms: `protocols.venues.kalshi_orders`. An order goes to the market's exchange; what that does to the account's orders,
now or by somebody else's turn later, comes back from `happened` as frames of the private channels.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import msgspec

from actors.execution.matching.exchange import Execution, Fill, OrderRefused, Removal, changes_of
from actors.market.simulated.face import Clock, json_answer
from actors.market.simulated.flow import FlowEvent, PhaseChanged, Traded
from actors.market.simulated.http import Answer, Request
from actors.market.simulated.kalshi_account import KalshiAccount, PrivateFill, PrivateOrder
from actors.market.simulated.kalshi_portfolio import Private, fill_event, order_event, portfolio, position_event
from actors.market.simulated.market import Happened, SimulatedMarket
from protocols.nanos import NANO, exact_nanos
from protocols.venues import kalshi_orders as wire
from protocols.venues.errors import WireError

OWNER: Final = "client"
CASH: Final = 10_000 * NANO
KILL_WINDOW: Final = 60 * NANO
"""So long after a cancel-all new orders die, too."""
_MILLISECOND: Final = 1_000_000
_ORDER: Final = re.compile(r"/portfolio/events/orders/(?P<id>[0-9a-f-]{36})(?P<verb>/amend|/decrease)?")
_REASONS: Final = {
    "ioc": "ImmediateOrCancel",
    "self_trade": "SelfTradePrevention",
    "expired": "Expired",
    "settled": "MarketClosed",
    "user": "UserCanceled",
}


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message or code.replace("_", " ")


class KalshiTrading:
    """`markets` by ticker. `tell(market, events)`: what the public sees of it."""

    def __init__(
        self,
        markets: Mapping[str, SimulatedMarket],
        clock: Clock,
        tell: Callable[[SimulatedMarket, list[Happened]], None],
        cash: int = CASH,
    ) -> None:
        self.account = KalshiAccount(cash, clock.now())
        self.lag_ns = 0
        """How far the portfolio's answers are behind the exchange."""
        self._markets = markets
        self._clock = clock
        self._tell = tell
        self._kill_until = 0
        self._made = 0
        self._waiting: list[Private] = []
        for market in markets.values():
            market.flow.engine.watch(OWNER)

    # -- calls ---------------------------------------------------------------------------------------------

    def answer(self, request: Request, path: str) -> Answer | None:
        """Answer a call of the account; None where the path is none of its. `path`: behind the prefix."""
        if request.method == "GET":
            return portfolio(self.account, self._clock.now() - self.lag_ns, request, path)
        try:
            answer = self._write(request, path)
        except _Refused as refused:
            return error(refused.status, refused.code, refused.message)
        except OrderRefused as refused:
            return error(*_refusal(refused))
        except (WireError, ValueError) as bad:
            return error(400, "invalid_parameters", str(bad))
        return None if answer is None else json_answer(answer)

    def _write(self, request: Request, path: str) -> msgspec.Struct | None:
        found = _ORDER.fullmatch(path)
        match request.method, path:
            case "POST", wire.ORDERS_PATH:
                return self._create(wire.decode(wire.CreateOrder, request.body))
            case "DELETE", wire.ORDERS_PATH:
                return self._cancel_all()
            case "POST", wire.BATCH_PATH:
                orders = wire.decode(wire.BatchCreate, request.body).orders
                return wire.BatchAnswer(
                    tuple(_item(partial(self._create, each), each.client_order_id) for each in orders)
                )
            case "DELETE", wire.BATCH_PATH:
                items = wire.decode(wire.BatchCancel, request.body).orders
                return wire.BatchAnswer(tuple(_item(partial(self._cancel, each.order_id), "") for each in items))
            case "DELETE", _ if found is not None and not found["verb"]:
                return self._cancel(found["id"])
            case "POST", _ if found is not None and found["verb"] == "/amend":
                return self._amend(found["id"], wire.decode(wire.AmendOrder, request.body))
            case "POST", _ if found is not None and found["verb"] == "/decrease":
                return self._decrease(found["id"], wire.decode(wire.DecreaseOrder, request.body))
        return None

    # -- orders --------------------------------------------------------------------------------------------

    def _create(self, asked: wire.CreateOrder) -> wire.OrderAnswer:
        market = self._market(asked.ticker)
        price, size = exact_nanos(asked.price), exact_nanos(asked.count)
        now = self._clock.now()
        expires = None if asked.expiration_time is None else asked.expiration_time * NANO
        self._check(asked, price, size, expires, now)
        order = self._order(asked, price, size, expires, now)
        if now < self._kill_until:
            self.account.add(order)
            self.account.end(order, "CancelAll", now)
            self._private(market, [order_event(order, now)])
            return self._said(order)
        try:
            execution = market.flow.engine.submit(
                OWNER,
                asked.side,
                price,
                size,
                asked.time_in_force,
                post_only=asked.post_only,
                expires=expires,
                self_trade=asked.self_trade_prevention_type,
                client_order_id=asked.client_order_id,
            )
        except OrderRefused as refused:
            if refused.code != "post_only":
                raise
            # It is taken, and cancelled at once (changelog, 2026-06-04).
            self.account.add(order)
            self.account.end(order, "PostOnlyCrossCancel", now)
            self._private(market, [order_event(order, now)])
            return self._said(order)
        if execution.code == "fok":
            raise _Refused(409, wire.KILLED)
        order.engine_id = execution.order_id
        self.account.add(order)
        self._executed(market, order, execution, now)
        return self._said(order)

    def _check(self, asked: wire.CreateOrder, price: int, size: int, expires: int | None, now: int) -> None:
        if asked.client_order_id in self.account.by_client_id:
            raise _Refused(409, wire.DUPLICATE)
        if expires is not None and (asked.time_in_force != "good_till_canceled" or expires <= now):
            raise _Refused(400, "invalid_expiration_time")
        quantity = self.account.holding(asked.ticker).quantity
        if asked.reduce_only:
            if asked.time_in_force != "immediate_or_cancel":
                raise _Refused(400, "reduce_only_requires_immediate_or_cancel")
            if size > (quantity if asked.side == "ask" else -quantity):
                raise _Refused(400, "reduce_only_exceeds_position")
        if self.account.needed(asked.ticker, asked.side, price, size) > self.account.available():
            raise _Refused(400, "available_balance_too_low")

    def _order(self, asked: wire.CreateOrder, price: int, size: int, expires: int | None, now: int) -> PrivateOrder:
        self._made += 1
        return PrivateOrder(
            order_id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"order/{self._made}")),
            client_order_id=asked.client_order_id,
            ticker=asked.ticker,
            engine_id=-self._made,
            side=asked.side,
            price=price,
            initial=size,
            remaining=size,
            created=now,
            updated=now,
            expires=expires,
            group=asked.order_group_id,
        )

    def _executed(self, market: SimulatedMarket, order: PrivateOrder, execution: Execution, now: int) -> None:
        """The order as the exchange left it; then all that happened on the way, to the public and to the account."""
        self._private(market, [order_event(order, now)])
        events: list[FlowEvent] = [
            Traded(fill.trade_id, fill.price, fill.size, fill.taker_side) for fill in execution.fills
        ]
        self._tell(market, market.keep([*events, *execution.changes], now))
        if execution.cancelled:
            self.account.end(order, _REASONS[execution.code], now)
            self._private(market, [order_event(order, now)])

    def _said(self, order: PrivateOrder) -> wire.OrderAnswer:
        answer = wire.OrderAnswer(
            order_id=order.order_id,
            client_order_id=order.client_order_id,
            fill_count=wire.contracts(order.filled),
            remaining_count=wire.contracts(order.remaining),
            ts_ms=order.updated // _MILLISECOND,
        )
        if order.filled:
            fills = [fill for fill in self.account.fills if fill.order is order]
            cost = sum(fill.price * fill.size for fill in fills)
            answer.average_fill_price = wire.dollars(cost // order.filled)
            answer.average_fee_paid = wire.dollars(sum(fill.fee for fill in fills) * NANO // order.filled)
        return answer

    def _cancel(self, order_id: str) -> wire.OrderAnswer:
        order = self._known(order_id)
        market = self._market(order.ticker)
        size = order.remaining
        changes = market.flow.engine.cancel(order.engine_id)
        self._tell(market, market.keep([*changes], self._clock.now()))
        return wire.OrderAnswer(
            order_id=order_id,
            client_order_id=order.client_order_id,
            reduced_by=wire.contracts(size),
            ts_ms=order.updated // _MILLISECOND,
        )

    def _cancel_all(self) -> wire.CancelAllAnswer:
        now = self._clock.now()
        self._kill_until = now + KILL_WINDOW
        for order in self.account.resting():
            self._cancel(order.order_id)
        return wire.CancelAllAnswer(now // _MILLISECOND)

    def _amend(self, order_id: str, asked: wire.AmendOrder) -> wire.OrderAnswer:
        order = self._known(order_id)
        market = self._market(order.ticker)
        if asked.ticker != order.ticker:
            raise _Refused(400, "order_ticker_mismatch")
        if asked.side != order.side:
            raise _Refused(400, "order_side_mismatch")
        price, remaining = exact_nanos(asked.price), exact_nanos(asked.count) - order.filled
        if self.account.needed(order.ticker, order.side, price, remaining) > self.account.available(order_id):
            raise _Refused(400, "available_balance_too_low")
        now = self._clock.now()
        execution = market.flow.engine.amend(order.engine_id, price, remaining)
        assert execution is not None
        # Its own removals of size are told as an amended order, not as a cancelled one.
        order.price, order.remaining, order.initial, order.updated = price, remaining, order.filled + remaining, now
        self._executed(market, order, execution, now)
        return self._said(order)

    def _decrease(self, order_id: str, asked: wire.DecreaseOrder) -> wire.OrderAnswer:
        order = self._known(order_id)
        if (asked.reduce_by is None) == (asked.reduce_to is None):
            raise _Refused(400, "exactly_one_of_reduce_by_and_reduce_to")
        if asked.reduce_by is not None:
            by = exact_nanos(asked.reduce_by)
        else:
            by = order.remaining - exact_nanos(asked.reduce_to or "")
        market = self._market(order.ticker)
        changes = market.flow.engine.reduce(order.engine_id, by)
        self._tell(market, market.keep([*changes], self._clock.now()))
        answer = self._said(order)
        answer.reduced_by = wire.contracts(by)
        return answer

    def _market(self, ticker: str) -> SimulatedMarket:
        market = self._markets.get(ticker)
        if market is None:
            raise _Refused(404, "market_not_found")
        return market

    def _known(self, order_id: str) -> PrivateOrder:
        order = self.account.orders.get(order_id)
        if order is None or order.status != "resting":
            raise _Refused(404, "not_found")
        return order

    # -- what happens --------------------------------------------------------------------------------------

    def expire(self) -> None:
        """Let orders end whose time is up."""
        now = self._clock.now()
        for market in self._markets.values():
            engine = market.flow.engine
            due = engine.next_expiry()
            if due is not None and due <= now:
                self._tell(market, market.keep([*changes_of(engine.expire(now))], now))

    def happened(self, market: SimulatedMarket, events: list[Happened]) -> list[Private]:
        """What the account is told of the last events of a market."""
        told, self._waiting = self._waiting, []
        for each in market.flow.engine.take_watched():
            told += self._filled(market, each) if isinstance(each, Fill) else self._removed(market, each)
        for event, _ in events:
            if isinstance(event, PhaseChanged) and event.phase == "settled" and event.settlement is not None:
                now = self._clock.now()
                self.account.settle(market.name, event.settlement, now)
                if market.name in self.account.holdings:
                    told.append(position_event(market.name, self.account.holding(market.name)))
        return told

    def _private(self, market: SimulatedMarket, told: list[Private]) -> None:
        self._waiting = [*self._waiting, *told]
        self._tell(market, [])

    def _filled(self, market: SimulatedMarket, fill: Fill) -> list[Private]:
        told: list[Private] = []
        now = self._clock.now()
        for engine_id, is_taker in ((fill.maker_order, False), (fill.taker_order, True)):
            order = self.account.by_engine_id.get((market.name, engine_id))
            if order is None:
                continue
            fill_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{market.name}/{fill.trade_id}"))
            booked: PrivateFill = self.account.fill(order, fill_id, fill.price, fill.size, is_taker, now)
            told += [
                fill_event(booked),
                order_event(order, now),
                position_event(market.name, self.account.holding(market.name)),
            ]
        return told

    def _removed(self, market: SimulatedMarket, removal: Removal) -> list[Private]:
        order = self.account.by_engine_id.get((market.name, removal.order_id))
        if order is None:
            return []
        now = self._clock.now()
        if removal.left == 0:
            self.account.end(order, _REASONS[removal.code], now)
        else:
            order.remaining = removal.left
            order.initial = order.filled + removal.left
            order.updated = now
        return [order_event(order, now)]


def error(status: int, code: str, message: str = "") -> Answer:
    """A refusal in the venue's observed form."""
    text = message or code.replace("_", " ")
    return json_answer({"error": {"code": code, "message": text, "service": "simulated"}}, status)


def _refusal(refused: OrderRefused) -> tuple[int, str, str]:
    codes = {"paused": (400, "MARKET_INACTIVE"), "duplicate": (409, wire.DUPLICATE), "price": (400, "invalid_price")}
    status, code = codes.get(refused.code, (400, "invalid_order_size"))
    return status, code, str(refused)


def _item(perform: Callable[[], wire.OrderAnswer], name: str) -> wire.OrderAnswer:
    """One item of a batch: it fails alone."""
    try:
        return perform()
    except _Refused as refused:
        code, message = refused.code, refused.message
    except OrderRefused as refused:
        _, code, message = _refusal(refused)
    except (WireError, ValueError) as bad:
        code, message = "invalid_parameters", str(bad)
    return wire.OrderAnswer(client_order_id=name, error=wire.ItemError(code, message))
