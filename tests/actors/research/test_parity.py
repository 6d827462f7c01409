"""Backtest and paper are one engine: the same recording gives the same orders, fills and ledger, to the byte."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio

import actors.signals.capability
import actors.strategies.capability
from actors.execution.account_settings import AccountSpec
from actors.execution.capability import Settings as ExecutionSettings
from actors.execution.capability import branch as execution_branch
from actors.execution.inputs import decode
from actors.market.capability import branch as market_branch
from actors.market.feed_settings import FeedSettings, VenueSettings
from actors.market.importers.opening import open_recording
from actors.market.replay import BeginReplay
from actors.research.backtest.opening import Opened
from actors.research.backtest.passes import LocalPasses
from actors.research.backtest.recorder import OrderLog
from actors.research.backtest.spec import BacktestSpec, spec_of
from actors.strategies.records import Entry
from protocols.control import Message
from protocols.execution import ListDeployments
from protocols.deployments import DEPLOYMENTS
from protocols.market import FeedStatus
from protocols.orders import Fill, OrderEvent
from runtime import Node, NodeSettings, open_node
from runtime.clock import VirtualClock
from runtime.log import open_log
from runtime.log_reader import LogReader
from runtime.quiescence import settled

SAMPLE = Path(__file__).parents[3] / "config" / "recordings" / "simulated-session.trec"
PATIENCE_S = 120.0
PARAMETERS = {
    "enter": 0.3,
    "exit": 0.1,
    "half_life_s": 0.5,
    "cooldown_s": 1.0,
    "min_evidence": 5,
    "min_confidence": 0.4,
}


def spec(**fields: Any) -> BacktestSpec:
    known: dict[str, Any] = {
        "strategy": {"name": "book_imbalance", "parameters": PARAMETERS},
        "data": [{"path": str(SAMPLE)}],
        "markets": ["SIM-ALPHA", "SIM-BETA"],
        "market": {"kind": "prediction", "tick": "0.01", "lot": "0.01", "maker_fee": "0", "taker_fee": "0.01"},
        "initial_capital": "10000",
        "opposite": "flip",
        "sizing": {"method": "fixed_amount", "amount": "20"},
    }
    return spec_of({**known, **fields})


def rows(folder: Path, table: str) -> list[dict[str, Any]]:
    """All rows of a table that are in a node's log."""
    reader = LogReader(folder)
    found = []
    while page := reader.read(4096, 8 << 20):
        found += [dict(zip(row.table.columns, row.fields, strict=True)) for row in page if row.table.name == table]
    reader.close()
    return found


@asynccontextmanager
async def paper(own: BacktestSpec, folder: Path) -> AsyncIterator[Node]:
    """A node with the real actors under a virtual clock; the recording is held."""
    recording = open_recording(SAMPLE)
    first = next(iter(recording)).ts
    recording.close()
    account = AccountSpec(
        engine=own.engine(),
        instruments=tuple(msgspec.to_builtins(own.instrument(market)) for market in own.markets),
    )
    children = (
        actors.signals.capability.branch(actors.signals.capability.Settings()),
        execution_branch(ExecutionSettings(), (account,), (own.deployment(),)),
        *actors.strategies.capability.branch(
            (
                Entry(
                    name=own.strategy.name,
                    strategy="book_imbalance",
                    markets=own.markets,
                    parameters=own.strategy.parameters,
                ),
            )
        ),
        market_branch((FeedSettings(name="past", venue="replay", file=str(SAMPLE)),), VenueSettings(rate=0), folder),
    )
    log = open_log(folder / "log")
    try:
        async with open_node(NodeSettings(data_dir=str(folder)), children, log=log, clock=VirtualClock(first)) as node:
            yield node
    finally:
        log.close()


async def played(node: Node) -> list[OrderEvent]:
    """Play the recording to its end; every order event, in order."""
    with trio.fail_after(PATIENCE_S):
        while not (await node.ref(DEPLOYMENTS).ask(ListDeployments(state="active"))).deployments:
            await trio.sleep(0.02)
        await settled(node)
        with node.open_tap((OrderEvent, None), (FeedStatus, None), path="test", capacity=1_000_000) as tap:
            node.ref("/market/past/session").tell(BeginReplay())
            heard: list[Message] = []
            while not any(isinstance(each, FeedStatus) and each.state == "ended" for each in heard):
                heard += await tap.receive()
            await settled(node)
            return [each for each in heard if isinstance(each, OrderEvent)]


async def test_backtest_and_paper_on_replay_give_the_same_orders_fills_and_ledger(tmp_path: Path) -> None:
    own = spec()
    with LocalPasses(Opened(own)) as passes:
        outcome = passes.run(own, None, None, keep_log=True)
    async with paper(own, tmp_path) as node:
        events = await played(node)
    log = OrderLog()
    for event in events:
        log.add(event)
    fills = [event.fill for event in events if isinstance(event.fill, Fill)]
    assert len(fills) > 20
    assert outcome.result.fills == len(fills)
    assert log.lines == outcome.log.lines
    assert log.sha256 == outcome.result.order_hash

    again = own.engine()
    from actors.execution.engine import Engine

    engine = Engine(again)
    derived = OrderLog()
    entries = []
    for row in rows(tmp_path / "log", "execution_journal"):
        for item in decode(row["payload"]):
            engine.handle(item.item, item.ts)
            for event in engine.take_events():
                derived.add(event)
            entries += engine.take_entries()
    assert derived.bytes() == log.bytes()
    stored = rows(tmp_path / "log", "execution_ledger")
    assert len(stored) == sum(len(entry.postings) for entry in entries)
