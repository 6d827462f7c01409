"""Kalshi's REST interface of the simulated venue: markets, books, trades, candlesticks, status, limits.

Forms: the venue's OpenAPI 3.x texts and captures of live answers. Prices are dollars with four decimals, sizes have
two, both as text; the order book is ascending, its best level last. Cursor paging: a cursor goes back as it came,
and an empty one is the end.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final

from actors.market.simulated.desk import market_id
from actors.market.simulated.face import json_answer, whole
from actors.market.simulated.http import Answer, Request
from actors.market.simulated.market import MINUTE, MinuteBar, PublicTrade, SimulatedMarket
from protocols.market import Level
from protocols.nanos import NANO, decimal_text
from protocols.venues.kalshi_orders import BATCH_PATH, CANCEL_COST, DEFAULT_COST
from protocols.venues.rfc3339 import rfc3339_text

PREFIX: Final = "/trade-api/v2"
_DAY: Final = 86_400 * NANO
_STATUS: Final = {"active": "active", "paused": "inactive", "determined": "determined", "settled": "finalized"}
# The filter's words for the answers' words.
_FILTERS: Final = {
    "unopened": {"initialized"},
    "open": {"active"},
    "paused": {"inactive"},
    "closed": {"closed"},
    "settled": {"determined", "finalized"},
}
_PATHS: Final = re.compile(r"/(?:series/(?P<series>[^/]+)/)?markets/(?P<ticker>[^/]+)(?P<rest>/[a-z]+)?")
_ONE_ORDER: Final = re.compile(r"/portfolio/orders/[^/]+")
_MOST_CANDLES: Final = 5_000


def needs_key(request: Request) -> bool:
    """Whether the call is of an account."""
    return request.path.startswith(
        (f"{PREFIX}/account/", f"{PREFIX}/portfolio/", f"{PREFIX}/exchange/user_data_timestamp")
    )


def cost(request: Request) -> int:
    """Tokens of the account's bucket, of reads or of writes (docs, "Rate limits")."""
    path = request.path.removeprefix(PREFIX)
    if path == BATCH_PATH:
        orders = request.body.count(b"{") - 1
        return max(1, orders) * (DEFAULT_COST if request.method == "POST" else CANCEL_COST)
    if request.method == "DELETE" or _ONE_ORDER.fullmatch(path):
        return CANCEL_COST
    return DEFAULT_COST


def answer(request: Request, markets: Mapping[str, SimulatedMarket], ts: int) -> Answer:
    """Answer one call at the venue's time `ts`."""
    if request.method != "GET":
        return _error(405, "method_not_allowed")
    path = request.path.removeprefix(PREFIX)
    if path == request.path:
        return _error(404, "not_found")
    if path == "/exchange/status":
        return json_answer({"exchange_active": True, "trading_active": True})
    if path == "/account/limits":
        # The venue's Basic tier.
        return json_answer({"usage_tier": "basic", "read_limit": 200, "write_limit": 100})
    if path == "/markets":
        return _markets(request, markets, ts)
    if path == "/markets/trades":
        return _trades(request, markets)
    if path == "/markets/orderbooks":
        named = [markets[ticker] for ticker in request.query.get("tickers", []) if ticker in markets]
        return json_answer({"orderbooks": [{"ticker": market.name, **_book(market, 0)} for market in named[:100]]})
    found = _PATHS.fullmatch(path)
    if found is None:
        return _error(404, "not_found")
    market = markets.get(found["ticker"])
    if market is None:
        return _error(404, "market_not_found")
    if found["rest"] is None:
        return json_answer({"market": _market(market, ts)})
    if found["rest"] == "/orderbook":
        depth = whole(request.one("depth"), 0, 0, 100)
        return _error(400, "invalid_parameters") if depth is None else json_answer(_book(market, depth))
    if found["rest"] == "/candlesticks" and found["series"]:
        return _candlesticks(request, market)
    return _error(404, "not_found")


