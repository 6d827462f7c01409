"""What every kind of session tells the node: how the feed is, and the rows that are kept of it."""

from __future__ import annotations

from collections.abc import Iterable

from actors.market.feed_events import FeedEvent
from actors.market.sessions.kalshi import Event, SessionCore
from actors.market.sessions.kalshi_subscriptions import Incident
from protocols.control import ProbeReport
from protocols.market import FeedState, FeedStatus
from runtime import Actor
from runtime.log import LogFull


class FeedReporter:
    """Publishes a session's events and status on behalf of its actor."""

    def __init__(self, actor: Actor, feed: str) -> None:
        self._actor = actor
        self.feed = feed
        self.state: FeedState = "connecting"
        self.detail = ""
        self.rows_refused = 0

    def publish(self, events: Iterable[Event]) -> bool:
        """Publish what a core gave. Whether there was more to it than updates and trades."""
        incidents = False
        for event in events:
            if isinstance(event, Incident):
                incidents = True
                self.keep(event.kind, event.session, event.detail)
            else:
                self._actor.publish(event)
        return incidents

    def keep(self, kind: str, session: str, detail: str) -> None:
        """Write one row to the node's log. A log that is full does not stop the feed."""
        self._actor.logger.info("feed", feed=self.feed, kind=kind, session=session, detail=detail)
        if self._actor.node.log is None:
            return
        try:
            self._actor.log.append(FeedEvent(self.feed, kind, session, detail, self._actor.clock.now()))
        except LogFull:
            self.rows_refused += 1

    def status(self, state: FeedState, core: SessionCore, detail: str = "") -> None:
        """Publish how the feed is, if that has changed."""
        if (state, detail) == (self.state, self.detail):
            return
        self.state, self.detail = state, detail
        ts = self._actor.clock.now()
        self._actor.publish(FeedStatus(self.feed, state, core.session, detail, ts, core.marks))

    def report(
        self, core: SessionCore, *, ready: bool, more: dict[str, str | int | float | bool | None]
    ) -> ProbeReport:
        """The answer to a probe."""
        tally = core.tally
        stale = sorted(core.stale_markets())
        figures: dict[str, str | int | float | bool | None] = {
            "state": self.state,
            "session": core.session,
            "marks": ",".join(core.marks),
            "books current": len(core.live_markets()),
            "books stale": ", ".join(stale),
            "frames": tally.frames,
            "updates": tally.updates,
            "dropped while stale": tally.dropped,
            "gaps": tally.gaps,
            "frames lost": tally.lost,
            "snapshots asked": tally.recoveries,
            "resubscribed": tally.resubscribed,
            "malformed": tally.malformed,
            "number faults": core.codec.faults.total,
            "markets rejected": ", ".join(sorted(core.rejected)),
            "rows refused": self.rows_refused,
            **more,
        }
        good = self.state in ("live", "ended")
        return ProbeReport(
            status="ok" if good else "failed" if self.state == "down" else "degraded",
            detail=self.detail or self.state,
            ready=ready,
            figures=tuple(figures.items()),
        )
