"""Sequence rules of venues that have no session here: what their frames say of loss, as pure functions.

Each rule takes the chain of numbers so far, a frame and the connection that brought it, and names the frame's kind.
The rules are the venues' own:

    bybit      `u` of each (connection, topic) rises by one; a snapshot sets it anew, and so does `u` 1, a restart of
               the service. Spot and linear use the same topic names, on connections of their own.
    deribit    `prev_change_id` of a change is the `change_id` before it in the channel; a snapshot sets it.
    gateio     `U` of an update is the `u` before it in the pair plus one.
    bitstamp, gemini, upbit    no numbers: frames are counted by kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Final

import msgspec


class Checked(msgspec.Struct, frozen=True):
    """What a check found. `followed`: numbers that follow the one before; `gaps`: those that do not."""

    frames: int
    followed: int
    gaps: int
    unreadable: int
    kinds: dict[str, int]


class Chain:
    """The last number of each key; counts what follows it and what does not."""

    def __init__(self) -> None:
        self.last: dict[Hashable, int] = {}
        self.followed = 0
        self.gaps = 0

    def begin(self, key: Hashable, number: int) -> None:
        """A snapshot: whatever comes next follows this."""
        self.last[key] = number

    def follow(self, key: Hashable, before: int, number: int) -> None:
        """An update that says to follow `before`. The first of a key is taken as it is."""
        last = self.last.get(key, before)
        if last != before:
            self.gaps += 1
        elif key in self.last:
            self.followed += 1
        self.last[key] = number


Rule = Callable[[Chain, int, bytes], str]


def check(rule: Rule, frames: Iterable[tuple[int, bytes]]) -> Checked:
    """Apply a rule to the frames (connection, raw bytes) of a recording, in their order."""
    chain = Chain()
    kinds: Counter[str] = Counter()
    unreadable = 0
    for connection, raw in frames:
        try:
            kinds[rule(chain, connection, raw)] += 1
        except (msgspec.DecodeError, UnicodeError):
            unreadable += 1
    frames_seen = kinds.total() + unreadable
    return Checked(frames_seen, chain.followed, chain.gaps, unreadable, dict(sorted(kinds.items())))


class _BybitBook(msgspec.Struct, gc=False):
    u: int


class _Bybit(msgspec.Struct, gc=False):
    topic: str = ""
    type: str = ""
    op: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")


_bybit = msgspec.json.Decoder(_Bybit)
_bybit_book = msgspec.json.Decoder(_BybitBook)


def bybit(chain: Chain, connection: int, raw: bytes) -> str:
    """Bybit v5, public streams: `orderbook.<depth>.<symbol>`."""
    frame = _bybit.decode(raw)
    kind = frame.topic.partition(".")[0] or frame.op
    if kind != "orderbook":
        return kind
    number = _bybit_book.decode(frame.data).u
    key = connection, frame.topic
    if frame.type == "snapshot" or number == 1:
        chain.begin(key, number)
    else:
        chain.follow(key, number - 1, number)
    return f"orderbook {frame.type}"


class _DeribitBook(msgspec.Struct, gc=False):
    type: str
    change_id: int
    prev_change_id: int | None = None


class _DeribitParams(msgspec.Struct, gc=False):
    channel: str
    data: msgspec.Raw


class _Deribit(msgspec.Struct, gc=False):
    method: str = "answer"
    params: _DeribitParams | None = None


_deribit = msgspec.json.Decoder(_Deribit)
_deribit_book = msgspec.json.Decoder(_DeribitBook)


def deribit(chain: Chain, connection: int, raw: bytes) -> str:
    """Deribit v2: channels `book.<instrument>.raw`."""
    frame = _deribit.decode(raw)
    if frame.params is None:
        return frame.method
    kind = frame.params.channel.partition(".")[0]
    if kind != "book":
        return kind
    book = _deribit_book.decode(frame.params.data)
    key = connection, frame.params.channel
    if book.prev_change_id is None:
        chain.begin(key, book.change_id)
    else:
        chain.follow(key, book.prev_change_id, book.change_id)
    return f"book {book.type}"


class _GateioBook(msgspec.Struct, gc=False):
    s: str
    U: int
    u: int


class _Gateio(msgspec.Struct, gc=False):
    channel: str = ""
    event: str = ""
    result: msgspec.Raw = msgspec.Raw(b"")


_gateio = msgspec.json.Decoder(_Gateio)
_gateio_book = msgspec.json.Decoder(_GateioBook)


def gateio(chain: Chain, connection: int, raw: bytes) -> str:
    """Gate.io v4: `spot.order_book_update`, numbered per pair."""
    frame = _gateio.decode(raw)
    if frame.channel == "spot.order_book_update" and frame.event == "update":
        book = _gateio_book.decode(frame.result)
        chain.follow((connection, book.s), book.U - 1, book.u)
    return f"{frame.channel} {frame.event}"


class _Kind(msgspec.Struct, gc=False):
    event: str = ""
    type: str = ""
    ty: str = ""


_kind = msgspec.json.Decoder(_Kind)


def unnumbered(chain: Chain, connection: int, raw: bytes) -> str:
    """Venues without numbers: the frame's own word of what it is."""
    frame = _kind.decode(raw)
    return frame.event or frame.type or frame.ty


RULES: Final[dict[str, Rule]] = {
    "bybit": bybit,
    "deribit": deribit,
    "gateio": gateio,
    "bitstamp": unnumbered,
    "gemini": unnumbered,
    "upbit": unnumbered,
}