def _error(status: int, code: str) -> Answer:
    return json_answer({"error": {"code": code, "message": code.replace("_", " "), "service": "simulated"}}, status)


def _price(nanos: int) -> str:
    return decimal_text(nanos, 4)


def _count(nanos: int) -> str:
    return decimal_text(nanos, 2)


def _market(market: SimulatedMarket, ts: int) -> dict[str, Any]:
    best = market.ledger.best
    bid = best.bid or 0
    ask = NANO if best.ask is None else best.ask
    engine = market.flow.engine
    opened = ts - ts % _DAY - _DAY
    fields: dict[str, Any] = {
        "ticker": market.name,
        "event_ticker": market.name.rpartition("-")[0] or market.name,
        "market_type": "binary",
        "title": f"Simulated market {market.name}",
        "yes_sub_title": "Yes",
        "no_sub_title": "No",
        "created_time": rfc3339_text(opened, 6),
        "open_time": rfc3339_text(opened, 6),
        "close_time": rfc3339_text(opened + 365 * _DAY, 6),
        "expiration_time": rfc3339_text(opened + 372 * _DAY, 6),
        "latest_expiration_time": rfc3339_text(opened + 372 * _DAY, 6),
        "settlement_timer_seconds": 1800,
        "status": _STATUS.get(engine.phase, "closed"),
        "response_price_units": "usd_cent",
        "notional_value_dollars": "1.0000",
        "yes_bid_dollars": _price(bid),
        "yes_ask_dollars": _price(ask),
        "no_bid_dollars": _price(NANO - ask),
        "no_ask_dollars": _price(NANO - bid),
        "yes_bid_size_fp": _count(best.bid_size),
        "yes_ask_size_fp": _count(best.ask_size),
        "last_price_dollars": _price(market.trades[-1].price if market.trades else 0),
        "volume_fp": _count(market.volume),
        "volume_24h_fp": _count(market.volume),
        "open_interest_fp": _count(market.volume),
        "liquidity_dollars": "0.0000",
        "result": "",
        "can_close_early": True,
        "expiration_value": "",
        "price_level_structure": "linear_cent",
        "price_ranges": [{"start": "0.0000", "end": "1.0000", "step": _price(engine.tick)}],
        "fractional_trading_enabled": True,
        "exchange_index": 0,
        "market_id": market_id(market.name),
    }
    if engine.settlement is not None:
        value = engine.settlement
        fields["result"] = "yes" if value == NANO else "no" if value == 0 else "scalar"
        fields["settlement_value_dollars"] = _price(value)
    return fields


def _markets(request: Request, markets: Mapping[str, SimulatedMarket], ts: int) -> Answer:
    limit = whole(request.one("limit"), 100, 1, 1000)
    begin = _offset(request.one("cursor"))
    wanted = _FILTERS.get(request.one("status"), set()) if request.one("status") else None
    if limit is None or begin is None or wanted == set():
        return _error(400, "invalid_parameters")
    named = {ticker for each in request.query.get("tickers", []) for ticker in each.split(",") if ticker}
    event, series = request.one("event_ticker"), request.one("series_ticker")
    found = [
        fields
        for market in markets.values()
        if (not named or market.name in named)
        and (wanted is None or _STATUS.get(market.flow.engine.phase, "closed") in wanted)
        and (not series or market.name.partition("-")[0] == series)
        and (not event or (fields := _market(market, ts))["event_ticker"] == event)
        and (fields := _market(market, ts))
    ]
    more = begin + limit < len(found)
    return json_answer({"markets": found[begin : begin + limit], "cursor": _cursor(begin + limit) if more else ""})


def _book(market: SimulatedMarket, depth: int) -> dict[str, Any]:
    ledger = market.ledger

    def side(levels: tuple[Level, ...], complement: bool) -> list[list[str]]:
        return [[_price(NANO - price if complement else price), _count(size)] for price, size in _pairs(levels)]

    return {
        "orderbook_fp": {
            "yes_dollars": side(ledger.levels("bid", depth), False),
            "no_dollars": side(ledger.levels("ask", depth), True),
        }
    }


