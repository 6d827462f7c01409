"""The store in a node: it follows the feeds, and what it loses it says, closes and makes up for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from actors.market.feed_settings import FeedSettings
from actors.market.rebuild import rebuilt
from actors.market.rows import ROWS
from actors.market.store import specs
from actors.market.store_settings import StoreSettings
from actors.market.stored_messages import DeltaRecord, SnapshotRecord, delta_updates, snapshot_update
from protocols.control import Probe, ProbeReport, Refused, Row
from protocols.market import BookUpdate
from protocols.market_store import FlushStore, GetStoreStats
from runtime import KillChild, PauseChild, ResumeChild, supervisor
from runtime.log import NodeLog, open_log
from runtime.log_reader import LogReader
from tests.actors.market.kit import ALPHA, BETA, PATIENCE_S, Market, open_market
from tests.actors.market.stored import chains, events

SIM = FeedSettings(name="sim", venue="simulated")
STORE = "/keeping/store"
KINDS = {row.table: row for row in ROWS}


def stored(log: NodeLog) -> list[Row]:
    """All rows of market data in a log, in their order."""
    found: list[Row] = []
    reader = LogReader(log.directory)
    while logged := reader.read(1_000, 1 << 20):
        for row in logged:
            kind = KINDS.get(row.table.name)
            if kind is not None:
                found.append(kind(**dict(zip(row.table.columns, row.fields, strict=True))))
    return found


def check_chains(rows: list[Row]) -> dict[str, Any]:
    """Every chain is a whole book and unbroken changes; returns the last book of every market."""
    last = {}
    for (session, market), records in chains(rows).items():
        assert isinstance(records[0], SnapshotRecord), session
        updates: list[BookUpdate] = []
        sizes: dict[tuple[str, int], int] = {}
        for record in records:
            if isinstance(record, SnapshotRecord):
                updates = updates or [snapshot_update(record)]
                continue
            assert isinstance(record, DeltaRecord)
            key = (record.side, record.price)
            assert sizes.setdefault(key, record.old_size) == record.old_size
            sizes[key] = record.new_size
            updates += delta_updates([record])
        last[market] = rebuilt(market, updates).view()
    return last


@asynccontextmanager
async def market_with_store(
    tmp_path: Path, settings: StoreSettings | None = None, **options: Any
) -> AsyncIterator[tuple[Market, NodeLog]]:
    markets = {"sim": (ALPHA, BETA)}
    [store, _] = specs(settings or StoreSettings(), markets, {"sim": "ws://somewhere"}, "")
    log_options = {"segment_bytes": 256 << 10, "max_bytes": 64 << 20, "reserve_bytes": 0} | options
    with open_log(tmp_path / "log", **log_options) as log:
        async with open_market(tmp_path, SIM, beside=(supervisor("keeping", store),), log=log) as market:
            await market.state("live")
            await figure(market, "books stored", 2)
            yield market, log


async def report(market: Market) -> ProbeReport:
    with trio.fail_after(PATIENCE_S):
        while True:
            try:
                return await market.node.ref(STORE).ask(Probe())
            except Refused:
                # Its queue is full, as the test wants it.
                await trio.lowlevel.checkpoint()


async def figure(market: Market, name: str, at_least: int) -> ProbeReport:
    """Wait until a figure of the probe is there; the store asks for books once a second."""
    with trio.fail_after(PATIENCE_S):
        while True:
            found = await report(market)
            value = dict(found.figures)[name]
            assert isinstance(value, int)
            if value >= at_least:
                return found
            await trio.sleep(0.02)


async def same_as_keepers(market: Market, log: NodeLog) -> None:
    """What is stored ends with the books that the keepers have."""
    await report(market)  # asked after everything that was published, so all of that is stored
    last = check_chains(stored(log))
    for name in (ALPHA, BETA):
        kept = await market.book(name)
        assert (last[name].bids, last[name].asks, last[name].seq) == (kept.bids, kept.asks, kept.seq)


async def test_what_a_feed_publishes_is_stored_change_by_change(tmp_path: Path) -> None:
    async with market_with_store(tmp_path) as (market, log):
        await market.run(300)
        await same_as_keepers(market, log)
        rows = stored(log)
        opened = [each for each in events(rows) if each[0] == "opened"]
        assert sorted(each[2] for each in opened) == [ALPHA, BETA]
        assert (await report(market)).status == "ok"
        stats = await market.node.ref(STORE).ask(FlushStore())
        assert stats.healthy
        assert stats.sessions_open == 1
        kinds = {type(row).table for row in rows}
        assert {"rl_orderbook_deltas", "rl_orderbook_snapshots", "market_trades"} <= kinds
    # An orderly end closes the sessions.
    assert [each[::3] for each in events(stored(log))][-3:] == [
        ("ended", "stopped"),
        ("ended", "stopped"),
        ("closed", "stopped"),
    ]


@pytest.mark.parametrize("drop", ["newest", "oldest"])
async def test_a_queue_that_overflows_closes_the_sessions_and_the_keepers_books_begin_the_next(
    tmp_path: Path, drop: str
) -> None:
    settings = StoreSettings(queue=64, drop=drop, signals=False)  # type: ignore[arg-type]
    async with market_with_store(tmp_path, settings) as (market, log):
        keeping = market.node.ref("/keeping")
        await keeping.ask(PauseChild("store"))
        await market.run(200)
        await keeping.ask(ResumeChild("store"))
        found = await figure(market, "books stored", 2)
        assert found.status == "degraded"
        assert "queue of 64" in found.detail
        assert (await figure(market, "sessions overflowed", 1)).figures
        for _ in range(20):
            await market.run(1)
        await same_as_keepers(market, log)
        rows = stored(log)
        assert ("closed", "overflow") in [each[::3] for each in events(rows)]
        second = [each[1] for each in events(rows) if each[0] == "opened"][-1]
        assert second.partition("+")[2].count(".") == 2
        stats = await market.node.ref(STORE).ask(GetStoreStats())
        assert not stats.healthy
        assert stats.sessions_overflowed >= 1


async def test_a_store_that_dies_goes_on_in_sessions_of_its_own(tmp_path: Path) -> None:
    async with market_with_store(tmp_path) as (market, log):
        await market.run(50)
        await market.node.ref("/keeping").ask(KillChild("store"))
        with trio.fail_after(PATIENCE_S):
            while market.node.cells[STORE].count < 2:  # noqa: ASYNC110
                await trio.sleep(0.01)
        await figure(market, "books stored", 2)
        await market.run(50)
        await same_as_keepers(market, log)
        heard = events(stored(log))
        assert [each[3] for each in heard if each[0] == "started"] == ["killed", "restarted"]
        log_id = str(log.log_id)[:8]
        assert [each[1].partition("+")[2] for each in heard if each[0] == "opened"] == [log_id] * 2 + [
            f"{log_id}.2.1"
        ] * 2


async def test_a_full_log_ends_the_sessions_and_they_go_on_when_it_has_room(tmp_path: Path) -> None:
    settings = StoreSettings(queue=100_000)
    async with market_with_store(tmp_path, settings, segment_bytes=64 << 10, max_bytes=256 << 10) as (market, log):
        with trio.fail_after(PATIENCE_S):
            while (await report(market)).status == "ok":
                await market.run(100)
                await trio.lowlevel.checkpoint()
                if not dict((await report(market)).figures)["dropped"]:
                    continue
                with pytest.raises(Refused, match="takes no more"):
                    await market.node.ref(STORE).ask(FlushStore())
                break
        # The writer has come this far.
        reader = LogReader(log.directory)
        before: list[Row] = stored(log)
        reader.drop_segments(log.position - 1)
        await figure(market, "books stored", 2)
        await market.run(20)
        await report(market)
        last = check_chains([*before, *[row for row in stored(log) if row not in before]])
        for name in (ALPHA, BETA):
            kept = await market.book(name)
            assert (last[name].bids, last[name].asks, last[name].seq) == (kept.bids, kept.asks, kept.seq)
        assert ("closed", "overflow") in [each[::3] for each in events(stored(log))]
