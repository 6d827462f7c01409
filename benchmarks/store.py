"""Book deltas into PostgreSQL: published, stored by the store's actor, appended to the log, moved, committed.

*Sustained*: a node with embedded PostgreSQL, the writer process and the store; updates of 100 markets are published as
fast as the database takes them, the log is kept at a few segments, and at the end the database is asked whether every
change is there, once, in unbroken sessions. Nothing is pinned: node, writer and PostgreSQL share the machine as they
would in service. *Latency*: how long another subscriber waits for an update at 5,000 a second, with the store and
without.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import asyncpg
import trio

from actors.market.store_core import StoreCore
from actors.storage.embedded import server_url
from benchmarks.database import LOOK_S, figures_of, storage, until_ready
from benchmarks.harness import (
    Findings,
    Row,
    Sample,
    Scale,
    at_least,
    cores,
    in_turns,
    measured,
    quantiles,
)
from protocols.market import BookUpdate, LevelChange
from runtime import Actor, ChildSpec, Mailbox, NodeSettings, Overflow, open_node, receive, supervisor
from runtime.collector import GarbageCollector
from runtime.log import NodeLog, open_log

TITLE = "Book deltas into PostgreSQL"
MARKETS = tuple(f"KXBENCH-26DEC31-T{number}" for number in range(100))
SESSION = "bench-1.1-1/7.1"
LEVELS = 40
CENT, ONE = 10_000_000, 1_000_000_000
BEHIND_BYTES = 32 << 20
"""How far the writer may be behind before the producer waits: two segments of the log."""
AT_ONCE = 200
PACE = 5_000
DRAIN_S = 120.0


def updates(begin: int) -> Iterator[BookUpdate]:
    """A snapshot of every market, and then one change of one level a message, for ever, as Kalshi sends them."""
    seq = 0
    for market in MARKETS:
        seq += 1
        bids = tuple(LevelChange("bid", (1 + price) * CENT, 1_000 * ONE) for price in range(LEVELS))
        asks = tuple(LevelChange("ask", (99 - price) * CENT, 1_000 * ONE) for price in range(LEVELS))
        yield BookUpdate(market, bids + asks, "absolute", True, SESSION, seq, begin, begin)
    chance = random.Random(7)
    # Up and down again, so that no size ever is below 0.
    moves = [
        LevelChange(side, (price if side == "bid" else 100 - price) * CENT, chance.randrange(1, 900) * ONE // 100)
        for side in ("bid", "ask")
        for price in range(1, LEVELS + 1)
    ]
    pairs = [(move, LevelChange(move.side, move.price, -move.size)) for move in moves]
    turn = 0
    while True:
        both = pairs[turn % len(pairs)]
        for change in both:
            for market in MARKETS:
                seq += 1
                ts = begin + seq * 10_000
                yield BookUpdate(market, (change,), "signed", False, SESSION, seq, ts, ts + 250_000)
        turn += 1


def core_alone(messages: int) -> Sample:
    """Microseconds per message in the store's core with the append to the log, without the making of the message."""
    with tempfile.TemporaryDirectory() as folder, open_log(Path(folder), max_bytes=4 << 30) as log:
        core = StoreCore(log.append, time.time_ns, node="bench")
        source = updates(time.time_ns())
        for _ in MARKETS:
            core.update(next(source))
        made = [next(source) for _ in range(messages)]
        began = time.perf_counter()
        for update in made:
            core.update(update)
        ended = time.perf_counter()
    return {"µs": (ended - began) / messages * 1e6}


def branch(queue: int) -> ChildSpec:
    """The store, with its defaults."""
    return supervisor(
        "market",
        ChildSpec(
            name="store",
            actor="actors.market.store:MarketStore",
            arguments={"queue": queue},
            mailbox=Mailbox(capacity=queue, overflow=Overflow.DROP_NEWEST),
        ),
    )


async def check(url: str, expected: int) -> None:
    """Every change is there, once, and its old size is the new size of the one before. Raises RuntimeError."""
    connection = await asyncpg.connect(url)
    try:
        found = await connection.fetchval("SELECT count(*) FROM rl_orderbook_deltas")
        broken = await connection.fetchval(
            "SELECT count(*) FROM (SELECT old_size, lag(new_size) OVER (PARTITION BY market_ticker, side, price"
            " ORDER BY sequence_number) AS before FROM rl_orderbook_deltas) AS chain WHERE before <> old_size"
        )
        rejected = await connection.fetchval("SELECT count(*) FROM rejected_rows")
        sessions = await connection.fetchval("SELECT count(*) FROM rl_orderbook_sessions")
    finally:
        await connection.close()
    if (found, broken, rejected, sessions) != (expected, 0, 0, 1):
        raise RuntimeError(f"{expected} changes: {found} stored, {broken} broken, {rejected} rejected, {sessions=}")


