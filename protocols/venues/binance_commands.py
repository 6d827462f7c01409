"""Binance's WebSocket commands and the names of its streams, both ways: what a client sends and a stand-in reads.

Source: binance-spot-api-docs `web-socket-streams.md`, "Live Subscribing/Unsubscribing to streams". The venue says
`null` to any stream name, known or not: a symbol that it does not have is only silent.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final

import msgspec

from protocols.venues.binance_replies import ErrorReply, Reply

MAX_STREAMS: Final = 1024
"""Streams on one connection."""
MAX_PARAMS: Final = 100
"""How many streams one command of ours names, so that it stays short."""

SUBSCRIBE: Final = "SUBSCRIBE"
UNSUBSCRIBE: Final = "UNSUBSCRIBE"
LIST_SUBSCRIPTIONS: Final = "LIST_SUBSCRIPTIONS"


class StreamError(enum.IntEnum):
    """Codes of refused commands; the others are those of REST."""

    UNKNOWN_PROPERTY = 0
    INVALID_VALUE_TYPE = 1
    INVALID_REQUEST = 2
    INVALID_JSON = 3


class Command(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True):
    """A command as it travels. `params` are stream names; other commands may have other things there."""

    method: str
    params: tuple[str | bool, ...] = ()
    id: int | str | None = None


_decoder = msgspec.json.Decoder(Command)
_encoder = msgspec.json.Encoder()


def decode_command(raw: bytes | str) -> Command:
    """What the client sent. Raises msgspec.DecodeError where that is no command."""
    try:
        return _decoder.decode(raw)
    except UnicodeError as error:
        raise msgspec.DecodeError(str(error)) from None


def subscribe(id: int, streams: Sequence[str]) -> bytes:
    """Begin these streams."""
    return _encoder.encode(Command(method=SUBSCRIBE, params=tuple(streams), id=id))


def unsubscribe(id: int, streams: Sequence[str]) -> bytes:
    """End these streams."""
    return _encoder.encode(Command(method=UNSUBSCRIBE, params=tuple(streams), id=id))


def list_subscriptions(id: int) -> bytes:
    """Ask for the names of all streams of this connection."""
    return _encoder.encode(Command(method=LIST_SUBSCRIPTIONS, id=id))


def encode_reply(reply: Reply | ErrorReply) -> bytes:
    """The venue's side: the answer to a command."""
    return _encoder.encode(reply)


def depth_stream(symbol: str) -> str:
    """Changes of the book, ten times a second."""
    return f"{symbol.lower()}@depth@100ms"


def trade_stream(symbol: str) -> str:
    """Every trade."""
    return f"{symbol.lower()}@trade"


def aggregate_trade_stream(symbol: str) -> str:
    """The fills of each taker order, together."""
    return f"{symbol.lower()}@aggTrade"


def book_ticker_stream(symbol: str) -> str:
    """The best prices, whenever they change."""
    return f"{symbol.lower()}@bookTicker"


def kline_stream(symbol: str, interval: str) -> str:
    """The venue's own bars."""
    return f"{symbol.lower()}@kline_{interval}"


def force_order_stream(symbol: str) -> str:
    """Liquidations (futures only)."""
    return f"{symbol.lower()}@forceOrder"


def mark_price_stream(symbol: str) -> str:
    """Mark price and funding rate, every three seconds (futures only)."""
    return f"{symbol.lower()}@markPrice"
