"""The messages of `WS /rl/ws/orderbook`: JSON text frames, told apart by `type`.

For each market the server sends a snapshot and then every change, numbered: the snapshot has `seq` n, what follows
n + 1, n + 2 and so on. A client that misses a number says `resync`. One that reads too slowly is told what it lost
(`lagged`) and gets a new snapshot by itself.

Prices and sizes are decimal strings with exact digits; sizes are absolute, "0" deletes the level. Times are
nanoseconds since the Unix epoch, UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from protocols.nanos import decimal_text


class BookLevel(msgspec.Struct, frozen=True, array_like=True):
    """A price and the size resting there."""

    price: str
    size: str


class BookChange(msgspec.Struct, frozen=True, array_like=True):
    """A level's new size; "0": it is gone."""

    side: Literal["bid", "ask"]
    price: str
    size: str


class SnapshotData(msgspec.Struct, frozen=True, kw_only=True):
    """The whole book, best levels first. `stale` says why it is not current, if it is not."""

    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]
    source: str
    session: str
    venue_seq: int
    ts_event: int
    ts_recv: int
    stale: str
    synthetic: bool
    marks: tuple[str, ...]


class DeltaData(msgspec.Struct, frozen=True, kw_only=True):
    """All level changes of one venue message; to be applied whole."""

    changes: tuple[BookChange, ...]
    session: str
    venue_seq: int
    ts_event: int
    ts_recv: int
    synthetic: bool
    marks: tuple[str, ...]


class StaleData(msgspec.Struct, frozen=True, kw_only=True):
    """Why the book is not to be trusted until the next snapshot."""

    reason: str


class SnapshotMessage(msgspec.Struct, frozen=True, tag="orderbook_snapshot", tag_field="type"):
    """The book as of `seq`; whatever the client had of the market is replaced."""

    market: str
    seq: int
    data: SnapshotData


class DeltaMessage(msgspec.Struct, frozen=True, tag="orderbook_delta", tag_field="type"):
    """A change, one number behind what came before it."""

    market: str
    seq: int
    data: DeltaData


class StaleMessage(msgspec.Struct, frozen=True, tag="orderbook_stale", tag_field="type"):
    """The book is not current any more. Numbered like a change."""

    market: str
    seq: int
    data: StaleData


class LaggedMessage(msgspec.Struct, frozen=True, tag="lagged", tag_field="type"):
    """`count` messages of the market, `first` to `last`, were not sent; a new snapshot follows."""

    market: str
    first: int
    last: int
    count: int


class SubscribedMessage(msgspec.Struct, frozen=True, tag="subscribed", tag_field="type"):
    """All markets of the connection, after a change of them."""

    markets: tuple[str, ...]


class PongMessage(msgspec.Struct, frozen=True, tag="pong", tag_field="type"):
    """The answer to a ping."""


class ErrorDetail(msgspec.Struct, frozen=True):
    """Why: as in HTTP's errors."""

    code: str
    message: str
    field: str | None = None


class ErrorMessage(msgspec.Struct, frozen=True, tag="error", tag_field="type"):
    """What the client said was not done."""

    error: ErrorDetail


ServerMessage = (
    SnapshotMessage | DeltaMessage | StaleMessage | LaggedMessage | SubscribedMessage | PongMessage | ErrorMessage
)


class SubscribeBooks(msgspec.Struct, frozen=True, tag="subscribe", tag_field="type"):
    """Send these markets, too."""

    markets: tuple[str, ...]


class UnsubscribeBooks(msgspec.Struct, frozen=True, tag="unsubscribe", tag_field="type"):
    """Send these markets no more."""

    markets: tuple[str, ...]


class Resync(msgspec.Struct, frozen=True, tag="resync", tag_field="type"):
    """Send a new snapshot, of one market or (empty) of all."""

    market: str = ""


class PingBooks(msgspec.Struct, frozen=True, tag="ping", tag_field="type"):
    """Answer with `pong`."""


ClientMessage = SubscribeBooks | UnsubscribeBooks | Resync | PingBooks

_encode = msgspec.json.Encoder().encode
_decode_client = msgspec.json.Decoder(ClientMessage).decode
_decode_server = msgspec.json.Decoder(ServerMessage).decode


def encode_server(message: ServerMessage) -> bytes:
    """The text of a message to the client."""
    return _encode(message)


def decode_server(text: bytes | str) -> ServerMessage:
    """A message of the server. Raises msgspec.DecodeError for anything else."""
    message: ServerMessage = _decode_server(text)
    return message


def encode_client(message: ClientMessage) -> bytes:
    """The text of a message to the server."""
    return _encode(message)


def decode_client(text: bytes | str) -> ClientMessage:
    """A message of the client. Raises msgspec.DecodeError (ValidationError names the field) for anything else."""
    message: ClientMessage = _decode_client(text)
    return message


def book_levels(levels: Iterable[tuple[int, int]]) -> tuple[BookLevel, ...]:
    """(price, size) pairs in nanos as text."""
    return tuple(BookLevel(decimal_text(price, 4), decimal_text(size)) for price, size in levels)
