"""What the tests of the store share: random updates of books, what they store, and a database that has it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from actors.market.book import Book
from actors.market.rows import BookDeltaRow, BookSessionEventRow, BookSnapshotRow
from actors.market.stored_messages import DeltaRecord, SnapshotRecord
from actors.storage import schema
from actors.storage.mover import Mover, connect
from actors.storage.queries import Database
from protocols.control import Row
from protocols.market import BookUpdate, BookView, LevelChange
from protocols.storage import QueryResult, RunQuery
from runtime.log import NodeLog, open_log
from runtime.log_reader import LogReader

T = TypeVar("T")
CENT = 10_000_000
ONE = 1_000_000_000
MIGRATIONS = Path(__file__).resolve().parents[3] / "actors" / "market" / "migrations"
FOLDERS = [schema.OWN, MIGRATIONS]
START = 1_790_000_000_000_000_000
Run = Callable[[RunQuery], Awaitable[QueryResult]]


class RandomFeed:
    """Random updates of some markets, with one count of messages for all, and the books that they make."""

    def __init__(self, chance: Random, *markets: str, feed: str = "kalshi", start: int = START) -> None:
        self.chance = chance
        self.markets = markets
        self.books = {market: Book(market) for market in markets}
        self.views: dict[tuple[str, str, int], BookView] = {}
        """Each book after each of its messages."""
        self.by_time: dict[str, list[BookView]] = {market: [] for market in markets}
        self.feed = feed
        self.connection = 0
        self.ts = start
        self.session = ""
        self.seq = 0
        self.connect()

    def connect(self) -> None:
        """A new session."""
        self.connection += 1
        self.session = f"{self.feed}-1.1-{self.connection}/7.1"
        self.seq = 0

    def snapshot(self, market: str, levels: int = 5) -> BookUpdate:
        """A whole book, another one than before."""
        bids = self.chance.sample(range(1, 50), levels)
        asks = self.chance.sample(range(50, 100), levels)
        changes = [LevelChange("bid", price * CENT, self.size()) for price in bids]
        changes += [LevelChange("ask", price * CENT, self.size()) for price in asks]
        return self._made(market, tuple(changes), "absolute", True)

    def same(self, market: str) -> BookUpdate:
        """A snapshot that equals the book."""
        view = self.books[market].view()
        changes = [LevelChange("bid", level.price, level.size) for level in view.bids]
        changes += [LevelChange("ask", level.price, level.size) for level in view.asks]
        return self._made(market, tuple(changes), "absolute", True)

    def delta(self, market: str) -> BookUpdate:
        """One message of one to three changes that leaves the book sound."""
        view = self.books[market].view()
        sizes = {("bid", level.price): level.size for level in view.bids}
        sizes |= {("ask", level.price): level.size for level in view.asks}
        signed = self.chance.random() < 0.5
        changes = []
        for _ in range(self.chance.choice((1, 1, 1, 2, 3))):
            side = self.chance.choice(("bid", "ask"))
            price = self.chance.randrange(*((1, 50) if side == "bid" else (50, 100))) * CENT
            old = sizes.get((side, price), 0)
            new = 0 if self.chance.random() < 0.3 else self.size()
            sizes[side, price] = new
            changes.append(LevelChange(side, price, new - old if signed else new))  # type: ignore[arg-type]
        return self._made(market, tuple(changes), "signed" if signed else "absolute", False)

    def size(self) -> int:
        """Whole contracts, or hundredths of them."""
        return self.chance.randrange(1, 1000) * self.chance.choice((ONE, ONE, ONE // 100))

    def lost(self) -> None:
        """A message came that nobody saw."""
        self.seq += 1

    def view(self, market: str) -> BookView:
        return self.books[market].view()

    def _made(self, market: str, changes: tuple[LevelChange, ...], kind: Any, snapshot: bool) -> BookUpdate:
        self.seq += self.chance.choice((1, 1, 2))
        self.ts += self.chance.randrange(0, 3_000_000)
        event = self.ts - 5_000_000 if self.chance.random() < 0.9 else 0
        update = BookUpdate(market, changes, kind, snapshot, self.session, self.seq, event, self.ts)
        self.books[market].apply(update)
        view = self.books[market].view()
        self.views[market, self.session, self.seq] = view
        self.by_time[market].append(view)
        return update


def chains(rows: list[Row]) -> dict[tuple[str, str], list[SnapshotRecord | DeltaRecord]]:
    """Whole books and changes of each (session, market), in the order in which they were stored."""
    found: dict[tuple[str, str], list[SnapshotRecord | DeltaRecord]] = {}
    for row in rows:
        record: SnapshotRecord | DeltaRecord
        if isinstance(row, BookSnapshotRow):
            record = SnapshotRecord(*(getattr(row, name) for name in SnapshotRecord._fields))
        elif isinstance(row, BookDeltaRow):
            record = DeltaRecord(*(getattr(row, name) for name in DeltaRecord._fields))
        else:
            continue
        found.setdefault((record.session_id, record.market_ticker), []).append(record)
    return found


def events(rows: list[Row]) -> list[tuple[str, str, str, str]]:
    """(event, session, market, reason) of the session events."""
    return [
        (row.event, row.session_id, row.market_ticker, row.reason)
        for row in rows
        if isinstance(row, BookSessionEventRow)
    ]


class StoreDatabase:
    """A migrated database, and a node's log that is moved into it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.log: NodeLog = open_log(folder / "log", segment_bytes=1 << 20, reserve_bytes=0)

    def move(self) -> None:
        """Move everything that was accepted, as the writer process does."""

        async def work() -> None:
            connection = await connect(self.url)
            try:
                reader = LogReader(self.folder / "log")
                assert reader.log_id is not None
                mover = Mover(connection, reader.log_id)
                reader.seek(await mover.begin())
                while rows := reader.read(1_000, 1 << 20):
                    await mover.move(rows, reader.position, durable=False)
                assert mover.rejected == []
            finally:
                await connection.close()

        asyncio.run(work())

    def ask(self, work: Callable[[Run], Awaitable[T]]) -> T:
        """Run something that asks queries."""

        async def run() -> T:
            database = Database(self.url, 2)
            try:
                return await work(database.page)
            finally:
                database.close()

        return asyncio.run(run())

    def fetch(self, sql: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Rows of a query."""

        async def run() -> list[tuple[Any, ...]]:
            connection = await connect(self.url)
            try:
                return [tuple(row) for row in await connection.fetch(sql, *arguments)]
            finally:
                await connection.close()

        return asyncio.run(run())

    def kill(self) -> None:
        """The node dies; the next `log` is that of its next life."""
        self.log.close()
        self.log = open_log(self.folder / "log", segment_bytes=1 << 20, reserve_bytes=0)
