"""Order entry, account and user data stream of the simulated Binance spot: the one account there is.

Forms: `protocols.venues.binance_orders`. Signatures, timestamps, balances, filters and the limit of unfilled orders are
checked as the venue says it does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from actors.execution.matching.exchange import (
    Execution,
    Fill,
    OrderRefused,
    Removal,
    SelfTrade,
    TimeInForce,
)
from actors.market.simulated.binance_account import SpotAccount, SpotOrder, SpotTrade, Status
from actors.market.simulated.binance_text import millis
from actors.market.simulated.face import Clock, whole
from actors.market.simulated.flow import FlowEvent, Traded
from actors.market.simulated.http import Request
from actors.market.simulated.market import Happened, SimulatedMarket
from protocols.nanos import NANO, decimal_text, exact_nanos
from protocols.venues import binance_orders as wire
from protocols.venues import binance_signing

OWNER: Final = "client"
ORDERS_IN_10_S: Final = 50
_WINDOW: Final = 10 * NANO
_QUOTE: Final = "USDT"
_TIMES: Final[dict[str, TimeInForce]] = {
    "GTC": "good_till_canceled",
    "IOC": "immediate_or_cancel",
    "FOK": "fill_or_kill",
}
_SELF_TRADES: Final[dict[str, SelfTrade]] = {
    "": "taker_at_cross",
    "NONE": "none",
    "EXPIRE_TAKER": "taker_at_cross",
    "EXPIRE_MAKER": "maker",
    "EXPIRE_BOTH": "both",
    "DECREMENT": "decrement",
}
_ENDS: Final[dict[str, tuple[Status, str]]] = {
    "ioc": ("EXPIRED", "UNFILLED_IOC_QUANTITY_EXPIRED"),
    "fok": ("EXPIRED", "UNFILLED_FOK_ORDER_EXPIRED"),
    "self_trade": ("EXPIRED_IN_MATCH", ""),
    "user": ("CANCELED", ""),
}


class Refused(Exception):
    """The venue's error."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class BinanceTrading:
    """`tell(market, events)`: what the public sees; `report(event)`: what the account is told."""

    def __init__(
        self,
        markets: Mapping[str, SimulatedMarket],
        clock: Clock,
        key: binance_signing.PublicKey,
        key_id: str,
        tell: Callable[[SimulatedMarket, list[Happened]], None],
        report: Callable[[dict[str, Any]], None],
    ) -> None:
        coins = {market.removesuffix(_QUOTE) for market in markets}
        self.account = SpotAccount({_QUOTE: 1_000_000 * NANO, **dict.fromkeys(sorted(coins), 10 * NANO)})
        self.limited = 0
        """Orders that were refused because there were too many."""
        self._markets = markets
        self._clock = clock
        self._key = key
        self._key_id = key_id
        self._tell = tell
        self._report = report
        self._made = 0
        self._placed: deque[int] = deque()
        for market in markets.values():
            market.flow.engine.watch(OWNER)

    # -- calls ---------------------------------------------------------------------------------------------

    def call(self, request: Request) -> tuple[int, Any] | None:
        """(weight, answer) of a call of the account; None where it is none. Raises Refused."""
        match request.method, request.path:
            case "POST", wire.ORDER_PATH:
                return 1, self._create(self._signed(request))
            case "DELETE", wire.ORDER_PATH:
                return 1, self._cancelled(self._open_order(self._signed(request), wire.CANCEL_REJECTED))
            case "GET", wire.ORDER_PATH:
                return 4, self._row(self._order(self._signed(request)))
            case "DELETE", wire.OPEN_ORDERS_PATH:
                return 1, self._cancel_all(self._signed(request))
            case "GET", wire.OPEN_ORDERS_PATH:
                query = self._signed(request)
                symbol = query.get("symbol", "")
                return (6 if symbol else 80), [self._row(each) for each in self.account.open_orders(symbol)]
            case "PUT", wire.AMEND_PATH:
                return 4, self._amend(self._signed(request))
            case "GET", wire.TRADES_PATH:
                query = self._signed(request)
                return (5 if "orderId" in query else 20), self._trades(query)
            case "GET", wire.ACCOUNT_PATH:
                self._signed(request)
                return 20, self._account()
        return None

    def _signed(self, request: Request) -> dict[str, str]:
        """The parameters, if the signature over them is the account's and their time is the venue's."""
        if request.headers.get(binance_signing.KEY_HEADER.lower()) != self._key_id:
            raise Refused(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        payload, _, signature = request.raw_query.rpartition("&signature=")
        given = dict(parse_qsl(f"signature={signature}")).get("signature", "")
        query = dict(parse_qsl(payload, keep_blank_values=True))
        self.check(query, given, payload.encode() + request.body)
        return query

    def check(self, params: Mapping[str, Any], signature: str, payload: bytes) -> None:
        """Raises Refused for a signature that is wrong or a time that is not now."""
        stamp = whole(str(params.get("timestamp", "")), 0, 0, 2**53)
        window = whole(str(params.get("recvWindow", "")), binance_signing.RECEIVE_WINDOW_MS, 0, 60_000)
        if not stamp or window is None:
            raise Refused(-1102, "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed.")
        now = millis(self._clock.now())
        if not (stamp < now + 1_000 and now - stamp <= window):
            raise Refused(wire.INVALID_TIMESTAMP, "Timestamp for this request is outside of the recvWindow.")
        if not binance_signing.verify(self._key, signature, payload):
            raise Refused(-1022, "Signature for this request is not valid.")

    # -- orders --------------------------------------------------------------------------------------------

    def _create(self, query: dict[str, str]) -> dict[str, Any]:
        try:
            asked = wire.OrderRequest.of(query)
            quantity = exact_nanos(asked.quantity)
            price = None if asked.type == "MARKET" else exact_nanos(asked.price)
            time_in_force = "GTC" if asked.type != "LIMIT" else asked.time_in_force
            if asked.type not in ("LIMIT", "LIMIT_MAKER", "MARKET") or time_in_force not in _TIMES:
                raise Refused(-1116, "Invalid orderType.")
        except KeyError as error:
            raise Refused(-1102, f"Mandatory parameter {error} was not sent, was empty/null, or malformed.") from None
        except ValueError as error:
            raise Refused(-1100, str(error)) from None
        market = self._market(asked.symbol)
        now = self._clock.now()
        self._count_order(now)
        side = "bid" if asked.side == "BUY" else "ask"
        self._made += 1
        order = SpotOrder(
            order_id=self._made,
            engine_id=-self._made,
            client_order_id=asked.new_client_order_id or f"made-{self._made}",
            symbol=asked.symbol,
            base=asked.symbol.removesuffix(_QUOTE),
            quote_asset=_QUOTE,
            side="bid" if side == "bid" else "ask",
            type=asked.type,
            time_in_force=time_in_force,
            price=price or 0,
            quantity=quantity,
            created=now,
            updated=now,
        )
        self._afford(market, order)
        if any(each.client_order_id == order.client_order_id for each in self.account.open_orders()):
            raise Refused(wire.NEW_ORDER_REJECTED, wire.DUPLICATE_TEXT)
        try:
            execution = market.flow.engine.submit(
                OWNER,
                order.side,
                price,
                quantity,
                _TIMES[time_in_force],
                post_only=asked.type == "LIMIT_MAKER",
                self_trade=_SELF_TRADES.get(asked.self_trade_prevention_mode, "taker_at_cross"),
            )
        except OrderRefused as refused:
            raise _refusal(refused) from None
        order.engine_id = execution.order_id
        self.account.add(order)
        self._say(order, "NEW", now)
        self._executed(market, order, execution, now)
        return self._full(order)

    def _count_order(self, now: int) -> None:
        while self._placed and self._placed[0] <= now - _WINDOW:
            self._placed.popleft()
        if len(self._placed) >= ORDERS_IN_10_S:
            self.limited += 1
            message = f"Too many new orders; current limit is {ORDERS_IN_10_S} orders per 10 SECOND."
            raise Refused(wire.TOO_MANY_ORDERS, message, 429)
        self._placed.append(now)

    def _afford(self, market: SimulatedMarket, order: SpotOrder) -> None:
        if order.side == "ask":
            enough = order.quantity <= self.account.free(order.base)
        else:
            best = market.flow.engine.best()[1]
            each = order.price or best or 0
            enough = -(-order.quantity * each // NANO) <= self.account.free(_QUOTE)
        if not enough:
            raise Refused(wire.NEW_ORDER_REJECTED, wire.BALANCE_TEXT)

    def _executed(self, market: SimulatedMarket, order: SpotOrder, execution: Execution, now: int) -> None:
        events: list[FlowEvent] = [
            Traded(fill.trade_id, fill.price, fill.size, fill.taker_side) for fill in execution.fills
        ]
        self._tell(market, market.keep([*events, *execution.changes], now))
        if execution.cancelled:
            self._end(order, execution.code, now)

    def _end(self, order: SpotOrder, code: str, now: int) -> None:
        order.status, order.reason = _ENDS[code]
        order.updated = now
        self._say(order, "CANCELED" if order.status == "CANCELED" else "EXPIRED", now)

    def _cancelled(self, order: SpotOrder) -> dict[str, Any]:
        market = self._markets[order.symbol]
        changes = market.flow.engine.cancel(order.engine_id)
        self._tell(market, market.keep([*changes], self._clock.now()))
        row = self._row(order)
        return row | {"origClientOrderId": order.client_order_id, "transactTime": millis(order.updated)}

    def _cancel_all(self, query: dict[str, str]) -> list[dict[str, Any]]:
        orders = self.account.open_orders(self._market(query.get("symbol", "")).name)
        if not orders:
            raise Refused(wire.CANCEL_REJECTED, wire.UNKNOWN_TEXT)
        return [self._cancelled(order) for order in orders]

    def _amend(self, query: dict[str, str]) -> dict[str, Any]:
        order = self._open_order(query, wire.AMEND_REJECTED)
        quantity = exact_nanos(query.get("newQty", "0"))
        if not order.executed < quantity < order.quantity:
            raise Refused(wire.AMEND_REJECTED, "The amended order quantity is invalid.")
        market = self._markets[order.symbol]
        try:
            changes = market.flow.engine.reduce(order.engine_id, order.quantity - quantity)
        except OrderRefused as refused:
            raise _refusal(refused) from None
        now = self._clock.now()
        old = order.client_order_id
        order.client_order_id = query.get("newClientOrderId") or f"amended-{order.order_id}-{now}"
        self._tell(market, market.keep([*changes], now))
        return {
            "transactTime": millis(now),
            "executionId": self._made,
            "amendedOrder": {
                "symbol": order.symbol,
                "orderId": order.order_id,
                "origClientOrderId": old,
                "clientOrderId": order.client_order_id,
                "price": _text(order.price),
                "qty": _text(order.quantity),
                "executedQty": _text(order.executed),
                "status": order.status,
            },
        }

    def _order(self, query: Mapping[str, str]) -> SpotOrder:
        id = whole(query.get("orderId", ""), -1, 0, 2**60)
        found = self.account.find(
            self._market(query.get("symbol", "")).name,
            None if id in (None, -1) else id,
            query.get("origClientOrderId", ""),
        )
        if found is None:
            raise Refused(wire.NO_SUCH_ORDER, "Order does not exist.")
        return found

    def _open_order(self, query: Mapping[str, str], code: int) -> SpotOrder:
        try:
            order = self._order(query)
        except Refused as refused:
            if refused.code != wire.NO_SUCH_ORDER:
                raise
            raise Refused(code, wire.UNKNOWN_TEXT) from None
        if not order.open:
            raise Refused(code, wire.UNKNOWN_TEXT)
        return order

    def _market(self, symbol: str) -> SimulatedMarket:
        if symbol not in self._markets:
            raise Refused(-1121, "Invalid symbol.")
        return self._markets[symbol]

    # -- answers -------------------------------------------------------------------------------------------

    def _row(self, order: SpotOrder) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "symbol": order.symbol,
            "orderId": order.order_id,
            "orderListId": -1,
            "clientOrderId": order.client_order_id,
            "price": _text(order.price),
            "origQty": _text(order.quantity),
            "executedQty": _text(order.executed),
            "cummulativeQuoteQty": _text(order.quote),
            "status": order.status,
            "timeInForce": order.time_in_force,
            "type": order.type,
            "side": _side(order),
            "time": millis(order.created),
            "updateTime": millis(order.updated),
            "isWorking": True,
        }
        return fields | ({"expiryReason": order.reason} if order.reason else {})

    def _full(self, order: SpotOrder) -> dict[str, Any]:
        fills = [
            {
                "price": _text(trade.price),
                "qty": _text(trade.size),
                "commission": _text(trade.commission),
                "commissionAsset": trade.commission_asset,
                "tradeId": trade.trade_id,
            }
            for trade in self.account.trades
            if trade.order is order
        ]
        return self._row(order) | {"transactTime": millis(order.updated), "fills": fills}

    def _trades(self, query: dict[str, str]) -> list[dict[str, Any]]:
        symbol = self._market(query.get("symbol", "")).name
        limit = whole(query.get("limit", ""), 500, 1, 1_000) or 500
        found = [trade for trade in self.account.trades if trade.order.symbol == symbol]
        if "orderId" in query:
            found = [trade for trade in found if str(trade.order.order_id) == query["orderId"]]
        if "startTime" in query:
            found = [trade for trade in found if millis(trade.ts) >= int(query["startTime"])][:limit]
        if "fromId" in query:
            found = [trade for trade in found if trade.trade_id >= int(query["fromId"])][:limit]
        return [
            {
                "symbol": symbol,
                "id": trade.trade_id,
                "orderId": trade.order.order_id,
                "orderListId": -1,
                "price": _text(trade.price),
                "qty": _text(trade.size),
                "quoteQty": _text(trade.quote),
                "commission": _text(trade.commission),
                "commissionAsset": trade.commission_asset,
                "time": millis(trade.ts),
                "isBuyer": trade.order.side == "bid",
                "isMaker": trade.is_maker,
                "isBestMatch": True,
            }
            for trade in found[-limit:]
        ]

    def _account(self) -> dict[str, Any]:
        account = self.account
        return {
            "canTrade": True,
            "accountType": "SPOT",
            "updateTime": millis(self._clock.now()),
            "balances": [
                {"asset": asset, "free": _text(account.free(asset)), "locked": _text(account.locked(asset))}
                for asset in account.totals
            ],
            "permissions": ["SPOT"],
        }

    # -- what happens --------------------------------------------------------------------------------------

    def happened(self, market: SimulatedMarket) -> None:
        """Book what the exchange has done with the account's orders, and tell it."""
        now = self._clock.now()
        for each in market.flow.engine.take_watched():
            if isinstance(each, Fill):
                for engine_id, is_maker in ((each.maker_order, True), (each.taker_order, False)):
                    order = self.account.by_engine_id.get((market.name, engine_id))
                    if order is not None:
                        trade = self.account.fill(order, each.trade_id, each.price, each.size, is_maker, now)
                        self._say(order, "TRADE", now, trade)
            else:
                self._removed(market, each, now)

    def _removed(self, market: SimulatedMarket, removal: Removal, now: int) -> None:
        order = self.account.by_engine_id.get((market.name, removal.order_id))
        if order is None:
            return
        if removal.left == 0:
            self._end(order, removal.code, now)
        else:
            order.quantity, order.updated = order.executed + removal.left, now
            self._say(order, "REPLACED", now)

    def _say(self, order: SpotOrder, execution: str, now: int, trade: SpotTrade | None = None) -> None:
        event: dict[str, Any] = {
            "e": "executionReport",
            "E": millis(now),
            "s": order.symbol,
            "c": order.client_order_id,
            "S": _side(order),
            "o": order.type,
            "f": order.time_in_force,
            "q": _text(order.quantity),
            "p": _text(order.price),
            "P": "0.00000000",
            "F": "0.00000000",
            "g": -1,
            "C": "",
            "x": execution,
            "X": order.status,
            "r": "NONE",
            "i": order.order_id,
            "l": _text(trade.size if trade else 0),
            "z": _text(order.executed),
            "L": _text(trade.price if trade else 0),
            "n": _text(trade.commission) if trade else "0",
            "N": trade.commission_asset if trade else None,
            "T": millis(now),
            "t": trade.trade_id if trade else -1,
            "w": order.open,
            "m": trade.is_maker if trade else False,
            "O": millis(order.created),
            "Z": _text(order.quote),
        }
        if execution == "CANCELED":
            event |= {"c": f"cancel-{order.order_id}", "C": order.client_order_id}
        if order.reason:
            event["eR"] = order.reason
        self._report(event)
        balances = [
            {"a": asset, "f": _text(self.account.free(asset)), "l": _text(self.account.locked(asset))}
            for asset in (order.base, order.quote_asset)
        ]
        self._report({"e": "outboundAccountPosition", "E": millis(now), "u": millis(now), "B": balances})


def _refusal(refused: OrderRefused) -> Refused:
    texts = {
        "price": (-1013, "Filter failure: PRICE_FILTER"),
        "size": (-1013, "Filter failure: LOT_SIZE"),
        "post_only": (wire.NEW_ORDER_REJECTED, wire.MAKER_TEXT),
    }
    code, text = texts.get(refused.code, (wire.NEW_ORDER_REJECTED, str(refused)))
    return Refused(code, text)


def _side(order: SpotOrder) -> str:
    return "BUY" if order.side == "bid" else "SELL"


def _text(nanos: int) -> str:
    return decimal_text(nanos, 8)
