"""Binance's REST interface of the simulated venue: depth, instruments, bars, trades, funding, and the weights.

Forms and weights: binance-spot-api-docs `rest-api.md` and the "USDⓈ-M Futures" market data pages. Each answer carries
the weight used in this minute; beyond the limit come 429 with Retry-After, and 418 for who goes on regardless.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from actors.market.simulated.binance_text import INTERVALS, Texts, funding_rate, millis
from actors.market.simulated.face import MARKS, Clock, json_answer, whole
from actors.market.simulated.faults import Faults
from actors.market.simulated.http import Answer, Headers, Request
from actors.market.simulated.ledger import Forgotten
from actors.market.simulated.market import MINUTE, PublicTrade, SimulatedMarket
from protocols.market import Level
from protocols.nanos import NANO, decimal_text

_FUNDING_NS: Final = 8 * 3_600 * NANO
_SPOT_DEPTH: Final = ((100, 5), (500, 25), (1000, 50), (5000, 250))
_FUTURES_DEPTH: Final = ((50, 2), (100, 5), (500, 10), (1000, 20))
_MS: Final = 1_000_000
_FOREVER: Final = 2**42


class _Bad(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class BinanceRest:
    """One face's REST: `/api/v3` of spot, `/fapi/v1` of USD-M."""

    def __init__(self, markets: Mapping[str, SimulatedMarket], texts: Texts, faults: Faults, clock: Clock) -> None:
        self.prefix = "/fapi/v1" if texts.futures else "/api/v3"
        self.limit = 2_400 if texts.futures else 6_000
        self.used = 0
        self._venue: Final = "binance-usdm" if texts.futures else "binance"
        self._markets = markets
        self._texts = texts
        self._faults = faults
        self._clock = clock
        self._minute = 0
        # Monotonic time and every market's version, for a snapshot that is late.
        self._past: deque[tuple[int, dict[str, int]]] = deque(maxlen=600)

    def remember(self, now: int) -> None:
        """Note where the books are at monotonic time `now`."""
        self._past.append((now, {name: market.ledger.version for name, market in self._markets.items()}))

    def answer(self, request: Request) -> Answer:
        """Answer one call."""
        path = request.path.removeprefix(self.prefix)
        if path == request.path:
            return json_answer({"code": -1, "msg": "not found"}, 404)
        try:
            weight, value = self._call(path, request)
        except _Bad as error:
            return self.refused(error.code, str(error))
        return self.counted(weight, value)

    def refused(self, code: int, text: str, status: int = 400) -> Answer:
        """An error; it costs a little, too."""
        self._begin_minute()
        self.used += 1
        return json_answer({"code": code, "msg": text}, status, self._weights())

    def _begin_minute(self) -> int:
        now = self._clock.now()
        if now // MINUTE != self._minute:
            self._minute, self.used = now // MINUTE, 0
        return now

    def counted(self, weight: int, value: Any) -> Answer:
        """An answer of this weight, unless there were too many."""
        now = self._begin_minute()
        self.used += weight
        if self.used > self.limit:
            banned = self.used > 2 * self.limit
            seconds = 120 if banned else (MINUTE - now % MINUTE) // NANO + 1
            text = "Way too many requests; IP banned." if banned else "Too many requests; current limit is exceeded."
            headers = (("retry-after", str(seconds)), *self._weights())
            return json_answer({"code": -1003, "msg": text}, 418 if banned else 429, headers)
        if isinstance(value, bytes):
            return Answer(200, value, (*MARKS, *self._weights()))
        return json_answer(value, 200, self._weights())

    def _weights(self) -> Headers:
        return (("x-mbx-used-weight", str(self.used)), ("x-mbx-used-weight-1m", str(self.used)))

    def _call(self, path: str, request: Request) -> tuple[int, Any]:
        futures = self._texts.futures
        if path == "/ping":
            return 1, {}
        if path == "/time":
            return 1, {"serverTime": millis(self._clock.now())}
        if path == "/exchangeInfo":
            return 1 if futures else 20, self._exchange_info(request)
        if path == "/depth":
            return self._depth(request)
        if path == "/klines":
            return 2, self._klines(request)
        if path in ("/aggTrades", "/trades"):
            return 20 if futures else 4, self._trades(request, aggregated=path == "/aggTrades")
        if path == "/ticker/bookTicker":
            return 2, self._book_ticker(self._market(request))
        if futures and path == "/fundingRate":
            return 1, self._funding(request)
        if futures and path == "/premiumIndex":
            return 1, self._premium(self._market(request))
        raise _Bad(-1, f"no path {path}")

    def _market(self, request: Request) -> SimulatedMarket:
        if not request.one("symbol"):
            raise _Bad(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        market = self._markets.get(request.one("symbol"))
        if market is None:
            raise _Bad(-1121, "Invalid symbol.")
        return market

    def _whole(self, request: Request, name: str, default: int, most: int = _FOREVER) -> int:
        value = whole(request.one(name), default, 0, most)
        if value is None:
            raise _Bad(-1100, f"Illegal characters or value found in parameter '{name}'.")
        return value

    # -- books ---------------------------------------------------------------------------------------------

    def _depth(self, request: Request) -> tuple[int, bytes]:
        market = self._market(request)
        steps = _FUTURES_DEPTH if self._texts.futures else _SPOT_DEPTH
        limit = self._whole(request, "limit", 500 if self._texts.futures else 100, steps[-1][0]) or 1
        weight = next(cost for most, cost in steps if limit <= most)
        ledger = market.ledger
        version = ledger.version
        order = self._faults.answering("old_snapshot", self._venue)
        if order is not None:
            version = self._version_before(market.name, order.seconds)
        bids, asks = ledger.levels("bid", limit), ledger.levels("ask", limit)
        if version != ledger.version:
            try:
                bids, asks = ledger.levels_at(version)
            except Forgotten:
                version = ledger.version
        now = millis(self._clock.now())
        times = b'"E":%d,"T":%d,' % (now, now) if self._texts.futures else b""
        levels = (self._texts.levels(_pairs(bids[:limit])), self._texts.levels(_pairs(asks[:limit])))
        return weight, b'{"lastUpdateId":%d,%b"bids":%b,"asks":%b}' % (version, times, *levels)

    def _version_before(self, market: str, seconds: float) -> int:
        newest = self._past[-1][0] if self._past else 0
        for now, versions in reversed(self._past):
            if now <= newest - seconds * NANO:
                return versions[market]
        return self._past[0][1][market] if self._past else 0

    def _book_ticker(self, market: SimulatedMarket) -> dict[str, Any]:
        best, texts = market.ledger.best, self._texts
        return {
            "symbol": market.name,
            "bidPrice": texts.price(best.bid or 0),
            "bidQty": texts.size(best.bid_size),
            "askPrice": texts.price(best.ask or 0),
            "askQty": texts.size(best.ask_size),
        }

    # -- history -------------------------------------------------------------------------------------------

    def _klines(self, request: Request) -> list[list[Any]]:
        market = self._market(request)
        length = INTERVALS.get(request.one("interval"))
        if length is None:
            raise _Bad(-1120, "Invalid interval.")
        limit = self._whole(request, "limit", 500, 1_500) or 1
        now = self._clock.now()
        end = min(self._whole(request, "endTime", millis(now)) * _MS, now)
        start = self._whole(request, "startTime", 0) * _MS or (end - end % length) - (limit - 1) * length
        texts = self._texts
        return [
            [
                millis(bar.start),
                texts.price(bar.open),
                texts.price(bar.high),
                texts.price(bar.low),
                texts.price(bar.close),
                texts.size(bar.volume),
                millis(bar.start + length) - 1,
                texts.price(bar.turnover),
                bar.trades,
                texts.size(bar.volume // 2),
                texts.price(bar.turnover // 2),
                "0",
            ]
            for bar in market.history(start, end + 1, length, limit)
        ]

    def _trades(self, request: Request, *, aggregated: bool) -> list[dict[str, Any]]:
        market = self._market(request)
        limit = self._whole(request, "limit", 500, 1_000) or 1
        start, end = self._whole(request, "startTime", 0) * _MS, self._whole(request, "endTime", _FOREVER) * _MS
        found = [trade for trade in market.trades if start <= trade.ts <= end + _MS - 1]
        if request.one("fromId"):
            least = self._whole(request, "fromId", 0)
            found = [trade for trade in found if trade.trade_id >= least][:limit]
        elif request.one("startTime"):
            found = found[:limit]
        else:
            found = found[-limit:]
        return [self._trade(trade, aggregated) for trade in found]

    def _trade(self, trade: PublicTrade, aggregated: bool) -> dict[str, Any]:
        price, size, buyer_is_maker = (
            self._texts.price(trade.price),
            self._texts.size(trade.size),
            trade.taker_side == "ask",
        )
        if not aggregated:
            quote = self._texts.price(trade.price * trade.size // NANO)
            fields = {"id": trade.trade_id, "price": price, "qty": size, "quoteQty": quote, "time": millis(trade.ts)}
            return {**fields, "isBuyerMaker": buyer_is_maker, "isBestMatch": True}
        id = trade.trade_id
        return {"a": id, "p": price, "q": size, "f": id, "l": id, "T": millis(trade.ts), "m": buyer_is_maker}

    def _funding(self, request: Request) -> list[dict[str, Any]]:
        market = self._market(request)
        limit = self._whole(request, "limit", 100, 1_000) or 1
        now = self._clock.now()
        end = min(self._whole(request, "endTime", millis(now)) * _MS, now)
        start = self._whole(request, "startTime", 0) * _MS
        first = -(-start // _FUNDING_NS) if start else end // _FUNDING_NS - limit + 1
        times = [number * _FUNDING_NS for number in range(first, end // _FUNDING_NS + 1)][:limit]
        price = self._texts.price(market.middle())
        return [
            {
                "symbol": market.name,
                "fundingTime": millis(ts),
                "fundingRate": funding_rate(market.name, ts),
                "markPrice": price,
            }
            for ts in times
        ]

    def _premium(self, market: SimulatedMarket) -> dict[str, Any]:
        now = self._clock.now()
        following = now - now % _FUNDING_NS + _FUNDING_NS
        price = self._texts.price(market.middle())
        return {
            "symbol": market.name,
            "markPrice": price,
            "indexPrice": price,
            "estimatedSettlePrice": price,
            "lastFundingRate": funding_rate(market.name, following),
            "interestRate": "0.00010000",
            "nextFundingTime": millis(following),
            "time": millis(now),
        }

    # -- instruments ---------------------------------------------------------------------------------------

    def _exchange_info(self, request: Request) -> dict[str, Any]:
        markets = [self._market(request)] if request.one("symbol") else list(self._markets.values())
        limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": self.limit}]
        return {
            "timezone": "UTC",
            "serverTime": millis(self._clock.now()),
            "rateLimits": limits,
            "exchangeFilters": [],
            "symbols": [self._symbol(market) for market in markets],
        }

    def _symbol(self, market: SimulatedMarket) -> dict[str, Any]:
        engine, texts = market.flow.engine, self._texts
        coin = market.name.removesuffix("USDT")
        lot = texts.size(engine.lot)
        price = {
            "filterType": "PRICE_FILTER",
            "minPrice": texts.price(engine.tick),
            "tickSize": texts.price(engine.tick),
        }
        price["maxPrice"] = texts.price(engine.highest - engine.tick)
        size = {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "9000.000", "stepSize": lot}
        fields: dict[str, Any] = {
            "symbol": market.name,
            "status": "TRADING",
            "baseAsset": coin,
            "quoteAsset": "USDT",
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
        }
        if texts.futures:
            notional = {"filterType": "MIN_NOTIONAL", "notional": "5"}
            return fields | {
                "pair": market.name,
                "contractType": "PERPETUAL",
                "deliveryDate": 4_133_404_800_000,
                "onboardDate": 1_569_398_400_000,
                "marginAsset": "USDT",
                "pricePrecision": 2,
                "quantityPrecision": 3,
                "underlyingType": "COIN",
                "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TRAILING_STOP_MARKET"],
                "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
                "filters": [price, size, notional],
            }
        notional = {"filterType": "NOTIONAL", "minNotional": decimal_text(5 * NANO, 8), "applyMinToMarket": True}  # type: ignore[dict-item]
        return fields | {
            "quoteAssetPrecision": 8,
            "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"],
            "icebergAllowed": True,
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "filters": [price, size, notional],
            "permissions": [],
            "permissionSets": [["SPOT"]],
        }


def _pairs(levels: tuple[Level, ...]) -> list[tuple[int, int]]:
    return [(level.price, level.size) for level in levels]
