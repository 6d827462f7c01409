"""Kraken's WebSocket, version 2: bytes to typed frames, typed frames to market messages, and commands.

Source: docs.kraken.com, "Spot WebSocket v2" (book, trade, ticker, ohlc, status, heartbeat) and the guide "Book checksum
(WebSocket v2)". Prices and sizes are JSON numbers whose digits count: the checksum is made of them, trailing zeros and
all. They are kept as they came (`msgspec.Raw`) and never pass through a float. Sizes are absolute, 0 removes.

The same structs encode (`encode`), for a stand-in that speaks the venue's side.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, Literal
from zlib import crc32

import msgspec

from protocols.market import Bar, MarketPhase, Ticker, Trade
from protocols.nanos import NANO, NumberFaults, price_nanos, size_nanos
from protocols.venues.errors import WireError
from protocols.venues.rfc3339 import rfc3339_nanos

BOOK: Final = "book"
TRADE: Final = "trade"
TICKER: Final = "ticker"
OHLC: Final = "ohlc"
STATUS: Final = "status"
HEARTBEAT: Final = "heartbeat"

DEPTHS: Final = (10, 25, 100, 500, 1000)
"""Levels a side that can be subscribed."""
INTERVALS: Final = {
    "1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "4h": 240, "1d": 1440, "1w": 10_080, "15d": 21_600,
}  # fmt: skip
"""Our words for the intervals of its bars, in minutes."""
CHECKED_LEVELS: Final = 10
"""The checksum covers so many levels a side, whatever the depth."""

UpdateType = Literal["snapshot", "update"]
_NULL: Final = msgspec.Raw(b"null")
_MINUTE: Final = 60 * NANO


class Level(msgspec.Struct, gc=False):
    """A price and the size that rests there now, in the venue's digits."""

    price: msgspec.Raw
    qty: msgspec.Raw


class BookBody(msgspec.Struct, gc=False, omit_defaults=True):
    """A book or what has changed in it; the levels of one update are in their order."""

    symbol: str
    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()
    checksum: int | None = None
    timestamp: str = ""


class _Frame(msgspec.Struct, gc=False, kw_only=True, tag_field="channel"):
    type: UpdateType


class BookFrame(_Frame, tag=BOOK):
    """A snapshot replaces the book of its symbol."""

    data: tuple[BookBody, ...]


class TradeBody(msgspec.Struct, gc=False):
    """A trade. `side` is the taker's."""

    symbol: str
    side: Literal["buy", "sell"]
    price: msgspec.Raw
    qty: msgspec.Raw
    ord_type: str
    trade_id: int
    timestamp: str


class TradeFrame(_Frame, tag=TRADE):
    """New trades in their order; in a snapshot, the last ones before the subscription."""

    data: tuple[TradeBody, ...]


class TickerBody(msgspec.Struct, gc=False, omit_defaults=True):
    """Display prices; never mixed into a book. Not everything is there in a market without trades."""

    symbol: str
    bid: msgspec.Raw = _NULL
    bid_qty: msgspec.Raw = _NULL
    ask: msgspec.Raw = _NULL
    ask_qty: msgspec.Raw = _NULL
    last: msgspec.Raw = _NULL
    volume: msgspec.Raw = _NULL
    timestamp: str = ""


class TickerFrame(_Frame, tag=TICKER):
    """Display prices have changed."""

    data: tuple[TickerBody, ...]


class OhlcBody(msgspec.Struct, gc=False):
    """A bar as far as it is. `interval` in minutes."""

    symbol: str
    open: msgspec.Raw
    high: msgspec.Raw
    low: msgspec.Raw
    close: msgspec.Raw
    vwap: msgspec.Raw
    trades: int
    volume: msgspec.Raw
    interval_begin: str
    interval: int


class OhlcFrame(_Frame, tag=OHLC):
    """Bars; sent with each trade. A snapshot brings past ones, too."""

    data: tuple[OhlcBody, ...]


class StatusBody(msgspec.Struct, gc=False, omit_defaults=True):
    """`system`: `online`, or `maintenance`, `cancel_only`, `post_only`: no orders are matched."""

    system: str
    api_version: str = ""
    connection_id: int = 0
    version: str = ""


class StatusFrame(_Frame, tag=STATUS):
    """Sent at the beginning of a connection, and when the trading engine's state changes."""

    data: tuple[StatusBody, ...]


class HeartbeatFrame(msgspec.Struct, gc=False, tag_field="channel", tag=HEARTBEAT):
    """Sent about once a second while nothing else is."""


class ReplyResult(msgspec.Struct, gc=False, omit_defaults=True):
    """What was subscribed."""

    channel: str = ""
    symbol: str = ""
    depth: int | None = None


class OtherFrame(msgspec.Struct, gc=False, kw_only=True, omit_defaults=True):
    """An answer to a command (`method`), a frame that is not read here, or (`fault`) a known one that did not fit."""

    method: str = ""
    success: bool | None = None
    error: str = ""
    symbol: str = ""
    result: ReplyResult | None = None
    channel: str = ""
    fault: str = ""


_Known = BookFrame | TradeFrame | TickerFrame | OhlcFrame | StatusFrame | HeartbeatFrame
Frame = _Known | OtherFrame
KNOWN_CHANNELS: Final = frozenset(str(kind.__struct_config__.tag) for kind in _Known.__args__)

_known: msgspec.json.Decoder[_Known] = msgspec.json.Decoder(_Known)
_other = msgspec.json.Decoder(OtherFrame)
_encoder = msgspec.json.Encoder()