def _pairs(levels: tuple[Level, ...]) -> list[tuple[int, int]]:
    """The best last, as the venue has them."""
    return [(level.price, level.size) for level in reversed(levels)]


def _trades(request: Request, markets: Mapping[str, SimulatedMarket]) -> Answer:
    limit = whole(request.one("limit"), 100, 1, 1000)
    begin = _offset(request.one("cursor"))
    least, most = whole(request.one("min_ts"), 0, 0, 2**40), whole(request.one("max_ts"), 2**40, 0, 2**40)
    if limit is None or begin is None or least is None or most is None:
        return _error(400, "invalid_parameters")
    ticker = request.one("ticker")
    if ticker and ticker not in markets:
        return _error(404, "market_not_found")
    found = [
        (trade, name)
        for name, market in markets.items()
        if not ticker or name == ticker
        for trade in market.trades
        if least * NANO <= trade.ts <= most * NANO + NANO - 1
    ]
    # A cursor counts from the oldest, so that new trades move no page; the newest come first.
    found.sort(key=lambda each: (each[0].ts, each[0].trade_id))
    end = len(found) if not request.one("cursor") else min(begin, len(found))
    page = found[max(0, end - limit) : end]
    cursor = _cursor(end - limit) if end > limit else ""
    return json_answer({"trades": [_trade(trade, name) for trade, name in reversed(page)], "cursor": cursor})


def _trade(trade: PublicTrade, ticker: str) -> dict[str, Any]:
    outcome = "yes" if trade.taker_side == "bid" else "no"
    return {
        "trade_id": f"{ticker}-{trade.trade_id}",
        "ticker": ticker,
        "yes_price_dollars": _price(trade.price),
        "no_price_dollars": _price(NANO - trade.price),
        "count_fp": _count(trade.size),
        "taker_side": outcome,
        "taker_outcome_side": outcome,
        "taker_book_side": trade.taker_side,
        "is_block_trade": False,
        "created_time": rfc3339_text(trade.ts, 6),
    }


def _candlesticks(request: Request, market: SimulatedMarket) -> Answer:
    minutes = whole(request.one("period_interval"), 1, 1, 1440)
    start, end = whole(request.one("start_ts"), 0, 0, 2**40), whole(request.one("end_ts"), 0, 0, 2**40)
    if minutes not in (1, 60, 1440) or start is None or end is None or end < start:
        return _error(400, "invalid_parameters")
    interval = minutes * MINUTE
    if (end - start) * NANO > _MOST_CANDLES * interval:
        return _error(400, "too_many_candlesticks")
    # Named by their end, which lies in [start, end].
    bars = market.history(start * NANO - interval, end * NANO - interval + 1, interval, _MOST_CANDLES)
    return json_answer({"ticker": market.name, "candlesticks": [_candle(bar, interval) for bar in bars]})


def _candle(bar: MinuteBar, interval: int) -> dict[str, Any]:
    mean = bar.turnover * NANO // bar.volume if bar.volume else bar.close
    prices = {
        "open_dollars": _price(bar.open),
        "high_dollars": _price(bar.high),
        "low_dollars": _price(bar.low),
        "close_dollars": _price(bar.close),
    }
    return {
        "end_period_ts": (bar.start + interval) // NANO,
        "yes_bid": prices,
        "yes_ask": prices,
        "price": {**prices, "mean_dollars": _price(mean), "previous_dollars": _price(bar.open)},
        "volume_fp": _count(bar.volume),
        "open_interest_fp": _count(bar.volume),
    }


def _cursor(offset: int) -> str:
    return base64.urlsafe_b64encode(b"%d" % offset).decode()


def _offset(cursor: str) -> int | None:
    if not cursor:
        return 0
    try:
        text = base64.urlsafe_b64decode(cursor).decode()
    except (binascii.Error, ValueError):
        return None
    return int(text) if text.isdecimal() and len(text) < 16 else None
