"""What a recording consists of, whoever wrote it: entries in the order of their receipt.

The reader of our own recordings and every importer give the same five kinds, so that a replay has no special case.
Times (`ts`) are nanoseconds since the Unix epoch at the receiver; they never go backwards within one `connection`.
`connection` numbers the connections that ran side by side; a feed of ours has one at a time, number 0.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

import msgspec
import zstandard

from actors.market.session_core import DEFAULT_OPTIONS, SessionOptions
from protocols.venues.rest import RestCall

VERSION: Final = 1


class Begin(msgspec.Struct, frozen=True, gc=False):
    """A connection begins. `session` is its name; `marks` are those of all that it brings."""

    ts: int
    session: str = ""
    marks: tuple[str, ...] = ()
    connection: int = 0


class Received(msgspec.Struct, frozen=True, gc=False):
    """One frame of the venue, byte for byte as it came."""

    ts: int
    raw: bytes
    connection: int = 0


class Sent(msgspec.Struct, frozen=True, gc=False):
    """One command to the venue, as it went out."""

    ts: int
    raw: bytes
    connection: int = 0


class Answer(msgspec.Struct, frozen=True, gc=False):
    """The answer to a REST call: HTTP's status and the body. A call with an empty `purpose` is nobody's."""

    ts: int
    call: RestCall
    status: int
    body: bytes
    connection: int = 0


class Note(msgspec.Struct, frozen=True, gc=False):
    """The recorder's own word, `reason`: why `count` entries are missing here (0: none, or nobody knows)."""

    ts: int
    count: int
    reason: str
    connection: int = 0


Entry = Begin | Received | Sent | Answer | Note


class RecordingHeader(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was recorded. `marks` are those of the recorded data; a replay cannot drop them.

    `markets`: whose books it holds; empty where only its frames tell. `options`: how the feed was set up.
    """

    venue: str
    feed: str = ""
    channels: tuple[str, ...] = ()
    markets: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    options: SessionOptions = DEFAULT_OPTIONS
    version: int = VERSION


class Loss(msgspec.Struct, frozen=True):
    """What a reader could not give: `entries` is how many, None where nobody can tell.

    `torn`: the last block is incomplete. `damaged`: bytes that are not what was written. `unclosed`: the recorder was
    ended without closing the file, and what it had not written yet (about a second) never was.
    """

    file: str
    offset: int
    bytes: int
    entries: int | None
    reason: str

    def __str__(self) -> str:
        what = "an unknown number of" if self.entries is None else str(self.entries)
        if self.reason == "unclosed":
            return f"{self.file}: never closed; what came in its last second may be missing"
        return f"{self.file}: {self.reason} at byte {self.offset}: {self.bytes} bytes, {what} entries lost"


class RecordingError(Exception):
    """The file is no recording, or a part of it is none. Says which."""


READ_FAULTS: Final = (OSError, EOFError, zlib.error, zstandard.ZstdError, RecordingError)
"""What reading a recording raises."""


class Recording(Protocol):
    """A recording opened for reading. Iterating gives its entries once, in order; raises what is in READ_FAULTS."""

    header: RecordingHeader
    format: str
    """The name of the file format."""
    lost: list[Loss]
    """What was found missing so far; complete once all entries were read."""

    def __iter__(self) -> Iterator[Entry]: ...

    def take(self, count: int) -> list[Entry]:
        """The next entries, at most `count`; fewer only at the end or before a fault.

        Raises what reading raises, once everything before the fault was given.
        """
        ...

    def close(self) -> None:
        """Close the files."""
        ...


class Batches:
    """Takes entries in batches out of an iterator that may fail: what came before the fault is given first."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = iter(entries)
        self._fault: Exception | None = None

    def take(self, count: int) -> list[Entry]:
        """As `Recording.take`."""
        if self._fault is not None:
            raise self._fault
        taken: list[Entry] = []
        try:
            for entry in self.entries:
                taken.append(entry)
                if len(taken) >= count:
                    break
        except READ_FAULTS as fault:
            self._fault = fault
            if not taken:
                raise
        return taken