def decode(raw: bytes | str) -> Frame:
    """The typed frame.

    Raises WireError for what is no frame at all; an unfit known frame comes as OtherFrame.
    """
    try:
        return _known.decode(raw)
    except msgspec.ValidationError as error:
        fault = str(error)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise WireError(str(error)) from None
    try:
        other = _other.decode(raw)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise WireError(str(error)) from None
    other.fault = fault if other.channel in KNOWN_CHANNELS else ""
    return other


def encode(frame: Frame) -> bytes:
    """The frame as the venue would send it."""
    return _encoder.encode(frame)


# -- numbers and checksums ---------------------------------------------------------------------------------


def digits(number: msgspec.Raw) -> str:
    """The number's digits as they came, without an exponent; "" for null. Raises ValueError for what is no number."""
    text = str(number, "ascii")
    if text == "null":
        return ""
    text = text.strip('"')
    return f"{_decimal(text):f}" if "e" in text.lower() else text


def checked(price: str, size: str) -> str:
    """A level as the checksum wants it: the digits of price and size, without points and leading zeros."""
    return price.replace(".", "").lstrip("0") + size.replace(".", "").lstrip("0")


def checksum(asks: Sequence[str], bids: Sequence[str]) -> int:
    """CRC32 over the best levels, best first, each as `checked` makes it: up to ten asks, then up to ten bids."""
    return crc32("".join((*asks[:CHECKED_LEVELS], *bids[:CHECKED_LEVELS])).encode())


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except ArithmeticError:
        raise ValueError(f"not a decimal number: {text[:60]!r}") from None


# -- commands ----------------------------------------------------------------------------------------------


class Params(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True):
    """Parameters of a command. `snapshot`: whether what is there already is sent first."""

    channel: str
    symbol: tuple[str, ...]
    depth: int | None = None
    interval: int | None = None
    snapshot: bool | None = None


class Command(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True):
    """What a client sends."""

    method: Literal["subscribe", "unsubscribe", "ping"]
    params: Params | None = None
    req_id: int | None = None


_command = msgspec.json.Decoder(Command)


def decode_command(raw: bytes | str) -> Command:
    """What the client sent. Raises msgspec.DecodeError where that is no command."""
    return _command.decode(raw)


def subscription(
    channel: str,
    symbols: Sequence[str],
    *,
    subscribe: bool,
    depth: int | None = None,
    interval: int | None = None,
    snapshot: bool | None = None,
) -> bytes:
    """Begin or end a subscription. It is acknowledged symbol by symbol."""
    params = Params(
        channel=channel,
        symbol=tuple(symbols),
        depth=depth,
        interval=interval,
        snapshot=snapshot if subscribe else None,
    )
    return _encoder.encode(Command(method="subscribe" if subscribe else "unsubscribe", params=params))


def ping() -> bytes:
    """Asks for a `pong`, which proves more than the socket."""
    return _encoder.encode(Command(method="ping"))


# -- market messages ---------------------------------------------------------------------------------------


def phase(system: str) -> MarketPhase:
    """The phase of every market under this state of the trading engine."""
    return "active" if system == "online" else "paused"


def trade(
    body: TradeBody,
    market: str,
    session: str,
    seq: int,
    ts_recv: int,
    marks: tuple[str, ...],
    faults: NumberFaults,
) -> Trade | None:
    """The trade, or None (and counted) where its price is out of range. Raises ValueError for what is no number."""
    price = price_nanos(digits(body.price), faults)
    if price is None:
        return None
    return Trade(
        market=market,
        price=price,
        size=size_nanos(digits(body.qty), faults),
        taker=body.side,
        trade_id=str(body.trade_id),
        session=session,
        seq=seq,
        ts_event=rfc3339_nanos(body.timestamp),
        ts_recv=ts_recv,
        marks=marks,
    )


def ticker(
    body: TickerBody, market: str, session: str, ts_recv: int, marks: tuple[str, ...], faults: NumberFaults
) -> Ticker:
    """The display prices; `seq` is 0, as the venue counts no updates. Raises ValueError for what is no number."""

    def price(number: msgspec.Raw) -> int | None:
        text = digits(number)
        return price_nanos(text, faults) if text else None

    def size(number: msgspec.Raw) -> int | None:
        text = digits(number)
        return size_nanos(text, faults) if text else None

    return Ticker(
        market=market,
        bid=price(body.bid),
        bid_size=size(body.bid_qty),
        ask=price(body.ask),
        ask_size=size(body.ask_qty),
        last=price(body.last),
        session=session,
        seq=0,
        ts_event=rfc3339_nanos(body.timestamp) if body.timestamp else 0,
        ts_recv=ts_recv,
        marks=marks,
    )


def bar(body: OhlcBody, market: str, ts_recv: int, marks: tuple[str, ...], faults: NumberFaults) -> Bar | None:
    """The bar as far as it is, or None for an unknown interval or (counted) a price out of range.

    Raises ValueError for what is no number.
    """
    word = _WORDS.get(body.interval)
    opened, high, low, close = (
        price_nanos(digits(number), faults) for number in (body.open, body.high, body.low, body.close)
    )
    if word is None or opened is None or high is None or low is None or close is None:
        return None
    start = rfc3339_nanos(body.interval_begin)
    return Bar(
        market=market,
        interval=word,
        start=start,
        end=start + body.interval * _MINUTE,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=digits(body.volume),
        trades=body.trades,
        vwap=price_nanos(digits(body.vwap), faults),
        source="venue",
        ts_recv=ts_recv,
        marks=marks,
    )


_WORDS: Final = {minutes: word for word, minutes in INTERVALS.items()}
