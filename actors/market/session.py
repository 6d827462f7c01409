"""The actor that holds one feed's connection to its venue, whichever venue that is.

It connects, subscribes, makes the REST calls that the venue's core asks for, recovers and reconnects for as long as it
lives, and publishes what the core says. All that a venue has of its own is in its core (`actors/market/sessions/`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import trio

from actors.market.access import Account, find
from actors.market.connection import Connection, NotConnected, Polling
from actors.market.feed_tree import end_books, start_books
from actors.market.large_frames import LARGE_BYTES, decode
from actors.market.recordings.entries import RecordingHeader
from actors.market.recordings.writer import Recorder
from actors.market.reporting import FeedReporter
from actors.market.rest_client import CallFailed, RestClient, meter_of
from actors.market.session_core import BOOK, Event, SessionOptions
from actors.market.session_messages import (
    Answered,
    Connected,
    Ended,
    FrameCame,
    LargeFrameCame,
    NoAnswer,
    Rebuild,
    Silent,
    Tick,
)
from actors.market.venue_clock import VenueClock
from actors.market.venues import session_class
from protocols.budget import CONNECT, NORMAL, RECOVERY, CloseBudget, TakeBudget
from protocols.control import ExitReason, Message, Probe, ProbeReport, Refused, Terminated, Unknown
from protocols.market import (
    BookStale,
    ClaimMarkets,
    FeedMarkets,
    FollowMarkets,
    GetFeedMarkets,
    ReleaseMarkets,
    RequestSnapshot,
    UnfollowMarkets,
)
from protocols.paths import LARGE_FRAMES, MARKET_INDEX, feed_books, venue_budget
from protocols.venues.errors import WireError
from protocols.venues.rest import RestCall
from runtime import Actor, Mailbox, OnCrash, receive

POLL: Final = "poll"
"""The purpose of calls that may wait longer than the snapshot of a book that is stale."""
_MOST_TICK_S: Final = 1.0
_LARGE_FRAME_S: Final = 30.0
# A connection ends this much before the venue would end it.
_PLANNED_SHARE: Final = 0.99
_REBUILD_S: Final = 0.2
_ASK_S: Final = 5.0


def full_jitter(attempt: int, first_s: float, most_s: float, chance: float) -> float:
    """Seconds before the `attempt`-th try (from 1): uniform between 0 and the doubled, bounded wait.

    `chance` is random in [0, 1). Spreads the clients of a venue that went down better than any fixed share does.
    """
    return float(chance * min(most_s, first_s * 2.0 ** min(attempt - 1, 60)))


class VenueSession(Actor):
    """One feed of the venue `venue` (a word of `actors.market.venues`).

    `url`, `rest_url` empty: the venue's own. `simulated`: this node's own venue is asked where it is. `channels` None:
    the venue's usual ones. `key_file`: the key or secret of the account `key_id`. `silence_s`: without a frame for so
    long it asks for one, and after as long again it reconnects. `record`: where every frame is kept. `options`: the
    fields of `SessionOptions`. `decoder`: the path of who decodes large frames. `events`: of who writes the rows of
    what happens to the feed; empty: they go to the node's log from here.
    """

    mailbox = Mailbox(capacity=4096)
    # Frames of a life that has ended belong to a connection that has, too.
    on_crash = OnCrash.CLEAR

    def __init__(
        self,
        feed: str,
        venue: str = "kalshi",
        url: str = "",
        rest_url: str = "",
        simulated: bool = False,
        markets: Sequence[str] = (),
        channels: Sequence[str] | None = None,
        key_id: str = "",
        key_file: str = "",
        marks: Sequence[str] = (),
        silence_s: float = 30.0,
        backoff_s: float = 0.25,
        backoff_most_s: float = 30.0,
        sample_ms: float = 100.0,
        record: str = "",
        options: dict[str, Any] | None = None,
        decoder: str = LARGE_FRAMES,
        events: str = "",
    ) -> None:
        self.feed = feed
        self.venue = venue
        self.core_class = session_class(venue)
        self.options = msgspec.convert(options or {}, SessionOptions)
        self.core = self.core_class(feed, markets, channels, self.options)
        self.configured = frozenset(markets)
        self.account = Account(venue, url, rest_url, simulated, key_id, key_file)
        self.url = ""
        self.marks = frozenset(marks)
        self.silence_s = silence_s
        self.tick_s = min(_MOST_TICK_S, self.options.recovery_s / 4)
        self.backoff_s = backoff_s
        self.backoff_most_s = backoff_most_s
        self.sample_ms = sample_ms
        self.record = record
        self.venue_clock = VenueClock()
        self.decoder = decoder
        self.report = FeedReporter(self, feed, events)
        self.connection = 0
        self.reconnects = 0
        self.tried = False
        self._heard = False
        self._link: Connection | Polling | None = None
        self._rest: RestClient | None = None
        self._recorder: Recorder | None = None
        # Jitter has to differ between processes; nothing else here is random.
        self._random = random.SystemRandom()

    # -- begin and end ---------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Say that no book is current. The start waits for no network."""
        self._distrust(self.configured)
        self.watch(self.lookup(feed_books(self.feed)))
        self.watch(self.lookup(MARKET_INDEX))

    async def on_continue(self) -> None:
        """Take up the markets that an earlier life was asked to follow, and begin to connect."""
        try:
            known = await self.lookup(MARKET_INDEX).ask(GetFeedMarkets(self.feed), timeout=_ASK_S)
        except (Refused, Unknown) as error:
            self.logger.warning("the market index does not answer", why=str(error))
        else:
            await self._take_up(frozenset(known.markets))
        self.every(self.tick_s, Tick())
        self.spawn(self._connect_for_ever, name="connection")

    async def _take_up(self, followed: frozenset[str]) -> None:
        added, left = followed - self.configured, self.configured - followed
        self._distrust(added)
        self.core.follow(added, self.clock.now(), self.clock.monotonic())
        self.core.unfollow(left, self.clock.now(), self.clock.monotonic())
        try:
            # The books may be as new as this session, and as the configuration has them.
            await self._keep_books(added)
            await end_books(self, self.feed, left)
        except (Refused, Unknown) as error:
            self.logger.warning("followed and left markets are not as they were", why=str(error))
            self.after(10 * _REBUILD_S, Rebuild())

    async def on_stop(self, reason: ExitReason) -> None:
        """Finish the recording."""
        if self._recorder is not None:
            await self.offload(self._recorder.close, timeout=_ASK_S)
        if self._rest is not None:
            await self._rest.aclose()

    def _distrust(self, markets: frozenset[str]) -> None:
        for market in sorted(markets):
            self.publish(BookStale(market, self.feed, "session_started", self.clock.now()))

    # -- the socket ------------------------------------------------------------------------------------

    async def _connect_for_ever(self) -> None:
        attempt = 0
        while True:
            self.connection += 1
            self._heard = False
            retry_s = 0.0
            try:
                reason = await self._connect(self.connection)
            except NotConnected as error:
                reason = f"not connected: {error}"
                retry_s = error.retry_s or 0.0
                if error.status in (418, 429):
                    self._budget().tell(CloseBudget(CONNECT, retry_s or self.backoff_s))
            await self.ref.send(Ended(self.connection, reason), timeout=60.0)
            attempt = 1 if self._heard else attempt + 1
            wait_s = full_jitter(attempt, self.backoff_s, self.backoff_most_s, self._random.random())
            await trio.sleep(max(wait_s, retry_s, self.core.hold_s))
            self.core.hold_s = 0.0

    async def _connect(self, connection: int) -> str:
        """One connection from its begin to its end; why it ended. Raises NotConnected."""
        marks = await self._find()
        try:
            await self._budget().ask(TakeBudget(CONNECT), timeout=60.0)
        except (Refused, Unknown) as error:
            raise NotConnected(f"no budget: {error}") from None
        if self.core.POLLED:
            self._link = polling = Polling()
            await self.ref.send(Connected(connection, tuple(sorted(marks))))
            return await polling.ended()
        self._link = link = Connection(
            self.url, self.clock, self.venue_clock, self.silence_s, self.core_class.COMMANDS_PER_S
        )

        async def opened(declared: frozenset[str]) -> None:
            await self.ref.send(Connected(connection, tuple(sorted(marks | declared))))

        async def frame(raw: bytes, ts: int) -> None:
            came = FrameCame if len(raw) <= LARGE_BYTES else LargeFrameCame
            # A mailbox that stays full stops the reading, and TCP tells the venue.
            await self.ref.send(came(connection, raw, ts), timeout=60.0)

        async def silent() -> None:
            await self.ref.send(Silent(connection))

        lives_s = self.core_class.CONNECTION_S
        # Feeds that were started together shall not reconnect together.
        open_s = None if lives_s is None else lives_s * (_PLANNED_SHARE - 0.02 * self._random.random())
        return await link.run(self._handshake, opened, frame, silent, open_s)

    def _handshake(self, ts: int) -> tuple[tuple[str, str], ...]:
        try:
            return self.core.handshake(ts)
        except ValueError as error:
            raise NotConnected(str(error)) from None

    async def _find(self) -> frozenset[str]:
        """Where the venue is, and with which key. Marks that are known before it has said a word."""
        access = await find(self, self.account)
        # A venue may serve these channels at an address of their own.
        self.url = access.url or self.core.URL
        if access.credentials is not None:
            try:
                self.core.use(access.credentials)
            except ValueError as error:
                raise NotConnected(f"{self.account.key_file} holds no key: {error}") from None
        if self._rest is None or self._rest.base_url != access.rest_url.rstrip("/"):
            if self._rest is not None:
                await self._rest.aclose()
            self._rest = RestClient(access.rest_url, self.clock, self.venue_clock, self._budget())
            self._rest.meter = meter_of(self.node.metrics, self.account.venue)
        return self.marks | access.marks

    async def _call(self, session: str, call: RestCall) -> None:
        assert self._rest is not None
        priority = NORMAL if call.purpose == POLL else RECOVERY
        message: Message
        try:
            answer = await self._rest.perform(self.core.keyed(call), lambda ts: self.core.sign(call, ts), priority)
        except CallFailed as error:
            message = NoAnswer(session, call, str(error))
        else:
            message = Answered(session, call, answer)
        await self.ref.send(message, timeout=60.0)

    def _budget(self) -> Any:
        return self.lookup(venue_budget(self.venue))

    # -- what comes ------------------------------------------------------------------------------------

    @receive
    def connected(self, message: Connected) -> None:
        """A new connection: subscribe."""
        self.tried = True
        session = f"{self.feed}-{self.incarnation}-{message.connection}"
        self.core.connected(session, message.marks, self.clock.now(), self.clock.monotonic())
        if self.record:
            self._record(session)
        self.report.keep("connected", session, ",".join(message.marks))
        self._after_call()

    @receive
    def frame(self, message: FrameCame) -> None:
        """One frame of the venue."""
        if self._take(message):
            try:
                events = self.core.receive(message.frame, message.ts, self.clock.monotonic())
            except WireError as error:
                self._end(f"not a frame: {error}")
            else:
                self._tell(events)

    @receive
    async def large_frame(self, message: LargeFrameCame) -> None:
        """A frame that takes milliseconds, off the loop; the frames behind it wait, and nothing else does."""
        if not self._take(message):
            return
        now = self.clock.monotonic()
        target = self.core_class.LARGE
        try:
            if target:
                packed = await decode(self.lookup(self.decoder), target, message.frame)
                events = self.core.receive_decoded(packed, message.ts, now)
            else:
                events = await self.offload(self.core.receive, message.frame, message.ts, now, timeout=_LARGE_FRAME_S)
        except WireError as error:
            self._end(f"not a frame: {error}")
        except (Refused, Unknown, trio.TooSlowError) as error:
            self._end(f"a frame of {len(message.frame)} bytes was not decoded: {error}")
        else:
            self._tell(events)

    @receive
    async def answered(self, message: Answered) -> None:
        """A REST answer, if the connection that asked is still the one. A long one is read beside the loop."""
        answer = message.answer
        if message.session != self.core.session:
            return
        if self._recorder is not None:
            self._recorder.answer(answer.ts_recv, message.call, answer.status, answer.body)
        self.core.retry_s = answer.retry_s
        about = (message.call, answer.status, answer.body, answer.ts_recv, self.clock.monotonic())
        if len(answer.body) <= LARGE_BYTES:
            events = self.core.answered(*about)
        else:
            try:
                events = await self.offload(self.core.answered, *about, timeout=_LARGE_FRAME_S)
            except trio.TooSlowError:
                self._end(f"an answer of {len(answer.body)} bytes was not read in {_LARGE_FRAME_S:g} s")
                return
        self._tell(events)
        self._after_call()

    @receive
    def call_failed(self, message: NoAnswer) -> None:
        """A REST call without an answer."""
        if message.session == self.core.session:
            self.report.keep("call_failed", message.session, f"{message.call.purpose}: {message.reason}")
            now = self.clock.monotonic()
            self._tell(self.core.failed(message.call, message.reason, self.clock.now(), now))
            self._after_call()

    def _take(self, message: FrameCame) -> bool:
        """Whether the frame is of this connection. It is recorded then."""
        if message.connection != self.connection:
            return False
        self._heard = True
        if self._recorder is not None:
            self._recorder.frame(message.ts, message.frame)
        return True

    def _tell(self, events: list[Event]) -> None:
        more = self.report.publish(events)
        if more or self.core.needs_attention or self.report.state != "live":
            self._after_call()

    @receive
    def silent(self, message: Silent) -> None:
        """Ask for a sign of life that proves the books, too."""
        if message.connection == self.connection:
            self.core.silent(self.clock.monotonic())
            self._after_call()

    @receive
    def ended(self, message: Ended) -> None:
        """The connection is gone, or there was none. It comes before the next one begins, however late that is."""
        self.tried = True
        self.reconnects += 1
        session = self.core.session
        if message.connection == self.connection:
            self._link = None
        self.report.publish(self.core.disconnected("disconnected", self.clock.now()))
        if session:
            self.report.keep("disconnected", session, message.reason)
        self.report.status("down", self.core, message.reason)

    @receive
    def tick(self, message: Tick) -> None:
        """Look at what is overdue."""
        if self.core.session:
            self.report.publish(self.core.tick(self.clock.now(), self.clock.monotonic()))
            self._after_call()
        self.report.measure(self.core)

    @receive
    def request_snapshot(self, message: RequestSnapshot) -> None:
        """A book keeper has lost its way."""
        if self.core.session:
            self.report.keep("book_gap", self.core.session, f"{message.market}: {message.reason}")
            self.core.request_snapshot(message.market, self.clock.monotonic())
            self._after_call()

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """How the feed is. Not ready only until the first try to connect has ended, one way or the other."""
        return self.report.report(
            self.core,
            ready=self.tried and (self.report.state != "recovering" or self.reconnects > 0),
            more={
                "connections": self.connection,
                "reconnects": self.reconnects,
                "recorded": None if self._recorder is None else self._recorder.entries,
                "not recorded": None if self._recorder is None else self._recorder.lost,
                "clock offset s": round(self.venue_clock.offset / 1e9, 3),
            },
        )

    # -- markets while running -------------------------------------------------------------------------

    @receive
    async def follow(self, request: FollowMarkets) -> FeedMarkets:
        """Follow more markets: their books first, so that no snapshot finds nobody."""
        added = frozenset(self.core_class.canonical(name) for name in request.markets) - self.core.markets
        if added:
            await self._follow(added)
        return self._following()

    async def _follow(self, added: frozenset[str]) -> None:
        await self.lookup(MARKET_INDEX).ask(self._claim(added), timeout=_ASK_S)
        try:
            await self._keep_books(added)
        except (Refused, Unknown):
            self.lookup(MARKET_INDEX).tell(ReleaseMarkets(self.feed, tuple(sorted(added))))
            raise
        self.report.publish(self.core.follow(added, self.clock.now(), self.clock.monotonic()))
        if self._recorder is not None:
            self._recorder.follow(self.core.markets)
        self._after_call()

    @receive
    async def unfollow(self, request: UnfollowMarkets) -> FeedMarkets:
        """Follow less."""
        ended = frozenset(self.core_class.canonical(name) for name in request.markets)
        if unknown := ended - self.core.markets:
            raise Refused("not_found", f"{self.feed} does not follow {', '.join(sorted(unknown))}", "markets")
        await self._unfollow(ended)
        return self._following()

    async def _unfollow(self, ended: frozenset[str]) -> None:
        self.report.publish(self.core.unfollow(ended, self.clock.now(), self.clock.monotonic()))
        self._after_call()
        await end_books(self, self.feed, ended)
        await self.lookup(MARKET_INDEX).ask(ReleaseMarkets(self.feed, tuple(sorted(ended))), timeout=_ASK_S)

    @receive
    def other_ended(self, message: Terminated) -> None:
        """Whoever keeps the books or the list of markets begins anew, without what was added since."""
        if not message.final and message.incarnation.count > 0:
            self.after(_REBUILD_S, Rebuild())

    @receive
    async def rebuild(self, message: Rebuild) -> None:
        """Tell them again what was added, and what was left."""
        added = self.core.markets - self.configured
        left = self.configured - self.core.markets
        try:
            if left:
                await self.lookup(MARKET_INDEX).ask(ReleaseMarkets(self.feed, tuple(sorted(left))), timeout=_ASK_S)
                await end_books(self, self.feed, left)
            if added:
                await self.lookup(MARKET_INDEX).ask(self._claim(added), timeout=_ASK_S)
                await self._keep_books(added)
        except (Refused, Unknown) as error:
            self.logger.warning("followed and left markets are not as they were", why=str(error))
            self.after(10 * _REBUILD_S, Rebuild())

    def _claim(self, markets: frozenset[str]) -> ClaimMarkets:
        return ClaimMarkets(self.feed, tuple(sorted(markets)), BOOK in self.core.channels)

    async def _keep_books(self, markets: frozenset[str]) -> None:
        if BOOK in self.core.channels:
            await start_books(self, self.feed, markets, self.sample_ms)

    def _following(self) -> FeedMarkets:
        return FeedMarkets(self.feed, tuple(sorted(self.core.markets)))

    # -- small parts -----------------------------------------------------------------------------------

    def _record(self, session: str) -> None:
        # Opened with the first connection: only then are all marks known, and a recording never lacks one.
        if self._recorder is None:
            header = RecordingHeader(
                venue=self.venue,
                feed=self.feed,
                channels=self.core.channels,
                marks=self.core.marks,
                markets=tuple(sorted(self.core.markets)),
                options=self.options,
            )
            try:
                self._recorder = Recorder(Path(self.record), header)
            except OSError as error:
                self.report.keep("not_recorded", session, f"{self.record}: {error}")
                self.record = ""
                return
        self._recorder.session(self.clock.now(), session, self.core.marks)

    def _after_call(self) -> None:
        for command in self.core.take_commands():
            if self._recorder is not None:
                self._recorder.sent(self.clock.now(), self.core.recorded(command))
            if self._link is not None and not self._link.send(command):
                self._end("the venue does not read our commands")
        for call in self.core.take_calls():
            self.spawn(self._call, self.core.session, call, name=call.purpose)
        if self.core.broken:
            self._end(self.core.broken)
        state = self.core.state
        stale = self.core.stale_markets() if state == "recovering" else ()
        self.report.status(state, self.core, ", ".join(sorted(stale)))

    def _end(self, reason: str) -> None:
        if self._link is not None:
            self._link.end(reason)
