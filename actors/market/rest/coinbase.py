"""Coinbase over REST: products, candles and trades. With a key, the account's fees are asked for first.

Trades can be asked for by a span of seconds only, and the answer is its newest thousand. A span that holds more is
halved until it does not; the next one is longer again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import msgspec

from actors.market.session_core import Credentials
from actors.market.venue_rest import HistoryKind, HistoryPage
from protocols.instruments import Instrument
from protocols.market import Trade
from protocols.nanos import NANO, NumberFaults
from protocols.venues import coinbase_rest as wire
from protocols.venues.coinbase import Codec
from protocols.venues.coinbase_signing import Signer
from protocols.venues.errors import VenueError
from protocols.venues.rest import RestCall

SUFFIX: Final = ".COINBASE"
PAGE: Final = 250
"""Products of one answer."""
MOST_CANDLES: Final = 300
"""Of one answer; the venue refuses more than 350."""
MOST_TRADES: Final = 1000
_PUBLIC: Final = "/api/v3/brokerage/market/products"
_HOST: Final = "api.coinbase.com"
# The first guess at a span with fewer trades than an answer holds.
_FIRST_SPAN_S: Final = 300
_MOST_SPAN_S: Final = 86_400


class CoinbaseRest:
    """Instruments, bars and trades of Coinbase Advanced Trade."""

    VENUE: ClassVar[str] = "coinbase"
    REST_URL: ClassVar[str] = f"https://{_HOST}"
    BUDGETS: ClassVar[tuple[tuple[str, float, float], ...]] = (("rest", 10.0, 10.0),)
    KINDS: ClassVar[frozenset[HistoryKind]] = frozenset({"bars", "trades"})
    INTERVALS: ClassVar[tuple[str, ...]] = tuple(wire.GRANULARITIES)

    def __init__(self, credentials: Credentials | None = None) -> None:
        self._signer = None if credentials is None else Signer(credentials.key_id, credentials.secret)
        self.faults = NumberFaults()
        self._codec = Codec(self.faults)
        self._fees = wire.FeeTier()

    def headers(self, call: RestCall, ts: int) -> tuple[tuple[str, str], ...]:
        """The token of a signed call; the others need none."""
        if self._signer is None or not call.signed:
            return ()
        return (("Authorization", f"Bearer {self._signer.token(ts, f'{call.method} {_HOST}{call.path}')}"),)

    # -- instruments -------------------------------------------------------------------------------------

    def instruments(self, markets: Sequence[str] = ()) -> RestCall:
        """The account's fees, where there is a key, and then these products, or all on the spot market."""
        if self._signer is None:
            return _products(markets)
        return RestCall(purpose=" ".join(("fees", *markets)), path="/api/v3/brokerage/transaction_summary", signed=True)

    def read_instruments(
        self, call: RestCall, status: int, body: bytes, ts: int
    ) -> tuple[tuple[Instrument, ...], RestCall | None]:
        """One page. Raises VenueError."""
        purpose, *markets = call.purpose.split()
        if purpose == "fees":
            self._fees = wire.read(wire.transaction_summary, status, body).fee_tier
            return (), _products(markets)
        page = wire.read(wire.products_page, status, body)
        try:
            found = tuple(
                wire.instrument(product, product.product_id + SUFFIX, ts, f"GET {call.path}", self._fees)
                for product in page.products
                if product.product_type == "SPOT"
            )
        except ValueError as error:
            raise VenueError(status, "unreadable", str(error)) from None
        offset = int(dict(call.query).get("offset", "0")) + len(page.products)
        if not page.products or offset >= page.num_products:
            return found, None
        query = (*(pair for pair in call.query if pair[0] != "offset"), ("offset", str(offset)))
        return found, msgspec.structs.replace(call, query=query)

    # -- history -----------------------------------------------------------------------------------------

    def history(self, kind: HistoryKind, market: str, interval: str, start: int, end: int) -> RestCall:
        """Bars that start, or trades that happened, in [start, end). Raises ValueError."""
        if kind == "bars":
            if interval not in wire.GRANULARITIES:
                raise ValueError(f"Coinbase has bars of {', '.join(wire.GRANULARITIES)}, not {interval!r}")
            return _candles(market, interval, start, end)
        if kind == "trades":
            return _trades(market, start, end, start // NANO, _FIRST_SPAN_S)
        raise ValueError(f"Coinbase offers bars and trades, not {kind}")

    def read_history(self, call: RestCall, status: int, body: bytes, ts: int) -> HistoryPage:
        """One page. Raises VenueError."""
        kind, *words = call.purpose.split()
        try:
            if kind == "bars":
                interval, start, end = words
                return self._read_candles(call, interval, int(start), int(end), status, body, ts)
            start, end, first_s, span_s = words
            return self._read_trades(call, int(start), int(end), int(first_s), int(span_s), status, body, ts)
        except ValueError as error:
            raise VenueError(status, "unreadable", str(error)) from None

    def _read_candles(
        self, call: RestCall, interval: str, start: int, end: int, status: int, body: bytes, ts: int
    ) -> HistoryPage:
        page = wire.read(wire.candles_page, status, body)
        found = [wire.bar(candle, call.market, interval, ts, self.faults) for candle in page.candles]
        # The last one may still be open.
        bars = [bar for bar in found if bar is not None and start <= bar.start < end and bar.end <= ts]
        reached = (int(dict(call.query)["end"]) + wire.GRANULARITIES[interval][1]) * NANO
        following = _candles(call.market, interval, reached, end) if reached < min(end, ts) else None
        return HistoryPage(bars=tuple(sorted(bars, key=lambda bar: bar.start)), next=following)

    def _read_trades(
        self, call: RestCall, start: int, end: int, first_s: int, span_s: int, status: int, body: bytes, ts: int
    ) -> HistoryPage:
        page = wire.read(wire.trades_page, status, body)
        if len(page.trades) >= MOST_TRADES:
            if span_s == 1:
                raise VenueError(status, "truncated", f"more than {MOST_TRADES} trades in the second {first_s}")
            return HistoryPage(next=_trades(call.market, start, end, first_s, max(1, span_s // 2)))
        trades: list[Trade] = []
        span = (max(start, first_s * NANO), min(end, (first_s + span_s) * NANO))
        for body_ in page.trades:
            trade = self._codec.trade(body_, call.market, "", 0, ts, ())
            if trade is not None and span[0] <= trade.ts_event < span[1]:
                trades.append(trade)
        trades.sort(key=lambda trade: (trade.ts_event, len(trade.trade_id), trade.trade_id))
        following = None
        if span[1] < min(end, ts):
            longer = 2 * span_s if len(page.trades) < MOST_TRADES // 4 else span_s
            following = _trades(call.market, start, end, first_s + span_s, min(longer, _MOST_SPAN_S))
        return HistoryPage(trades=tuple(trades), next=following)


def _products(markets: Sequence[str]) -> RestCall:
    query = (("limit", str(PAGE)), ("product_type", "SPOT"))
    named = tuple(("product_ids", market.removesuffix(SUFFIX)) for market in markets)
    return RestCall(purpose="products", path=_PUBLIC, query=query + named)


def _candles(market: str, interval: str, start: int, end: int) -> RestCall:
    granularity, length = wire.GRANULARITIES[interval]
    first = -(-start // NANO // length) * length
    # Both ends are inclusive, by the start of a candle.
    last = min(-(-end // NANO) - 1, first + (MOST_CANDLES - 1) * length) // length * length
    return RestCall(
        purpose=f"bars {interval} {start} {end}",
        path=f"{_PUBLIC}/{market.removesuffix(SUFFIX)}/candles",
        query=(("start", str(first)), ("end", str(max(first, last))), ("granularity", granularity)),
        market=market,
    )


def _trades(market: str, start: int, end: int, first_s: int, span_s: int) -> RestCall:
    return RestCall(
        purpose=f"trades {start} {end} {first_s} {span_s}",
        path=f"{_PUBLIC}/{market.removesuffix(SUFFIX)}/ticker",
        # Whether the end is inclusive is not said; what is beyond it is cut when it is read.
        query=(("limit", str(MOST_TRADES)), ("start", str(first_s)), ("end", str(first_s + span_s))),
        market=market,
    )
