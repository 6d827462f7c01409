"""Real recordings through the store: what is stored makes the live books again, with no session ended by the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.market.book import Book
from actors.market.importers.opening import open_recording
from actors.market.replay_core import ReplayCore
from actors.market.rows import BookDeltaRow, BookSessionEventRow, BookSnapshotRow
from actors.market.store_core import StoreCore
from actors.market.stored_messages import DeltaRecord, SnapshotRecord, delta_updates, snapshot_update
from protocols.control import Row
from protocols.market import BookStale, BookUpdate

pytestmark = pytest.mark.recordings

EVERY = 97
FILES = {
    "kalshi-demo-session-20260701.jsonl.gz": 2_885,
    "kalshi-btcmaxy-20251105-0048.jsonl.gz": 6_061,
    "binance-spot-btcusdt-20240808.txt.gz": 3_400,
    "cryptofeed-coinbase.jsonl.zst": 700,
    "cryptofeed-kraken.jsonl.zst": 4_000,
}
"""Recordings, and how many messages of books are stored of them at least."""


class Rebuilding:
    """Books that are made of rows alone, as they come."""

    def __init__(self) -> None:
        self.books: dict[str, Book] = {}
        self.messages = 0
        self.ended: list[str] = []
        self._rows: list[DeltaRecord] = []

    def take(self, row: Row) -> None:
        if isinstance(row, BookSnapshotRow):
            record = SnapshotRecord(*(getattr(row, name) for name in SnapshotRecord._fields))
            if row.kind == "snapshot":
                self._book(row.market_ticker).apply(snapshot_update(record))
            else:
                whole = Book(row.market_ticker)
                whole.set_phase("auction")
                whole.apply(snapshot_update(record))
                assert whole.view() == self._book(row.market_ticker).view()
        elif isinstance(row, BookDeltaRow):
            self._rows.append(DeltaRecord(*(getattr(row, name) for name in DeltaRecord._fields)))
            if row.remaining == 0:
                for update in delta_updates(self._rows, self._book(row.market_ticker).marks):
                    self._book(row.market_ticker).apply(update)
                    self.messages += 1
                self._rows.clear()
        elif isinstance(row, BookSessionEventRow) and row.event == "ended":
            self.ended.append(row.reason)

    def _book(self, market: str) -> Book:
        book = self.books.get(market)
        if book is None:
            book = self.books[market] = Book(market)
            book.set_phase("auction")
        return book


@pytest.mark.parametrize("name", FILES)
def test_the_stored_rows_of_a_recording_make_its_books_again(recordings: Path, name: str) -> None:
    recording = open_recording(recordings / name)
    replay = ReplayCore(recording.header)
    rebuilding = Rebuilding()
    core = StoreCore(rebuilding.take, lambda: 0, node="n", whole_after=5_000, signals=False)
    compared = updates = 0
    for entry in recording:
        for output in replay.play(entry):
            if isinstance(output, BookStale):
                core.stale(output.market, output.reason)
            elif isinstance(output, BookUpdate):
                core.update(output)
                updates += 1
                if updates % EVERY == 0:
                    live, stored = replay.books[output.market].view(), rebuilding.books[output.market].view()
                    if not live.stale and output.changes:
                        assert stored == live
                        compared += 1
    recording.close()
    assert not {"negative_size", "out_of_order", "session", "marks"} & set(rebuilding.ended)
    assert rebuilding.messages >= FILES[name]
    assert compared >= 5
    assert rebuilding.books.keys() == {market for market, book in replay.books.items() if book.session}
