"""The actor that keeps one market's book."""

from __future__ import annotations

from actors.market.book import Book, Gap, Grid
from protocols.control import Lagged, Message, Terminated
from protocols.market import (
    BookPosition,
    BookStale,
    BookUpdate,
    BookView,
    GetBook,
    GetBookPosition,
    MarketStatus,
    Quote,
    RequestSnapshot,
    SampledQuote,
)
from runtime import Actor, Mailbox, OnCrash, Overflow, Timer, receive


class _StillStale(Message, frozen=True, gc=False, tag="still_stale"):
    """The snapshot that was asked for has had its time."""


class _SampleDue(Message, frozen=True, gc=False, tag="sample_due"):
    """The next sampled quote may go out."""


class BookKeeper(Actor):
    """Keeps one market's book and publishes its quotes: each as `Quote`, and the latest as `SampledQuote`.

    It must not lose an update: what its mailbox had to leave out is a gap like any other. After a gap the
    book is stale, the feed is asked for a snapshot, and quotes go on with that. Restarted, it begins the same
    way. `session` is the path of its feed's session, `feed` the feed's name. `grid`: see `Book`.

    The first quote is sampled at once; then no more than one in `sample_ms` milliseconds, and the last one always
    arrives, stale ones too (0: none is sampled).
    """

    mailbox = Mailbox(capacity=8192, overflow=Overflow.DROP_NEWEST)
    on_crash = OnCrash.CLEAR

    def __init__(
        self,
        market: str,
        feed: str,
        session: str,
        ask_again_s: float = 5.0,
        sample_ms: float = 100.0,
        grid: Grid | None = None,
    ) -> None:
        self.market = market
        self.feed = feed
        self.session = session
        self.ask_again_s = ask_again_s
        self.sample_s = sample_ms / 1000
        self.book = Book(market, grid)
        self.gaps = 0
        self._timer: Timer | None = None
        # Until it is due, the latest quote waits here.
        self._sample_due: Timer | None = None
        self._unsampled: Quote | None = None

    def on_start(self) -> None:
        """Subscribe. A book that was here before asks for a snapshot; a new one gets it by itself."""
        for kind in (BookUpdate, BookStale, MarketStatus):
            self.subscribe(kind, self.market, lossless=True)
        self.watch(self.lookup(self.session))
        if self.incarnation.count > 1:
            self._ask("book restarted")

    @receive
    def update(self, message: BookUpdate) -> None:
        """Apply a venue message whole."""
        try:
            quote = self.book.apply(message)
        except Gap as gap:
            self._lost(gap)
        else:
            if quote is not None:
                self._tell(quote)

    @receive
    def stale(self, message: BookStale) -> None:
        """The feed knows that something is missing, and has asked for a snapshot already."""
        if message.feed == self.feed:
            self._stale(message.reason)

    @receive
    def lagged(self, message: Lagged) -> None:
        """Something did not fit into the mailbox."""
        self._lost(Gap(self.market, "lagged", f"{message.count} of {message.topic}"))

    @receive
    def feed_ended(self, message: Terminated) -> None:
        """Nobody feeds this book until the session is back and has a snapshot."""
        if not self.book.stale:
            self._stale("feed_down")

    @receive
    def status(self, message: MarketStatus) -> None:
        """The market pauses, goes on or ends."""
        try:
            quote = self.book.set_phase(message.phase)
        except Gap as gap:
            self._lost(gap)
        else:
            if message.phase != "active":
                # Nothing is quoted in a pause, what waited for its turn neither.
                self._sample()
            if quote is not None:
                self._tell(quote)

    @receive
    def sample_due(self, message: _SampleDue) -> None:
        """The latest quote, if there is a new one. Without one the next quote goes out at once."""
        self._sample_due = None
        if self._unsampled is not None:
            self._sample()
            self._sample_due = self.after(self.sample_s, _SampleDue())

    @receive
    def view(self, request: GetBook) -> BookView:
        """The book as it is, stale or not."""
        return self.book.view(request.depth)

    @receive
    def position(self, request: GetBookPosition) -> BookPosition:
        """How far the book is."""
        book = self.book
        return BookPosition(self.market, book.session, book.seq, book.applied, book.dropped, self.gaps, book.stale)

    @receive
    def still_stale(self, message: _StillStale) -> None:
        """Ask again."""
        self._timer = None
        if self.book.stale:
            self._ask(self.book.stale)

    def _lost(self, gap: Gap) -> None:
        self.gaps += 1
        self.logger.warning("book gap", market=self.market, reason=gap.reason, detail=gap.detail)
        self._stale(gap.reason)
        self._ask(gap.reason)

    def _stale(self, reason: str) -> None:
        quote: Quote | None = self.book.mark_stale(reason)
        if quote is not None:
            self._tell(quote)

    def _tell(self, quote: Quote) -> None:
        self.publish(quote)
        if not self.sample_s:
            return
        self._unsampled = quote
        if self._sample_due is None:
            self._sample()
            self._sample_due = self.after(self.sample_s, _SampleDue())

    def _sample(self) -> None:
        quote, self._unsampled = self._unsampled, None
        if quote is not None:
            self.publish(SampledQuote(quote))

    def _ask(self, reason: str) -> None:
        self.lookup(self.session).tell(RequestSnapshot(self.market, reason))
        if self._timer is None:
            self._timer = self.after(self.ask_again_s, _StillStale())
