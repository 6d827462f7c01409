"""Moving rows into a real database: every row once, in order, the refused ones beside."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from actors.storage.mover import Mover, PositionMoved, connect
from protocols.control import Row
from runtime.log_reader import LogReader
from tests.actors.storage.kit import Document, Late, Lost, Part, Tick, fetch, small_log


def move(url: str, log: Path, rows: Sequence[Row], batch: int = 1000) -> list[str]:
    """Append `rows` and move the whole log; returns the codes of what was refused."""
    with small_log(log) as node_log:
        for row in rows:
            node_log.append(row)
        return with_mover(url, log, lambda mover, reader: drain(mover, reader, batch))


def with_mover(url: str, log: Path, work: Callable[[Mover, LogReader], Awaitable[list[str]]]) -> list[str]:
    async def run() -> list[str]:
        connection = await connect(url)
        try:
            reader = LogReader(log)
            assert reader.log_id is not None
            mover = Mover(connection, reader.log_id)
            reader.seek(await mover.begin())
            return await work(mover, reader)
        finally:
            await connection.close()

    return asyncio.run(run())


async def drain(mover: Mover, reader: LogReader, batch: int) -> list[str]:
    while rows := reader.read(batch, 1 << 20):
        await mover.move(rows, reader.position, durable=False)
    return [refusal.code for _, refusal in mover.rejected]


def end_of(log: Path) -> int:
    reader = LogReader(log)
    while reader.read(1000, 1 << 20):
        pass
    return reader.position


def test_rows_arrive_in_order_with_the_position_behind_them(database: str, tmp_path: Path) -> None:
    assert move(database, tmp_path, [Tick(n) for n in range(2500)]) == []
    assert fetch(database, "SELECT n FROM ticks ORDER BY id") == [(n,) for n in range(2500)]
    assert fetch(database, "SELECT position FROM write_position") == [(end_of(tmp_path),)]


def test_moving_goes_on_where_it_ended(database: str, tmp_path: Path) -> None:
    move(database, tmp_path, [Tick(n) for n in range(10)])
    move(database, tmp_path, [Tick(n) for n in range(10, 20)])
    assert fetch(database, "SELECT n FROM ticks ORDER BY id") == [(n,) for n in range(20)]


def test_every_type_of_column_arrives(database: str, tmp_path: Path) -> None:
    at = datetime(2026, 7, 1, 12, tzinfo=UTC)
    rows = [
        Document(1, msgspec.Raw(b'{"a": [1, null]}'), (Part(1), Part(2)), ("x", "y"), Decimal("1.50"), at),
        Document(2),
        Tick(3, "ü", None, 0.1, b"\0\xff"),
    ]
    assert move(database, tmp_path, rows) == []
    assert fetch(database, "SELECT n, body::text, parts::text, tags, amount, at FROM documents ORDER BY n") == [
        (1, '{"a": [1, null]}', '[{"x":1},{"x":2}]', ["x", "y"], Decimal("1.50"), at),
        (2, None, "[]", [], None, None),
    ]
    assert fetch(database, "SELECT market, price, ratio, raw FROM ticks") == [("ü", None, 0.1, b"\0\xff")]


REFUSED = [
    pytest.param(Tick(7, "nul \0 byte"), "22021", id="text with a NUL"),
    pytest.param(Tick(3), "23505", id="a key that is there already"),
    pytest.param(Tick(7, None), "23502", id="a null where none may be"),  # type: ignore[arg-type]
    pytest.param(Tick(7, "A", 1 << 40), "client", id="a number that does not fit"),
    pytest.param(Tick(7, 7), "client", id="a value of another type"),  # type: ignore[arg-type]
    pytest.param(Document(7, msgspec.Raw(b"{")), "22P02", id="broken JSON"),
    pytest.param(Lost(7), "42P01", id="a table that does not exist"),
]


@pytest.mark.parametrize(("row", "code"), REFUSED)
def test_a_row_that_the_database_refuses_is_kept_with_the_reason_and_the_others_arrive(
    row: Row, code: str, database: str, tmp_path: Path
) -> None:
    rows: list[Row] = [Tick(n) for n in range(100)]
    rows[60:60] = [Document(1), row, Document(2)]
    found = move(database, tmp_path, rows)
    assert found == [code]
    assert fetch(database, "SELECT n FROM ticks ORDER BY id") == [(n,) for n in range(100)]
    assert fetch(database, "SELECT n FROM documents ORDER BY n") == [(1,), (2,)]
    [(table, error_code, shown, exact)] = fetch(
        database, "SELECT table_name, error_code, row::text, fields FROM rejected_rows"
    )
    assert (table, error_code) == (row.table, code)
    assert msgspec.json.decode(shown).keys() == set(row.__struct_fields__)
    assert msgspec.msgpack.decode(exact)[0] == row.n  # type: ignore[attr-defined]


def test_many_refused_rows_of_several_tables_are_all_found(database: str, tmp_path: Path) -> None:
    rows: list[Row] = []
    for n in range(300):
        rows += [Tick(n), Tick(n), Lost(n), Document(n, msgspec.Raw(b"1" if n % 3 else b"?"))]
    found = move(database, tmp_path, rows)
    assert sorted(found) == ["22P02"] * 100 + ["23505"] * 300 + ["42P01"] * 300
    assert fetch(database, "SELECT n FROM ticks ORDER BY id") == [(n,) for n in range(300)]
    assert fetch(database, "SELECT count(*) FROM documents") == [(200,)]
    assert fetch(database, "SELECT count(*), count(DISTINCT position) FROM rejected_rows") == [(700, 700)]


def test_a_row_that_only_the_commit_refuses_is_found_too(database: str, tmp_path: Path) -> None:
    assert move(database, tmp_path, [Late(1), Tick(1), Late(2), Late(1), Late(3)]) == ["23505"]
    assert fetch(database, "SELECT n FROM late ORDER BY n") == [(1,), (2,), (3,)]
    assert fetch(database, "SELECT n FROM ticks") == [(1,)]


def test_two_writers_of_one_log_cannot_store_a_row_twice(database: str, tmp_path: Path) -> None:
    with small_log(tmp_path) as log:
        for n in range(10):
            log.append(Tick(n))

        async def both(mover: Mover, reader: LogReader) -> list[str]:
            rows = reader.read(100, 1 << 20)
            connection = await connect(database)
            other = Mover(connection, log.log_id)
            await other.begin()
            await other.move(rows[:4], rows[3].end, durable=True)
            await connection.close()
            with pytest.raises(PositionMoved):
                await mover.check()
            with pytest.raises(PositionMoved):
                await mover.move(rows, reader.position, durable=False)
            reader.seek(await mover.begin())
            return await drain(mover, reader, 100)

        with_mover(database, tmp_path, both)
    assert fetch(database, "SELECT n FROM ticks ORDER BY id") == [(n,) for n in range(10)]


def test_logs_of_several_nodes_share_a_database(database: str, tmp_path: Path) -> None:
    move(database, tmp_path / "one", [Tick(n) for n in range(5)])
    move(database, tmp_path / "two", [Tick(n) for n in range(5, 9)])
    assert fetch(database, "SELECT count(*) FROM write_position") == [(2,)]
    assert fetch(database, "SELECT count(*) FROM ticks") == [(9,)]
