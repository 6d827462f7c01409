"""A node with one paper account on a market of its own, for `benchmarks.execution`; quotes are published by hand."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import msgspec
import trio

import actors.execution.capability as execution
import actors.signals.capability as signals
from actors.execution.account_settings import AccountSpec
from actors.execution.account_tree import account_branch
from actors.execution.accounts.settings import AccountSettings
from actors.execution.deployments import DeploymentSettings
from actors.execution.engine import Engine
from actors.execution.engine_state import EngineSettings
from actors.execution.inputs import EngineInput, Opened
from actors.node import run as run_node
from actors.node import sections
from actors.storage.embedded import server_url
from benchmarks.database import MIGRATIONS, until_ready
from benchmarks.harness import Sample, quantiles
from protocols.control import Refused, Unknown
from protocols.execution import ApplyDeployment, GetAccount, OrderByHand, account_actor
from protocols.instruments import Instrument, PriceRange
from protocols.market import ListMarkets, MarketList, MarketSummary, Quote
from protocols.nanos import NANO
from protocols.orders import NewOrder, OrderEvent, SubmitOrders
from protocols.paths import HUB, QUERIES
from protocols.signals import ExecutionParams, ReadSignals, Signal, SubmitSignal
from protocols.storage import RunQuery
from runtime import Actor, ActorRef, ChildSpec, Node, NodeSettings, open_node, receive, supervisor
from runtime.collector import GarbageCollector
from runtime.log import NodeLog, open_log
from runtime.settings import load

MARKET: Final = "X"
ACCOUNT: Final = "bench"
ORDER_EVERY: Final = 20
"""One input of so many is an order."""
AT_ONCE: Final = 1_000
WAIT_S: Final = 60.0
CENT: Final = NANO // 100

INSTRUMENT: Final = Instrument(
    market=MARKET,
    symbol=MARKET,
    venue="bench",
    kind="equity",
    currency="USD",
    price_ranges=(PriceRange(0, 10**6 * NANO, CENT),),
    lot=NANO,
    maker_fee="0.0002",
    taker_fee="0.0005",
    status="open",
)
SETTINGS: Final = EngineSettings(
    account=AccountSettings(account_id=ACCOUNT, initial_capital="10000000", kind="margin", leverage="5")
)
SPEC: Final = AccountSpec(
    engine=SETTINGS,
    markets=(MARKET,),
    instruments=(msgspec.to_builtins(INSTRUMENT),),
    snapshot_inputs=10**9,
    flush_s=0.2,
)


class Index(Actor):
    """Says of the one market that somebody has its quotes."""

    @receive
    def listed(self, request: ListMarkets) -> MarketList:
        """The market."""
        return MarketList((MarketSummary(MARKET, "bench", "", "active", None, ()),), ())


class Run(Actor):
    """A strategy's run that gives signals and no orders: it takes nothing that an account says."""


def children(folder: Path) -> tuple[ChildSpec, ...]:
    """Database, hub, index and account."""
    postgres, url = str(folder / "postgres"), server_url(folder / "postgres")
    migrations = [*MIGRATIONS, str(execution.migrations)]
    return (
        supervisor(
            "storage",
            ChildSpec(name="postgres", actor="actors.storage.postgres:Postgres", arguments={"folder": postgres}),
            ChildSpec(
                name="writer", actor="actors.storage.writer:Writer", arguments={"url": url, "migrations": migrations}
            ),
            ChildSpec(name="queries", actor="actors.storage.queries:Queries", arguments={"url": url}),
        ),
        signals.branch(signals.Settings()),
        supervisor("market", ChildSpec(name="index", actor="benchmarks.execution_node:Index")),
        supervisor("strategies", supervisor("s", ChildSpec(name="runner", actor="benchmarks.execution_node:Run"))),
        supervisor("execution", supervisor("accounts", account_branch(SPEC, SPEC.snapshot_inputs, live=False))),
    )


def quote(number: int, ts: int) -> Quote:
    """The `number`-th one: a walk of a cent at a time in a dollar."""
    middle = 10_000 + abs(number % 200 - 100)
    size = (900 + number % 7) * NANO  # the same size again would still be what was taken from
    return Quote(MARKET, (middle - 1) * CENT, size, (middle + 1) * CENT, size, "s", number + 1, ts, ts)


def order(number: int) -> NewOrder:
    """The `number`-th one, filled at once: to buy and to sell by turns."""
    side = "buy" if number % 2 == 0 else "sell"
    return NewOrder(client_order_id=f"o{number}", market=MARKET, side=side, kind="market", size=10 * NANO)  # type: ignore[arg-type]


