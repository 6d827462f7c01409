"""Binance's WebSocket market streams, of spot, USD-M and COIN-M: bytes to typed frames, and back.

Source: binance-spot-api-docs `web-socket-streams.md`, and the "USDⓈ-M Futures" and "COIN-M Futures" market stream
pages. On the combined endpoint an event comes as `{"stream": ..., "data": {...}}`, on the raw one bare, with the
answers to commands among the events. Two kinds of event have no type in them: spot's `bookTicker`, and partial depth,
which does not even name its symbol. So the stream's name chooses what is decoded where there is one, and one pass over
the bytes is enough.

Quantities are absolute and "0" deletes a level. Times are milliseconds, or microseconds on a connection that asked for
them. The same structs encode (`encode`), for a stand-in that speaks the venue's side.
"""

from __future__ import annotations

import functools
from typing import Final, Generic, TypeVar

import msgspec

from protocols.venues.binance_futures import ForceOrder, MarkPriceUpdate
from protocols.venues.binance_replies import UNREADABLE
from protocols.venues.binance_replies import ErrorReply as ErrorReply
from protocols.venues.binance_replies import Fault as Fault
from protocols.venues.binance_replies import Reply as Reply
from protocols.venues.errors import WireError

MILLISECOND: Final = 1_000_000
MICROSECOND: Final = 1_000
# 10¹⁴ milliseconds are the year 5138, and as many microseconds 1973.
_MICROSECONDS_FROM: Final = 100_000_000_000_000

Levels = tuple[tuple[str, str], ...]
"""(price, quantity) pairs, as the venue wrote them."""


class DepthUpdate(
    msgspec.Struct,
    gc=False,
    omit_defaults=True,
    kw_only=True,
    tag_field="e",
    tag="depthUpdate",
    rename={
        "event_time": "E",
        "trade_time": "T",
        "symbol": "s",
        "pair": "ps",
        "first": "U",
        "last": "u",
        "previous": "pu",
        "bids": "b",
        "asks": "a",
    },
):
    """Changes of a book, update ids `first` to `last`. `previous` (futures only): `last` of the event before."""

    event_time: int
    trade_time: int = 0
    symbol: str
    pair: str = ""
    first: int
    last: int
    previous: int | None = None
    bids: Levels
    asks: Levels


class DepthSnapshot(
    msgspec.Struct,
    gc=False,
    omit_defaults=True,
    kw_only=True,
    rename={"last": "lastUpdateId", "event_time": "E", "trade_time": "T"},
):
    """A book's best levels, best first: the answer to `GET /depth`, and each frame of a partial depth stream.

    Futures add their times; only COIN-M names the `symbol`.
    """

    last: int
    event_time: int = 0
    trade_time: int = 0
    symbol: str = ""
    pair: str = ""
    bids: Levels
    asks: Levels


class TradeEvent(
    msgspec.Struct,
    gc=False,
    omit_defaults=True,
    kw_only=True,
    tag_field="e",
    tag="trade",
    rename={
        "event_time": "E",
        "trade_time": "T",
        "symbol": "s",
        "trade_id": "t",
        "price": "p",
        "quantity": "q",
        "kind": "X",
        "buyer_is_maker": "m",
    },
):
    """One trade. `kind` (futures only): `MARKET`, or what was no trade of the book (`INSURANCE_FUND`, `ADL`, `NA`)."""

    event_time: int
    trade_time: int
    symbol: str
    trade_id: int
    price: str
    quantity: str
    kind: str = ""
    buyer_is_maker: bool


class AggregateTrade(
    msgspec.Struct,
    gc=False,
    omit_defaults=True,
    kw_only=True,
    tag_field="e",
    tag="aggTrade",
    rename={
        "event_time": "E",
        "aggregate_id": "a",
        "symbol": "s",
        "price": "p",
        "quantity": "q",
        "first": "f",
        "last": "l",
        "trade_time": "T",
        "buyer_is_maker": "m",
    },
):
    """All fills of one taker order at one price: trades `first` to `last`."""

    event_time: int
    aggregate_id: int
    symbol: str
    price: str
    quantity: str
    first: int = 0
    last: int = 0
    trade_time: int
    buyer_is_maker: bool


