"""A replay from its first entry to its last, without a node: what came of it, in figures and as a log.

The virtual clock is the time of the entry that is played. With a speed the run keeps the recording's own pace, divided
by it; the outputs are the same at every speed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from actors.market.bars_intervals import Interval
from actors.market.bars_market import MarketBars
from actors.market.book_quotes import Gap
from actors.market.importers import dbn, sequences
from actors.market.l3 import OrderBook
from actors.market.recordings.entries import READ_FAULTS, Entry, Note, Received, Recording
from actors.market.replay_core import Output, ReplayCore
from actors.market.session_core import Incident
from protocols.market import BookStale, BookUpdate, OrderUpdate, Trade
from protocols.nanos import NANO

Tell = Callable[[Output | OrderUpdate], object]


class StaleSpan(msgspec.Struct):
    """A time in which a book was not current; `end` None: until the end of the recording. Nanoseconds."""

    market: str
    reason: str
    begin: int
    end: int | None = None


class ReplaySummary(msgspec.Struct):
    """What a replay found. `outputs` counts events and quotes by kind, `frames_by_kind` what the venue sent.

    `lost`: what is missing in the recording, in words; `missing`: how many entries its recorder says to have lost.
    `fault`: why it could not be read to its end. `stale`: books that are not current at the end.
    """

    format: str = ""
    venue: str = ""
    marks: tuple[str, ...] = ()
    first: int = 0
    last: int = 0
    entries: int = 0
    frames: int = 0
    bytes: int = 0
    answers: int = 0
    connections: int = 0
    markets: tuple[str, ...] = ()
    frames_by_kind: dict[str, int] = msgspec.field(default_factory=dict)
    outputs: dict[str, int] = msgspec.field(default_factory=dict)
    gaps: int = 0
    frames_lost: int = 0
    repeated: int = 0
    dropped: int = 0
    malformed: int = 0
    unreadable: int = 0
    checksums: int = 0
    checksums_wrong: int = 0
    number_faults: int = 0
    stale_spans: list[StaleSpan] = msgspec.field(default_factory=list)
    stale: tuple[str, ...] = ()
    missing: int = 0
    lost: list[str] = msgspec.field(default_factory=list)
    fault: str = ""

    @property
    def whole(self) -> bool:
        """Whether everything that was received is there and every book could be kept."""
        return not (self.gaps or self.missing or self.lost or self.fault or self.checksums_wrong or self.unreadable)


class ReplayRun:
    """Plays one recording. `tell` gets every output of [since, until], in order; `bars` are built out of its trades.

    Outside of that span entries are played all the same, so that the books in it are right.
    """

    def __init__(
        self,
        tell: Tell | None = None,
        *,
        speed: float = 0.0,
        since: int | None = None,
        until: int | None = None,
        bars: Sequence[Interval] = (),
        use_yes_price: bool | None = None,
    ) -> None:
        self.summary = ReplaySummary()
        self._tell = tell
        self._speed = speed
        self._since = since
        self._until = until
        self._intervals = tuple(bars)
        self._use_yes_price = use_yes_price
        self._bars: dict[str, MarketBars] = {}
        self._outputs: Counter[str] = Counter()
        self._spans: dict[str, StaleSpan] = {}
        self._noted: list[str] = []
        self._frames: list[tuple[int, bytes]] = []

    def play(self, recording: Recording) -> ReplaySummary:
        """Play it to its end, or as far as it can be read. Raises ValueError for options the venue does not know."""
        summary = self.summary
        header = recording.header
        summary.format, summary.venue = recording.format, header.venue
        replay = ReplayCore(header, use_yes_price=self._use_yes_price)
        try:
            for entry in self._paced(recording):
                summary.entries += 1
                if self._until is not None and entry.ts > self._until:
                    break
                self._entry(replay, entry)
        except READ_FAULTS as error:
            summary.fault = f"{type(error).__name__}: {error}"
        finally:
            summary.lost = [*map(str, recording.lost), *self._noted]
            self._sum_up(replay)
        return summary

    def play_orders(self, path: Path) -> ReplaySummary:
        """Play a DBN file of orders through books of orders."""
        summary = self.summary
        summary.format, summary.venue = dbn.FORMAT, "databento"
        books: dict[str, OrderBook] = {}
        kinds: Counter[str] = Counter()
        try:
            for order in dbn.read_orders(path):
                if self._until is not None and order.ts_recv > self._until:
                    break
                summary.first = summary.first or order.ts_recv
                summary.last = order.ts_recv
                kinds[order.action] += 1
                book = books.get(order.market)
                if book is None:
                    book = books[order.market] = OrderBook(order.market)
                self._order(book, order)
        except READ_FAULTS as error:
            summary.fault = f"{type(error).__name__}: {error}"
        summary.entries = summary.frames = kinds.total()
        summary.frames_by_kind = dict(sorted(kinds.items()))
        summary.outputs = dict(sorted(self._outputs.items()))
        summary.markets = tuple(sorted(books))
        summary.stale = tuple(sorted(market for market, book in books.items() if book.stale))
        return summary

    def _order(self, book: OrderBook, order: OrderUpdate) -> None:
        self._say(order, order.ts_recv)
        try:
            quote = book.apply(order)
        except Gap as gap:
            self.summary.gaps += 1
            self._begin_span(gap.market, gap.reason, order.ts_recv)
            quote = book.mark_stale(gap.reason)
        if not book.stale and (span := self._spans.pop(order.market, None)) is not None:
            span.end = order.ts_recv
        if quote is not None:
            self._say(quote, order.ts_recv)

    # -- one entry -----------------------------------------------------------------------------------------

    def _paced(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        begin: float | None = None
        first = 0
        for entry in entries:
            if self._speed and (self._since is None or entry.ts >= self._since):
                if begin is None:
                    begin, first = time.monotonic(), entry.ts
                wait = begin + (entry.ts - first) / NANO / self._speed - time.monotonic()
                if wait > 0:
                    time.sleep(wait)
            yield entry

    def _entry(self, replay: ReplayCore, entry: Entry) -> None:
        if not isinstance(entry, Note):
            self.summary.first = self.summary.first or entry.ts
            self.summary.last = max(self.summary.last, entry.ts)
        elif entry.count:
            self._noted.append(f"{entry.count} entries: {entry.reason}")
        if isinstance(entry, Received) and not replay.knows_venue:
            self._frames.append((entry.connection, entry.raw))
        for output in replay.play(entry):
            self._say(output, entry.ts)
            if isinstance(output, BookUpdate):
                if output.snapshot and (span := self._spans.pop(output.market, None)) is not None:
                    span.end = entry.ts
            elif isinstance(output, BookStale):
                if output.market not in self._spans:
                    self._begin_span(output.market, output.reason, entry.ts)
            elif self._intervals and isinstance(output, Trade):
                for bar in self._bars_of(output.market).trade(output):
                    self._say(bar, entry.ts)

    def _begin_span(self, market: str, reason: str, ts: int) -> None:
        span = self._spans[market] = StaleSpan(market, reason, ts)
        self.summary.stale_spans.append(span)
        if market in self._bars:
            self._bars[market].doubt(ts)

    def _bars_of(self, market: str) -> MarketBars:
        bars = self._bars.get(market)
        if bars is None:
            bars = self._bars[market] = MarketBars(market, self._intervals)
        return bars

    def _say(self, output: Output | OrderUpdate, ts: int) -> None:
        if self._since is not None and ts < self._since:
            return
        kind = "incident" if isinstance(output, Incident) else str(type(output).__struct_config__.tag)
        self._outputs[kind] += 1
        if self._tell is not None:
            self._tell(output)

    def _sum_up(self, replay: ReplayCore) -> None:
        summary, tally = self.summary, replay.tally()
        summary.frames, summary.bytes, summary.answers = replay.frames, replay.bytes, replay.answers
        summary.connections = replay.connections
        summary.marks = tuple(sorted(replay.marks))
        summary.markets = tuple(sorted(replay.books))
        summary.frames_by_kind = replay.counts()
        summary.outputs = dict(sorted(self._outputs.items()))
        summary.gaps, summary.frames_lost, summary.repeated = tally.gaps, tally.lost, tally.repeated
        summary.dropped, summary.malformed, summary.unreadable = (
            tally.dropped + replay.dropped,
            tally.malformed,
            replay.unreadable,
        )
        summary.checksums, summary.checksums_wrong = tally.checked, tally.mismatched
        summary.number_faults = sum(core.faults.total for core in replay.cores.values())
        summary.stale = tuple(sorted(replay.stale_markets()))
        summary.missing = replay.missing
        rule = sequences.RULES.get(summary.venue)
        if rule is not None and not replay.knows_venue:
            checked = sequences.check(rule, self._frames)
            summary.gaps, summary.unreadable = checked.gaps, checked.unreadable
            summary.frames_by_kind = checked.kinds


def as_data(summary: ReplaySummary) -> dict[str, Any]:
    """The summary as JSON would hold it."""
    data: dict[str, Any] = msgspec.to_builtins(summary)
    return {**data, "whole": summary.whole}
