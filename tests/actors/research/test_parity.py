"""Backtest and paper are one engine: the same recording gives the same orders, fills and ledger, to the byte."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

import actors.signals.capability
import actors.strategies.capability
from actors.execution.account_settings import AccountSpec
from actors.execution.capability import Settings as ExecutionSettings
from actors.execution.capability import branch as execution_branch
from actors.execution.engine import Engine
from actors.execution.inputs import TakeSignal, decode
from actors.market.capability import branch as market_branch
from actors.market.feed_settings import FeedSettings, VenueSettings
from actors.market.importers.opening import open_recording
from actors.market.replay import BeginReplay
from actors.research.backtest.opening import Opened
from actors.research.backtest.passes import LocalPasses
from actors.research.backtest.recorder import OrderLog
from actors.research.backtest.single import Outcome
from actors.research.backtest.spec import BacktestSpec, spec_of
from actors.strategies.catalogue import make
from actors.strategies.records import Entry
from protocols.control import Message
from protocols.deployments import DEPLOYMENTS
from protocols.execution import ListDeployments, OrderByHand, account_actor
from protocols.market import FeedStatus, ListMarkets, MarketList, MarketSummary, Quote
from protocols.nanos import decimal_text
from protocols.orders import Fill, OrderEvent
from runtime import Actor, ChildSpec, Node, NodeSettings, StartChild, Tap, open_node, receive
from runtime.clock import VirtualClock
from runtime.log import open_log
from runtime.log_reader import LogReader
from runtime.quiescence import settled, virtual_moment
from tests.actors.strategies.sandbox_desk import OPEN, sandbox_desk
from tests.node.kit import until

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


def backtest(own: BacktestSpec) -> Outcome:
    with LocalPasses(Opened(own)) as passes:
        return passes.run(own, None, own.until, keep_log=True)


def rows(folder: Path, table: str) -> list[dict[str, Any]]:
    """All rows of a table that are in a node's log."""
    reader = LogReader(folder)
    found = []
    while page := reader.read(4096, 8 << 20):
        found += [dict(zip(row.table.columns, row.fields, strict=True)) for row in page if row.table.name == table]
    reader.close()
    return found


@asynccontextmanager
async def paper(own: BacktestSpec, folder: Path, speed: float = 0) -> AsyncIterator[tuple[Node, Tap]]:
    """A node with the real actors: under a virtual clock, where the recording is held, or at a speed, journaling."""
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
                    journal=speed > 0,
                ),
            )
        ),
    )
    feed = FeedSettings(name="past", venue="replay", file=str(SAMPLE), speed=speed)
    market = market_branch((feed,), VenueSettings(rate=0), folder)
    clock = VirtualClock(first) if not speed else None
    log = open_log(folder / "log")
    try:
        async with open_node(NodeSettings(data_dir=str(folder)), children, log=log, clock=clock) as node:
            with node.open_tap((OrderEvent, None), (FeedStatus, None), path="test", capacity=1_000_000) as tap:
                await node.ref("/").ask(StartChild(market), timeout=PATIENCE_S)
                yield node, tap
    finally:
        log.close()


async def played(node: Node, tap: Tap) -> list[OrderEvent]:
    """Every order event until the recording has ended, in order."""
    with trio.fail_after(PATIENCE_S):
        if isinstance(node.clock, VirtualClock):
            await deployed(node)
            node.ref("/market/past/session").tell(BeginReplay())
        found: list[Message] = []
        while not any(isinstance(each, FeedStatus) and each.state == "ended" for each in found):
            found += await tap.receive()
        await settled(node)
        return [each for each in found if isinstance(each, OrderEvent)] + await heard(tap)


async def test_backtest_and_paper_on_replay_give_the_same_orders_fills_and_ledger(tmp_path: Path) -> None:
    own = spec()
    outcome = await trio.to_thread.run_sync(backtest, own)
    async with paper(own, tmp_path) as (node, tap):
        events = await played(node, tap)
    log = OrderLog()
    for event in events:
        log.add(event)
    fills = [event.fill for event in events if isinstance(event.fill, Fill)]
    assert len(fills) > 20
    assert outcome.result.fills == len(fills)
    assert log.lines == outcome.log.lines
    assert log.sha256 == outcome.result.order_hash

    assert_derived(own, tmp_path, log)


