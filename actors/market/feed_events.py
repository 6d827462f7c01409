"""What is kept of a feed: when it connected, lost data, recovered. Quotes and trades are not kept here."""

from __future__ import annotations

from typing import ClassVar

from protocols.control import Row


class FeedEvent(Row, frozen=True, gc=False, tag="feed_event"):
    """One thing that happened to a feed.

    `kind`: connected, disconnected, gap, malformed, overdue, resubscribed, recovered, error, book_gap, call_failed,
    price_levels, lost, not_recorded, ended, shard_lost.
    `session` names the connection (and subscription) that it happened to, `ts` when, in nanoseconds.
    """

    table: ClassVar[str] = "feed_events"

    feed: str
    kind: str
    session: str
    detail: str
    ts: int
