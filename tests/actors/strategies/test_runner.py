from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio

import actors.edge.capability
import actors.market.bar_builder
import actors.signals.capability
from actors.edge.edge import GetEdgeAddress
from actors.strategies import capability
from actors.strategies.records import Entry
from actors.strategies.status import ROSTER, ListStrategies, StrategyStatus
from protocols.control import ActorEvent, Probe
from protocols.market import Trade
from protocols.market_data import BARS, GetBars
from protocols.paths import EDGE, HUB, STRATEGIES
from protocols.signals import ReadSignals, SignalStored, StoredSignal
from runtime import ChildSpec, KillChild, Node, NodeSettings, RestartChild, Tap, TerminateChild, open_node, supervisor
from runtime.log import open_log
from tests.actors.strategies.quotes import NOW, quote
from tests.http_client import http_client

ECHO = "tests.actors.strategies.samples:Echo"
LIMIT_S = 15.0


class Desk:
    """A node with strategies and a hub."""

    def __init__(self, node: Node, tap: Tap) -> None:
        self.node = node
        self.tap = tap

    async def signals(self, count: int) -> list[StoredSignal]:
        """All stored signals, once there are `count`."""
        with trio.fail_after(LIMIT_S):
            while True:
                page = await self.node.ref(HUB).ask(ReadSignals(1))
                if page.last_seq >= count:
                    return list(page.signals)
                await self.tap.receive()

    async def status(self, name: str) -> StrategyStatus:
        [found] = (await self.node.ref(ROSTER).ask(ListStrategies(name))).strategies
        return found

    async def kill(self, path: str) -> None:
        parent, _, name = path.rpartition("/")
        await self.node.ref(parent or "/").ask(KillChild(name))


def echo(name: str = "echo", **changes: Any) -> Entry:
    return Entry(**{"name": name, "strategy": ECHO, "markets": ("A",), "exchange": "kalshi", **changes})


@asynccontextmanager
async def desk(folder: Path, *strategies: Entry, edge: bool = False, bars: bool = False) -> AsyncIterator[Desk]:
    children = [
        actors.signals.capability.branch(actors.signals.capability.Settings()),
        *capability.branch(strategies),
    ]
    if bars:
        builder = actors.market.bar_builder.specs(actors.market.bar_builder.BarSettings(intervals=("1h",), grace_ms=0))
        children.insert(0, supervisor("market", *builder))
    if edge:
        settings = actors.edge.capability.Settings(port=0)
        arguments = {"settings": settings, "routes": ("actors.strategies.capability:routes",)}
        children.append(ChildSpec(name="edge", actor="actors.edge.edge:Edge", arguments=arguments))
    log = open_log(folder / "log", segment_bytes=1 << 20, max_bytes=1 << 26, reserve_bytes=0)
    try:
        async with open_node(NodeSettings(data_dir=str(folder)), tuple(children), log=log) as node:
            await node.ref(ROSTER).ask(ListStrategies())  # all have started
            with node.open_tap((SignalStored, None), (ActorEvent, None)) as tap:
                yield Desk(node, tap)
    finally:
        log.close()


async def test_a_signal_is_stored_with_its_cause_and_the_marks_of_its_quotes(tmp_path: Path) -> None:
    async with desk(tmp_path, echo(parameters={"confidence": 0.25})) as at:
        at.node.publish(quote(1, seq=5, marks=("synthetic",)))
        at.node.publish(quote(1, market="B"))
        at.node.publish(quote(2, seq=6))
        first, second = (each.signal for each in await at.signals(2))
        assert (first.symbol, first.confidence, first.strategy_version) == ("A", 0.25, "7")
        assert (first.source_seq, second.source_seq) == (5, 6)
        assert first.marks == second.marks == ("synthetic",)
        assert first.ts_event == quote(1).ts_event
        found = await at.status("echo")
        assert (found.status, found.signals_generated, found.error_count) == ("active", 2, 0)


async def test_a_strategy_that_names_no_market_takes_all_and_one_that_handles_trades_gets_them(tmp_path: Path) -> None:
    async with desk(tmp_path, echo(markets=())) as at:
        at.node.publish(quote(1, market="B"))
        at.node.publish(Trade("C", 500_000_000, 1, "buy", "t1", "s", 9, NOW, NOW))
        assert [each.signal.symbol for each in await at.signals(3)] == ["B", "C", "C"]
        assert len({each.signal.signal_id for each in await at.signals(3)}) == 3


async def test_a_strategy_that_names_intervals_has_its_bars_built_and_gets_each_once_of_one_source(
    tmp_path: Path,
) -> None:
    at_five = echo(strategy="tests.actors.strategies.samples:BarEcho")
    async with desk(tmp_path, at_five, bars=True) as at:
        # Whether it has asked: then trades make bars of five minutes, which the builder does not make by itself.
        builder = at.node.ref(BARS)
        with trio.fail_after(LIMIT_S):
            while not (await builder.ask(GetBars("A", "5m"))).bars:
                await builder.ask(GetBars("A", "5m"))
                for minute in (0, 6):
                    trade_ts = NOW + minute * 60_000_000_000
                    at.node.publish(Trade("A", 500_000_000, 1, "buy", f"{minute}", "s", 9, trade_ts, trade_ts))
        [built] = (await builder.ask(GetBars("A", "5m"))).bars
        at.node.publish(built)
        at.node.publish(msgspec.structs.replace(built, source="venue", start=built.end, end=built.end + 1))
        at.node.publish(msgspec.structs.replace(built, interval="1m"))
        later = msgspec.structs.replace(built, start=built.end, end=2 * built.end - built.start, ts_recv=built.end)
        at.node.publish(later)
        signals = [each.signal for each in await at.signals(2)]
        assert [(each.ts_event, each.ts_recv) for each in signals] == [
            (built.end, built.ts_recv),
            (later.end, later.ts_recv),
        ]
        assert (await at.status("echo")).signals_generated == 2


