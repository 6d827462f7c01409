"""What the runtime itself says: the base of messages, outcomes, exit reasons, losses, probes and rows.

A message is a frozen msgspec struct of scalars, strings, bytes, tuples and other such structs. It is passed by
reference inside a node, so nothing in it may change: lists, dicts and arrays do not belong in one.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar, Generic, Literal, TypeVar

import msgspec

R = TypeVar("R")


class Message(msgspec.Struct, frozen=True, gc=False):
    """What actors send one another. A subclass names itself on the wire with `tag="..."`."""

    def topic_key(self) -> str:
        """The key under which a publish of this message is found, usually its market."""
        return ""

    def conflate_key(self) -> Hashable | None:
        """Messages of one type with the same key replace each other in a CONFLATE mailbox; None: never."""
        return None


class Request(Message, Generic[R], frozen=True, gc=False):
    """A message that is asked; `R` is the type of its answer."""


class Refused(Exception):
    """The request was certainly not performed. Raised by a handler to refuse, and by `ask` to its caller.

    `code` is stable and machine-readable; `field` names the offending field of the request, if there is one.
    """

    def __init__(self, code: str, message: str = "", field: str | None = None) -> None:
        super().__init__(code, message, field)
        self.code = code
        self.message = message or code
        self.field = field

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class Unknown(Exception):
    """Handling of a request had begun when its deadline passed, its actor died or its link broke."""


class Normal(msgspec.Struct, frozen=True, tag="normal"):
    """The actor ended by itself."""


class Shutdown(msgspec.Struct, frozen=True, tag="shutdown"):
    """The actor was asked to stop, and did; or a supervisor gave up (`detail` says why)."""

    detail: str = ""


class Crashed(msgspec.Struct, frozen=True, tag="crashed"):
    """The actor raised. The exception as data, so that it can cross a process border."""

    error: str
    text: str
    traceback: str = ""


class Killed(msgspec.Struct, frozen=True, tag="killed"):
    """The actor was ended without being asked."""

    detail: str = ""


ExitReason = Normal | Shutdown | Crashed | Killed


class Incarnation(msgspec.Struct, frozen=True, order=True):
    """One life of a path: the node's epoch (a counter in the node's log) and the count of starts."""

    epoch: int
    count: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.count}"


class Terminated(Message, frozen=True, gc=False, tag="terminated"):
    """An incarnation of a watched path has ended. `final`: it will not be started again by its supervisor."""

    path: str
    incarnation: Incarnation
    reason: ExitReason
    final: bool


class Lagged(Message, frozen=True, gc=False, tag="lagged"):
    """A subscription lost messages: `count` of them, -1 where nobody knows."""

    topic: str
    key: str
    count: int


class ProbeReport(Message, frozen=True, gc=False, tag="probe_report"):
    """How a capability is. `ready`: it can serve; `figures` are shown as they are."""

    status: Literal["ok", "degraded", "failed"]
    detail: str = ""
    ready: bool = True
    figures: tuple[tuple[str, str | int | float | bool | None], ...] = ()


class Probe(Request[ProbeReport], frozen=True, gc=False, tag="probe"):
    """Asks a capability how it is."""


class Row(Message, frozen=True, gc=False):
    """A row for the database; its columns are its fields. Accepted when the node's log has it."""

    table: ClassVar[str]
    sequenced: ClassVar[bool] = False
    """True: the row has fields `stream` and `seq`, and the log keeps the last `seq` of every stream."""


class DeadLetter(Message, frozen=True, gc=False, tag="dead_letter"):
    """A message that nobody will handle: to whom, of what type, why, and how it looked (shortened)."""

    path: str
    kind: str
    reason: str
    preview: str

    def topic_key(self) -> str:
        """The path it was meant for."""
        return self.path


class Quarantined(Message, frozen=True, gc=False, tag="quarantined"):
    """A message has crashed its actor twice; equal ones are refused from now on."""

    path: str
    kind: str
    preview: str

    def topic_key(self) -> str:
        """The path of the actor."""
        return self.path


class ActorEvent(Message, frozen=True, gc=False, tag="actor_event"):
    """Something happened in the life of a path: `started | ended | restarting | start_failed | stopped`.

    `ts` is the node's wall time in nanoseconds.
    """

    path: str
    event: Literal["started", "ended", "restarting", "start_failed", "stopped"]
    incarnation: Incarnation
    ts: int
    reason: str = ""
    delay_s: float = 0.0

    def topic_key(self) -> str:
        """The path."""
        return self.path
