"""The clean-up of stored market data: partitions for the coming days, and an end for what is no longer kept.

Run as `python -m actors.market.retention_job` by the actor in `retention.py`, with a `RetentionPlan` in its environment
and a pipe for its `CleanUpReport` as standard output: a process, because an archive of a day is minutes of work.

What is removed leaves in this order: its rows are written to the archive (if there is one) and are on the disk; then
its partition is detached and dropped. Locks are waited for shortly, and tried again by the next run: the writer waits
behind us meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import asyncpg
import msgspec

from actors.market.archive import export

VARIABLE: Final = "TROUPE_RETENTION"
LOCK_S: Final = 2
MONTHLY: Final = frozenset({"market_bars", "instruments"})
"""Tables with few rows: their partitions are months."""
BOOK_TABLE: Final = "rl_orderbook_deltas"
ALONE: Final = 0x7472_6F75_7066
"""The advisory lock (any fixed number) under which one node at a time cleans up."""

_PARTITIONS: Final = """
    SELECT child.relname FROM pg_inherits
    JOIN pg_class AS child ON child.oid = inhrelid
    WHERE inhparent = $1::text::regclass AND child.relname ~ '_p[0-9]{8}$' ORDER BY 1
"""


class RetentionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done."""

    url: str
    days: dict[str, int]
    """For how many days each partitioned table is kept; 0: for ever."""
    days_ahead: int = 7
    archive: str = ""
    """The folder of the archive; empty: what is no longer kept is deleted."""


class CleanUpReport(msgspec.Struct, kw_only=True):
    """What was done."""

    made: int = 0
    """New partitions."""
    removed: list[str] = msgspec.field(default_factory=list)
    """Partitions that were dropped."""
    archived_rows: int = 0
    archived_bytes: int = 0
    deleted_rows: int = 0
    """Rows outside of any partition of a day, and sessions."""
    faults: list[str] = msgspec.field(default_factory=list)
    """What did not work; the next run tries again."""


async def clean_up(plan: RetentionPlan, now: datetime | None = None) -> CleanUpReport:
    """Do all of it. `now`: as if it were then. Raises OSError and asyncpg's errors if there is no database."""
    report = CleanUpReport()
    connection = await asyncpg.connect(
        plan.url, timeout=5.0, server_settings={"application_name": "troupe retention", "lock_timeout": f"{LOCK_S}s"}
    )
    try:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", ALONE):
            report.faults.append("another node is cleaning up")
            return report
        at = now or await connection.fetchval("SELECT now()")
        for table, days in plan.days.items():
            try:
                await _make_ahead(connection, table, at, plan.days_ahead, report)
                if days:
                    await _remove_old(connection, table, _midnight(at) - timedelta(days=days), plan.archive, report)
            except (asyncpg.PostgresError, OSError) as error:
                report.faults.append(f"{table}: {type(error).__name__}: {error}")
        if days := plan.days.get(BOOK_TABLE, 0):
            await _remove_sessions(connection, _midnight(at) - timedelta(days=days), report)
    finally:
        connection.terminate()
    return report


async def export_all(plan: RetentionPlan) -> CleanUpReport:
    """Write all that is stored to the plan's archive, and remove nothing. Raises OSError and asyncpg's errors."""
    report = CleanUpReport()
    connection = await asyncpg.connect(plan.url, timeout=5.0, server_settings={"application_name": "troupe archive"})
    try:
        for table in plan.days:
            folder = Path(plan.archive) / table
            for (partition,) in await connection.fetch(_PARTITIONS, table):
                await _archive(connection, partition, folder / f"{partition[-8:]}.parquet", report)
            rest = f"{table}_default"
            oldest = await connection.fetchval(f"SELECT min(created_at) FROM {rest}")  # noqa: S608
            if oldest is not None:
                await _archive(connection, rest, folder / f"{oldest.astimezone(UTC):%Y%m%d}-default.parquet", report)
    finally:
        connection.terminate()
    return report


async def _make_ahead(
    connection: asyncpg.Connection, table: str, at: datetime, days: int, report: CleanUpReport
) -> None:
    """Make the partitions of today and the coming days, each in a transaction of its own: its lock is short."""
    step = "1 month" if table in MONTHLY else "1 day"
    for day in range(days + 1):
        begin = at + timedelta(days=day)
        report.made += await connection.fetchval(
            "SELECT market_make_partitions($1, $2::text::interval, $3, $3::timestamptz + interval '1 second')",
            table, step, begin,
        )  # fmt: skip


async def _remove_old(
    connection: asyncpg.Connection, table: str, horizon: datetime, archive: str, report: CleanUpReport
) -> None:
    for (partition,) in await connection.fetch(_PARTITIONS, table):
        day = partition[-8:]
        if _end_of(table, day) > horizon:
            continue
        if archive:
            await _archive(connection, partition, Path(archive) / table / f"{day}.parquet", report)
        async with connection.transaction():
            await connection.execute(f"ALTER TABLE {table} DETACH PARTITION {partition}")
            await connection.execute(f"DROP TABLE {partition}")
        report.removed.append(partition)
    rest, before = f"{table}_default", "WHERE created_at < $1"
    # What came while there was no partition for its day.
    oldest = await connection.fetchval(f"SELECT min(created_at) FROM {rest} {before}", horizon)  # noqa: S608
    if oldest is None:
        return
    if archive:
        file = Path(archive) / table / f"{oldest.astimezone(UTC):%Y%m%d}-{horizon:%Y%m%d}.parquet"
        await _archive(connection, rest, file, report, before, horizon)
    deleted = await connection.execute(f"DELETE FROM {rest} {before}", horizon)  # noqa: S608
    report.deleted_rows += int(deleted.rpartition(" ")[2])


async def _archive(
    connection: asyncpg.Connection, table: str, file: Path, report: CleanUpReport, where: str = "", *arguments: object
) -> None:
    rows = await export(connection, table, file, where, arguments)
    report.archived_rows += rows
    report.archived_bytes += _kept_bytes(file, rows)


def _kept_bytes(file: Path, rows: int) -> int:
    """The size of an archived file; one without rows is not kept."""
    if rows:
        return file.stat().st_size
    file.unlink()
    return 0


async def _remove_sessions(connection: asyncpg.Connection, horizon: datetime, report: CleanUpReport) -> None:
    """Forget sessions none of whose rows is kept."""
    async with connection.transaction():
        deleted = await connection.execute(
            "DELETE FROM rl_orderbook_sessions WHERE status <> 'active' AND ended_at < $1", horizon
        )
        await connection.execute(
            "DELETE FROM rl_orderbook_session_markets AS held WHERE NOT EXISTS"
            " (SELECT FROM rl_orderbook_sessions AS session WHERE session.session_id = held.session_id)"
        )
    report.deleted_rows += int(deleted.rpartition(" ")[2])


def _midnight(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _end_of(table: str, day: str) -> datetime:
    begin = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
    if table in MONTHLY:
        return (begin + timedelta(days=32)).replace(day=1)
    return begin + timedelta(days=1)


def main() -> None:
    """Clean up once, and report."""
    plan = msgspec.json.decode(os.environ[VARIABLE], type=RetentionPlan)
    try:
        report = asyncio.run(clean_up(plan))
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        report = CleanUpReport(faults=[f"{type(error).__name__}: {error}"])
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")


if __name__ == "__main__":
    main()
