"""What travels over a link: records. `codec.py` puts messages into them.

A frame is four bytes of length (big-endian) and a msgpack array of records; a record is an array that begins with its
tag. A message travels as the import path of its class and its msgpack form, and consecutive messages of one class to
one path share a record: a run is encoded and decoded by one call. A ref inside a message is (node, path), a class its
import path.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from protocols.control import ExitReason
from runtime.metrics import Family
from runtime.tree import ActorView

VERSION = 1
"""Both ends of a link must speak the same; a host of another one is not let in."""


class Mark(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Who sent something, and in which of its lives."""

    path: str
    epoch: int
    count: int


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The base of what a frame holds."""


# The beginning and the end of a link.


class Hello(Record, frozen=True, array_like=True, tag=0):
    """The first word of a host."""

    version: int
    host: str
    token: str
    pid: int


class Welcome(Record, frozen=True, array_like=True, tag=1):
    """The node takes the host in."""


class Unwelcome(Record, frozen=True, array_like=True, tag=2):
    """The node does not know this host, or has given it up: it must end."""

    reason: str


class Heartbeat(Record, frozen=True, array_like=True, tag=3):
    """Somebody lives there."""


class Bye(Record, frozen=True, array_like=True, tag=4):
    """The host is needed no more."""


# The lives of placed actors.


class Start(Record, frozen=True, array_like=True, tag=10):
    """Start this life of an actor. `journal`: the last number of its journal, where its spec has one."""

    path: str
    spec: msgspec.Raw
    count: int
    journal: int


class Stop(Record, frozen=True, array_like=True, tag=11):
    """Ask it to end."""

    path: str
    reason: ExitReason


class Kill(Record, frozen=True, array_like=True, tag=12):
    """End it."""

    path: str
    detail: str


class Pause(Record, frozen=True, array_like=True, tag=13):
    """Suspend or resume its data lane."""

    path: str
    paused: bool


class StateIs(Record, frozen=True, array_like=True, tag=14):
    """An actor has come to this state of its life: it is up, or recovers."""

    path: str
    state: str


class Leftover(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Something that was taken and not begun: the number of an ask, or (0) a message."""

    ask: int
    cls: str
    item: msgspec.Raw
    sender: Mark | None


class Ended(Record, frozen=True, array_like=True, tag=15):
    """A life is over. `culprit`: what was being handled, if it crashed in a handler; `last`: the last messages as
    text."""

    path: str
    reason: ExitReason
    leftovers: tuple[Leftover, ...]
    culprit: Leftover | None
    last: tuple[str, ...]


class Begun(Record, frozen=True, array_like=True, tag=16):
    """So many of what was delivered in this life have been taken to be handled."""

    path: str
    count: int


class Handled(Record, frozen=True, array_like=True, tag=17):
    """So many of what was delivered in this life have been handled."""

    path: str
    count: int


# Messages.


class Tell(Record, frozen=True, array_like=True, tag=20):
    """Messages of one class to one path, in their order."""

    path: str
    cls: str
    items: msgspec.Raw
    sender: Mark | None


class Control(Record, frozen=True, array_like=True, tag=21):
    """One of the runtime's own messages, for the control lane."""

    path: str
    cls: str
    items: msgspec.Raw


class Gap(Record, frozen=True, array_like=True, tag=22):
    """The place where a lossless subscription lost something."""

    path: str
    topic: str
    key: str
    count: int


class Ask(Record, frozen=True, array_like=True, tag=23):
    """A request. `left` is the rest of its time (seconds); `waits`: the sender's handler waits for the answer; `send`:
    only whether it was accepted is to be answered."""

    number: int
    path: str
    cls: str
    items: msgspec.Raw
    left: float
    sender: Mark | None
    waits: bool
    send: bool


class Answer(Record, frozen=True, array_like=True, tag=24):
    """Done."""

    number: int
    value: msgspec.Raw


class Refusal(Record, frozen=True, array_like=True, tag=25):
    """Refused."""

    number: int
    code: str
    message: str
    field: str | None


class Lost(Record, frozen=True, array_like=True, tag=26):
    """Unknown."""

    number: int
    why: str


class Revoke(Record, frozen=True, array_like=True, tag=27):
    """Nobody waits for this ask any more."""

    number: int


# Topics and watches.


class Publish(Record, frozen=True, array_like=True, tag=30):
    """Messages of one class for whoever subscribed."""

    cls: str
    items: msgspec.Raw
    sender: Mark | None


class Missed(Record, frozen=True, array_like=True, tag=31):
    """So many publishes under a key did not fit into the link."""

    cls: str
    key: str
    count: int


class Subscribe(Record, frozen=True, array_like=True, tag=32):
    """An actor of the host subscribes."""

    path: str
    cls: str
    key: str | None
    lossless: bool


class Unsubscribe(Record, frozen=True, array_like=True, tag=33):
    """And undoes it."""

    path: str
    cls: str
    key: str | None


class Interest(Record, frozen=True, array_like=True, tag=34):
    """Who wants messages of a class at the other end: nobody, everybody's (`every`), or those under these keys."""

    cls: str
    every: bool
    keys: tuple[str, ...]


class Offer(Record, frozen=True, array_like=True, tag=35):
    """The host publishes messages of this class: it wants to know who is interested."""

    cls: str


class Watch(Record, frozen=True, array_like=True, tag=36):
    """An actor of the host watches a path of the node, or (`on` is False) does no more."""

    path: str
    target: str
    on: bool


class Gone(Record, frozen=True, array_like=True, tag=37):
    """A life of an actor below a placed supervisor is over: its subscriptions and watches are void."""

    path: str


# What the node is to know of a host.


class Row(Record, frozen=True, array_like=True, tag=40):
    """A row for the node's log."""

    cls: str
    items: msgspec.Raw


class LogLine(Record, frozen=True, array_like=True, tag=41):
    """A line of the host's log, as JSON."""

    line: str


class Views(Record, frozen=True, array_like=True, tag=42):
    """The placed branches as they are."""

    views: tuple[ActorView, ...]


class Figures(Record, frozen=True, array_like=True, tag=43):
    """The host's memory (bytes) and metrics."""

    rss: int
    families: tuple[Family, ...]


Records = (
    Hello | Welcome | Unwelcome | Heartbeat | Bye
    | Start | Stop | Kill | Pause | StateIs | Ended | Begun | Handled
    | Tell | Control | Gap | Ask | Answer | Refusal | Lost | Revoke
    | Publish | Missed | Subscribe | Unsubscribe | Interest | Offer | Watch | Gone
    | Row | LogLine | Views | Figures
)  # fmt: skip

_RECORDS = msgspec.msgpack.Decoder(list[Records])
_PLAIN = msgspec.msgpack.Encoder()


def frame(records: Sequence[Record]) -> bytearray:
    """Records as the bytes of one frame."""
    buffer = bytearray(4)
    _PLAIN.encode_into(records, buffer, 4)
    buffer[:4] = (len(buffer) - 4).to_bytes(4, "big")
    return buffer


def records(body: bytes | memoryview) -> list[Any]:
    """The records of a frame without its length. Raises msgspec.MsgspecError for anything else."""
    found: list[Any] = _RECORDS.decode(body)
    return found
