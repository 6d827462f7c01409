"""The actor that stores market data: it subscribes to what is published, and appends rows to the node's log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from actors.market.rows import BarRow, InstrumentRow, TradeRow
from actors.market.store_core import StoreCore
from actors.market.stored_book import feed_of
from protocols.control import ExitReason, Lagged, Message, Probe, ProbeReport, Refused, Row, Unknown
from protocols.instruments import Instrument
from protocols.market import Bar, BookStale, BookUpdate, BookView, FeedMarkets, FeedStatus, GetBook, Quote, Trade
from protocols.market_store import STORE, FlushStore, GetStoreStats, StoreStats, TableStats
from protocols.paths import feed_book
from runtime import Actor, ChildSpec, Mailbox, OnCrash, Overflow, receive

if TYPE_CHECKING:
    from actors.market.store_settings import StoreSettings

TICK_S = 0.5
REPORT_S = 10.0
VIEW_S = 5.0
OLD_AT_ONCE = 10
"""Books that are stored whole in one beat: a millisecond of the loop."""
LATELY_NS = 60_000_000_000
"""For how long a drop is shown as trouble."""


class _Tick(Message, frozen=True, gc=False, tag="store_tick"):
    """Try again what was refused, ask for the books that are missing."""


class _Report(Message, frozen=True, gc=False, tag="store_report"):
    """Store how far the sessions are."""


class _BookCame(Message, frozen=True, gc=False, tag="store_book_came"):
    view: BookView


class _NoBook(Message, frozen=True, gc=False, tag="store_no_book"):
    market: str


class MarketStore(Actor):
    """Stores books, trades, bars and instruments of all feeds.

    It must not lose an update: what its mailbox had to leave out, or the log did not take, ends the stored sessions
    that may have a hole; they go on with the whole books that their keepers have. The feeds notice nothing.

    `markets`: those of each feed at the start; `urls`: where each feed's WebSocket is.
    """

    mailbox = Mailbox(capacity=65_536, overflow=Overflow.DROP_NEWEST)
    on_crash = OnCrash.CLEAR

    def __init__(
        self,
        markets: Mapping[str, Sequence[str]] | None = None,
        urls: Mapping[str, str] | None = None,
        books: bool = True,
        trades: bool = True,
        bars: bool = True,
        signals: bool = True,
        sample_every: int = 0,
        sample_depth: int = 10,
        whole_after: int = 10_000,
        lossless: bool = True,
        queue: int = 65_536,
    ) -> None:
        self._feeds = {market: feed for feed, names in (markets or {}).items() for market in names}
        self._urls = dict(urls or {})
        self._stored: tuple[type[Message], ...] = (
            *((BookUpdate, BookStale, FeedStatus, FeedMarkets) if books else ()),
            *((Trade,) if trades else ()),
            *((Bar,) if bars else ()),
            Instrument,
        )
        self._books = books
        self._signals = signals and books
        self._sample_every = sample_every
        self._sample_depth = sample_depth
        self._whole_after = whole_after
        self._lossless = lossless
        self._queue = queue
        self._written = {TradeRow.table: 0, BarRow.table: 0, InstrumentRow.table: 0}
        self._dropped = dict.fromkeys(self._written, 0)
        self._alarmed_ts = 0
        self._alarmed = (0, 0)
        self._alarm = ""
        self.core: StoreCore

    def on_start(self) -> None:
        """Mark what an earlier life left open, and begin with the books that are there already."""
        self.core = StoreCore(
            self.log.append,
            self.clock.now,
            node=str(self.log.log_id),
            life=self.incarnation.count,
            urls=self._urls,
            whole_after=self._whole_after,
            sample_every=self._sample_every,
            sample_depth=self._sample_depth,
            signals=self._signals,
        )
        self.core.start("killed" if self.incarnation.count == 1 else "restarted")
        for kind in self._stored:
            self.subscribe(kind, lossless=self._lossless)
        if self._signals:
            self.subscribe(Quote)
        if self._books:
            self.core.want(self._feeds)
            self._ask_books()
        self.every(TICK_S, _Tick())
        self.every(REPORT_S, _Report())

    def on_stop(self, reason: ExitReason) -> None:
        """End the stored sessions."""
        self.core.close("stopped")

    # -- what is published ---------------------------------------------------------------------------------

    @receive
    def update(self, message: BookUpdate) -> None:
        """Store one venue message."""
        self.core.update(message)

    @receive
    def quote(self, message: Quote) -> None:
        """Count it into the signals."""
        self.core.quote(message)

    @receive
    def stale(self, message: BookStale) -> None:
        """A book has lost its way: its stored session ends."""
        self.core.stale(message.market, message.reason)

    @receive
    def status(self, message: FeedStatus) -> None:
        """A feed that is down or has ended keeps no session."""
        if message.state in ("down", "ended"):
            self.core.feed_ended(message.feed, message.detail or message.state)

    @receive
    def followed(self, message: FeedMarkets) -> None:
        """A feed follows other markets now."""
        for market, feed in list(self._feeds.items()):
            if feed == message.feed:
                del self._feeds[market]
        self._feeds.update(dict.fromkeys(message.markets, message.feed))

    @receive
    def trade(self, message: Trade) -> None:
        """Store a trade."""
        self._append(TradeRow.of(message, feed_of(message.session)))

    @receive
    def bar(self, message: Bar) -> None:
        """Store a bar."""
        self._append(BarRow.of(message, self._feeds.get(message.market, "")))

    @receive
    def instrument(self, message: Instrument) -> None:
        """Store a version of a definition."""
        self._append(InstrumentRow.of(message, self._feeds.get(message.market, "")))

    def _append(self, row: Row) -> None:
        try:
            self.log.append(row)
        except Refused as refusal:
            self._dropped[row.table] += 1
            self._raise_alarm(refusal.message)
        else:
            self._written[row.table] += 1

    # -- losses --------------------------------------------------------------------------------------------

    @receive
    def lagged(self, message: Lagged) -> None:
        """Something did not fit into the mailbox."""
        if message.topic == Quote.__name__:
            return
        self._raise_alarm(f"{message.count} of {message.topic} did not fit into the queue of {self._queue}")
        for kind, row in ((Trade, TradeRow), (Bar, BarRow), (Instrument, InstrumentRow)):
            if message.topic == kind.__name__:
                self._dropped[row.table] += max(1, message.count)
                return
        # Without one key, whatever is stored may have a hole. The books are asked for with the next tick: a queue that
        # is full has no room for them.
        self.core.overflow(message.count, message.key if message.topic == BookUpdate.__name__ else "")

    def _raise_alarm(self, what: str) -> None:
        if not self._alarm:
            self.logger.error("market data was dropped", reason=what)
        self._alarm = what
        self._alarmed_ts = self.clock.now()

    @receive
    def tick(self, message: _Tick) -> None:
        """Put right what can be put right, and tell how it is."""
        core = self.core
        losses = (core.dropped, core.overflows)
        if losses != self._alarmed:
            self._alarmed = losses
            self._raise_alarm("the node's log is full" if core.blocked else self._alarm or "updates were lost")
        elif self._alarm and self.clock.now() > self._alarmed_ts + LATELY_NS:
            self._alarm = ""
        if core.blocked and core.retry():
            self.logger.warning("the node's log takes rows again")
        if self._books:
            core.want_lost()
            self._ask_books()
            core.store_old(OLD_AT_ONCE)
            core.close_buckets(TICK_S / REPORT_S)
        self._measure()

    @receive
    def report(self, message: _Report) -> None:
        """Store how far the sessions are."""
        self.core.tick()

    def _ask_books(self) -> None:
        wanted = self.core.take_wanted()
        if wanted:
            self.spawn(self._fetch_books, [(market, self._feed(market)) for market in wanted], name="books")

    def _feed(self, market: str) -> str:
        last = self.core.books[market].last
        return self._feeds.get(market) or (last.feed if last is not None else "")

    async def _fetch_books(self, wanted: list[tuple[str, str]]) -> None:
        for market, feed in wanted:
            came: Message
            try:
                came = _BookCame(await self.lookup(feed_book(feed, market)).ask(GetBook(), timeout=VIEW_S))
            except (Refused, Unknown):
                came = _NoBook(market)
            try:
                await self.ref.send(came, timeout=VIEW_S)
            except Refused:
                continue  # it is asked for again

    @receive
    def book_came(self, message: _BookCame) -> None:
        """Go on with it."""
        self.core.join(message.view)

    @receive
    def no_book(self, message: _NoBook) -> None:
        """Its keeper is not there, or not yet."""
        self.core.not_joined(message.market)

    # -- how it is -----------------------------------------------------------------------------------------

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """Whether something was dropped lately, and what has been stored."""
        core = self.core
        figures = (
            ("sessions open", self._open()),
            ("books stored", sum(book.session is not None for book in core.books.values())),
            ("messages of books", core.messages),
            ("rows of books", core.rows),
            *((f"rows of {table}", count) for table, count in self._written.items()),
            ("dropped", core.dropped + sum(self._dropped.values())),
            ("sessions overflowed", core.overflows),
            ("updates between sessions", core.skipped),
        )
        return ProbeReport("degraded" if self._alarm else "ok", self._alarm, True, figures)

    @receive
    def stats(self, request: GetStoreStats) -> StoreStats:
        """The same for a route."""
        return self._stats()

    @receive
    def flush(self, request: FlushStore) -> StoreStats:
        """Nothing waits here: a row is in the node's log before the next message is looked at."""
        if self.core.blocked and not self.core.retry():
            raise Refused("log_full", "the node's log takes no more rows")
        return self._stats()

    def _open(self) -> int:
        return sum(bool(session.markets) for session in self.core.sessions.values())

    def _stats(self) -> StoreStats:
        core = self.core
        tables = [TableStats("rl_orderbook", core.rows, 0, core.dropped)]
        tables += [TableStats(table, count, 0, self._dropped[table]) for table, count in self._written.items()]
        return StoreStats(
            tables=tuple(tables),
            capacity=self._queue,
            sessions_open=self._open(),
            sessions_overflowed=core.overflows,
            ts_flushed=0 if core.blocked else self.clock.now(),
            healthy=not self._alarm,
            detail=self._alarm,
        )

    def _measure(self) -> None:
        core, metrics = self.core, self.node.metrics
        stored = metrics.gauge("troupe_store_rows", "Rows of market data that were stored since the start", ("table",))
        lost = metrics.gauge("troupe_store_dropped", "Messages that were lost before they were stored", ("table",))
        for table in self._written:
            stored.labels(table).set(self._written[table])
            lost.labels(table).set(self._dropped[table])
        stored.labels("rl_orderbook").set(core.rows)
        lost.labels("rl_orderbook").set(core.dropped)
        metrics.gauge("troupe_store_overflows", "Stored sessions that a drop has ended").set(core.overflows)
        metrics.gauge("troupe_store_sessions", "Stored sessions that are open").set(self._open())
        self.remark = f"{self._open()} sessions · {core.rows:,} rows of books"
        if self._alarm:
            self.remark += f" · {self._alarm}"


