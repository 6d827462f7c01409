"""Binance's events and numbers as bytes. Spot writes eight decimals, USD-M two for prices and three for sizes.

Written by hand where thousands go out a second; the fields are those of `protocols.venues.binance`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from actors.market.simulated.flow import Traded
from actors.market.simulated.ledger import Best
from actors.market.simulated.market import MINUTE, MinuteBar
from protocols.nanos import NANO, decimal_text

INTERVALS: Final = {
    "1m": MINUTE,
    "3m": 3 * MINUTE,
    "5m": 5 * MINUTE,
    "15m": 15 * MINUTE,
    "30m": 30 * MINUTE,
    "1h": 60 * MINUTE,
    "2h": 120 * MINUTE,
    "4h": 240 * MINUTE,
    "1d": 1440 * MINUTE,
}
_encoder = msgspec.json.Encoder()


def millis(nanos: int) -> int:
    """Whole milliseconds."""
    return nanos // 1_000_000


class Texts:
    """Numbers and events of spot, or of futures."""

    def __init__(self, futures: bool) -> None:
        self.futures = futures

    def price(self, nanos: int) -> str:
        """A price as the venue writes it."""
        return decimal_text(nanos, 2) if self.futures else f"{nanos // NANO}.{nanos % NANO // 10:08d}"

    def size(self, nanos: int) -> str:
        """A quantity as the venue writes it."""
        if self.futures:
            return f"{nanos // NANO}.{nanos % NANO // 1_000_000:03d}"
        return f"{nanos // NANO}.{nanos % NANO // 10:08d}"

    def levels(self, levels: Iterable[tuple[int, int]]) -> bytes:
        """Levels as a JSON list of pairs."""
        price, size = self.price, self.size
        return ("[" + ",".join([f'["{price(at)}","{size(of)}"]' for at, of in levels]) + "]").encode()

    def depth(
        self,
        symbol: str,
        before: int,
        last: int,
        bids: Iterable[tuple[int, int]],
        asks: Iterable[tuple[int, int]],
        now_ms: int,
    ) -> bytes:
        """Changes of a book after update `before` up to `last`."""
        levels = b'"b":%b,"a":%b}' % (self.levels(bids), self.levels(asks))
        if self.futures:
            return b'{"e":"depthUpdate","E":%d,"T":%d,"s":"%b","U":%d,"u":%d,"pu":%d,%b' % (
                now_ms,
                now_ms,
                symbol.encode(),
                before + 1,
                last,
                before,
                levels,
            )
        return b'{"e":"depthUpdate","E":%d,"s":"%b","U":%d,"u":%d,%b' % (
            now_ms,
            symbol.encode(),
            before + 1,
            last,
            levels,
        )

    def book_ticker(self, symbol: str, version: int, best: Best, now_ms: int) -> bytes:
        """Best prices after update `version`; both sides have some."""
        bid, ask = best.bid or 0, best.ask or 0
        fields: dict[str, object] = {
            "u": version,
            "s": symbol,
            "b": self.price(bid),
            "B": self.size(best.bid_size),
            "a": self.price(ask),
            "A": self.size(best.ask_size),
        }
        if self.futures:
            fields = {"e": "bookTicker", **fields, "T": now_ms, "E": now_ms}
        return _encoder.encode(fields)

    def trade(self, kind: str, symbol: str, event: Traded, now_ms: int) -> bytes:
        """A trade, as `trade` or `aggTrade`. `m`: the buyer was the maker."""
        fields: dict[str, object] = {"e": kind, "E": now_ms, "s": symbol}
        if kind == "trade":
            fields["t"] = event.trade_id
        else:
            fields["a"] = event.trade_id
        fields |= {"p": self.price(event.price), "q": self.size(event.size)}
        if kind == "aggTrade":
            fields |= {"f": event.trade_id, "l": event.trade_id}
        fields |= {"T": now_ms}
        if self.futures and kind == "trade":
            fields["X"] = "MARKET"
        fields["m"] = event.taker_side == "ask"
        if not self.futures:
            fields["M"] = True
        return _encoder.encode(fields)

    def liquidation(self, symbol: str, event: Traded, now_ms: int) -> bytes:
        """A position closed by force, at this trade."""
        order = {
            "s": symbol,
            "S": "BUY" if event.taker_side == "bid" else "SELL",
            "o": "LIMIT",
            "f": "IOC",
            "q": self.size(event.size),
            "p": self.price(event.price),
            "ap": self.price(event.price),
            "X": "FILLED",
            "l": self.size(event.size),
            "z": self.size(event.size),
            "T": now_ms,
        }
        return _encoder.encode({"e": "forceOrder", "E": now_ms, "o": order})

    def mark_price(self, symbol: str, price: int, now: int, next_funding: int) -> bytes:
        """Mark and index price, and the funding rate that will be paid next."""
        fields = {
            "e": "markPriceUpdate",
            "E": millis(now),
            "s": symbol,
            "p": self.price(price),
            "i": self.price(price),
            "P": self.price(price),
            "r": funding_rate(symbol, next_funding),
            "T": millis(next_funding),
        }
        return _encoder.encode(fields)


def funding_rate(symbol: str, ts: int) -> str:
    """A rate that follows from symbol and time alone."""
    return decimal_text(((ts // (3_600 * NANO) * 7_919 + len(symbol) * 104_729) % 41 - 10) * 10_000, 8)


def kline(texts: Texts, symbol: str, interval: str, length: int, bar: MinuteBar, final: bool, now_ms: int) -> bytes:
    """The state of a bar."""
    candle = {
        "t": millis(bar.start),
        "T": millis(bar.start + length) - 1,
        "s": symbol,
        "i": interval,
        "f": 0,
        "L": bar.trades,
        "o": texts.price(bar.open),
        "c": texts.price(bar.close),
        "h": texts.price(bar.high),
        "l": texts.price(bar.low),
        "v": texts.size(bar.volume),
        "n": bar.trades,
        "x": final,
        "q": texts.price(bar.turnover),
        "V": texts.size(bar.volume // 2),
        "Q": texts.price(bar.turnover // 2),
        "B": "0",
    }
    return _encoder.encode({"e": "kline", "E": now_ms, "s": symbol, "k": candle})