async def test_while_the_hub_is_away_signals_wait_and_each_is_stored_once_in_order(tmp_path: Path) -> None:
    async with desk(tmp_path, echo()) as at:
        at.node.publish(quote(0, seq=1))
        await at.signals(1)
        signals = at.node.ref("/signals")
        await signals.ask(TerminateChild("hub"))
        for seq in range(2, 6):
            at.node.publish(quote(0, seq=seq))
        while dict((await at.status("echo")).figures)["submit_retries"] == 0:
            await trio.lowlevel.checkpoint()
        await signals.ask(RestartChild("hub"))
        assert [each.signal.source_seq for each in await at.signals(5)] == [1, 2, 3, 4, 5]


async def test_killing_hub_and_strategy_again_and_again_stores_no_signal_twice(tmp_path: Path) -> None:
    async with desk(tmp_path, echo()) as at:
        for seq in range(1, 201):
            at.node.publish(quote(0, seq=seq))
            if seq in (50, 100):
                await at.kill(HUB)
            if seq == 150:
                await at.signals(150)
                await at.kill(f"{STRATEGIES}/echo/runner")
                await started(at, f"{STRATEGIES}/echo/runner")
        stored = await at.signals(200)
        assert [each.seq for each in stored] == list(range(1, 201))
        assert [each.signal.source_seq for each in stored] == list(range(1, 201))
        found = await at.status("echo")
        assert (found.status, found.error_count) == ("active", 1)
        assert found.last_error.startswith("killed")


async def started(at: Desk, path: str) -> None:
    with trio.fail_after(LIMIT_S):
        while True:
            for message in await at.tap.receive():
                if isinstance(message, ActorEvent) and (message.path, message.event) == (path, "started"):
                    return


async def test_a_strategy_that_crashes_again_and_again_ends_alone_with_status_error(tmp_path: Path) -> None:
    async with desk(tmp_path, echo("bad"), echo("good", markets=("B",))) as at:
        for seq in range(1, 8):
            # Equal ones would be quarantined.
            thirteen = msgspec.structs.replace(quote(0, mid_cents=14, seq=seq), bid=130_000_000)
            at.node.publish(thirteen)
        with trio.fail_after(LIMIT_S):
            while (await at.status("bad")).status != "error":
                await at.tap.receive()
        at.node.publish(quote(0, market="B"))
        assert [each.signal.strategy_id for each in await at.signals(1)] == ["good"]
        found = await at.status("bad")
        assert "thirteen" in found.last_error
        assert found.error_count == 6
        report = await at.node.ref(ROSTER).ask(Probe())
        assert (report.status, report.ready) == ("degraded", True)
        assert "bad" in report.detail


async def test_a_strategy_that_cannot_start_is_an_error_of_its_own(tmp_path: Path) -> None:
    broken = echo("broken", strategy="tests.actors.strategies.samples:Broken")
    async with desk(tmp_path, broken, echo("good")) as at:
        assert (await at.status("broken")).status == "error"
        assert "broken" in (await at.status("broken")).last_error
        assert (await at.status("good")).status == "active"


async def test_when_the_parent_of_all_strategies_is_killed_they_are_started_again(tmp_path: Path) -> None:
    async with desk(tmp_path, echo()) as at:
        await at.kill(STRATEGIES)
        await started(at, f"{STRATEGIES}/echo/runner")
        at.node.publish(quote(1))
        assert len(await at.signals(1)) == 1


async def test_lost_quotes_are_told_to_the_strategy_and_counted(tmp_path: Path) -> None:
    async with desk(tmp_path, echo()) as at:
        for seq in range(9_000):  # without a turn of the loop: the inbox holds 8192
            at.node.publish(quote(0, market="A", seq=seq))
        # A runner with so much to do may not answer in the time that a listing has.
        while not (found := await at.status("echo")).figures:  # noqa: ASYNC110 - asked for, as anybody would
            await trio.sleep(0.01)
        assert found.error_count >= 1
        assert "were lost" in found.last_error or "given up" in found.last_error
        assert dict(found.figures)["gaps"] == 1


async def test_http_lists_strategies_in_the_inherited_shape(tmp_path: Path) -> None:
    async with desk(tmp_path, echo(), edge=True) as at:
        at.node.publish(quote(1, market="A"))
        await at.signals(1)
        address = await at.node.ref(EDGE).ask(GetEdgeAddress())
        async with http_client(base_url=address.url()) as client:
            [shown] = (await client.get("/api/strategies/active/list")).json()
            assert (await client.get("/api/strategies/echo/status")).json() == shown
            missing = await client.get("/api/strategies/none/status")
        inherited = {
            "execution_id", "strategy_id", "status", "started_at", "last_execution", "signals_generated",
            "error_count", "last_error",
        }  # fmt: skip
        assert inherited <= set(shown)
        assert (shown["strategy_id"], shown["status"], shown["signals_generated"]) == ("echo", "active", 1)
        assert shown["last_execution"] > shown["started_at"]
        assert (missing.status_code, missing.json()["error"]["field"]) == (404, "strategy_id")