def inputs(count: int) -> Iterator[tuple[EngineInput, int]]:
    """Inputs of an account, each with its time."""
    ts = 1_700_000_000 * NANO
    yield Opened(), ts
    yield INSTRUMENT, ts
    for number in range(count):
        ts += NANO // 100
        yield (quote(number, ts) if number % ORDER_EVERY else SubmitOrders((order(number // ORDER_EVERY),))), ts


def engine_alone(count: int) -> Sample:
    """Inputs and orders a second of the engine without a node; each order is filled."""
    made = list(inputs(count))
    engine = Engine(SETTINGS)
    fills = 0
    began = time.perf_counter()
    for item, ts in made:
        engine.handle(item, ts)
        if engine.has_news():
            fills += sum(event.kind == "filled" for event in engine.take_events())
            engine.take_entries()
    took = time.perf_counter() - began
    orders = [pair for pair in made if isinstance(pair[0], SubmitOrders)]
    if fills < len(orders) - 1:  # the first one has no price yet
        raise RuntimeError(f"{len(orders)} orders had {fills} fills")
    return {"inputs/s": count / took, "orders/s": len(orders) / took}


def _run(folder: str, work: Callable[[Node, NodeLog], Any]) -> None:
    async def main() -> None:
        place = Path(folder)
        with open_log(place / "log") as log, GarbageCollector() as collector:
            async with open_node(NodeSettings(data_dir=folder), children(place), log=log) as node:
                collector.freeze()
                await work(node, log)

    Path(folder).chmod(0o755)
    trio.run(main)


async def _trading(node: Node) -> tuple[ActorRef, Any]:
    """The account and how it stands, once it trades."""
    account = node.ref(account_actor(ACCOUNT))
    with trio.fail_after(WAIT_S):
        while True:
            try:
                view = await account.ask(GetAccount(), WAIT_S)
            except (Refused, Unknown):
                await trio.sleep(0.002)
                continue
            if view.state == "trading":
                return account, view
            await trio.sleep(0.002)


async def _following(node: Node, account: ActorRef) -> None:
    """Wait until quotes reach the account."""
    view = await account.ask(GetAccount(), WAIT_S)
    with trio.fail_after(WAIT_S):
        while (await account.ask(GetAccount(), WAIT_S)).inputs < view.inputs + 2:
            node.publish(quote(0, node.clock.now()))
            await trio.sleep(0.01)


def fill_journal(announce: Callable[[dict[str, Any]], None], folder: str, count: int) -> None:
    """Give the account so many inputs, say when all that came of them is in the database, and wait to be killed."""

    async def work(node: Node, log: NodeLog) -> None:
        await until_ready(node)
        account, _ = await _trading(node)
        await _following(node, account)
        for number in range(count):
            if number % ORDER_EVERY:
                node.publish(quote(number, node.clock.now()))
            else:
                await account.ask(OrderByHand(commands=(SubmitOrders((order(number // ORDER_EVERY),)),)), WAIT_S)
        view = await account.ask(GetAccount(), WAIT_S)
        await trio.sleep(2 * SPEC.flush_s)
        with trio.fail_after(WAIT_S):
            while (await until_ready(node))["position"] < log.position:  # noqa: ASYNC110 - the writer says when
                await trio.sleep(0.05)
        announce({"inputs": view.inputs, "fills": view.fills})
        await trio.sleep_forever()

    _run(folder, work)


def recovered(folder: str, began: float) -> Sample:
    """Start on what a killed node has left: seconds from the database, and from the start of the process (`began`)."""
    found: Sample = {}

    async def work(node: Node, log: NodeLog) -> None:
        up: list[float] = []

        async def database() -> None:
            while True:
                with suppress(Refused, Unknown):
                    await node.ref(QUERIES).ask(RunQuery("SELECT 1", (), 1), WAIT_S)
                    up.append(time.time())
                    return
                await trio.sleep(0.005)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(database)
            _, view = await _trading(node)
        trading = time.time()
        found.update(
            {
                "from database": max(0.0, trading - up[0]),
                "from start": trading - began,
                "recovered": float(view.recovered),
                "fills": float(view.fills),
            }
        )

    _run(folder, work)
    return found


def latencies(seconds: float, rate: float) -> Sample:
    """Signals at random moments (Poisson) among 200 quotes a second: milliseconds from stored to the fill being told.

    And orders by hand, one after the other: milliseconds until they are taken, filled and journaled.
    """
    found: Sample = {}

    async def work(node: Node, log: NodeLog) -> None:
        await until_ready(node)
        account, _ = await _trading(node)
        await _following(node, account)
        settings = DeploymentSettings(deployment_id="d", strategy_id="s", account=ACCOUNT, markets=(MARKET,))
        await account.ask(ApplyDeployment(settings=msgspec.Raw(msgspec.json.encode(settings)), state="active"), WAIT_S)
        told: dict[str, int] = {}
        chance = random.Random(7)

        async def listen() -> None:
            with node.open_tap((OrderEvent, ACCOUNT), capacity=100_000) as tap:
                while True:
                    for event in await tap.receive():
                        if isinstance(event, OrderEvent) and event.kind == "filled" and event.order.order.signal_id:
                            told.setdefault(event.order.order.signal_id, node.clock.now())

        async def market() -> None:
            number = 0
            while True:
                number += 1
                node.publish(quote(number, node.clock.now()))
                await trio.sleep(0.005)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            nursery.start_soon(market)
            await trio.sleep(0.2)
            sent, end = 0, trio.current_time() + seconds
            while trio.current_time() < end:
                await node.ref(HUB).ask(SubmitSignal(_signal(sent, node.clock.now())), WAIT_S)
                sent += 1
                await trio.sleep(chance.expovariate(rate))
            await trio.sleep(0.5)
            taken: list[float] = []
            for number in range(max(20, round(100 * seconds))):
                began = time.perf_counter()
                await account.ask(OrderByHand(commands=(SubmitOrders((order(number),)),)), WAIT_S)
                taken.append((time.perf_counter() - began) * 1e3)
            nursery.cancel_scope.cancel()
        ages = []
        place = 1
        while True:
            page = await node.ref(HUB).ask(ReadSignals(place), WAIT_S)
            ages += [
                (told[each.signal.signal_id] - each.ts_stored) / 1e6
                for each in page.signals
                if each.signal.signal_id in told
            ]
            place = page.next_seq
            if place > page.last_seq:
                break
        if len(ages) < 0.98 * sent:
            raise RuntimeError(f"{sent} signals had {len(ages)} fills")
        found["signal p50"], found["signal p99"] = quantiles(ages, 0.5, 0.99)
        found["order p50"], found["order p99"] = quantiles(taken, 0.5, 0.99)

    with tempfile.TemporaryDirectory() as folder:
        _run(folder, work)
    return found


def _signal(number: int, now: int) -> Signal:
    """To buy, and to close what was bought, by turns."""
    return Signal(
        signal_id=f"b{number}",
        ts_created=now,
        ts_expires=now + 60 * NANO,
        strategy_id="s",
        strategy_source="bench",
        symbol=MARKET,
        exchange="bench",
        action="BUY" if number % 2 == 0 else "CLOSE_LONG",
        confidence=0.9,
        execution_params=ExecutionParams(quantity=10 * NANO),
    )


CONFIGURATION: Final = """\
[node]
data_dir = "{folder}/data"

[edge]
port = {port}

[venue]
rate = 100.0

[[feeds]]
name = "demo"
venue = "simulated"

[[accounts]]
[accounts.engine.account]
account_id = "bench"
initial_capital = "1000000000"
kind = "margin"
leverage = "5"
"""
SIMULATED: Final = "SIM-ALPHA"


def served(folder: str, port: int) -> int:
    """A node as `bin/troupe run` runs it, with the simulated venue and the account, until SIGTERM."""
    file = Path(folder) / "bench.toml"
    file.write_text(CONFIGURATION.format(folder=folder, port=port), encoding="utf-8")
    return run_node(load(file, sections()))


def orders_over_http(folder: str, port: int, seconds: float) -> Sample:
    """One client with one connection that orders again as soon as it is answered: milliseconds for an order."""
    token = Path(folder) / "data" / "token"
    deadline = time.monotonic() + WAIT_S
    place = f"/api/v1/accounts/{ACCOUNT}"
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
        try:
            headers = {"authorization": f"Bearer {token.read_text().strip()}", "content-type": "application/json"}
            connection.request("GET", place, headers=headers)
            answer = connection.getresponse()
            if answer.status == 200 and msgspec.json.decode(answer.read())["state"] == "trading":
                break
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"no account after {WAIT_S:g} s")
        connection.close()
        time.sleep(0.05)
    taken: list[float] = []
    filled = number = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end or not filled:
        number += 1
        order = {"symbol": SIMULATED, "side": "buy" if number % 2 else "sell", "quantity": "1"}
        began = time.perf_counter()
        connection.request("POST", f"{place}/orders", msgspec.json.encode(order), headers)
        answer = connection.getresponse()
        said = answer.read()
        took = (time.perf_counter() - began) * 1e3
        if answer.status == 404 and not taken and time.monotonic() < deadline:  # the venue has not told of its markets
            end = time.monotonic() + seconds
            continue
        if answer.status != 201:
            raise RuntimeError(f"{answer.status}: {said[:300]!r}")
        taken.append(took)
        filled += msgspec.json.decode(said)["order"]["state"] == "filled"
        if time.monotonic() > deadline + seconds:
            raise TimeoutError("no order was filled")
    p50, p99 = quantiles(taken[len(taken) // 20 :], 0.5, 0.99)
    return {"http p50": p50, "http p99": p99, "filled": filled / len(taken)}
