"""Partitions come ahead of their day, and leave for an archive that can be replayed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import asyncpg
import pytest
import trio

from actors.market.archive import ReadReport, read_books
from actors.market.archive_command import market_archive
from actors.market.book import Book
from actors.market.retention import Retention
from actors.market.retention_job import CleanUpReport, RetentionPlan, clean_up
from actors.market.store_core import StoreCore
from actors.market.store_settings import StoreSettings
from actors.storage.capability import Settings
from actors.storage.queries import Queries
from protocols.control import Probe, Refused
from protocols.storage import DatabaseReady
from runtime import ChildSpec, NodeSettings, open_node, supervisor
from runtime.settings import Configuration
from tests.actors.databases import Databases
from tests.actors.market.stored import FOLDERS, RandomFeed, StoreDatabase

DAY = timedelta(days=1)
PATIENCE_S = 20.0


@pytest.fixture
def database(databases: Databases, tmp_path: Path) -> Iterator[StoreDatabase]:
    found = StoreDatabase(databases.new(FOLDERS), tmp_path)
    yield found
    found.log.close()


def run(database: StoreDatabase, now: datetime | None, archive: Path | str = "", **days: int) -> CleanUpReport:
    plan = RetentionPlan(
        url=database.url,
        days={**dict.fromkeys(StoreSettings().days(), 0), **days},
        days_ahead=3,
        archive=str(archive) if archive else "",
    )
    report = asyncio.run(clean_up(plan, now))
    assert report.faults == []
    return report


def partitions(database: StoreDatabase, table: str) -> list[str]:
    rows = database.fetch(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = $1::text::regclass", table
    )
    return sorted(name.removeprefix(table) for (name,) in rows)


def stored(database: StoreDatabase, feed: RandomFeed, steps: int) -> None:
    core = StoreCore(database.log.append, lambda: feed.ts, node=str(database.log.log_id), whole_after=60)
    core.start("killed")
    for market in feed.markets:
        core.update(feed.snapshot(market))
    for step in range(steps):
        market = feed.chance.choice(feed.markets)
        if step == steps // 2:
            feed.lost()
            core.stale(market, "gap")
            core.update(feed.snapshot(market))
        core.update(feed.delta(market))
    core.close("stopped")
    database.move()


def aged(database: StoreDatabase, days: int) -> None:
    """Move what is stored into the past, as if the database had got it then."""

    async def work() -> None:
        connection = await asyncpg.connect(database.url)
        for table in ("rl_orderbook_snapshots", "rl_orderbook_deltas"):
            await connection.execute(f"UPDATE {table} SET created_at = created_at - interval '{days} days'")
        await connection.execute(f"UPDATE rl_orderbook_sessions SET ended_at = now() - interval '{days} days'")
        await connection.close()

    asyncio.run(work())


def test_partitions_are_made_ahead_and_a_row_of_no_day_is_not_refused(database: StoreDatabase) -> None:
    now = datetime.now(UTC)
    run(database, now)
    expected = {"_default", *(f"_p{now + DAY * ahead:%Y%m%d}" for ahead in range(4))}
    assert expected <= set(partitions(database, "rl_orderbook_deltas"))
    assert run(database, now).made == 0

    feed = RandomFeed(Random(1), "KX-A", feed="far")
    stored(database, feed, 10)
    aged(database, 400)
    [(count,)] = database.fetch("SELECT count(*) FROM rl_orderbook_deltas_default")
    assert count > 0
    # The default partition has rows of that day, so they stay where they are, and nothing fails.
    assert run(database, now - 400 * DAY).made > 0
    report = run(database, now, rl_orderbook_deltas=30)
    assert report.deleted_rows >= count
    assert database.fetch("SELECT count(*) FROM rl_orderbook_deltas") == [(0,)]


def test_an_archived_day_gives_the_same_books(database: StoreDatabase, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    feed = RandomFeed(Random(2), "KX-A", "KX-B", "ETH-USD.COINBASE", feed="old")
    stored(database, feed, 900)
    archive = tmp_path / "archive"
    kept = dict.fromkeys(("rl_orderbook_snapshots", "rl_orderbook_deltas", "rl_orderbook_session_events"), 30)
    assert run(database, now + 20 * DAY, archive, **kept).removed == []
    report = run(database, now + 40 * DAY, archive, **kept)
    day = f"{now:%Y%m%d}"
    assert f"rl_orderbook_deltas_p{day}" in report.removed
    assert database.fetch("SELECT count(*) FROM rl_orderbook_deltas") == [(0,)]
    assert database.fetch("SELECT count(*) FROM rl_orderbook_sessions") == [(0,)]
    assert report.archived_rows > 900
    assert {file.name for file in (archive / "rl_orderbook_deltas").iterdir()} == {f"{day}.parquet"}

    found = ReadReport()
    books = {market: Book(market) for market in feed.markets}
    compared = 0
    for update in read_books(archive, report=found):
        book = books[update.market]
        book.set_phase("auction")
        book.apply(update)
        live = feed.views[update.market, update.session, update.seq]
        view = book.view()
        assert (view.bids, view.asks, view.ts_event, view.ts_recv) == (
            live.bids,
            live.asks,
            live.ts_event,
            live.ts_recv,
        )
        compared += 1
    assert found.orphans == 0
    assert compared == found.books + found.messages == 900 + 4
    one = list(read_books(archive, markets=["KX-B"]))
    assert {update.market for update in one} == {"KX-B"}
    with pytest.raises(FileNotFoundError):
        list(read_books(tmp_path / "nothing"))


def test_a_day_whose_session_began_the_day_before_is_read_from_its_first_whole_book(
    database: StoreDatabase, tmp_path: Path
) -> None:
    feed = RandomFeed(Random(3), "KX-A", feed="half")
    stored(database, feed, 200)

    async def cut() -> None:
        connection = await asyncpg.connect(database.url)
        await connection.execute("DELETE FROM rl_orderbook_snapshots WHERE kind = 'snapshot'")
        await connection.close()

    asyncio.run(cut())
    run(database, datetime.now(UTC) + 40 * DAY, tmp_path, rl_orderbook_snapshots=1, rl_orderbook_deltas=1)
    report = ReadReport()
    updates = list(read_books(tmp_path, report=report))
    assert updates[0].snapshot
    assert report.orphans > 0
    assert report.messages > 0
    book = Book("KX-A")
    book.set_phase("auction")
    for update in updates:
        book.apply(update)
    assert book.view().bids == feed.view("KX-A").bids


async def test_the_clean_up_runs_beside_the_node_and_says_what_it_did(database: StoreDatabase, tmp_path: Path) -> None:
    # Nothing has been made for today: the node was off for long.
    def emptied() -> None:
        async def work() -> None:
            connection = await asyncpg.connect(database.url)
            for name in partitions_of_deltas:
                await connection.execute(f"DROP TABLE {name}")
            await connection.close()

        asyncio.run(work())

    rows = await trio.to_thread.run_sync(partitions, database, "rl_orderbook_deltas")
    partitions_of_deltas = [f"rl_orderbook_deltas{name}" for name in rows if name != "_default"]
    await trio.to_thread.run_sync(emptied)
    retention = ChildSpec(
        name="retention", actor=Retention, arguments={"url": database.url, "days": StoreSettings().days()}
    )
    queries = ChildSpec(name="queries", actor=Queries, arguments={"url": database.url})
    children = (supervisor("storage", queries), supervisor("market", retention))
    async with open_node(NodeSettings(data_dir=str(tmp_path)), children=children) as node:
        node.publish(DatabaseReady())
        with trio.fail_after(PATIENCE_S):
            while not (report := await node.ref("/market/retention").ask(Probe())).figures:  # noqa: ASYNC110
                await trio.sleep(0.02)
    assert report.status == "ok"
    made = dict(report.figures)["partitions made"]
    assert isinstance(made, int)
    assert made >= 8


def test_the_command_exports_checks_and_cleans_up(database: StoreDatabase, tmp_path: Path) -> None:
    feed = RandomFeed(Random(4), "KX-A", "KX-B", feed="told")
    stored(database, feed, 120)
    configuration = Configuration(
        {
            "node": NodeSettings(data_dir=str(tmp_path)),
            "database": Settings(url=database.url),
            "store": StoreSettings(),
        },
        {},
    )
    folder = str(tmp_path / "exported")
    _, exported = market_archive(["export", folder], configuration)
    assert exported["archived_rows"] > 120
    assert exported["faults"] == []
    text, checked = market_archive(["check", folder], configuration)
    assert (checked["messages"] + checked["books"], checked["orphans"]) == (120 + 3, 0)
    assert "KX-B" in text
    _, cleaned = market_archive(["now", "--keep", "30", "--to", folder], configuration)
    assert (cleaned["removed"], cleaned["faults"]) == ([], [])
    with pytest.raises(Refused, match="at least one day"):
        market_archive(["now", "--keep", "0"], configuration)
    with pytest.raises(Refused, match="no archived books"):
        market_archive(["check", str(tmp_path / "nothing")], configuration)
