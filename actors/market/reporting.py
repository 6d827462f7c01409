"""What every kind of session tells the node: how the feed is, the rows that are kept of it, and its metrics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from actors.market.feed_events import FeedEvent
from actors.market.session_core import Event, Incident, SessionCore
from actors.market.session_messages import FeedHappened
from protocols.control import ProbeReport
from protocols.market import BookUpdate, FeedState, FeedStatus, Ticker, Trade
from runtime import Actor
from runtime.log import LogFull

STATES: Final[tuple[FeedState, ...]] = ("connecting", "live", "recovering", "down", "ended")
_SECOND: Final = 1e9
_SHOWN: Final = 5
_DATED: Final = (BookUpdate, Trade, Ticker)


class Lag:
    """How late data is: its delay (received minus the venue's time) less the smallest delay seen.

    The clocks of two machines differ, so the delay itself says little and may be negative; what it has grown by since
    its best does. Nanoseconds; None before the first dated message.
    """

    __slots__ = ("last", "least")

    def __init__(self) -> None:
        self.least: int | None = None
        self.last: int | None = None

    def observe(self, ts_event: int, ts_recv: int) -> None:
        """A message came."""
        delay = ts_recv - ts_event
        if self.least is None or delay < self.least:
            self.least = delay
        self.last = delay - self.least

    @property
    def seconds(self) -> float | None:
        """The last one, in seconds."""
        return None if self.last is None else self.last / _SECOND


def append(actor: Actor, event: FeedEvent) -> bool:
    """Write a row to the log of the actor's node, if it has one; False: the log is full."""
    if actor.node.log is not None:
        try:
            actor.log.append(event)
        except LogFull:
            return False
    return True


class FeedReporter:
    """Publishes a session's events and status on behalf of its actor.

    `keeper`: the path of the actor that writes the rows; empty: they go to the node's log from here.
    """

    def __init__(self, actor: Actor, feed: str, keeper: str = "") -> None:
        self._actor = actor
        self.feed = feed
        self.keeper = keeper
        self.state: FeedState = "connecting"
        self.detail = ""
        self.rows_refused = 0
        self.lag = Lag()
        self.last_recv = 0

    def publish(self, events: Iterable[Event]) -> bool:
        """Publish what a core gave. Whether there was more to it than market data."""
        incidents = False
        publish = self._actor.publish
        for event in events:
            if isinstance(event, Incident):
                incidents = True
                self.keep(event.kind, event.session, event.detail)
            else:
                publish(event)
                if isinstance(event, _DATED):
                    self.last_recv = event.ts_recv
                    if event.ts_event:
                        self.lag.observe(event.ts_event, event.ts_recv)
        return incidents

    def keep(self, kind: str, session: str, detail: str) -> None:
        """Write one row to the node's log. A log that is full does not stop the feed."""
        self._actor.logger.info("feed", feed=self.feed, kind=kind, session=session, detail=detail)
        event = FeedEvent(self.feed, kind, session, detail, self._actor.clock.now())
        keeper = self._actor.lookup(self.keeper) if self.keeper else None
        kept = append(self._actor, event) if keeper is None else keeper.tell(FeedHappened(event))
        self.rows_refused += not kept

    def status(self, state: FeedState, core: SessionCore, detail: str = "") -> None:
        """Publish how the feed is, if that has changed."""
        if (state, detail) == (self.state, self.detail):
            return
        self.state, self.detail = state, detail
        ts = self._actor.clock.now()
        self._actor.publish(FeedStatus(self.feed, state, core.session, detail, ts, core.marks))
        self.measure(core)

    def measure(self, core: SessionCore) -> None:
        """Bring the note in the tree and the metrics up to date. Call it about once a second."""
        stale = core.stale_markets()
        live = core.live_markets()
        age_s = (self._actor.clock.now() - self.last_recv) / _SECOND if self.last_recv else None
        parts: list[str] = [self.state, f"{len(live)} books"]
        if stale:
            named = ", ".join(sorted(stale)[:_SHOWN])
            parts.append(f"{len(stale)} stale: {named}{' …' if len(stale) > _SHOWN else ''}")
        if self.lag.seconds is not None:
            parts.append(f"lag {1000 * self.lag.seconds:.0f} ms")
        if age_s is not None:
            parts.append(f"last {age_s:.1f} s ago")
        self._actor.remark = " · ".join(parts)
        metrics = self._actor.node.metrics
        states = metrics.gauge("troupe_feed_state", "1 for the state that a feed is in", ("feed", "state"))
        for state in STATES:
            states.labels(self.feed, state).set(state == self.state)
        books = metrics.gauge("troupe_feed_books", "Books of a feed, current and stale", ("feed", "condition"))
        books.labels(self.feed, "current").set(len(live))
        books.labels(self.feed, "stale").set(len(stale))
        if self.lag.seconds is not None:
            metrics.gauge(
                "troupe_feed_lag_seconds", "Delay of a feed's data beyond the smallest delay seen", ("feed",)
            ).labels(self.feed).set(self.lag.seconds)
        if age_s is not None:
            metrics.gauge("troupe_feed_age_seconds", "Time since a feed's last market data", ("feed",)).labels(
                self.feed
            ).set(age_s)
        totals = metrics.gauge(
            "troupe_feed_messages", "What a feed has counted since its session started", ("feed", "what")
        )
        for what in core.tally.__struct_fields__:
            totals.labels(self.feed, what).set(getattr(core.tally, what))

    def report(
        self, core: SessionCore, *, ready: bool, more: dict[str, str | int | float | bool | None]
    ) -> ProbeReport:
        """The answer to a probe."""
        tally = core.tally
        stale = sorted(core.stale_markets())
        now = self._actor.clock.now()
        figures: dict[str, str | int | float | bool | None] = {
            "state": self.state,
            "session": core.session,
            "marks": ",".join(core.marks),
            "books current": len(core.live_markets()),
            "books stale": ", ".join(stale),
            "lag s": self.lag.seconds,
            "age s": (now - self.last_recv) / _SECOND if self.last_recv else None,
            "frames": tally.frames,
            "updates": tally.updates,
            "dropped while stale": tally.dropped,
            "gaps": tally.gaps,
            "frames lost": tally.lost,
            "frames repeated": tally.repeated,
            "snapshots asked": tally.recoveries,
            "resubscribed": tally.resubscribed,
            "malformed": tally.malformed,
            "checksums": tally.checked,
            "checksums wrong": tally.mismatched,
            "number faults": core.faults.total,
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
