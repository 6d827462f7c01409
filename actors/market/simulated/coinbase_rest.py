"""Coinbase's REST interface of the simulated venue: products, candles, trades, books, time.

Forms: docs.cdp.coinbase.com, "Advanced Trade REST API", public endpoints under `/api/v3/brokerage/market`; those
without `market` answer the same. Candles come newest first, at most 350.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from actors.market.simulated.face import json_answer, whole
from actors.market.simulated.http import Answer, Request
from actors.market.simulated.market import MINUTE, MinuteBar, PublicTrade, SimulatedMarket
from protocols.market import Level
from protocols.nanos import NANO, decimal_text
from protocols.venues.rfc3339 import rfc3339_text

_PATH: Final = re.compile(r"/api/v3/brokerage(?:/market)?(?P<path>/.*)")
_PRODUCT: Final = re.compile(r"/products/(?P<product>[^/]+)(?P<rest>/[a-z]+)?")
_GRANULARITIES: Final = {
    "ONE_MINUTE": MINUTE,
    "FIVE_MINUTE": 5 * MINUTE,
    "FIFTEEN_MINUTE": 15 * MINUTE,
    "THIRTY_MINUTE": 30 * MINUTE,
    "ONE_HOUR": 60 * MINUTE,
    "TWO_HOUR": 120 * MINUTE,
    "FOUR_HOUR": 240 * MINUTE,
    "SIX_HOUR": 360 * MINUTE,
    "ONE_DAY": 1440 * MINUTE,
}
_MOST_CANDLES: Final = 350


def price(nanos: int) -> str:
    """A price, with cents at least."""
    return decimal_text(nanos, 2)


def size(nanos: int) -> str:
    """A quantity without needless digits; "0" removes a level."""
    return decimal_text(nanos)


def trade(each: PublicTrade, product: str) -> dict[str, Any]:
    """A trade; `side` is the maker's."""
    return {
        "product_id": product,
        "trade_id": str(each.trade_id),
        "price": price(each.price),
        "size": size(each.size),
        "time": rfc3339_text(each.ts, 6),
        "side": "SELL" if each.taker_side == "bid" else "BUY",
    }


def candle(bar: MinuteBar) -> dict[str, str]:
    """A bar; `start` in seconds."""
    return {
        "start": str(bar.start // NANO),
        "open": price(bar.open),
        "high": price(bar.high),
        "low": price(bar.low),
        "close": price(bar.close),
        "volume": size(bar.volume),
    }


def answer(request: Request, markets: Mapping[str, SimulatedMarket], ts: int) -> Answer:
    """Answer one call at the venue's time `ts`."""
    found = _PATH.fullmatch(request.path)
    if found is None or request.method != "GET":
        return _error(404, "NOT_FOUND", "not found")
    path = found["path"]
    if path == "/time":
        iso = rfc3339_text(ts, 6)
        return json_answer({"iso": iso, "epochSeconds": str(ts // NANO), "epochMillis": str(ts // 1_000_000)})
    if path == "/products":
        return _products(request, markets)
    if path == "/product_book":
        return _book(request, markets, ts)
    named = _PRODUCT.fullmatch(path)
    if named is None:
        return _error(404, "NOT_FOUND", "not found")
    market = markets.get(named["product"])
    if market is None:
        return _error(404, "NOT_FOUND", f"valid product_id is required: {named['product']}")
    if named["rest"] is None:
        return json_answer(_product(market))
    if named["rest"] == "/candles":
        return _candles(request, market)
    if named["rest"] == "/ticker":
        return _ticker(request, market)
    return _error(404, "NOT_FOUND", "not found")


def _error(status: int, error: str, message: str) -> Answer:
    return json_answer({"error": error, "message": message, "error_details": message}, status)


def _products(request: Request, markets: Mapping[str, SimulatedMarket]) -> Answer:
    limit, offset = whole(request.one("limit"), 250, 1, 1000), whole(request.one("offset"), 0, 0, 100_000)
    if limit is None or offset is None:
        return _error(400, "INVALID_ARGUMENT", "limit or offset")
    wanted = set(request.query.get("product_ids", []))
    found = [_product(market) for name, market in markets.items() if not wanted or name in wanted]
    return json_answer({"products": found[offset : offset + limit], "num_products": len(found)})


def _product(market: SimulatedMarket) -> dict[str, Any]:
    engine = market.flow.engine
    coin, _, quote = market.name.partition("-")
    return {
        "product_id": market.name,
        "price": price(market.trades[-1].price if market.trades else market.middle()),
        "volume_24h": size(market.volume),
        "base_increment": size(engine.lot),
        "quote_increment": price(engine.tick),
        "price_increment": price(engine.tick),
        "quote_min_size": "1",
        "quote_max_size": "150000000",
        "base_min_size": size(engine.lot),
        "base_max_size": "3400",
        "base_name": coin,
        "quote_name": "US Dollar",
        "is_disabled": False,
        "new": False,
        "status": "online",
        "cancel_only": False,
        "limit_only": False,
        "post_only": False,
        "trading_disabled": False,
        "auction_mode": False,
        "product_type": "SPOT",
        "quote_currency_id": quote,
        "base_currency_id": coin,
        "base_display_symbol": coin,
        "quote_display_symbol": quote,
        "view_only": False,
        "alias": "",
        "product_venue": "CBE",
    }


def _candles(request: Request, market: SimulatedMarket) -> Answer:
    length = _GRANULARITIES.get(request.one("granularity"))
    start, end = whole(request.one("start"), 0, 0, 2**40), whole(request.one("end"), 0, 0, 2**40)
    if length is None or not start or not end:
        return _error(400, "INVALID_ARGUMENT", "start, end and granularity are required")
    if (end - start) * NANO > _MOST_CANDLES * length:
        return _error(400, "INVALID_ARGUMENT", f"number of candles requested should be less than {_MOST_CANDLES}")
    bars = market.history(start * NANO, end * NANO + 1, length, _MOST_CANDLES)
    return json_answer({"candles": [candle(bar) for bar in reversed(bars)]})


def _ticker(request: Request, market: SimulatedMarket) -> Answer:
    limit = whole(request.one("limit"), 100, 1, 1000)
    start, end = whole(request.one("start"), 0, 0, 2**40), whole(request.one("end"), 2**40, 0, 2**40)
    if limit is None or start is None or end is None:
        return _error(400, "INVALID_ARGUMENT", "limit, start or end")
    found = [each for each in market.trades if start * NANO <= each.ts < (end + 1) * NANO][-limit:]
    best = market.ledger.best
    trades = [trade(each, market.name) for each in reversed(found)]
    return json_answer({"trades": trades, "best_bid": price(best.bid or 0), "best_ask": price(best.ask or 0)})


def _book(request: Request, markets: Mapping[str, SimulatedMarket], ts: int) -> Answer:
    market = markets.get(request.one("product_id"))
    limit = whole(request.one("limit"), 0, 0, 100_000)
    if market is None or limit is None:
        return _error(400, "INVALID_ARGUMENT", "product_id or limit")

    def side(levels: tuple[Level, ...]) -> list[dict[str, str]]:
        return [{"price": price(level.price), "size": size(level.size)} for level in levels]

    ledger = market.ledger
    book = {
        "product_id": market.name,
        "bids": side(ledger.levels("bid", limit)),
        "asks": side(ledger.levels("ask", limit)),
        "time": rfc3339_text(ts, 6),
    }
    return json_answer({"pricebook": book})
