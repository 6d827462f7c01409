"""Subscribers of the signal stream, the frames they are sent, and the pieces in which they are handed over."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from actors.edge.frames import text_frame
from protocols.signal_stream import ALL_SYMBOLS, LaggedMessage, encode_server, encode_signal
from protocols.signals import Span, StoredSignal

JOIN_BYTES: Final = 65_536
"""At most so much is handed to a subscriber in one piece: a piece is sent whole or lost whole."""
EVERYTHING: Final = frozenset({ALL_SYMBOLS})
NOTHING: Final[frozenset[str]] = frozenset()


class Sink(Protocol):
    """Where frames go: a WebSocket. Nothing here waits."""

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""

    @property
    def backlog_bytes(self) -> int:
        """What was taken and not sent yet."""

    def offer_bytes(self, joined: bytes, count: int) -> bool:
        """Take `count` joined frames, all or none."""

    def offer_now(self, joined: bytes, count: int) -> bool:
        """`offer_bytes` if nothing waits to be sent; False, with nothing taken, otherwise."""


class Frame(NamedTuple):
    """One signal, encoded (`text`) and framed (`wire`)."""

    seq: int
    symbol: str
    text: bytes
    wire: bytes


def frame_of(stored: StoredSignal) -> Frame:
    """The frame of a stored signal."""
    text = encode_signal(stored)
    return Frame(stored.seq, stored.signal.symbol, text, text_frame(text))


class Piece(msgspec.Struct, frozen=True):
    """`count` frames that are handed over as one."""

    first: int
    last: int
    count: int
    wire: bytes


class Loss(msgspec.Struct):
    """What a subscriber has lost and was not told of yet."""

    first: int
    last: int
    count: int


class Replay(msgspec.Struct):
    """A replay that a client asked for (`announced`), or that makes up for a restart of the fan-out."""

    first: int
    announced: bool
    sent: int = 0
    missing: list[Span] = []
    held: deque[Frame] | None = None
    held_upto: int = 0
    """What was read from storage and not sent yet: all there is up to that place."""


class Subscriber:
    """One client. It outlives the fan-out that serves it, so that the next one can go on where this one ended."""

    __slots__ = ("cursor", "last_sent", "losses", "name", "replay", "sink", "symbols")

    def __init__(self, name: str, sink: Sink) -> None:
        self.name = name
        self.sink = sink
        self.symbols: frozenset[str] = NOTHING
        self.cursor = 0
        self.last_sent = 0
        self.losses: list[Loss] = []
        self.replay: Replay | None = None

    def wants(self, symbol: str) -> bool:
        """Whether the subscription covers a symbol."""
        return symbol in self.symbols or ALL_SYMBOLS in self.symbols


class Behind(NamedTuple):
    """A replay needs what is stored from `from_seq` on."""

    from_seq: int


class Chunk(NamedTuple):
    """The next frames of a replay. All up to `upto` is settled once they are sent."""

    frames: tuple[Frame, ...]
    upto: int


class CaughtUp(NamedTuple):
    """A replay has nothing more to send; the subscriber may become live."""


def joined(frames: Sequence[Frame]) -> list[Piece]:
    """The frames as few pieces of at most `JOIN_BYTES` (or one frame)."""
    pieces: list[Piece] = []
    start = size = 0
    for index, frame in enumerate(frames):
        if size and size + len(frame.wire) > JOIN_BYTES:
            pieces.append(_piece(frames[start:index]))
            start, size = index, 0
        size += len(frame.wire)
    pieces.append(_piece(frames[start:]))
    return pieces


def notices(losses: Iterable[Loss]) -> bytes:
    """The frames that tell of losses."""
    told = (LaggedMessage(loss.first, loss.last, loss.count) for loss in losses)
    return b"".join([text_frame(encode_server(message)) for message in told])


def _piece(frames: Sequence[Frame]) -> Piece:
    wire = frames[0].wire if len(frames) == 1 else b"".join([frame.wire for frame in frames])
    return Piece(frames[0].seq, frames[-1].seq, len(frames), wire)


def chunk_of(subscriber: Subscriber, frames: Iterable[Frame], end: int) -> Chunk:
    """As many of the frames that the subscriber wants as fit into a piece; `upto` is `end` if that is all of them."""
    taken: list[Frame] = []
    size = 0
    upto = subscriber.cursor
    for frame in frames:
        if subscriber.wants(frame.symbol):
            if taken and size + len(frame.wire) > JOIN_BYTES:
                return Chunk(tuple(taken), upto)
            taken.append(frame)
            size += len(frame.wire)
        upto = frame.seq
    return Chunk(tuple(taken), end)
