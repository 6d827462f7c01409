"""Kraken's public REST answers: bytes to typed answers, typed answers to market messages.

Source: docs.kraken.com, "Spot REST" (AssetPairs, OHLC, Trades). Every answer is `{"error": […], "result": …}`, errors
with status 200, too. REST calls bitcoin XBT and dogecoin XDG, where the WebSocket's version 2 says BTC and DOGE.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from protocols.instruments import Instrument, OrderType, PriceRange, TradingStatus
from protocols.market import Bar, Trade
from protocols.nanos import INT64_MAX, NANO, NumberFaults, exact_nanos, price_nanos, scaled, size_nanos
from protocols.venues.errors import VenueError
from protocols.venues.kraken import INTERVALS, digits

_A = TypeVar("_A")
_NEW_NAMES: Final = {"XBT": "BTC", "XDG": "DOGE"}
_RETRY_S: Final = 5.0
_BUSY: Final = ("EAPI:Rate limit", "EGeneral:Too many", "EService:", "EGeneral:Temporary")
"""How errors begin that go away by themselves."""
_STATUSES: Final[dict[str, TradingStatus]] = {
    "online": "open",
    "limit_only": "open",
    "post_only": "auction",
    "cancel_only": "halted",
    "reduce_only": "halted",
    "maintenance": "halted",
}
_ORDER_TYPES: Final[tuple[OrderType, ...]] = (
    "market", "limit", "stop", "stop_limit", "take_profit", "trailing_stop", "post_only",
)  # fmt: skip

Fees = tuple[tuple[msgspec.Raw, msgspec.Raw], ...]


class Pair(msgspec.Struct, gc=False, kw_only=True):
    """A pair. `fees`, `fees_maker`: (volume of 30 days, per cent), the first without any volume."""

    altname: str
    wsname: str = ""
    pair_decimals: int
    lot_decimals: int
    tick_size: str = ""
    ordermin: str = ""
    costmin: str = ""
    status: str = ""
    fees: Fees = ()
    fees_maker: Fees = ()

    @property
    def symbol(self) -> str:
        """The name on the WebSocket, version 2; "" for a pair that it does not have."""
        return new_name(self.wsname)


Candle = tuple[int, str, str, str, str, str, str, int]
"""Start in seconds, open, high, low, close, VWAP, volume, count of trades."""
TradeRow = tuple[str, str, msgspec.Raw, str, str, str, int]
"""Price, size, seconds with nine decimals, `b` or `s` (the taker's side), `m` or `l`, something else, id."""


class _Answer(msgspec.Struct, gc=False):
    error: tuple[str, ...] = ()
    result: msgspec.Raw = msgspec.Raw(b"null")


_answer: Final = msgspec.json.Decoder(_Answer)
_pairs: Final = msgspec.json.Decoder(dict[str, Pair])
_parts: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_candles: Final = msgspec.json.Decoder(tuple[Candle, ...])
_trades: Final = msgspec.json.Decoder(tuple[TradeRow, ...])


def new_name(symbol: str) -> str:
    """The symbol as version 2 of the WebSocket writes it: XBT/USD is BTC/USD."""
    return "/".join(_NEW_NAMES.get(part, part) for part in symbol.split("/"))


def read_pairs(status: int, body: bytes) -> dict[str, Pair]:
    """Pairs by the venue's inner name. Raises VenueError."""
    return _read(_pairs, _result(status, body), status)


def read_candles(status: int, body: bytes) -> tuple[Candle, ...]:
    """The last 720 candles at most, oldest first; the last one is still open. Raises VenueError."""
    rows, _ = _series(status, body)
    return _read(_candles, rows, status)


def read_trades(status: int, body: bytes) -> tuple[tuple[TradeRow, ...], int]:
    """Trades, oldest first, and `last`: from where to go on, in nanoseconds. Raises VenueError."""
    rows, last = _series(status, body)
    return _read(_trades, rows, status), int(last)


def instrument(pair: Pair, market: str, ts: int, source: str) -> Instrument:
    """What the pair is from `ts` on. Raises ValueError for amounts that are none."""
    tick, tick_cut = scaled(pair.tick_size or f"1e-{pair.pair_decimals}")
    lot, lot_cut = scaled(f"1e-{pair.lot_decimals}")
    tick, lot = max(tick, 1), max(lot, 1)
    base, _, quote = pair.symbol.partition("/")
    return Instrument(
        market=market,
        symbol=pair.symbol,
        venue="kraken",
        kind="spot",
        currency=quote,
        base=base,
        # The venue names no highest price.
        price_ranges=(PriceRange(tick, INT64_MAX // tick * tick, tick),),
        lot=lot,
        minimum_size=size_nanos(pair.ordermin, NumberFaults()) if pair.ordermin else 0,
        minimum_notional=exact_nanos(pair.costmin) if pair.costmin else 0,
        maker_fee=_fee(pair.fees_maker),
        taker_fee=_fee(pair.fees),
        order_types=_ORDER_TYPES,
        # Pairs had no status once.
        status=_STATUSES.get(pair.status or "online", "unknown"),
        title=pair.symbol,
        data_only=tick_cut or lot_cut,
        valid_from=ts,
        source=source,
    )


def bar(row: Candle, market: str, interval: str, ts: int, faults: NumberFaults) -> Bar | None:
    """The candle as a bar, or None (and counted) where a price is out of range. Raises ValueError.

    One without a trade repeats the last close, and its VWAP is written as 0: it has none.
    """
    seconds, opened_text, high_text, low_text, close_text, vwap, volume, count = row
    opened, high, low, close = (price_nanos(text, faults) for text in (opened_text, high_text, low_text, close_text))
    if opened is None or high is None or low is None or close is None:
        return None
    start = seconds * NANO
    return Bar(
        market=market,
        interval=interval,
        start=start,
        end=start + INTERVALS[interval] * 60 * NANO,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=volume,
        trades=count,
        vwap=price_nanos(vwap, faults) if count else None,
        source="venue",
        ts_recv=ts,
        empty=count == 0,
    )


def trade(row: TradeRow, market: str, ts: int, faults: NumberFaults) -> Trade | None:
    """The trade, or None (and counted) where its price is out of range. Raises ValueError."""
    price_text, size, time, side, _, _, number = row
    price = price_nanos(price_text, faults)
    if price is None:
        return None
    return Trade(
        market=market,
        price=price,
        size=size_nanos(size, faults),
        taker="buy" if side == "b" else "sell",
        trade_id=str(number),
        session="",
        seq=0,
        ts_event=scaled(digits(time))[0],
        ts_recv=ts,
    )


def _fee(fees: Fees) -> str | None:
    """The first tier's, as a fraction."""
    return f"{(Decimal(digits(fees[0][1])) / 100).normalize():f}" if fees else None


def _result(status: int, body: bytes) -> msgspec.Raw:
    try:
        answer = _answer.decode(body)
    except (msgspec.DecodeError, UnicodeError) as error:
        said = body[:200].decode("utf-8", "replace")
        if 200 <= status < 300:
            raise VenueError(status, "unreadable", str(error)) from None
        raise VenueError(status, f"http_{status}", said, _RETRY_S if status == 429 or status >= 500 else None) from None
    if answer.error or not 200 <= status < 300:
        message = "; ".join(answer.error) or body[:200].decode("utf-8", "replace")
        busy = status == 429 or status >= 500 or any(text.startswith(_BUSY) for text in answer.error)
        code = answer.error[0].partition(":")[0] if answer.error else f"http_{status}"
        raise VenueError(status, code, message, _RETRY_S if busy else None)
    return answer.result


def _series(status: int, body: bytes) -> tuple[msgspec.Raw, str]:
    """The rows of the one pair that was asked for, and `last`."""
    parts = _read(_parts, _result(status, body), status)
    last = parts.pop("last", msgspec.Raw(b"0"))
    if len(parts) != 1:
        raise VenueError(status, "unreadable", f"{len(parts)} pairs instead of one")
    (rows,) = parts.values()
    return rows, digits(last)


def _read(decoder: msgspec.json.Decoder[_A], raw: msgspec.Raw, status: int) -> _A:
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise VenueError(status, "unreadable", str(error)) from None
