"""Plays recorded entries through the venue's session core and books, under the time of the recording.

No loop, no clock. It is what a live feed and its book keepers do, in one place and in one order: `play` takes an entry
and gives what came of it, first the session's event, then the quote that it made. The same entries give the same
outputs, always.

Nobody answers a question here. What repairs a book after a gap is what repaired it when it was recorded: the venue's
next snapshot, the next connection, or the REST answer in the recording.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from actors.market.book import Book, Gap
from actors.market.recordings.entries import Answer, Begin, Entry, Note, Received, RecordingHeader
from actors.market.session_core import BARS, Event, Incident, SessionCore, Tally
from actors.market.venues import VENUES, session_class
from protocols.market import DELAYED, BookStale, BookUpdate, MarketStatus, Quote
from protocols.venues.errors import WireError

Output = Event | Quote
_NOT_A_FRAME: Final = "malformed"


def listening_core(header: RecordingHeader, feed: str, use_yes_price: bool | None = None) -> SessionCore | None:
    """A session core of the recorded venue that only listens; None where the venue has none.

    Where the recording names no channels it takes every one that the venue offers: what was recorded is what there
    is. Raises ValueError for options that the venue does not know.
    """
    if header.venue not in VENUES:
        return None
    options = msgspec.structs.replace(header.options, listening=True)
    if use_yes_price is not None:
        options = msgspec.structs.replace(options, use_yes_price=use_yes_price)
    venue = session_class(header.venue)
    # Bars come in intervals, which only a recording of ours names.
    offered = venue.OFFERED if options.bars else venue.OFFERED - {BARS}
    return venue(feed, (), header.channels or tuple(sorted(offered)), options)


class ReplayCore:
    """A recording's feed: its sessions, one for each connection, and its books, one for each market.

    `prefix` names the sessions (`prefix-1`, …, from `connections` on); empty: as they were recorded. All data is marked
    `delayed`, and with the marks of the header, of its connection and `marks`. Raises ValueError for options in the
    header that the venue does not know.
    """

    def __init__(
        self,
        header: RecordingHeader,
        feed: str = "replay",
        *,
        marks: Iterable[str] = (),
        use_yes_price: bool | None = None,
        prefix: str = "",
        connections: int = 0,
    ) -> None:
        self.header = header
        self.feed = feed
        self.marks = frozenset(marks) | {DELAYED, *header.marks}
        self.prefix = prefix
        self.books: dict[str, Book] = {}
        self.cores: dict[int, SessionCore] = {}
        self.core = listening_core(header, feed, use_yes_price)
        """The core of the connection that began last; None for a venue without one: its frames are only counted."""
        self.now = 0
        """Time of the latest entry. It never goes back."""
        self.connections = connections
        self.frames = 0
        self.bytes = 0
        self.answers = 0
        self.unreadable = 0
        self.dropped = 0
        """Updates of books that had found a gap themselves."""
        self.missing = 0
        """Entries that the recorder says to have lost."""
        self._use_yes_price = use_yes_price
        self._heard: set[int] = set()

    @property
    def knows_venue(self) -> bool:
        """Whether the venue has a session here."""
        return self.core is not None

    def play(self, entry: Entry) -> list[Output]:
        """What comes of one entry. Never raises for what a venue sent."""
        self.now = max(self.now, entry.ts)
        if isinstance(entry, Received):
            self.frames += 1
            self.bytes += len(entry.raw)
            return self._received(entry)
        if isinstance(entry, Begin):
            return self._begin(entry)
        if isinstance(entry, Answer):
            self.answers += 1
            core = self._connected(entry)
            if core is None or not entry.call.purpose:
                return []
            return self._through(core, core.answered(entry.call, entry.status, entry.body, entry.ts, self.now))
        if isinstance(entry, Note):
            self.missing += entry.count
        return []

    def end(self, reason: str) -> list[Output]:
        """Every connection ends: no book is current."""
        outputs: list[Output] = []
        for core in self._all():
            outputs += self._through(core, core.disconnected(reason, self.now))
        return outputs

    def tally(self) -> Tally:
        """The totals of all connections together."""
        total = Tally()
        for core in self._all():
            for name in Tally.__struct_fields__:
                setattr(total, name, getattr(total, name) + getattr(core.tally, name))
        return total

    def counts(self) -> dict[str, int]:
        """Frames by kind, all connections together."""
        total: dict[str, int] = {}
        for core in self._all():
            for kind, count in core.counts.items():
                total[kind] = total.get(kind, 0) + count
        return dict(sorted(total.items()))

    def stale_markets(self) -> set[str]:
        """Markets whose book is not current."""
        stale = {market for core in self._all() for market in core.stale_markets()}
        return stale | {market for market, book in self.books.items() if book.stale}

    def _all(self) -> list[SessionCore]:
        return list(self.cores.values())

    def _received(self, entry: Received) -> list[Output]:
        core = self._connected(entry)
        if core is None:
            return []
        self._heard.add(entry.connection)
        try:
            events = core.receive(entry.raw, entry.ts, self.now)
        except WireError as error:
            # A live session would have to connect anew. The recording goes on, and what the frame held is missing.
            self.unreadable += 1
            return [Incident(_NOT_A_FRAME, core.session, str(error))]
        return self._through(core, events) if events else []

    def _begin(self, entry: Begin) -> list[Output]:
        if self.core is None:
            return []
        core = self.cores.get(entry.connection)
        outputs: list[Output] = []
        if core is None:
            # The one that answers for the options is as good as new.
            core = self.core if not self.cores else self._new()
            self.cores[entry.connection] = core
        elif entry.connection in self._heard:
            outputs = self._through(core, core.disconnected("disconnected", entry.ts))
        elif core.session:
            return []
        self._heard.discard(entry.connection)
        self._connect(core, entry)
        return outputs

    def _connect(self, core: SessionCore, entry: Begin) -> None:
        self.connections += 1
        self.core = core
        session = f"{self.prefix}-{self.connections}" if self.prefix or not entry.session else entry.session
        core.connected(session, self.marks | set(entry.marks), entry.ts, self.now)
        _silence(core)

    def _connected(self, entry: Entry) -> SessionCore | None:
        """The core of the entry's connection. One whose begin is not in the recording begins here."""
        if self.core is None:
            return None
        if entry.connection not in self.cores:
            self._begin(Begin(entry.ts, "", (), entry.connection))
        return self.cores[entry.connection]

    def _new(self) -> SessionCore:
        core = listening_core(self.header, self.feed, self._use_yes_price)
        assert core is not None
        return core

    def _through(self, core: SessionCore, events: list[Event]) -> list[Output]:
        if core.needs_attention:
            _silence(core)
        outputs: list[Output] = []
        for event in events:
            if isinstance(event, BookUpdate):
                self._update(core, event, outputs)
                continue
            outputs.append(event)
            if isinstance(event, BookStale):
                book = self.books.get(event.market)
                quote = None if book is None else book.mark_stale(event.reason)
                if quote is not None:
                    outputs.append(quote)
            elif isinstance(event, MarketStatus):
                self._status(core, event, outputs)
        return outputs

    def _update(self, core: SessionCore, update: BookUpdate, outputs: list[Output]) -> None:
        book = self.books.get(update.market)
        if book is None:
            book = self.books[update.market] = Book(update.market)
        if book.stale and not update.snapshot:
            # A live session would have stopped sending them when the book asked for a snapshot.
            self.dropped += 1
            return
        outputs.append(update)
        try:
            quote = book.apply(update)
        except Gap as gap:
            self._gap(core, book, gap, outputs)
        else:
            if quote is not None:
                outputs.append(quote)

    def _status(self, core: SessionCore, status: MarketStatus, outputs: list[Output]) -> None:
        book = self.books.get(status.market)
        if book is None:
            book = self.books[status.market] = Book(status.market)
        try:
            quote = book.set_phase(status.phase)
        except Gap as gap:
            self._gap(core, book, gap, outputs)
        else:
            if quote is not None:
                outputs.append(quote)

    def _gap(self, core: SessionCore, book: Book, gap: Gap, outputs: list[Output]) -> None:
        """As a book keeper does it: say so, and take nothing until the next snapshot."""
        outputs.append(Incident("book_gap", core.session, str(gap)))
        outputs.append(BookStale(gap.market, self.feed, gap.reason, self.now))
        quote = book.mark_stale(gap.reason)
        if quote is not None:
            outputs.append(quote)
        core.request_snapshot(gap.market, self.now)
        _silence(core)


def _silence(core: SessionCore) -> None:
    """Nobody is there to send commands or calls to."""
    core.take_commands()
    core.take_calls()