def sustained(seconds: float) -> Sample:
    """Committed changes a second over `seconds`."""
    looks: list[tuple[float, int]] = []

    async def main(folder: Path, log: NodeLog) -> int:
        number = 0
        with GarbageCollector() as collector:
            children = (storage(folder), branch(100_000))
            async with open_node(NodeSettings(data_dir=str(folder)), children, log=log) as node:
                collector.freeze()
                position = (await until_ready(node))["position"]
                source = updates(time.time_ns())
                for _ in MARKETS:
                    node.publish(next(source))
                end = trio.current_time() + seconds
                looked = 0.0
                while (now := trio.current_time()) < end:
                    if now > looked + LOOK_S:
                        looked = now
                        figures = await figures_of(node)
                        position = figures["position"]
                        looks.append((time.perf_counter(), figures["rows"]))
                    if log.position - position > BEHIND_BYTES:
                        await trio.sleep(0.005)
                        continue
                    for _ in range(AT_ONCE):
                        node.publish(next(source))
                    number += AT_ONCE
                    await trio.lowlevel.checkpoint()
                with trio.fail_after(DRAIN_S):
                    while (await figures_of(node))["position"] < log.position:  # noqa: ASYNC110
                        await trio.sleep(0.05)
                url = server_url(folder / "postgres")
                await trio.to_thread.run_sync(lambda: asyncio.run(check(url, number)))
        return number

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with open_log(folder / "log") as log:
            total = trio.run(main, folder, log)
    settled = [each for each in looks if each[0] >= looks[0][0] + 0.2 * seconds]
    (began, first), (ended, last) = settled[0], settled[-1]
    return {"deltas/s": (last - first) / (ended - began), "deltas": total}


class Listener(Actor):
    """Notes how long after its publication each update reaches it."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=100_000)
    delays: ClassVar[list[int]] = []

    def on_start(self) -> None:
        """Follow all books."""
        self.subscribe(BookUpdate)

    @receive
    def update(self, message: BookUpdate) -> None:
        """Look at the clock."""
        self.delays.append(time.perf_counter_ns() - message.ts_event)


def latency(seconds: float, stored: bool) -> Sample:
    """Microseconds from publishing an update to another subscriber's handler, at 5,000 a second."""

    async def main(folder: Path, log: NodeLog) -> None:
        listener = ChildSpec(name="listener", actor=Listener)
        children = (storage(folder), *((branch(100_000),) if stored else ()), supervisor("beside", listener))
        with GarbageCollector() as collector:
            async with open_node(NodeSettings(data_dir=str(folder)), children, log=log) as node:
                await until_ready(node)
                source = updates(time.time_ns())
                for _ in MARKETS:
                    node.publish(next(source))
                collector.freeze()
                Listener.delays.clear()
                began, sent = trio.current_time(), 0
                while (now := trio.current_time()) < began + seconds:
                    while sent < (now - began) * PACE:
                        update = next(source)
                        # Of this process's clock, not of any venue's.
                        at = time.perf_counter_ns()
                        node.publish(
                            BookUpdate(
                                update.market,
                                update.changes,
                                update.kind,
                                False,
                                SESSION,
                                update.seq,
                                at,
                                update.ts_recv,
                            )
                        )
                        sent += 1
                    await trio.sleep(0.0005)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with open_log(folder / "log") as log:
            trio.run(main, folder, log)
    p50, p99, p999 = quantiles(Listener.delays, 0.5, 0.99, 0.999)
    return {"p50": p50 / 1e3, "p99": p99 / 1e3, "p99.9": p999 / 1e3}


def run(scale: Scale) -> Findings:
    """All three runs."""
    core, _ = cores()
    messages = scale.count(300_000)
    alone = in_turns({"core": lambda: measured("benchmarks.store:core_alone", core, messages=messages)}, scale)["core"]
    rates = in_turns({"store": lambda: measured("benchmarks.store:sustained", seconds=5 * scale.seconds)}, scale)[
        "store"
    ]
    waits: dict[str, dict[str, Any]] = in_turns(
        {
            "stored": lambda: measured("benchmarks.store:latency", seconds=2 * scale.seconds, stored=True),
            "not stored": lambda: measured("benchmarks.store:latency", seconds=2 * scale.seconds, stored=False),
        },
        scale,
    )
    return Findings(
        (
            Row("store and append one delta", "µs", alone["µs"]),
            Row("deltas into PostgreSQL, end to end", "deltas/s", rates["deltas/s"], target=at_least(50_000)),
            *(
                Row(
                    f"an update to another subscriber at {PACE:,}/s, {share}",
                    "µs",
                    waits["stored"][share],
                    peer="without the store",
                    peer_values=waits["not stored"][share],
                )
                for share in ("p50", "p99", "p99.9")
            ),
        ),
        (
            f"{len(MARKETS)} markets of {2 * LEVELS} levels, one change a message. Afterwards every change was in the "
            "database once, each with the size that the one before had left.",
        ),
    )