def specs(
    settings: StoreSettings, markets: Mapping[str, Sequence[str]], urls: Mapping[str, str], database_url: str
) -> list[ChildSpec]:
    """The store and its clean-up, as children of `/market`; none where it is not enabled.

    `markets`: those of each feed; `urls`: where each feed's WebSocket is, as far as the configuration says so.
    """
    if not settings.enabled:
        return []
    store = ChildSpec(
        name=STORE.rpartition("/")[2],
        actor="actors.market.store:MarketStore",
        arguments={
            "markets": {feed: tuple(names) for feed, names in markets.items()},
            "urls": dict(urls),
            "books": settings.books,
            "trades": settings.trades,
            "bars": settings.bars,
            "signals": settings.signals,
            "sample_every": settings.sample_every,
            "sample_depth": settings.sample_depth,
            "whole_after": settings.whole_after,
            "lossless": settings.drop == "newest",
            "queue": settings.queue,
        },
        mailbox=settings.mailbox(),
    )
    retention = ChildSpec(
        name="retention",
        actor="actors.market.retention:Retention",
        arguments={
            "url": database_url,
            "every_s": settings.clean_up_s,
            "days_ahead": settings.days_ahead,
            "archive": settings.archive,
            "days": settings.days(),
        },
    )
    return [store, retention]