class BookTicker(
    msgspec.Struct,
    gc=False,
    omit_defaults=True,
    kw_only=True,
    rename={
        "event": "e",
        "update_id": "u",
        "symbol": "s",
        "pair": "ps",
        "bid": "b",
        "bid_size": "B",
        "ask": "a",
        "ask_size": "A",
        "trade_time": "T",
        "event_time": "E",
    },
):
    """The best prices after update `update_id`. Spot sends neither event type nor times."""

    event: str = ""
    update_id: int
    symbol: str
    pair: str = ""
    bid: str
    bid_size: str
    ask: str
    ask_size: str
    trade_time: int = 0
    event_time: int = 0


class Candle(
    msgspec.Struct,
    gc=False,
    omit_defaults=True,
    kw_only=True,
    rename={
        "start": "t",
        "end": "T",
        "symbol": "s",
        "interval": "i",
        "first": "f",
        "last": "L",
        "open": "o",
        "close": "c",
        "high": "h",
        "low": "l",
        "volume": "v",
        "trades": "n",
        "final": "x",
        "quote_volume": "q",
        "taker_volume": "V",
        "taker_quote_volume": "Q",
    },
):
    """A bar of [`start`, `end`], both inclusive, and final only when it says so."""

    start: int
    end: int
    symbol: str
    interval: str
    first: int = -1
    last: int = -1
    open: str
    close: str
    high: str
    low: str
    volume: str
    trades: int
    final: bool
    quote_volume: str = "0"
    taker_volume: str = "0"
    taker_quote_volume: str = "0"


class KlineEvent(msgspec.Struct, gc=False, kw_only=True, tag_field="e", tag="kline"):
    """The current bar of a symbol and interval, again and again while it grows."""

    event_time: int = msgspec.field(name="E")
    symbol: str = msgspec.field(name="s")
    candle: Candle = msgspec.field(name="k")


class ServerShutdown(msgspec.Struct, gc=False, kw_only=True, tag_field="e", tag="serverShutdown"):
    """The server will close this connection soon."""

    event_time: int = msgspec.field(name="E")


class Other(msgspec.Struct, gc=False, kw_only=True):
    """An event that is not read here, or one that has not the shape of its type (`fault` says how)."""

    event: str = ""
    fault: str = ""


Payload = (
    DepthUpdate
    | DepthSnapshot
    | TradeEvent
    | AggregateTrade
    | BookTicker
    | KlineEvent
    | ForceOrder
    | MarkPriceUpdate
    | ServerShutdown
    | Reply
    | ErrorReply
    | Other
)

T = TypeVar("T")


class Frame(msgspec.Struct, Generic[T], gc=False):
    """One WebSocket message. `stream` is empty on the raw endpoint and for answers to commands."""

    stream: str
    data: T

    @property
    def symbol(self) -> str:
        """The symbol in the stream's name, in capitals; empty where it names none."""
        return symbol_in(self.stream)


def symbol_in(stream: str) -> str:
    """`btcusdt@depth` → BTCUSDT; empty for streams of all symbols (`!serverShutdown`)."""
    name = stream.partition("@")[0]
    return "" if name[:1] in ("", "!") else name.upper()


_EVENTS: Final[dict[str, type[msgspec.Struct]]] = {
    "depthUpdate": DepthUpdate,
    "trade": TradeEvent,
    "aggTrade": AggregateTrade,
    "bookTicker": BookTicker,
    "kline": KlineEvent,
    "forceOrder": ForceOrder,
    "markPriceUpdate": MarkPriceUpdate,
    "serverShutdown": ServerShutdown,
}
_STREAMS: Final[dict[str, type[msgspec.Struct]]] = {
    "depth": DepthUpdate,
    "depth5": DepthSnapshot,
    "depth10": DepthSnapshot,
    "depth20": DepthSnapshot,
    "trade": TradeEvent,
    "aggTrade": AggregateTrade,
    "bookTicker": BookTicker,
    "forceOrder": ForceOrder,
    "markPrice": MarkPriceUpdate,
}
_NAME_AT: Final = len('{"stream":"')


