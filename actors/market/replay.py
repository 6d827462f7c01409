"""The actor that plays a recorded session through the same core and the same books as a live one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import trio

from actors.market.importers.opening import open_recording
from actors.market.large_frames import LARGE_BYTES
from actors.market.recordings.entries import (
    READ_FAULTS,
    Answer,
    Entry,
    Received,
    Recording,
    RecordingError,
    RecordingHeader,
)
from actors.market.replay_core import Output, ReplayCore
from actors.market.reporting import FeedReporter
from actors.market.session_core import Event, SessionCore
from protocols.control import Message, Probe, ProbeReport
from protocols.market import DELAYED, BookUpdate, GetBookPosition, LevelChange, Quote, RequestSnapshot, pack_levels
from protocols.nanos import NANO
from runtime import Actor, Mailbox, OnCrash, receive
from runtime.clock import VirtualClock
from runtime.quiescence import virtual_moment

_BATCH: Final = 256
# Published updates after which the books must have caught up. Below every keeper's mailbox, so that none can lose.
_MOST_AHEAD: Final = 1024
# Levels of a snapshot that go as messages of their own; more are packed.
_MOST_CHANGES: Final = 2000
_READ_S: Final = 30.0
_CATCH_UP_S: Final = 30.0
# What is shown until the file is open: a session that has seen nothing.
_NOT_OPEN: Final = RecordingHeader(venue="kalshi")


class _Opened(Message, frozen=True, gc=False, tag="replay_opened"):
    round: int
    header: RecordingHeader


class _Played(Message, frozen=True, gc=False, tag="replay_played"):
    round: int
    entries: tuple[Entry, ...]


class BeginReplay(Message, frozen=True, gc=False, tag="begin_replay"):
    """To a replay under a virtual clock: begin."""


class _AtEnd(Message, frozen=True, gc=False, tag="replay_at_end"):
    round: int
    fault: str
    lost: tuple[str, ...]


class ReplaySession(Actor):
    """Plays `file` at `speed` times its own pace (0: flat out), over and over with `loop`.

    On a node with a virtual clock there is no pace: it moves the clock to each entry, and waits until all actors have
    done what follows from it. Entries of one moment are played together, sessions keep their recorded names, and it
    begins when it is told to (BeginReplay).

    It stands where the venue stands: a book that asks for a snapshot gets it, as of the place where the replay is. Flat
    out it waits for the books (`books`: their paths) every thousand updates, so nothing is lost on the way. Everything
    it publishes is marked `delayed`, and with the marks of the recording. `file` is a recording of ours or of any
    known format.
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
        self.replay = ReplayCore(_NOT_OPEN, feed)
        self.report = FeedReporter(self, feed)
        self.round = 0
        self.lines = 0
        self._ahead = 0
        # Batches that were read and not yet played: the reader waits here for the books.
        self._window = trio.Semaphore(2)

    @property
    def core(self) -> SessionCore:
        """The session of the connection that began last."""
        core = self.replay.core
        assert core is not None, "what has no session is not played"
        return core

    def on_start(self) -> None:
        """Begin to play."""
        if not isinstance(self.clock, VirtualClock):
            self.spawn(self._play, name="player")

    @receive
    def begin(self, message: BeginReplay) -> None:
        """Begin to play, under a virtual clock."""
        if isinstance(self.clock, VirtualClock) and not self.round:
            self.spawn(self._play, name="player")

    # -- the reader ----------------------------------------------------------------------------------------

    async def _play(self) -> None:
        while True:
            self.round += 1
            fault = ""
            lost: tuple[str, ...] = ()
            try:
                recording = await self.offload(self._open, timeout=_READ_S)
                try:
                    await self.ref.send(_Opened(self.round, recording.header))
                    await self._play_through(recording)
                finally:
                    lost = tuple(str(loss) for loss in recording.lost)
                    recording.close()
            except READ_FAULTS as error:
                # A file that is torn stays torn: to crash and to play it again would not help.
                fault = f"{type(error).__name__}: {error}"
            await self.ref.send(_AtEnd(self.round, fault, lost))
            if fault or not self.loop:
                return

    def _open(self) -> Recording:
        """On a thread: the file, if there is a session for it. Raises what is in READ_FAULTS."""
        recording = open_recording(self.file, use_yes_price=self.use_yes_price is True)
        try:
            known = ReplayCore(recording.header, use_yes_price=self.use_yes_price).knows_venue
        except ValueError as error:
            raise RecordingError(f"{self.file}: {error}") from None
        if not known:
            raise RecordingError(f"{self.file}: there is no session for the venue {recording.header.venue!r}")
        return recording

    async def _play_through(self, recording: Recording) -> None:
        begin = 0.0
        first: int | None = None
        while entries := await self.offload(recording.take, _BATCH, timeout=_READ_S):
            if first is None:
                begin, first = trio.current_time(), entries[0].ts
            if isinstance(self.clock, VirtualClock):
                await self._play_virtually(self.clock, entries)
                continue
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

    async def _play_virtually(self, clock: VirtualClock, entries: Sequence[Entry]) -> None:
        """Each moment whole, and all that follows from it, before the next one."""
        for _, group in itertools.groupby(entries, key=lambda entry: entry.ts):
            together = list(group)
            await virtual_moment(self.node, clock, together[0].ts, partial(self._hand_over, together))

    async def _hand_over(self, entries: list[Entry]) -> None:
        await self._window.acquire()
        await self.ref.send(_Played(self.round, tuple(entries)), timeout=60.0)

    # -- the session ---------------------------------------------------------------------------------------

    @receive
    def opened(self, message: _Opened) -> None:
        """The recording begins, for the first time or again: new sessions, as after a reconnect."""
        self._tell(self.replay.end("replay restarted"))
        self.replay = ReplayCore(
            message.header,
            self.report.feed,
            marks=self.marks,
            use_yes_price=self.use_yes_price,
            prefix="" if isinstance(self.clock, VirtualClock) else f"{self.report.feed}-{self.incarnation}",
            connections=self.replay.connections,
        )
        self.report.keep("connected", "", f"{self.file.name}, speed {self.speed:g}")

    @receive
    async def played(self, message: _Played) -> None:
        """Some entries of the recording, in its order and with its times."""
        try:
            for entry in message.entries:
                self.lines += isinstance(entry, Received)
                if isinstance(entry, Received | Answer) and _bytes(entry) > LARGE_BYTES:
                    self._tell(await self.offload(self.replay.play, entry, timeout=_READ_S))
                else:
                    self._tell(self.replay.play(entry))
        finally:
            self._window.release()
        if self._ahead >= _MOST_AHEAD:
            await self._catch_up()
        stale = self.replay.stale_markets()
        if self.replay.frames:
            self.report.status("recovering" if stale else "live", self.core, ", ".join(sorted(stale)))

    @receive
    async def at_end(self, message: _AtEnd) -> None:
        """All of it was played, or it cannot be read any further; the books keep what they have."""
        await self._catch_up()
        session = self.core.session
        for loss in message.lost:
            self.report.keep("lost", session, loss)
        self.report.keep("ended", session, message.fault or f"{self.lines} frames")
        if message.fault:
            self.report.status("down", self.core, message.fault)
        elif not self.loop:
            stale = ", ".join(sorted(self.replay.stale_markets()))
            said = [*message.lost, f"not current: {stale}"] if stale else message.lost
            self.report.status("ended", self.core, "; ".join(said))

    @receive
    def request_snapshot(self, message: RequestSnapshot) -> None:
        """Answer as the venue would: the book as it is now, as of the last number that changed it."""
        book = self.replay.books.get(message.market)
        if book is None or book.stale:
            return
        view = book.view()
        packed = len(view.bids) + len(view.asks) > _MOST_CHANGES
        changes = [LevelChange("bid", level.price, level.size) for level in view.bids if not packed]
        changes += [LevelChange("ask", level.price, level.size) for level in view.asks if not packed]
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
                packed_bids=pack_levels((level.price, level.size) for level in view.bids) if packed else b"",
                packed_asks=pack_levels((level.price, level.size) for level in view.asks) if packed else b"",
            )
        )

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """How far it is. The figures are those of all its connections."""
        tally = self.replay.tally()
        return self.report.report(
            self.core,
            ready=self.lines > 0,
            more={
                "books current": sum(not book.stale for book in self.replay.books.values()),
                "books stale": ", ".join(sorted(self.replay.stale_markets())),
                "frames": tally.frames,
                "updates": tally.updates,
                "dropped while stale": tally.dropped + self.replay.dropped,
                "gaps": tally.gaps,
                "frames lost": tally.lost,
                "frames repeated": tally.repeated,
                "malformed": tally.malformed,
                "checksums": tally.checked,
                "checksums wrong": tally.mismatched,
                "file": self.file.name,
                "lines": self.lines,
                "unreadable": self.replay.unreadable,
                "missing in the recording": self.replay.missing,
                "round": self.round,
            },
        )

    def _tell(self, outputs: list[Output]) -> None:
        # Quotes are the book keepers' to publish.
        events: list[Event] = [output for output in outputs if not isinstance(output, Quote)]
        self._ahead += sum(isinstance(event, BookUpdate) for event in events)
        self.report.publish(events)

    async def _catch_up(self) -> None:
        self._ahead = 0
        for path in self.books:
            # A book that is being restarted will ask for a snapshot; there is nothing to wait for.
            await self.lookup(path).outcome(GetBookPosition(), _CATCH_UP_S)


def _bytes(entry: Received | Answer) -> int:
    return len(entry.raw if isinstance(entry, Received) else entry.body)
