"""Stored rows of books as the messages that they were made from, whether they come from the database or an archive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from actors.market.rows import StoredSide, leg_price
from protocols.market import BookUpdate, LevelChange


class SnapshotRecord(NamedTuple):
    """A row of `rl_orderbook_snapshots`, as far as a book is made of it."""

    market_ticker: str
    session_id: str
    sequence_number: int
    ts_event: int
    ts_recv: int
    kind: str
    packed_bids: bytes
    packed_asks: bytes
    marks: Sequence[str]


class DeltaRecord(NamedTuple):
    """A row of `rl_orderbook_deltas`, as far as a book is made of it."""

    market_ticker: str
    session_id: str
    sequence_number: int
    ts_event: int
    ts_recv: int
    side: StoredSide
    price: int
    old_size: int
    new_size: int
    remaining: int


SNAPSHOT_COLUMNS = ", ".join(SnapshotRecord._fields)
DELTA_COLUMNS = ", ".join(DeltaRecord._fields)


class BrokenChain(Exception):
    """Rows that do not follow from the ones before: something is missing or was changed."""


def source_of(session_id: str) -> str:
    """The session of the updates that were stored under this id: `k-1.1-1/7` of `k-1.1-1/7+c1e19dd7`."""
    return session_id.partition("+")[0]


def snapshot_update(record: SnapshotRecord) -> BookUpdate:
    """The whole book of a row."""
    return BookUpdate(
        market=record.market_ticker,
        changes=(),
        kind="absolute",
        snapshot=True,
        session=source_of(record.session_id),
        seq=record.sequence_number,
        ts_event=record.ts_event,
        ts_recv=record.ts_recv,
        marks=tuple(record.marks),
        packed_bids=record.packed_bids,
        packed_asks=record.packed_asks,
    )


def delta_updates(records: Iterable[DeltaRecord], marks: tuple[str, ...] = ()) -> Iterator[BookUpdate]:
    """The messages of the rows of one market of one session, in order; an unfinished one at the end is left out.

    Raises BrokenChain for rows of two messages mixed, or a message that lacks rows.
    """
    changes: list[LevelChange] = []
    expected: int | None = None
    for record in records:
        if expected is not None and record.remaining != expected:
            raise BrokenChain(
                f"{record.market_ticker}: message {record.sequence_number} of {record.session_id} has a row with "
                f"{record.remaining} to follow, expected {expected}"
            )
        ask = record.side in ("no", "ask")
        price = leg_price(record.price, record.side)
        changes.append(LevelChange("ask" if ask else "bid", price, record.new_size))
        if record.remaining:
            expected = record.remaining - 1
            continue
        expected = None
        yield BookUpdate(
            market=record.market_ticker,
            changes=tuple(changes),
            kind="absolute",
            snapshot=False,
            session=source_of(record.session_id),
            seq=record.sequence_number,
            ts_event=record.ts_event,
            ts_recv=record.ts_recv,
            marks=marks,
        )
        changes.clear()