@pytest.mark.parametrize("speed", [20, pytest.param(10, marks=pytest.mark.long)])
async def test_the_journals_of_a_fast_run_give_it_again(tmp_path: Path, speed: float) -> None:
    own = spec()
    log = OrderLog()
    async with paper(own, tmp_path, speed) as (node, tap):
        for event in await played(node, tap):
            log.add(event)
        await node.ref(account_actor(own.engine().account.account_id)).ask(OrderByHand(commands=()))
    assert log.count > 20
    assert_derived(own, tmp_path, log)

    # What the strategy was given gives what it answered, in the order in which the account took it.
    strategy: Any = make("book_imbalance", PARAMETERS, own.markets)
    given = [
        msgspec.msgpack.decode(row["payload"], type=Quote)
        for row in rows(tmp_path / "log", "journal")
        if row["kind"] == "Quote"
    ]
    answered = [(draft.market, draft.action, draft.confidence) for quote in given for draft in strategy.on_quote(quote)]
    items = [each.item for row in rows(tmp_path / "log", "execution_journal") for each in decode(row["payload"])]
    signals = [item.signal() for item in items if isinstance(item, TakeSignal)]
    taken = [(signal.symbol, signal.action, signal.confidence) for signal in signals]
    assert taken == answered[len(answered) - len(taken) :]


def assert_derived(own: BacktestSpec, folder: Path, log: OrderLog) -> None:
    """The journal alone gives the same orders again, and the ledger that is stored."""
    engine = Engine(own.engine())
    derived = OrderLog()
    ledger = []
    for row in rows(folder / "log", "execution_journal"):
        for item in decode(row["payload"]):
            engine.handle(item.item, item.ts)
            for event in engine.take_events():
                derived.add(event)
            for entry in engine.take_entries():
                ledger += [(entry.seq, each.account, decimal_text(each.amount)) for each in entry.postings]
    assert derived.lines == log.lines
    stored = rows(folder / "log", "execution_ledger")
    assert [(row["entry"], row["ledger_account"], row["amount"]) for row in stored] == ledger


BARS = Path(__file__).parents[3] / "config" / "samples" / "synthetic-1m.csv"
CROSS = """
from actors.strategies.sdk import BaseStrategy

class Cross(BaseStrategy):
    def on_bar(self, bar):
        fast, slow = self.data.sma("SYN", 5), self.data.sma("SYN", 20)
        if fast is None or slow is None:
            return
        if fast > slow:
            self.buy(stop_loss=bar.close * 0.99, take_profit=bar.close * 1.02)
        elif fast < slow:
            self.sell()
"""


LEANS = """
from actors.strategies.sdk import BaseStrategy

class Leans(BaseStrategy):
    def initialize(self):
        self.long = {}

    def on_bar(self, bar):
        pass

    def on_quote(self, quote):
        if quote.bid is None or quote.ask is None:
            return
        share = quote.bid_size / (quote.bid_size + quote.ask_size)
        if share > 0.8 and not self.long.get(quote.symbol):
            self.long[quote.symbol] = True
            self.buy(symbol=quote.symbol)
        elif share < 0.2 and self.long.get(quote.symbol):
            self.long[quote.symbol] = False
            self.close_long(symbol=quote.symbol)
"""


@pytest.mark.long
async def test_a_sandboxed_strategy_gives_the_same_orders_over_a_recording(tmp_path: Path) -> None:
    own = spec(strategy={"name": "leans", "code": LEANS, "timeframes": ("1m",), "settings": OPEN}, opposite="close")
    outcome = await trio.to_thread.run_sync(backtest, own)
    account = AccountSpec(
        engine=own.engine(), instruments=tuple(msgspec.to_builtins(own.instrument(market)) for market in own.markets)
    )
    execution = execution_branch(ExecutionSettings(), (account,), (own.deployment(),))
    feed = FeedSettings(name="past", venue="replay", file=str(SAMPLE))
    options = market_branch((feed,), VenueSettings(rate=0), tmp_path).supervisor
    assert options is not None
    market = tuple(child for child in options.children if child.name in ("index", "past", "decoder"))
    recording = open_recording(SAMPLE)
    clock = VirtualClock(next(iter(recording)).ts)
    recording.close()
    log = OrderLog()
    async with sandbox_desk(tmp_path, children=(execution,), market=market, clock=clock) as desk:
        await desk.write("leans", LEANS)
        await desk.start("leans", *own.markets)
        with desk.node.open_tap((OrderEvent, None), (FeedStatus, None), path="test", capacity=1_000_000) as tap:
            for event in await played(desk.node, tap):
                log.add(event)
    assert outcome.result.fills > 4
    assert log.lines == outcome.log.lines
    assert_derived(own, tmp_path, log)


