"""Market data that is no longer kept in the database: compressed Parquet, which can be replayed.

    <archive>/rl_orderbook_deltas/20261120.parquet
    <archive>/rl_orderbook_snapshots/20261120.parquet

A file holds the rows that the database got on one day (or month), in their order, with their own columns; levels as
JSON are left out, as they follow from the packed ones. `read_books` gives the messages again that made the books. Each
day begins with whole books, so a day can be read by itself: the little that comes before those is left out and counted.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from actors.market.stored_messages import DeltaRecord, SnapshotRecord, delta_updates, snapshot_update
from protocols.market import BookUpdate

if TYPE_CHECKING:
    import asyncpg

SNAPSHOTS: Final = "rl_orderbook_snapshots"
DELTAS: Final = "rl_orderbook_deltas"
BATCH: Final = 20_000
Chain = tuple[str, str]
"""A market and a stored session."""
COMPRESSION: Final = "zstd"

_COLUMNS: Final = """
    SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
    WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped
        AND NOT (attgenerated <> '' AND format_type(atttypid, NULL) = 'jsonb')
    ORDER BY attnum
"""


async def export(
    connection: asyncpg.Connection, table: str, file: Path, where: str = "", arguments: Sequence[object] = ()
) -> int:
    """Write the rows of a table or partition to `file`, which appears when it is whole. Returns how many.

    Runs in one transaction that sees the table as it is at the start. Raises OSError and asyncpg's errors.
    """
    import pyarrow as pa
    from pyarrow import parquet

    columns = [(str(name), str(kind)) for name, kind in await connection.fetch(_COLUMNS, table)]
    schema = pa.schema([(name, _type_of(kind, pa)) for name, kind in columns])
    names = ", ".join(f"{name}::text" if kind == "numeric" else name for name, kind in columns)
    query = f"SELECT {names} FROM {table} {where} ORDER BY id"  # noqa: S608 - names of ours
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    rows = 0
    try:
        with parquet.ParquetWriter(scratch, schema, compression=COMPRESSION) as writer:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                cursor = await connection.cursor(query, *arguments)
                while records := await cursor.fetch(BATCH):
                    arrays = [
                        pa.array([record[index] for record in records], schema.field(index).type)
                        for index in range(len(columns))
                    ]
                    writer.write_batch(pa.record_batch(arrays, schema=schema))
                    rows += len(records)
        with scratch.open("rb") as written:
            os.fsync(written.fileno())
        scratch.rename(file)
    finally:
        scratch.unlink(missing_ok=True)
    return rows


def _type_of(kind: str, pa: Any) -> Any:
    """The Arrow type of a PostgreSQL type; sums of sizes are text, as they outgrow every integer."""
    known = {
        "bigint": pa.int64(),
        "integer": pa.int32(),
        "boolean": pa.bool_(),
        "bytea": pa.binary(),
        "timestamp with time zone": pa.timestamp("us", tz="UTC"),
        "text[]": pa.list_(pa.string()),
    }
    return known.get(kind, pa.string())


class ReadReport(msgspec.Struct):
    """What reading an archive came to."""

    books: int = 0
    """Whole books given."""
    messages: int = 0
    orphans: int = 0
    """Messages before the first whole book of their session in these files: it is in an earlier one."""
    markets: Counter[str] = msgspec.field(default_factory=Counter)


def read_books(
    archive: Path, days: Sequence[str] = (), markets: Sequence[str] = (), report: ReadReport | None = None
) -> Iterator[BookUpdate]:
    """The messages of the archived books, in the order in which they were stored.

    `days` ("20261120") and `markets` restrict it; empty: all. The first message of every stored session of a market is
    a whole book. Raises FileNotFoundError where there is no archive of books, BrokenChain for rows that lack others.
    """
    report = report or ReadReport()
    wholes = _first_wholes(_files(archive / SNAPSHOTS, days), markets)
    # Each at the end, to be taken off there.
    ahead = sorted(wholes.values(), key=lambda whole: whole.ts_recv, reverse=True)
    current: dict[Chain, int] = {}

    def begin(whole: SnapshotRecord) -> BookUpdate:
        current[whole.market_ticker, whole.session_id] = whole.sequence_number
        report.books += 1
        report.markets[whole.market_ticker] += 1
        return snapshot_update(whole)

    for rows in _messages(_files(archive / DELTAS, days, missing_ok=True), markets):
        first = rows[0]
        chain = (first.market_ticker, first.session_id)
        while ahead and ahead[-1].ts_recv < first.ts_recv:
            whole = ahead.pop()
            if (whole.market_ticker, whole.session_id) not in current:
                yield begin(whole)
        own = wholes.get(chain)
        if own is None or first.sequence_number <= own.sequence_number:
            report.orphans += 1
            continue
        if chain not in current:
            yield begin(own)
        for update in delta_updates(rows, tuple(own.marks)):
            report.messages += 1
            report.markets[update.market] += 1
            yield update
    while ahead:
        whole = ahead.pop()
        if (whole.market_ticker, whole.session_id) not in current:
            yield begin(whole)


def _files(folder: Path, days: Sequence[str], *, missing_ok: bool = False) -> list[Path]:
    files = sorted(folder.glob("[0-9]*.parquet"))
    if not files and not missing_ok:
        raise FileNotFoundError(f"no archived books in {folder}")
    return [file for file in files if not days or file.name[:8] in days]


def _rows(files: Iterable[Path], columns: Sequence[str], markets: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    from pyarrow import parquet

    wanted = set(markets)
    for file in files:
        with parquet.ParquetFile(file) as opened:
            for batch in opened.iter_batches(BATCH, columns=list(columns)):
                lists = [batch.column(name).to_pylist() for name in columns]
                for row in zip(*lists, strict=True):
                    if not wanted or row[0] in wanted:
                        yield row


def _first_wholes(files: Sequence[Path], markets: Sequence[str]) -> dict[Chain, SnapshotRecord]:
    """The first whole book of every session of a market: from there on its messages are complete."""
    found: dict[Chain, SnapshotRecord] = {}
    for row in _rows(files, SnapshotRecord._fields, markets):
        record = SnapshotRecord(*row)
        found.setdefault((record.market_ticker, record.session_id), record)
    return found


def _messages(files: Sequence[Path], markets: Sequence[str]) -> Iterator[list[DeltaRecord]]:
    """The rows of each message; an unfinished one, which a killed node left, is left out."""
    open_rows: dict[Chain, list[DeltaRecord]] = {}
    for row in _rows(files, DeltaRecord._fields, markets):
        record = DeltaRecord(*row)
        key = (record.market_ticker, record.session_id)
        rows = open_rows.get(key)
        if rows is None:
            if record.remaining == 0:
                yield [record]
            else:
                open_rows[key] = [record]
            continue
        rows.append(record)
        if record.remaining == 0:
            del open_rows[key]
            yield rows
