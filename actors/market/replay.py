"""The actor that plays a recorded session through the same core and the same books as a live one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import trio

from actors.market.book import Book, Gap
from actors.market.recording import READ_FAULTS, Entry, Recording, RecordingHeader
from actors.market.reporting import FeedReporter
from actors.market.session_core import SessionOptions
from actors.market.sessions.kalshi import KalshiSession
from protocols.control import Message, Probe, ProbeReport
from protocols.market import DELAYED, BookStale, BookUpdate, GetBookPosition, LevelChange, RequestSnapshot
from protocols.nanos import NANO
from protocols.venues.errors import WireError
from runtime import Actor, Mailbox, OnCrash, receive

_BATCH: Final = 256
# Published updates after which the books must have caught up. Below every keeper's mailbox, so that none can
# lose.
_MOST_AHEAD: Final = 1024
_READ_S: Final = 30.0
_CATCH_UP_S: Final = 30.0
_NO_HEADER: Final = RecordingHeader(troupe_recording=1)


class _Opened(Message, frozen=True, gc=False, tag="replay_opened"):
    round: int
    marks: tuple[str, ...]
    use_yes_price: bool


class _Played(Message, frozen=True, gc=False, tag="replay_played"):
    round: int
    entries: tuple[Entry, ...]


class _AtEnd(Message, frozen=True, gc=False, tag="replay_at_end"):
    round: int
    fault: str


class ReplaySession(Actor):
    """Plays `file` at `speed` times its own pace (0: flat out), over and over with `loop`.

    It stands where the venue stands: a book that asks for a snapshot gets it, as of the place where the
    replay is. Flat out it waits for the books (`books`: their paths) every thousand updates, so nothing is
    lost on the way. Everything it publishes is marked `delayed`, and with the marks of the recording.
    """

    mailbox = Mailbox(capacity=1024)
    on_crash = OnCrash.CLEAR

    def __init__(
        self,
        feed: str,
        file: str,
        speed: float = 1.0,
        loop: bool = False,
        books: Sequence[str] = (),
        marks: Sequence[str] = (),
        use_yes_price: bool | None = None,
    ) -> None:
        self.file = Path(file)
        self.speed = speed
        self.loop = loop
        self.books = tuple(books)
        self.marks = frozenset(marks) | {DELAYED}
        self.use_yes_price = use_yes_price
        self.core = KalshiSession(feed, options=SessionOptions(listening=True))
        self.report = FeedReporter(self, feed)
        self.shadows: dict[str, Book] = {}
        self.round = 0
        self.connection = 0
        self.lines = 0
        self.unreadable = 0
        self._ahead = 0
        self._heard = False
        # Batches that were read and not yet played: the reader waits here for the books.
        self._window = trio.Semaphore(2)

    def on_start(self) -> None:
        """Begin to play."""
        self.spawn(self._play, name="player")

    # -- the reader ------------------------------------------------------------------------------------

    async def _play(self) -> None:
        while True:
            self.round += 1
            fault = ""
            try:
                recording = await self.offload(Recording, self.file, timeout=_READ_S)
                try:
                    header = recording.header or _NO_HEADER
                    yes_price = header.use_yes_price if self.use_yes_price is None else self.use_yes_price
                    await self.ref.send(_Opened(self.round, tuple(header.marks), yes_price))
                    await self._play_through(recording)
                finally:
                    recording.close()
            except READ_FAULTS as error:
                # A file that is torn stays torn: to crash and to play it again would not help.
                fault = f"{type(error).__name__}: {error}"
            await self.ref.send(_AtEnd(self.round, fault))
            if fault or not self.loop:
                return

    async def _play_through(self, recording: Recording) -> None:
        begin = 0.0
        first: int | None = None
        while entries := await self.offload(recording.take, _BATCH, timeout=_READ_S):
            if first is None:
                begin, first = trio.current_time(), entries[0].ts
            if self.speed == 0:
                await self._hand_over(entries)
                continue
            due: list[Entry] = []
            for entry in entries:
                when = begin + (entry.ts - first) / NANO / self.speed
                if when > trio.current_time():
                    if due:
                        await self._hand_over(due)
                        due = []
                    await trio.sleep_until(when)
                due.append(entry)
            await self._hand_over(due)

    async def _hand_over(self, entries: list[Entry]) -> None:
        await self._window.acquire()
        await self.ref.send(_Played(self.round, tuple(entries)), timeout=60.0)

    # -- the session -----------------------------------------------------------------------------------

    @receive
    def opened(self, message: _Opened) -> None:
        """The recording begins, for the first time or again: a new session, as after a reconnect."""
        self.marks |= frozenset(message.marks)
        self.core.use_yes_price = message.use_yes_price
        self._connect()
        self.report.keep("connected", self.core.session, f"{self.file.name}, speed {self.speed:g}")

    @receive
    async def played(self, message: _Played) -> None:
        """Some frames of the recording, in its order and with its times."""
        try:
            for entry in message.entries:
                self._entry(entry)
        finally:
            self._window.release()
        if self._ahead >= _MOST_AHEAD:
            await self._catch_up()
        state = self.core.state
        stale = self.core.stale_markets() if state == "recovering" else ()
        self.report.status(state, self.core, ", ".join(sorted(stale)))

    @receive
    async def at_end(self, message: _AtEnd) -> None:
        """All of it was played, or it cannot be read any further; the books keep what they have."""
        await self._catch_up()
        what = message.fault or f"{self.lines} lines, {self.core.tally.frames} frames"
        self.report.keep("ended", self.core.session, what)
        if message.fault:
            self.report.status("down", self.core, message.fault)
        elif not self.loop:
            stale = ", ".join(sorted(self.core.stale_markets()))
            self.report.status("ended", self.core, f"not current: {stale}" if stale else "")

    @receive
    def request_snapshot(self, message: RequestSnapshot) -> None:
        """Answer as the venue would: the book as it is now, as of the last number that changed it."""
        shadow = self.shadows.get(message.market)
        if shadow is None or shadow.stale:
            return
        view = shadow.view()
        changes = [LevelChange("bid", level.price, level.size) for level in view.bids]
        changes += [LevelChange("ask", level.price, level.size) for level in view.asks]
        self.publish(
            BookUpdate(
                market=message.market,
                changes=tuple(changes),
                kind="absolute",
                snapshot=True,
                session=view.session,
                seq=view.seq,
                ts_event=view.ts_event,
                ts_recv=view.ts_recv,
                marks=self.core.marks,
            )
        )

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """How far it is."""
        return self.report.report(
            self.core,
            ready=self.lines > 0,
            more={"file": self.file.name, "lines": self.lines, "unreadable": self.unreadable, "round": self.round},
        )

    def _entry(self, entry: Entry) -> None:
        if entry.frame is None:
            if self._heard:
                self._connect()
            return
        self._heard = True
        self.lines += 1
        try:
            events = self.core.receive(entry.frame, entry.ts, self.clock.monotonic())
        except WireError as error:
            # A live session would have to reconnect. The recording goes on, and what it lost is a gap in
            # `seq`.
            self.unreadable += 1
            self.report.keep("malformed", self.core.session, str(error))
            return
        # Nobody is there to send commands to.
        if self.core.needs_attention:
            self.core.take_commands()
        for event in events:
            if isinstance(event, BookUpdate):
                self._ahead += 1
                self._shadow(event)
            elif isinstance(event, BookStale) and event.market in self.shadows:
                self.shadows[event.market].mark_stale(event.reason)
        self.report.publish(events)

    def _shadow(self, update: BookUpdate) -> None:
        shadow = self.shadows.get(update.market)
        if shadow is None:
            shadow = self.shadows[update.market] = Book(update.market)
        try:
            shadow.apply(update)
        except Gap as gap:
            self.report.keep("book_gap", update.session, str(gap))

    def _connect(self) -> None:
        self.connection += 1
        self._heard = False
        self.report.publish(self.core.disconnected("replay restarted", self.clock.now()))
        for shadow in self.shadows.values():
            shadow.mark_stale("replay restarted")
        session = f"{self.report.feed}-{self.incarnation}-{self.connection}"
        self.core.connected(session, self.marks, self.clock.now(), self.clock.monotonic())

    async def _catch_up(self) -> None:
        self._ahead = 0
        for path in self.books:
            # A book that is being restarted will ask for a snapshot; there is nothing to wait for.
            await self.lookup(path).outcome(GetBookPosition(), _CATCH_UP_S)
