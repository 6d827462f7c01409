"""Streams of market messages for a run: out of recordings and out of tables, merged in the order of time.

A recording is played as a live node would hear it (`ReplayCore`): book updates with the quotes that they make, trades,
phases. Rows of a table become the same messages. What moves time is `ts`: the time of receipt of a recording, the
column `ts` of a table. Of equal times the source that was named first comes first, and within it the row order.

Messages come in batches of one kind, so that whoever handles them decides once for many what to do with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any, Final, Literal, NamedTuple, Protocol

from actors.market.book import Book, Gap
from actors.research.datasets.table import LAST, MISSING, SIGNED, SNAPSHOT, Table, plain
from protocols.market import (
    Bar,
    BookStale,
    BookUpdate,
    LevelChange,
    Quote,
    Trade,
)
from protocols.orders import MarketInput

BATCH: Final = 4096
"""Rows that are made messages at once."""

_SIDES: Final[dict[int, Any]] = {1: "bid", -1: "ask"}
StreamKind = Literal["quotes", "trades", "bars", "books", "mixed"]
Feed = Literal["book", "quotes", "trades", "bars"]


class Batch(NamedTuple):
    """Messages in order, and the time of each. `books`: updates alone, see `expanded`; `mixed`: of several types."""

    kind: StreamKind
    ts: list[int]
    messages: list[Any]


class SourceError(Exception):
    """A source cannot be read."""


class Source(Protocol):
    """A stream that can be read again and again.

    `feeds`: what is known of each market, which decides what its orders are matched against. `closing`: by market, the
    last moment at which an order still meets data; empty where nobody can tell beforehand.
    """

    name: str
    content_hash: str
    marks: tuple[str, ...]
    feeds: dict[str, frozenset[Feed]]
    closing: dict[str, int]
    intervals: frozenset[str]

    def batches(self) -> Iterator[Batch]:
        """From the beginning. Raises SourceError."""
        ...

    def span(self) -> tuple[int, int] | None:
        """The first and the last time; None: nobody can tell without reading it."""
        ...


class TableSource:
    """Rows of a table as messages. `session` names them (default: the table's name)."""

    def __init__(self, table: Table, *, session: str = "", batch: int = BATCH) -> None:
        self.table = table
        self.name = table.name
        self.content_hash = table.content_hash
        self.marks = table.marks
        self.session = session or table.name
        feed: Feed = "book" if table.kind == "l2" else table.kind
        self.feeds: dict[str, frozenset[Feed]] = {market: frozenset({feed}) for market in table.markets}
        self.intervals = frozenset({table.interval}) if table.kind == "bars" else frozenset()
        self._batch = batch
        self.closing = self._closing()

    def span(self) -> tuple[int, int] | None:
        """The first and the last `ts`; None: it has no rows."""
        ts = self.table.columns["ts"]
        return (int(ts[0]), int(ts[-1])) if len(ts) else None

    def batches(self) -> Iterator[Batch]:
        """As Source."""
        table = self.table
        make: Callable[[Table, int, int], Iterator[Batch]] = {
            "quotes": self._quotes,
            "trades": self._trades,
            "bars": self._bars,
            "l2": self._levels,
        }[table.kind]
        return make(table, 0, len(table))

    def _closing(self) -> dict[str, int]:
        table, found = self.table, {}
        ts, places = table.columns["ts"], table.columns.get("market")
        for place, market in enumerate(table.markets):
            own = ts if places is None or len(table.markets) == 1 else ts[places == place]
            before = own[own < own[-1]] if len(own) else own
            if len(before):
                found[market] = int(before[-1])
        return found

    def _names(self, first: int, stop: int) -> Iterator[str]:
        markets = self.table.markets
        if len(markets) == 1:
            return repeat(markets[0], stop - first)
        return map(markets.__getitem__, self.table.columns["market"][first:stop].tolist())

    def _slices(self, first: int, stop: int) -> Iterator[tuple[int, int]]:
        for begin in range(first, stop, self._batch):
            yield begin, min(begin + self._batch, stop)

    def _numbers(self, first: int, stop: int) -> list[int]:
        """Numbers of messages, where the table has none: those of its rows, from 1."""
        column = self.table.columns.get("seq")
        if column is None:
            return list(range(first + 1, stop + 1))
        numbers: list[int] = column[first:stop].tolist()
        if MISSING in numbers:
            return [first + 1 + at if number == MISSING else number for at, number in enumerate(numbers)]
        return numbers

    def _quotes(self, table: Table, first: int, stop: int) -> Iterator[Batch]:
        columns, session, marks = table.columns, repeat(self.session), repeat(self.marks)
        for begin, end in self._slices(first, stop):
            ts = columns["ts"][begin:end].tolist()
            made = map(
                Quote,
                self._names(begin, end),
                _prices(columns["bid"][begin:end]),
                columns["bid_size"][begin:end].tolist(),
                _prices(columns["ask"][begin:end]),
                columns["ask_size"][begin:end].tolist(),
                session,
                self._numbers(begin, end),
                _times(columns["ts_event"][begin:end]),
                ts,
                marks,
            )
            yield Batch("quotes", ts, list(made))

    def _trades(self, table: Table, first: int, stop: int) -> Iterator[Batch]:
        columns, session, marks = table.columns, repeat(self.session), repeat(self.marks)
        sides = {1: "buy", -1: "sell", 0: None}
        for begin, end in self._slices(first, stop):
            ts = columns["ts"][begin:end].tolist()
            numbers = self._numbers(begin, end)
            made = map(
                Trade,
                self._names(begin, end),
                columns["price"][begin:end].tolist(),
                columns["size"][begin:end].tolist(),
                map(sides.__getitem__, columns["taker"][begin:end].tolist()),
                map(str, numbers),
                session,
                numbers,
                _times(columns["ts_event"][begin:end]),
                ts,
                repeat(False),
                marks,
            )
            yield Batch("trades", ts, list(made))

    def _bars(self, table: Table, first: int, stop: int) -> Iterator[Batch]:
        columns, marks = table.columns, repeat(self.marks)
        for begin, end in self._slices(first, stop):
            ts = columns["ts"][begin:end].tolist()
            made = map(
                Bar,
                self._names(begin, end),
                repeat(table.interval),
                columns["start"][begin:end].tolist(),
                columns["end"][begin:end].tolist(),
                columns["open"][begin:end].tolist(),
                columns["high"][begin:end].tolist(),
                columns["low"][begin:end].tolist(),
                columns["close"][begin:end].tolist(),
                self._volumes(begin, end),
                _prices(columns["trades"][begin:end]),
                _prices(columns["vwap"][begin:end]),
                repeat("venue"),
                ts,
                repeat(False),
                repeat(0),
                marks,
            )
            yield Batch("bars", ts, list(made))

    def _volumes(self, first: int, stop: int) -> list[str]:
        texts = self.table.texts("volume", first, stop)
        if any(texts):
            return texts
        column = self.table.columns.get("volume")
        if column is None:
            return [""] * (stop - first)
        return ["" if value != value else plain(f"{value:.12f}") for value in column[first:stop].tolist()]

    def _levels(self, table: Table, first: int, stop: int) -> Iterator[Batch]:
        """Book updates; the quotes that they make are not among them (`expanded`)."""
        columns = table.columns
        changes: list[LevelChange] = []
        for begin, end in self._slices(first, stop):
            single = (columns["flags"][begin:end] == LAST).all() and (columns["side"][begin:end] != 0).all()
            if single and not changes:
                yield self._single_changes(begin, end)
            else:
                yield self._messages(begin, end, changes)

    def _single_changes(self, begin: int, end: int) -> Batch:
        """Rows that are a message each: absolute sizes."""
        columns = self.table.columns
        ts = columns["ts"][begin:end].tolist()
        changes = map(
            LevelChange,
            map(_SIDES.__getitem__, columns["side"][begin:end].tolist()),
            columns["price"][begin:end].tolist(),
            columns["size"][begin:end].tolist(),
        )
        made = map(
            BookUpdate,
            self._names(begin, end),
            zip(changes, strict=False),
            repeat("absolute"),
            repeat(False),
            repeat(self.session),
            self._numbers(begin, end),
            _times(columns["ts_event"][begin:end]),
            ts,
            repeat(self.marks),
        )
        return Batch("books", ts, list(made))

    def _messages(self, begin: int, end: int, changes: list[LevelChange]) -> Batch:
        """Rows that stand together; `changes`: of a message that is not whole yet."""
        columns = self.table.columns
        out: list[Any] = []
        times: list[int] = []
        rows = zip(
            columns["ts"][begin:end].tolist(),
            _times(columns["ts_event"][begin:end]),
            self._names(begin, end),
            self._numbers(begin, end),
            columns["side"][begin:end].tolist(),
            columns["price"][begin:end].tolist(),
            columns["size"][begin:end].tolist(),
            columns["flags"][begin:end].tolist(),
            strict=False,
        )
        for ts, ts_event, market, seq, side, price, size, flags in rows:
            if side:
                changes.append(LevelChange(_SIDES[side], price, size))
            if not flags & LAST:
                continue
            out.append(
                BookUpdate(
                    market,
                    tuple(changes),
                    "signed" if flags & SIGNED else "absolute",
                    bool(flags & SNAPSHOT),
                    self.session,
                    seq,
                    ts_event,
                    ts,
                    self.marks,
                )
            )
            times.append(ts)
            changes.clear()
        return Batch("books", times, out)


def expanded(batch: Batch, books: dict[str, Book]) -> Batch:
    """Book updates with the quotes that they make behind them, as a book keeper tells them; `books` go on with it."""
    if batch.kind != "books":
        return batch
    times: list[int] = []
    messages: list[Any] = []
    for ts, update in zip(batch.ts, batch.messages, strict=True):
        for message in applied(books, update, update.session):
            times.append(ts)
            messages.append(message)
    return Batch("mixed", times, messages)


def applied(books: dict[str, Book], update: BookUpdate, feed: str) -> list[MarketInput]:
    """The update and what follows from it, as a book keeper tells it. One that a stale book cannot take is left out."""
    book = books.get(update.market)
    if book is None:
        book = books[update.market] = Book(update.market)
    if book.stale and not update.snapshot:
        return []
    try:
        quote = book.apply(update)
    except Gap as gap:
        stale = book.mark_stale(gap.reason)
        told: list[MarketInput] = [update, BookStale(update.market, feed, gap.reason, update.ts_recv)]
        return told if stale is None else [*told, stale]
    return [update] if quote is None else [update, quote]


def _prices(column: Any) -> Sequence[int | None]:
    values: list[Any] = column.tolist()
    if (column == MISSING).any():
        return [None if value == MISSING else value for value in values]
    return values


def _times(column: Any) -> list[int]:
    values: list[int] = column.tolist()
    if (column == MISSING).any():
        return [0 if value == MISSING else value for value in values]
    return values
