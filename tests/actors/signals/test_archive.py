"""With a database: what the hub no longer remembers is read there, by actors, clients and over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

import actors.storage.capability
from actors.signals.analytics import settle
from actors.signals.capability import Settings, migrations
from protocols.control import Probe, Refused
from protocols.paths import HUB, QUERIES
from protocols.signals import (
    GetLatestSignals,
    GetSignal,
    MarketConditions,
    ReadSignals,
    ReadSignalUpdates,
    Signal,
    Span,
    UpdateSignal,
)
from protocols.storage import RunQuery
from runtime import ChildSpec
from runtime.clock import Clock, VirtualClock
from tests.actors.signals.samples import NOW, SECOND, signal
from tests.actors.signals.stage import LIMIT_S, Desk, desk
from tests.actors.storage.kit import afetch
from tests.http_client import http_client

RICH = {
    "metadata": msgspec.Raw(b'{"note":  "kept as it is", "big": 12345678901234567890}'),
    "market_conditions": MarketConditions(trend="up", volatility=0.25, support_level=-5),
    "marks": ("demo", "synthetic"),
    "current_price": 740_000_001,
    "deployment_id": "d1",
}


def storage(url: str) -> ChildSpec:
    assert migrations is not None
    writer = ChildSpec(
        name="writer",
        actor="actors.storage.writer:Writer",
        arguments={
            "url": url,
            "migrations": [actors.storage.capability.OWN_MIGRATIONS, migrations],
            "migrate": False,
            "batch_rows": 5_000,
            "batch_bytes": 4 << 20,
        },
    )
    queries = ChildSpec(name="queries", actor="actors.storage.queries:Queries", arguments={"url": url})
    return actors.storage.capability.supervisor("storage", writer, queries)


@asynccontextmanager
async def archived(
    folder: Path, url: str, signals: list[Signal], clock: Clock | None = None, **settings: Any
) -> AsyncIterator[Desk]:
    """A desk whose signals are all in the database, and whose hub remembers few of them."""
    changed = Settings(**{"history": 3, "frames": 2, **settings})
    async with desk(folder, changed, storage(url), clock=clock) as at:
        await at.submit(signals)
        await moved(at, "signals", len(signals))
        yield at


async def moved(at: Desk, table: str, count: int) -> None:
    queries = at.node.ref(QUERIES)
    with trio.fail_after(LIMIT_S):
        while True:
            found = await queries.ask(RunQuery(f"SELECT count(*) FROM {table}"))
            if found.rows == ((count,),):
                return


async def test_a_page_from_the_database_is_what_was_submitted(tmp_path: Path, database: str) -> None:
    signals = [signal(number, **(RICH if number % 2 else {})) for number in range(1, 8)]
    async with archived(tmp_path, database, signals) as at:
        hub = at.node.ref(HUB)
        page = await hub.ask(ReadSignals(2))
        assert [each.signal for each in page.signals] == signals[1:4]
        assert (page.next_seq, page.last_seq, page.missing) == (5, 7, ())
        assert [each.signal for each in (await hub.ask(ReadSignals(5))).signals] == signals[4:]
        assert (await hub.ask(GetSignal("sig_1"))).signal == signals[0]
        with pytest.raises(Refused, match="not_found"):
            await hub.ask(GetSignal("sig_99"))


async def test_a_client_resumes_from_the_database_and_is_told_what_it_does_not_hold(
    tmp_path: Path, database: str
) -> None:
    signals = [signal(number, "AB"[number % 2]) for number in range(1, 601)]
    async with archived(tmp_path, database, signals) as at:
        await afetch(database, "WITH gone AS (DELETE FROM signals WHERE seq IN (10, 11, 590) RETURNING 1) SELECT 1")
        page = await at.node.ref(HUB).ask(ReadSignals(9, 3))
        assert page.missing == (Span(10, 11),)
        async with at.client("*", resume_from=1) as client:
            seqs = await client.signals(597)
            assert seqs == [seq for seq in range(1, 601) if seq not in (10, 11, 590)]
            resumed = await client.next()
            assert resumed["missing"] == [{"from": 10, "to": 11}, {"from": 590, "to": 590}]
            assert (resumed["from"], resumed["to"], resumed["count"]) == (1, 600, 597)
            await at.submit([signal(601)])
            assert await client.signals(1) == [601]


async def test_latest_signals_come_from_memory_and_database_as_one(tmp_path: Path, database: str) -> None:
    async with archived(tmp_path, database, [signal(number, "AB"[number % 2]) for number in range(1, 13)]) as at:
        hub = at.node.ref(HUB)
        assert [each.seq for each in (await hub.ask(GetLatestSignals("A", 4))).signals] == [12, 10, 8, 6]
        assert [each.seq for each in (await hub.ask(GetLatestSignals("A", 100))).signals] == [12, 10, 8, 6, 4, 2]


async def test_an_archived_signal_is_updated_and_shows_it(tmp_path: Path, database: str) -> None:
    async with archived(tmp_path, database, [signal(number) for number in range(1, 8)]) as at:
        hub = at.node.ref(HUB)
        executed = UpdateSignal(signal_id="sig_1", status="executed", execution_price=SECOND, fill_rate=1.0)
        assert (await hub.ask(executed)).seq == 1
        await moved(at, "signal_updates", 1)
        assert (await hub.ask(GetSignal("sig_1"))).status == "executed"
        assert (await hub.ask(executed)).repeated
        with pytest.raises(Refused, match="conflict"):
            await hub.ask(UpdateSignal(signal_id="sig_1", status="cancelled"))
        with pytest.raises(Refused, match="not_found"):
            await hub.ask(UpdateSignal(signal_id="sig_99", status="active"))


async def test_http_lists_filters_and_shows_signals(tmp_path: Path, database: str) -> None:
    signals = [
        signal(1, "A", confidence=0.5, **RICH),
        signal(2, "B", action="SELL", ts_created=NOW + 60 * SECOND),
        signal(3, "A", strategy_id="other", confidence=0.9, ts_created=NOW + 120 * SECOND),
        signal(4, "B"),
        signal(5, "C"),
    ]
    async with archived(tmp_path, database, signals) as at, http_client() as http:
        await at.node.ref(HUB).ask(UpdateSignal(signal_id="sig_4", status="cancelled"))
        await moved(at, "signal_updates", 1)

        async def answer(path: str) -> Any:
            return (await http.get(f"http://127.0.0.1:{at.port}/api/signals/{path}")).json()

        async def ids(query: str) -> list[str]:
            return [each["signal_id"] for each in (await answer(f"list?{query}"))["signals"]]

        whole = await answer("list?limit=2&offset=1")
        assert [each["signal_id"] for each in whole["signals"]] == ["sig_4", "sig_3"]
        assert (whole["total_count"], whole["limit"], whole["offset"]) == (5, 2, 1)
        assert await ids("symbols=A,C") == ["sig_5", "sig_3", "sig_1"]
        assert await ids("strategy_ids=other") == ["sig_3"]
        assert await ids("actions=sell") == ["sig_2"]
        assert await ids("status=cancelled") == ["sig_4"]
        assert await ids("status=pending,active&symbols=B") == ["sig_2"]
        assert await ids("min_confidence=0.8") == ["sig_3"]
        assert await ids("from_date=2025-06-15T15:07:00&to_date=2025-06-15T15:08:00Z") == ["sig_2"]
        assert (await answer("list?symbols=A"))["filters_applied"] == {"symbols": "A"}
        assert (await answer("list?actions=DANCE"))["error"]["field"] == "actions"
        assert (await answer("list?from_date=yesterday"))["error"]["field"] == "from_date"
        one = await answer("sig_1")
        assert one["current_price"] == 0.740000001
        assert one["market_conditions"]["support_level"] == -5e-9
        assert one["marks"] == ["demo", "synthetic"]
        assert [each["signal_id"] for each in await answer("latest/A?limit=1")] == ["sig_3"]
        assert (await http.get(f"http://127.0.0.1:{at.port}/api/signals/none")).status_code == 404


async def test_a_database_that_is_ahead_of_the_log_is_reported(tmp_path: Path, database: str) -> None:
    async with archived(tmp_path / "old", database, [signal(number) for number in range(1, 6)]):
        pass
    async with desk(tmp_path / "new", None, storage(database)) as at:
        with trio.fail_after(LIMIT_S):
            while (report := await at.node.ref(HUB).ask(Probe())).status == "ok":
                await trio.lowlevel.checkpoint()
        assert "up to 5" in report.detail


async def test_after_a_restart_of_the_node_the_whole_history_is_there(tmp_path: Path, database: str) -> None:
    async with archived(tmp_path, database, [signal(number) for number in range(1, 41)]):
        pass
    async with desk(tmp_path, Settings(history=10), storage(database)) as at, at.client("*", resume_from=1) as client:
        await at.submit([signal(41)])
        assert await client.signals(41) == list(range(1, 42))


async def test_a_page_of_updates_comes_from_the_database_and_says_what_it_lacks(tmp_path: Path, database: str) -> None:
    async with archived(tmp_path, database, [signal(number, "AB"[number % 2]) for number in range(1, 8)]) as at:
        hub = at.node.ref(HUB)
        for number in range(1, 8):
            await hub.ask(UpdateSignal(signal_id=f"sig_{number}", status="active", decision_id=f"d{number}"))
        await moved(at, "signal_updates", 7)
        await afetch(database, "WITH gone AS (DELETE FROM signal_updates WHERE seq = 2 RETURNING 1) SELECT 1")
        page = await hub.ask(ReadSignalUpdates(1))
        assert [(each.seq, each.symbol, each.update.decision_id) for each in page.updates] == [
            (1, "B", "d1"),
            (3, "B", "d3"),
            (4, "A", "d4"),
        ]
        assert (page.next_seq, page.last_seq, page.missing) == (5, 7, (Span(2, 2),))
        assert [each.seq for each in (await hub.ask(ReadSignalUpdates(5))).updates] == [5, 6, 7]


HOUR = 3600 * SECOND


async def test_after_a_restart_open_signals_that_are_only_in_the_database_expire_and_old_ones_do_not(
    tmp_path: Path, database: str
) -> None:
    clock = VirtualClock(NOW)
    old = [signal(number, ts_expires=NOW + SECOND) for number in range(1, 6)]
    async with archived(tmp_path, database, old, clock=clock) as at:
        clock.advance(2 * HOUR)
        await moved(at, "signal_updates", 5)
        # As if an earlier version had stored these signals: nothing says that they have expired.
        await afetch(database, "WITH gone AS (DELETE FROM signal_updates WHERE seq < 4 RETURNING 1) SELECT 1")
        big = msgspec.Raw(msgspec.json.encode({"text": "x" * 16_000}))
        await at.submit(
            [signal(number, ts_expires=NOW + 3 * HOUR + number, metadata=big) for number in range(6, 156)],
        )
        await moved(at, "signals", 155)
        hub = at.node.ref(HUB)
        for number, status in ((6, "executed"), (7, "cancelled"), (8, "active")):
            await hub.ask(UpdateSignal(signal_id=f"sig_{number}", status=status))  # type: ignore[arg-type]
    async with desk(tmp_path, Settings(history=3), storage(database), clock=VirtualClock(NOW + 4 * HOUR)) as at:
        # Two of the first five, three changes, and 148 that were open: those in the log's end and the others.
        await moved(at, "signal_updates", 153)
        rows = await afetch(database, "SELECT signal_id, count(*), max(status) FROM signal_updates GROUP BY signal_id")
        found = {signal_id: (count, status) for signal_id, count, status in rows}
        assert (found["sig_6"], found["sig_7"], found["sig_8"]) == ((1, "executed"), (1, "cancelled"), (2, "expired"))
        assert all(found[f"sig_{number}"] == (1, "expired") for number in range(9, 156))
        assert set(found).isdisjoint({"sig_1", "sig_2", "sig_3"})
        assert (await at.node.ref(HUB).ask(GetSignal("sig_8"))).status == "expired"


class Places:
    """A log that is so far."""

    def __init__(self, **places: int) -> None:
        self.places = places

    def last_seq(self, stream: str) -> int:
        return self.places.get(stream, 0)


async def test_what_the_database_does_not_get_in_time_is_counted(tmp_path: Path, database: str) -> None:
    async with archived(tmp_path, database, [signal(number) for number in range(1, 8)]) as at:
        queries = at.node.ref(QUERIES)
        assert await settle(at.node.require_log(), queries) == 0
        assert await settle(Places(signals=10, signal_updates=2), queries, 0) == 5
        assert await settle(Places(), queries, 0) == 0


async def test_what_is_neither_remembered_nor_in_the_database_yet_is_not_said_to_be_unknown(tmp_path: Path) -> None:
    async with desk(tmp_path, Settings(history=2)) as at:
        await at.submit([signal(number) for number in range(1, 5)])
        for request in (GetSignal("sig_1"), UpdateSignal(signal_id="sig_1", status="active")):
            with pytest.raises(Refused) as refused:
                await at.node.ref(HUB).ask(request)  # type: ignore[arg-type]
            assert refused.value.code == "unavailable"
