from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import asyncpg
import msgspec
import pytest

import actors.execution
from actors.execution.accounts.rows import (
    ROWS,
    ExecutionEquityRow,
    ExecutionFillRow,
    ExecutionJournalRow,
    ExecutionLedgerRow,
    ExecutionOrderRow,
    ExecutionSnapshotRow,
)
from actors.storage import schema
from actors.storage.mover import Mover, connect
from actors.storage.queries import Database
from protocols.control import Row
from protocols.nanos import exact_nanos
from protocols.orders import Order, OrderEvent, Why
from protocols.storage import RunQuery
from runtime.log_reader import LogReader
from tests.actors.databases import Databases
from tests.actors.execution.accounts.kit import Marked, account, instrument, n, order, trade
from tests.actors.storage.kit import call, fetch, small_log

R = TypeVar("R", bound=Row)
NUMERIC = frozenset({"notional", "realized", "amount", "equity", "cash", "unrealized", "peak", "day_start"})
MIGRATIONS = Path(actors.execution.__file__).parent / "migrations"


@pytest.fixture(scope="module")
def database(databases: Databases) -> str:
    return databases.new([schema.OWN, MIGRATIONS])


def moved(url: str, log: Path, rows: Sequence[Row]) -> list[str]:
    """Append rows and move them into the database; returns why any was refused."""

    async def run() -> list[str]:
        connection = await connect(url)
        try:
            reader = LogReader(log)
            assert reader.log_id is not None
            mover = Mover(connection, reader.log_id)
            reader.seek(await mover.begin())
            while found := reader.read(100, 1 << 20):
                await mover.move(found, reader.position, durable=False)
            return [str(refusal) for _, refusal in mover.rejected]
        finally:
            await connection.close()

    with small_log(log) as node_log:
        for row in rows:
            node_log.append(row)
        return asyncio.run(run())


def stored(url: str, kind: type[R]) -> tuple[R, ...]:
    async def run() -> tuple[R, ...]:
        reader = Database(url, 1)
        try:
            columns = ", ".join(kind.__struct_fields__)
            page = await reader.page(RunQuery(f"SELECT {columns} FROM {kind.table} ORDER BY stream, seq"))
            if kind in (ExecutionJournalRow, ExecutionSnapshotRow):
                return tuple(kind(*row) for row in page.rows)
            return page.into(kind)
        finally:
            reader.close()

    return asyncio.run(run())


def plain(row: Row) -> dict[str, object]:
    """The fields; money as nanos, as the database writes the digits in its own way; JSON as what it says."""
    fields: dict[str, object] = msgspec.structs.asdict(row)
    for name, value in fields.items():
        if isinstance(value, msgspec.Raw):
            fields[name] = msgspec.json.decode(value)
        elif name in NUMERIC:
            fields[name] = exact_nanos(str(value))
    return fields


def rows_of_a_day() -> dict[type[Row], tuple[Row, ...]]:
    owner = account({"X": Marked("100.5")}, instrument("X"), conversions={"BNB": "600"})
    owner.deposit(10**24, 1, reference="beyond 64 bits")
    fills = [
        trade(owner, "buy", 3, "99.123456789", fee="0.01", fee_currency="BNB", deployment="d", ts=5),
        trade(owner, "sell", 1, 101, fee="-0.5", deployment="d", ts=6),
    ]
    owner.sample(7)
    (sample,) = owner.curve.take_samples()
    made = order(deployment_id="d", signal_id="s", price=n(101), marks=("delayed",))
    states = ("submitted", "partially_filled")
    events = [
        OrderEvent(
            account="a",
            seq=number,
            kind="submitted" if fill is None else "filled",
            ts=number,
            order=Order(account="a", order=made, state="filled" if fill else "submitted", filled=0, ts_created=1),
            fill=fill,
        )
        for number, (fill, _) in enumerate(zip((None, fills[1]), states, strict=True), 1)
    ]
    return {
        ExecutionOrderRow: tuple(map(ExecutionOrderRow.of, events)),
        ExecutionFillRow: tuple(ExecutionFillRow.of(fill) for fill in fills if fill is not None),
        ExecutionLedgerRow: tuple(row for entry in owner.take_entries() for row in ExecutionLedgerRow.of("a", entry)),
        ExecutionEquityRow: (ExecutionEquityRow.of("a", 1, sample),),
        ExecutionJournalRow: (ExecutionJournalRow("execution_inputs:a", 1, 9, 2, b"\x00\xff"),),
        ExecutionSnapshotRow: (ExecutionSnapshotRow("execution_snapshots:a", 1, 9, 1, owner.snapshot()),),
    }


def test_rows_come_back_from_the_database_as_they_were(database: str, tmp_path: Path) -> None:
    rows = rows_of_a_day()
    assert set(rows) == set(ROWS)
    assert moved(database, tmp_path, [row for kind in rows.values() for row in kind]) == []
    for kind, expected in rows.items():
        assert list(map(plain, stored(database, kind))) == list(map(plain, expected))
    sums = fetch(database, "SELECT currency, sum(amount) FROM execution_ledger GROUP BY currency ORDER BY currency")
    assert sums == [("BNB", Decimal(0)), ("USD", Decimal(0))]
    (cash,) = fetch(
        database, "SELECT sum(amount) FROM execution_ledger WHERE ledger_account = 'cash' AND currency = 'USD'"
    )
    assert cash == (Decimal("1000000000009804.129629633"),)


def test_an_order_and_a_fill_can_be_read_from_their_rows() -> None:
    owner = account()
    fill = trade(owner, "buy", 3, 99, fee="0.01", deployment="d", marks=("synthetic",))
    assert fill is not None
    assert ExecutionFillRow.of(fill).fill() == fill
    assert fill.why == Why(model="venue")
    shown = Order(account="a", order=order(deployment_id="d"), state="accepted", ts_created=4)
    row = ExecutionOrderRow.of(OrderEvent(account="a", seq=1, kind="accepted", ts=5, order=shown))
    assert row.order() == shown


def test_postings_are_numbered_through() -> None:
    owner = account()
    trade(owner, "buy", 3, 99, fee="0.01")
    rows = [row for entry in owner.take_entries() for row in ExecutionLedgerRow.of("a", entry)]
    assert [row.seq for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row.entry for row in rows] == [1, 1, 2, 2, 2, 2]
    assert [row.amount for row in rows] == ["10000", "-10000", "-297", "297", "-0.01", "0.01"]


def test_the_tables_can_be_taken_down_and_made_again(database: str) -> None:
    async def again(connection: asyncpg.Connection) -> list[str]:
        await schema.downgrade(connection, [schema.OWN, MIGRATIONS], "execution@base")
        return await schema.upgrade(connection, [schema.OWN, MIGRATIONS])

    assert "execution_0001" in call(database, again)
