"""What a session of Kalshi remembers of its subscriptions and of the commands that were not yet answered."""

from __future__ import annotations

from typing import Final

import msgspec

from protocols.venues import kalshi

NOT_KNOWN: Final = -1
"""The `due` of a subscription before its first number."""


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
    """One sid: its markets, which of their books are current (`live`), the `seq` that is due next, and
    the last numbered frame (`last`), by which a repetition is known.

    `update_at`: until then (monotonic) no more markets are added or deleted.
    """

    __slots__ = (
        "attempts",
        "channel",
        "due",
        "last",
        "live",
        "markets",
        "not_before",
        "recovery",
        "session",
        "sid",
        "update_at",
    )

    def __init__(self, sid: int, session: str) -> None:
        self.sid = sid
        self.session = session
        self.channel = ""
        self.markets: set[str] = set()
        self.live: set[str] = set()
        self.due = NOT_KNOWN
        self.last: bytes | str = b""
        self.recovery: Recovery | None = None
        self.attempts = 0
        self.not_before = 0
        self.update_at = 0

    @property
    def has_books(self) -> bool:
        """Whether books hang on it. A channel that is not known yet is taken for one."""
        return self.channel in ("", kalshi.ORDERBOOK)


class Pending(msgspec.Struct, gc=False):
    """A command that was not yet answered: a subscription (`sid` 0), or an update of one (`action`)."""

    channel: str
    markets: frozenset[str]
    deadline: int
    attempts: int = 0
    sid: int = 0
    action: str = ""