class _Envelope(msgspec.Struct, gc=False):
    """Whatever a frame may be, as far as it must be known to say what it is."""

    stream: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"")
    e: str | None = None
    u: int | None = None
    lastUpdateId: int | None = None  # noqa: N815 the venue's name
    code: int | None = None
    error: msgspec.Raw = msgspec.Raw(b"")
    result: msgspec.Raw = msgspec.Raw(b"")


_envelope = msgspec.json.Decoder(_Envelope)
_reply = msgspec.json.Decoder(Reply)
_error = msgspec.json.Decoder(ErrorReply)
_bare: Final = {kind: msgspec.json.Decoder(kind) for kind in {*_EVENTS.values(), DepthSnapshot}}
_encoder: Final = msgspec.json.Encoder()


def decode(raw: bytes | str) -> Frame[Payload]:
    """One frame. Raises WireError for what is no JSON object.

    An event without the shape of its type comes as `Other` with a fault, so that its symbol is still known.
    """
    try:
        decoder = _decoder_of(raw)
        if decoder is not None:
            return decoder.decode(raw)
    except UNREADABLE:
        # The other way finds out what is wrong.
        pass
    return _decode_any(raw)


def _decoder_of(raw: bytes | str) -> msgspec.json.Decoder[Frame[Payload]] | None:
    """By the stream's name where the frame begins with it, as all of the venue's own do."""
    if isinstance(raw, str):
        return _by_name(raw[_NAME_AT : raw.find('"', _NAME_AT)]) if raw.startswith('{"stream":"') else None
    if not raw.startswith(b'{"stream":"'):
        return None
    return _by_name(raw[_NAME_AT : raw.find(b'"', _NAME_AT)])


@functools.lru_cache(maxsize=8192)
def _by_name(stream: bytes | str) -> msgspec.json.Decoder[Frame[Payload]] | None:
    kind = _kind_of(stream if isinstance(stream, str) else stream.decode(errors="replace"))
    return None if kind is None else msgspec.json.Decoder(Frame[kind])  # type: ignore[valid-type]


def _kind_of(stream: str) -> type[msgspec.Struct] | None:
    """`btcusdt@depth@100ms` → DepthUpdate."""
    symbol, _, rest = stream.partition("@")
    if symbol.startswith("!"):
        return ServerShutdown if symbol == "!serverShutdown" else None
    channel = rest.partition("@")[0]
    return KlineEvent if channel.startswith("kline_") else _STREAMS.get(channel)


def _decode_any(raw: bytes | str) -> Frame[Payload]:
    try:
        envelope = _envelope.decode(raw)
    except UNREADABLE as error:
        raise WireError(str(error)) from None
    if envelope.stream is None:
        return Frame("", _read("", raw, envelope))
    # A name that a venue's frame can have, and a body that may be anything.
    body = bytes(envelope.data)
    try:
        inner = _envelope.decode(body)
    except UNREADABLE as error:
        return Frame(envelope.stream, Other(fault=str(error)))
    return Frame(envelope.stream, _read(envelope.stream, body, inner))


def _read(stream: str, body: bytes | str, envelope: _Envelope) -> Payload:
    kind = _kind_of(stream) if envelope.e is None else _EVENTS.get(envelope.e)
    try:
        if kind is None and envelope.e is None:
            if envelope.code is not None or bytes(envelope.error):
                return _error.decode(body)
            if bytes(envelope.result):
                return _reply.decode(body)
            if envelope.lastUpdateId is not None:
                kind = DepthSnapshot
            elif envelope.u is not None:
                kind = BookTicker
        if kind is None:
            return Other(event=envelope.e or "")
        payload: Payload = _bare[kind].decode(body)
    except UNREADABLE as error:
        return Other(event=envelope.e or "", fault=str(error))
    return payload


def encode(payload: Payload, stream: str = "") -> bytes:
    """The bytes that the venue would send: within `{"stream", "data"}` where a stream is named, bare without."""
    return _encoder.encode(Frame(stream, payload)) if stream else _encoder.encode(payload)


def event_time(time: int) -> int:
    """Nanoseconds of the venue's time, 0 where it gave none."""
    return time * (MICROSECOND if time >= _MICROSECONDS_FROM else MILLISECOND)
