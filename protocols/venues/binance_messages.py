"""Binance's events as market messages. Who calls says which market, session and marks they belong to.

Digits become nanos through a cache: on a busy book the same prices come again and again, and half of all sizes are the
zero that deletes a level. What cannot be kept exactly is never cached, so that every occurrence of it is counted.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Final

from protocols.market import Bar, BookUpdate, Funding, LevelChange, Liquidation, Ticker, Trade, pack_levels
from protocols.nanos import INT64_MAX, NANO, NumberFaults, price_nanos, scaled, size_nanos
from protocols.venues.binance import (
    AggregateTrade,
    BookTicker,
    Candle,
    DepthSnapshot,
    DepthUpdate,
    Levels,
    TradeEvent,
    event_time,
)
from protocols.venues.binance_futures import ForceOrder, MarkPriceUpdate

PACKED_FROM: Final = 2_000
"""A snapshot with more levels than this is packed."""
_DECIMALS: Final = 9
_SCALE: Final[tuple[int, ...]] = tuple(10 ** (_DECIMALS - places) for places in range(_DECIMALS + 1))
_PLAIN: Final = 18
_CACHED: Final = 65_536
_TRADES: Final = frozenset({"", "MARKET"})


class _Nanos(dict[str, int]):
    """Digits → nanos, remembered where they are exact. A price out of range is None and is not remembered."""

    def __init__(self, parse: Callable[[str, NumberFaults], int | None], faults: NumberFaults) -> None:
        super().__init__()
        self._parse = parse
        self._faults = faults

    def __missing__(self, digits: str) -> int:
        whole, _, fraction = digits.partition(".")
        joined = whole + fraction
        # What every venue sends nearly always. The parser knows the rest, and counts what it cannot keep.
        if len(joined) <= _PLAIN and len(fraction) <= _DECIMALS and whole and joined.isdigit() and joined.isascii():
            value = int(joined) * _SCALE[len(fraction)]
            if value <= INT64_MAX:
                if len(self) >= _CACHED:
                    self.clear()
                self[digits] = value
                return value
        # Whoever asks for prices looks at `faults.dropped` before it uses them.
        return self._parse(digits, self._faults)  # type: ignore[return-value]


class Codec:
    """Turns events into messages. Every method raises ValueError where a number is none."""

    def __init__(self, faults: NumberFaults) -> None:
        self.faults = faults
        self._prices = _Nanos(price_nanos, faults)
        self._sizes = _Nanos(size_nanos, faults)

    def changes(self, bids: Levels, asks: Levels) -> tuple[LevelChange, ...]:
        """The levels of both sides; those with a price out of range are left out (and counted)."""
        prices = self._prices
        sizes = self._sizes
        dropped = self.faults.dropped
        changes = [LevelChange("bid", prices[price], sizes[size]) for price, size in bids]
        changes += [LevelChange("ask", prices[price], sizes[size]) for price, size in asks]
        if self.faults.dropped != dropped:
            return tuple(change for change in changes if change.price is not None)
        return tuple(changes)

    def depth(
        self, event: DepthUpdate, market: str, session: str, ts_recv: int, marks: tuple[str, ...] = ()
    ) -> BookUpdate:
        """`seq` is the last update id of the event."""
        return BookUpdate(
            market,
            self.changes(event.bids, event.asks),
            "absolute",
            False,
            session,
            event.last,
            event_time(event.trade_time or event.event_time),
            ts_recv,
            marks,
        )

    def snapshot(
        self, book: DepthSnapshot, market: str, session: str, ts_recv: int, marks: tuple[str, ...] = ()
    ) -> BookUpdate:
        """`seq` is the last update id that the snapshot holds. Packed where it is large."""
        packed = len(book.bids) + len(book.asks) > PACKED_FROM
        return BookUpdate(
            market=market,
            changes=() if packed else self.changes(book.bids, book.asks),
            kind="absolute",
            snapshot=True,
            session=session,
            seq=book.last,
            ts_event=event_time(book.trade_time or book.event_time),
            ts_recv=ts_recv,
            marks=marks,
            packed_bids=self._packed(book.bids, best_first=-1) if packed else b"",
            packed_asks=self._packed(book.asks, best_first=1) if packed else b"",
        )

    def _packed(self, levels: Levels, best_first: int) -> bytes:
        if levels:
            digits, sizes_digits = zip(*levels, strict=True)
            columns = _column(digits), _column(sizes_digits)
            if columns[0] is not None and columns[1] is not None and 0 not in columns[1]:
                keys = [price * best_first for price in columns[0]]
                if keys == sorted(keys):
                    return pack_levels(zip(columns[0], columns[1], strict=True))
        prices = self._prices
        sizes = self._sizes
        pairs = [(prices[price], sizes[size]) for price, size in levels]
        kept = [pair for pair in pairs if pair[0] is not None and pair[1]]
        kept.sort(key=lambda pair: pair[0] * best_first)
        return pack_levels(kept)

    def trade(
        self, event: TradeEvent, market: str, session: str, ts_recv: int, marks: tuple[str, ...] = ()
    ) -> Trade | None:
        """None for what was no trade of the book, or has a price out of range. `seq` is the trade's id."""
        price = price_nanos(event.price, self.faults)
        if price is None or event.kind not in _TRADES:
            return None
        return Trade(
            market=market,
            price=price,
            size=self._sizes[event.quantity],
            taker="sell" if event.buyer_is_maker else "buy",
            trade_id=str(event.trade_id),
            session=session,
            seq=event.trade_id,
            ts_event=event_time(event.trade_time),
            ts_recv=ts_recv,
            marks=marks,
        )

    def aggregate_trade(
        self, event: AggregateTrade, market: str, session: str, ts_recv: int, marks: tuple[str, ...] = ()
    ) -> Trade | None:
        """As `trade`, of all fills together. `seq` and `trade_id` are the aggregate's."""
        price = price_nanos(event.price, self.faults)
        if price is None:
            return None
        return Trade(
            market=market,
            price=price,
            size=self._sizes[event.quantity],
            taker="sell" if event.buyer_is_maker else "buy",
            trade_id=str(event.aggregate_id),
            session=session,
            seq=event.aggregate_id,
            ts_event=event_time(event.trade_time),
            ts_recv=ts_recv,
            marks=marks,
        )

    def ticker(self, event: BookTicker, market: str, session: str, ts_recv: int, marks: tuple[str, ...] = ()) -> Ticker:
        """A side whose size is 0 has no level. `seq` is the book's update id."""
        bid_size = self._sizes[event.bid_size]
        ask_size = self._sizes[event.ask_size]
        return Ticker(
            market,
            self._prices[event.bid] if bid_size else None,
            bid_size or None,
            self._prices[event.ask] if ask_size else None,
            ask_size or None,
            None,
            session,
            event.update_id,
            event_time(event.trade_time or event.event_time),
            ts_recv,
            marks,
        )

    def bar(
        self, candle: Candle, market: str, ts_recv: int, marks: tuple[str, ...] = (), *, quoted: bool = True
    ) -> Bar | None:
        """None for a bar that still grows, or has a price out of range.

        `quoted`: `quote_volume` is in the currency of the prices, so that the VWAP is its quotient by the volume. On
        COIN-M it is in coins and the volume in contracts.
        """
        if not candle.final:
            return None
        prices = [price_nanos(digits, self.faults) for digits in (candle.open, candle.high, candle.low, candle.close)]
        if None in prices:
            return None
        open_, high, low, close = (price for price in prices if price is not None)
        volume, _ = scaled(candle.volume)
        turnover, _ = scaled(candle.quote_volume)
        return Bar(
            market=market,
            interval=candle.interval,
            start=event_time(candle.start),
            end=_after(candle.end),
            open=open_,
            high=high,
            low=low,
            close=close,
            volume=plain(candle.volume),
            trades=candle.trades,
            vwap=turnover * NANO // volume if quoted and volume else None,
            source="venue",
            ts_recv=ts_recv,
            empty=candle.trades == 0,
            marks=marks,
        )

    def liquidation(
        self, event: ForceOrder, market: str, ts_recv: int, marks: tuple[str, ...] = ()
    ) -> Liquidation | None:
        """At the price at which the order was filled, as far as it was; None where that is out of range."""
        order = event.order
        filled = self._sizes[order.filled]
        average = price_nanos(order.average_price, self.faults) if filled else None
        price = average or price_nanos(order.price, self.faults)
        if price is None:
            return None
        return Liquidation(
            market=market,
            side="buy" if order.side == "BUY" else "sell",
            price=price,
            size=filled or self._sizes[order.quantity],
            ts_event=event_time(order.trade_time),
            ts_recv=ts_recv,
            marks=marks,
        )

    def funding(self, event: MarkPriceUpdate, market: str, ts_recv: int, marks: tuple[str, ...] = ()) -> Funding | None:
        """None for a contract that pays none."""
        if not event.rate or not event.next_funding:
            return None
        scaled(event.rate)
        return Funding(
            market=market,
            rate=plain(event.rate),
            next_ts=event_time(event.next_funding),
            mark_price=price_nanos(event.mark_price, self.faults),
            index_price=price_nanos(event.index_price, self.faults) if event.index_price else None,
            ts_event=event_time(event.event_time),
            ts_recv=ts_recv,
            marks=marks,
        )


def plain(digits: str) -> str:
    """The same number without needless zeros: "0.01000" → "0.01"."""
    return (digits.rstrip("0").rstrip(".") or "0") if "." in digits else digits


def _after(end: int) -> int:
    """The first nanosecond after a time that is the last of a bar, whether in milliseconds or microseconds."""
    return event_time(end + 1)


@functools.lru_cache(maxsize=16)
def _uniform(places: int) -> re.Pattern[str]:
    return re.compile(rf"(?:[0-9]+\.[0-9]{{{places}}},)*[0-9]+\.[0-9]{{{places}}}")


def _column(digits: Sequence[str]) -> list[int] | None:
    """Nanos of numbers that all have as many decimals, as those of one symbol do; None for any others.

    Ten thousand numbers in one pass cost a tenth of as many looked up one by one.
    """
    places = len(digits[0]) - digits[0].find(".") - 1
    joined = ",".join(digits)
    if not 0 < places <= _DECIMALS or _uniform(places).fullmatch(joined) is None:
        return None
    scale = _SCALE[places]
    numbers = [number * scale for number in map(int, joined.replace(".", "").split(","))]
    return numbers if max(numbers) <= INT64_MAX else None
