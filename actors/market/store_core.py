"""What of the books is stored: which rows every update becomes, and where a stored session begins and ends.

A **stored session** is unbroken: each of its markets begins with a whole book, and every change after that is there.
Its id is the session of the updates themselves, so that (session, seq) finds the book that a quote of it was made
from, and the beginning of the id of the node's log, as several nodes may share a database: `<session>+<log>`. Where a
market's chain breaks (a drop, a gap, a stale book) it leaves the session, and goes on with a whole book in another one:
`<session>+<log>.<life of the store>.<n>`.

Where the break was ours, the book of the keeper is as good as a snapshot of the venue: whoever drives this core asks
for those in `take_wanted()` and hands them to `join`. Until then the changes wait, bounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal

from actors.market.rows import CHECKPOINT, SNAPSHOT, BookDeltaRow, StoredSide
from actors.market.session_events import SessionEvents
from actors.market.signals_10s import SignalBucket
from actors.market.stored_book import StoredBook, StoredSession, levels_of
from protocols.control import Refused, Row
from protocols.market import STALE, BookUpdate, BookView, Quote
from protocols.nanos import INT64_MAX, NANO

DAY_NS: Final = 86_400_000_000_000
LOG_DIGITS: Final = 8
OVERFLOW: Final = "overflow"
MOST_WAITING: Final = 20_000
"""Updates of one market that wait for its book; beyond, it is asked for again later."""
PATIENCE_NS: Final = 10_000_000_000
"""How long a book that was asked for may take; then it is asked for again."""


class StoreCore:
    """Turns what is published about books into rows, which it hands to `append`, in order.

    `append` raises Refused where it takes no more. The message is then half stored, which readers see (`remaining`),
    every session ends, and nothing is stored until `retry` finds that rows are taken again.

    `node` is the id of the node's log, `life` the count of the store's starts in this run of the node. `now` tells wall
    time in nanoseconds. `urls`: where each feed's WebSocket is.
    `whole_after`: rows of one market, at least twice as many as it has levels, after which its whole book is stored
    again, so that finding a book never takes longer. `sample_every`: a row of samples for every so many updates of a
    market, 0 for none.
    """

    def __init__(
        self,
        append: Callable[[Row], object],
        now: Callable[[], int],
        *,
        node: str,
        life: int = 1,
        urls: dict[str, str] | None = None,
        whole_after: int = 10_000,
        sample_every: int = 0,
        sample_depth: int = 10,
        signals: bool = True,
    ) -> None:
        self._append = append
        self._now = now
        self._events = SessionEvents(append, now, node, urls or {})
        self._log = node[:LOG_DIGITS]
        self._life = life
        self._whole_after = whole_after
        self._sample_every = sample_every
        self._sample_depth = sample_depth
        self._signals = signals
        self.books: dict[str, StoredBook] = {}
        self.sessions: dict[str, StoredSession] = {}
        self._looked_at: Iterator[StoredBook] = iter(())
        self.messages = 0
        self.rows = 0
        """Rows of books of any kind, without session events."""
        self.skipped = 0
        """Updates of books that were in no session: a snapshot of theirs was on its way."""
        self.dropped = 0
        """Updates that were lost; -1 of an unknown number counts as one."""
        self.overflows = 0
        """Stored sessions that a drop has ended."""
        self._wanted: dict[str, None] = {}

    # -- what is published -----------------------------------------------------------------------------------

    def start(self, reason: str) -> None:
        """Say that this store begins, so that whatever its node had open has ended for `reason`."""
        self._events.started(reason)

    @property
    def blocked(self) -> bool:
        """Rows are not taken; `retry` finds out whether they are again."""
        return self._events.blocked

    def update(self, update: BookUpdate) -> None:
        """Store one venue message of one market."""
        book = self.books.get(update.market)
        if book is None:
            book = self.books[update.market] = StoredBook(update.market)
        if self._events.blocked:
            self.dropped += 1
            return
        try:
            if update.snapshot:
                self._snapshot(book, update)
            else:
                self._update(book, update)
        except Refused:
            self._refused()

    def _update(self, book: StoredBook, update: BookUpdate) -> None:
        session = book.session
        if session is None:
            if book.waiting is not None and len(book.waiting) < MOST_WAITING:
                book.waiting.append(update)
            else:
                self.skipped += 1
                book.waiting = None
            return
        if update.session != session.source or update.seq <= book.seq:
            # The keeper of the book sees the same, and the feed will send a snapshot.
            self._end(book, "session" if update.session != session.source else "out_of_order")
            self.skipped += 1
            return
        if update.marks != book.marks:
            self._end(book, "marks")
            self._open(book, session.source, CHECKPOINT, update.marks)
            session = book.session
            assert session is not None
        if not self._change(book, session, update):
            self._end(book, "negative_size")
            self.skipped += 1
            return
        self._applied(book, session, update)

    def _change(self, book: StoredBook, session: StoredSession, update: BookUpdate) -> bool:
        """Store the changes. False where a size cannot be; the rows before that are then an unfinished message."""
        signed = update.kind == "signed"
        market, name, sid, seq = update.market, session.id, session.sid, update.seq
        ts_event, ts_recv = update.ts_event, update.ts_recv
        yes_no, append = book.yes_no, self._append
        bid_side: StoredSide = "yes" if yes_no else "bid"
        ask_side: StoredSide = "no" if yes_no else "ask"
        remaining = len(update.changes)
        for change in update.changes:
            remaining -= 1
            price = change.price
            is_bid = change.side == "bid"
            sizes = book.bids if is_bid else book.asks
            old = sizes.get(price, 0)
            new = old + change.size if signed else change.size
            if new <= 0:
                if new < 0:
                    return False
                sizes.pop(price, None)
            elif new > INT64_MAX:
                return False
            else:
                sizes[price] = new
            if is_bid:
                book.bid_volume += new - old
                append(BookDeltaRow(market, name, sid, seq, ts_event, ts_recv, bid_side, price, old, new, remaining))
            else:
                book.ask_volume += new - old
                stored = NANO - price if yes_no else price
                append(BookDeltaRow(market, name, sid, seq, ts_event, ts_recv, ask_side, stored, old, new, remaining))
        session.deltas += len(update.changes)
        self.rows += len(update.changes)
        return True

    def _applied(self, book: StoredBook, session: StoredSession, update: BookUpdate) -> None:
        book.seq = update.seq
        book.ts_event = update.ts_event or book.ts_event
        book.ts_recv = update.ts_recv
        book.updates += 1
        self.messages += 1
        session.messages += 1
        session.last_recv = update.ts_recv
        book.since_whole += len(update.changes)
        if update.ts_recv >= book.day_ends or (
            # A wide book is worth more changes than a narrow one.
            book.since_whole >= self._whole_after and book.since_whole >= 2 * (len(book.bids) + len(book.asks))
        ):
            self._whole(book, session, CHECKPOINT)
        if self._signals:
            ts, bucket = update.ts_recv, book.bucket
            if bucket is None or ts >= bucket.end:
                bucket = self._bucket(book, session, ts)
            bucket.update(book.bid_volume, book.ask_volume, ts)
        if self._sample_every and book.updates % self._sample_every == 0:
            self._append(book.sample_row(session, self._sample_depth))

    def quote(self, quote: Quote) -> None:
        """Count a change of the best prices into the signals."""
        book = self.books.get(quote.market)
        if book is None or book.session is None or not self._signals or STALE in quote.marks:
            return
        try:
            self._bucket(book, book.session, quote.ts_recv).quote(quote)
        except Refused:
            self._refused()

    def stale(self, market: str, reason: str) -> None:
        """The feed knows that something is missing; it sends a snapshot when it has one."""
        book = self.books.get(market)
        if book is None:
            book = self.books[market] = StoredBook(market)
        book.stale = reason
        book.waiting = None
        self._wanted.pop(market, None)
        self._end(book, reason)

    def feed_ended(self, feed: str, reason: str) -> None:
        """A feed is down, or has ended: so have its sessions."""
        for book in list(self.books.values()):
            if book.session is not None and book.session.feed == feed:
                self._end(book, reason)

    # -- losses ----------------------------------------------------------------------------------------------

    def overflow(self, count: int, market: str = "") -> None:
        """`count` updates were lost (of `market`, or of any): end what may have a hole, and want the books again."""
        self.dropped += max(1, count)
        books = [self.books[market]] if market in self.books else [] if market else list(self.books.values())
        self.overflows += len({book.session.id for book in books if book.session is not None})
        for book in books:
            self._end(book, OVERFLOW)
            book.waiting = None
            # The snapshot that it waited for may be among what was lost.
            book.stale = ""
            self._wanted[book.market] = None

    def _refused(self) -> None:
        self._events.blocked = True
        self.overflow(1)

    def retry(self) -> bool:
        """Say what could not be said while rows were not taken. Whether they are taken again."""
        if any(book.session is not None for book in self.books.values()):
            self.overflow(1)
        return self._events.retry()

    def want(self, markets: Iterable[str]) -> None:
        """Want the books of these markets as they are now, if they are in no session."""
        for market in markets:
            book = self.books.get(market)
            if book is None:
                book = self.books[market] = StoredBook(market)
            if book.session is None and book.waiting is None:
                self._wanted[market] = None

    def want_lost(self) -> None:
        """Want all books that are in no session though no snapshot of theirs is on its way."""
        late = self._now() - PATIENCE_NS
        for book in self.books.values():
            if book.waiting is not None and book.asked < late:
                self.not_joined(book.market)
        self.want([book.market for book in self.books.values() if not book.stale and book.last is not None])

    def take_wanted(self) -> list[str]:
        """The markets whose books are to be asked for now; their changes wait from here on. They are given once."""
        wanted = [] if self.blocked else list(self._wanted)
        for market in wanted:
            self.books[market].waiting = []
            self.books[market].asked = self._now()
            del self._wanted[market]
        return wanted

    def join(self, view: BookView) -> bool:
        """Begin a session with a book that was asked for, and the changes that came since. False if it is stale."""
        book = self.books.get(view.market)
        if book is None or book.waiting is None:
            return False
        waiting, book.waiting = book.waiting, None
        if view.stale or not view.session or self.blocked or book.session is not None:
            self.skipped += len(waiting)
            if view.stale:
                book.stale = view.stale
            return False
        book.load({level.price: level.size for level in view.bids}, {level.price: level.size for level in view.asks})
        book.seq, book.ts_event, book.ts_recv = view.seq, view.ts_event, view.ts_recv
        try:
            self._open(book, view.session, CHECKPOINT, view.marks)
        except Refused:
            self._refused()
        for update in waiting:
            if update.session == view.session and update.seq > view.seq:
                self.update(update)
        return True

    def not_joined(self, market: str) -> None:
        """Nobody could give the book: it is asked for again by `want_lost`."""
        book = self.books[market]
        if book.waiting is not None:
            self.skipped += len(book.waiting)
            book.waiting = None

    # -- time ------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Tell how far the sessions are, and forget those that have ended."""
        remembered = {book.last.id for book in self.books.values() if book.last is not None}
        for session in list(self.sessions.values()):
            if session.messages != session.reported:
                self._events.tell("progress", session)
            elif not session.markets and session.id not in remembered:
                del self.sessions[session.id]

    def close_buckets(self, share: float = 1.0) -> None:
        """Close buckets in which nothing happens any more, looking at a share of the books: each row takes a while.

        Called again and again it looks at all in turn.
        """
        now = self._now()
        for _ in range(math.ceil(share * len(self.books))):
            book = next(self._looked_at, None)
            if book is None:
                self._looked_at = iter(list(self.books.values()))
                book = next(self._looked_at)
            bucket = book.bucket
            if bucket is None:
                continue
            if bucket.end <= now and not bucket.touched:
                book.bucket = None
                self._events.put(bucket.row())
            else:
                bucket.touched = False

    def store_old(self, most: int) -> None:
        """Store books whole that were last stored so on another day: `most` of them, as each takes a while.

        Else nothing would be left of a quiet book once its day is no longer kept.
        """
        now = self._now()
        for book in self.books.values():
            if book.session is not None and now >= book.day_ends and not self.blocked:
                try:
                    self._whole(book, book.session, CHECKPOINT)
                except Refused:
                    self._refused()
                most -= 1
                if most == 0:
                    return

    def close(self, reason: str) -> None:
        """The store ends in order: so do its sessions."""
        for book in list(self.books.values()):
            self._end(book, reason)

    # -- sessions --------------------------------------------------------------------------------------------

    def _snapshot(self, book: StoredBook, update: BookUpdate) -> None:
        bids, asks = levels_of(update)
        book.stale = ""
        book.waiting = None
        self._wanted.pop(book.market, None)
        session = book.session
        follows = session is not None and session.source == update.session and update.seq > book.seq
        if session is not None:
            if follows and (bids, asks, update.marks) == (book.bids, book.asks, book.marks):
                # It proves the chain, and does not break it.
                book.move(update)
                self.messages += 1
                session.messages += 1
                session.last_recv = update.ts_recv
                self._whole(book, session, SNAPSHOT, update)
                return
            self._end(book, "replaced")
        if any(size < 0 for size in bids.values()) or any(size < 0 for size in asks.values()):
            self.skipped += 1
            return
        book.load(bids, asks)
        book.move(update)
        self._open(book, update.session, SNAPSHOT, update.marks, update)

    def _open(
        self,
        book: StoredBook,
        source: str,
        kind: Literal["snapshot", "checkpoint"],
        marks: tuple[str, ...],
        update: BookUpdate | None = None,
    ) -> None:
        """Begin a session of this market with its book as it is."""
        book.stretch = book.stretch + 1 if book.last is not None and book.last.source == source else 1
        name = f"{source}+{self._log}"
        if self._life > 1 or book.stretch > 1:
            name = f"{name}.{self._life}.{book.stretch}"
        session = self.sessions.get(name)
        if session is None:
            session = self.sessions[name] = StoredSession(name, source)
        session.markets.add(book.market)
        self.messages += 1
        session.messages += 1
        session.last_recv = book.ts_recv
        book.session = book.last = session
        book.marks = marks
        book.bucket = None
        self._events.tell("opened", session, book)
        self._whole(book, session, kind, update)

    def _end(self, book: StoredBook, reason: str) -> None:
        session = book.session
        if session is None:
            return
        book.session = None
        if book.bucket is not None:
            bucket, book.bucket = book.bucket, None
            self._events.put(bucket.row())
        session.markets.discard(book.market)
        self._events.tell("ended", session, book, reason)
        if not session.markets:
            self._events.tell("closed", session, reason=reason)

    # -- rows ------------------------------------------------------------------------------------------------

    def _whole(
        self,
        book: StoredBook,
        session: StoredSession,
        kind: Literal["snapshot", "checkpoint"],
        update: BookUpdate | None = None,
    ) -> None:
        """Store the whole book, as the snapshot `update` has packed it already where it has."""
        self._append(book.whole_row(session, kind, update))
        self.rows += 1
        session.snapshots += 1
        book.since_whole = 0
        # Each day's rows begin with a whole book, so that they can be kept or archived by themselves.
        at = max(book.ts_recv, self._now())
        book.day_ends = at - at % DAY_NS + DAY_NS

    def _bucket(self, book: StoredBook, session: StoredSession, ts: int) -> SignalBucket:
        bucket = book.bucket
        if bucket is not None and ts < bucket.end:
            return bucket
        fresh = book.bucket = SignalBucket(
            book.market, session.id, book.yes_no, book.marks, ts, book.bid_volume, book.ask_volume
        )
        if bucket is not None:
            fresh.carry_on(bucket)
            self._append(bucket.row())
        return fresh