class Index(Actor):
    """The market index of a node with one market that has no book."""

    @receive
    def list(self, request: ListMarkets) -> MarketList:
        return MarketList((MarketSummary("SYN", "tape", "", "active", None, ()),), ())


def bars_spec(**strategy: Any) -> BacktestSpec:
    return spec(
        strategy=strategy,
        data=[{"path": str(BARS), "market": "SYN", "interval": "1m"}],
        markets=["SYN"],
        market={"kind": "equity", "tick": "0.01", "lot": "1", "maker_fee": "0.0005", "taker_fee": "0.001"},
        fills={
            "slippage": {"model": "ticks", "ticks": 1},
            "latency": {"response": {"model": "constant", "ns": 5_000_000}},
        },
        sizing={"percentage": 0.2, "max_position_size": 0.5},
        leverage="2",
    )


@pytest.mark.parametrize("kind", ["trusted", "sandboxed"])
async def test_a_file_of_bars_gives_the_same_orders_in_a_backtest_and_on_paper(tmp_path: Path, kind: str) -> None:
    if kind == "trusted":
        parameters = {"fast": 5, "slow": 20, "interval": "1m"}
        own = bars_spec(name="moving_average_cross", parameters=parameters)
        entries: tuple[Entry, ...] = (
            Entry(
                name="moving_average_cross", strategy="moving_average_cross", markets=("SYN",), parameters=parameters
            ),
        )
    else:
        own = bars_spec(name="cross", code=CROSS, timeframes=("1m",), settings=OPEN)
        entries = ()
    opened = Opened(own)
    bars = [bar for source in opened.sources(None, None) for batch in source.batches() for bar in batch.messages][
        : 1000 if kind == "trusted" else 300
    ]
    own = msgspec.structs.replace(own, until=bars[-1].end)
    outcome = await trio.to_thread.run_sync(backtest, own)
    bars = [bar for bar in bars if bar.end < (own.until or 0)]

    account = AccountSpec(engine=own.engine(), instruments=(msgspec.to_builtins(own.instrument("SYN")),))
    execution = execution_branch(ExecutionSettings(), (account,), (own.deployment(),))
    clock = VirtualClock(bars[0].end)
    log = OrderLog()
    index = ChildSpec(name="index", actor=f"{__name__}:Index")
    async with sandbox_desk(tmp_path, *entries, children=(execution,), market=(index,), clock=clock) as desk:
        node = desk.node
        if kind == "sandboxed":
            await desk.write("cross", CROSS)
            await desk.start("cross", "SYN")
        with trio.fail_after(PATIENCE_S):
            await deployed(node)
            with node.open_tap((OrderEvent, None), path="orders", capacity=1_000_000) as tap:
                for bar in bars:
                    await virtual_moment(node, clock, bar.end, partial(say, node, bar))
                # A run ends with its data: what is told behind the last bar is told to nobody.
                await virtual_moment(node, clock, bars[-1].end, nothing)
                for event in await heard(tap):
                    log.add(event)
    assert outcome.result.fills > (20 if kind == "trusted" else 3)
    assert log.lines == outcome.log.lines
    assert_derived(own, tmp_path, log)


async def heard(tap: Tap) -> list[OrderEvent]:
    """Everything that a tap has by now."""
    found: list[OrderEvent] = []
    while True:
        with trio.move_on_after(0.05) as scope:
            found += [each for each in await tap.receive() if isinstance(each, OrderEvent)]
        if scope.cancelled_caught:
            return found


async def deployed(node: Node) -> None:
    """Wait until the deployment is active, and all is quiet."""

    async def active() -> bool:
        return bool((await node.ref(DEPLOYMENTS).ask(ListDeployments(state="active"))).deployments)

    await until(active, "the deployment")
    await settled(node)


async def say(node: Node, message: Message) -> None:
    node.publish(message)


async def nothing() -> None:
    """Only time passes."""
