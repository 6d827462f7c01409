"""What a session of Kalshi remembers of its subscriptions, and what it counts."""

from __future__ import annotations

import msgspec

from protocols.venues import kalshi


class Incident(msgspec.Struct, frozen=True, gc=False):
    """Something that an operator wants to find later. `kind` is one of the words of `feed_events.kind`."""

    kind: str
    session: str
    detail: str


class Recovery:
    """Snapshots that were asked for and have not come. `again`: something more was lost meanwhile.

    `proof`: they only prove that the subscription lives; no book was stale.
    """

    __slots__ = ("again", "deadline", "proof", "waiting")

    def __init__(self, waiting: set[str], deadline: int, *, proof: bool = False) -> None:
        self.waiting = waiting
        self.deadline = deadline
        self.proof = proof
        self.again = False


class Subscription:
    """One sid: its markets, which of their books are current (`live`), and the last `seq`."""

    __slots__ = (
        "attempts",
        "channel",
        "live",
        "markets",
        "not_before",
        "recovery",
        "seq",
        "session",
        "sid",
    )

    def __init__(self, sid: int, session: str) -> None:
        self.sid = sid
        self.session = session
        self.channel = ""
        self.markets: set[str] = set()
        self.live: set[str] = set()
        self.seq: int | None = None
        self.recovery: Recovery | None = None
        self.attempts = 0
        self.not_before = 0

    @property
    def has_books(self) -> bool:
        """Whether books hang on it. A channel that is not known yet is taken for one."""
        return self.channel in ("", kalshi.ORDERBOOK)


class Pending(msgspec.Struct, gc=False):
    """A subscribe command that was not yet answered."""

    channel: str
    markets: frozenset[str]
    deadline: int
    attempts: int


class Tally(msgspec.Struct, gc=False):
    """Totals over all connections. `frames` is the sum of the session's `counts`.

    `updates`: book updates handed on. `dropped`: deltas of books that were not current. `gaps` and `lost`:
    holes in a sequence, and the numbers missing in them. `recoveries`: `get_snapshot` commands.
    """

    frames: int = 0
    updates: int = 0
    dropped: int = 0
    gaps: int = 0
    lost: int = 0
    recoveries: int = 0
    resubscribed: int = 0
    malformed: int = 0
