"""Thresholds of 10,000 users on one node: verdicts through the actors, what a user weighs, a cycle of everybody.

Everything is in process, as a decision server or a deployment asks: an `EvaluateSignal` to the roster, answered from
its memory. Verdicts are measured with 64 askers (all that the node can do), and at a fixed rate, where the wait behind
others counts. The lag of the loop is how late it sees what another process has sent: with nothing else to do, while
everybody is adapted in the background, and both again while 5,000 signals a second are judged.

Users have learned from made-up outcomes: the same for all, so that what is measured is the work and not the market.
"""

from __future__ import annotations

import gc
import socket
import subprocess
import sys
import tempfile
import tracemalloc
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any, Final

import msgspec
import trio

from actors.thresholds import capability
from actors.thresholds.gate import GateSettings
from actors.thresholds.messages import KeepState, Load
from actors.thresholds.settings import LearningSettings, Settings
from benchmarks.harness import Findings, Row, Sample, Scale, at_least, at_most, cores, in_turns, measured, quantiles
from protocols.paths import THRESHOLD_ROSTER, THRESHOLD_STATES, THRESHOLD_USERS
from protocols.thresholds import AdaptAll, EvaluateSignal, GatedSignal, GetThresholdStats, OutcomeResolved
from runtime import ActorRef, CountChildren, Node, NodeSettings, open_node
from runtime.collector import GarbageCollector
from runtime.log import open_log

TITLE: Final = "Thresholds of 10,000 users"
TURNS: Final = 3
USERS: Final = 10_000
TAUGHT: Final = 200
"""Outcomes, enough for a threshold to move."""
ASKERS: Final = 64
RATE: Final = 20_000.0
LAG_S: Final = 0.001
LEARNING: Final = LearningSettings(gate=GateSettings(block=10, warmup=20))


def signals(count: int, users: int) -> list[EvaluateSignal]:
    """Questions about all users in turn."""
    return [
        EvaluateSignal(
            user_id=f"user{n * 7919 % users}",
            symbol="BTC",
            signal=GatedSignal(
                action="BUY" if n % 2 else "SELL",
                confidence=0.5 + (n % 50) / 100,
                rsi=40.0 + n % 45,
                macd=(n % 21 - 10) / 1000,
                change_percent=(n % 13) - 6.0,
                volume=5e8 * (1 + n % 7),
            ),
            signal_id=f"s{n}",
        )
        for n in range(count)
    ]


@asynccontextmanager
async def node_of(folder: Path, **settings: Any) -> AsyncIterator[Node]:
    """A node with thresholds and its log, and no database: nothing of it waits for one."""
    log = open_log(folder / "log")
    told = Settings(learning=LEARNING, adapt_every_s=0.0, pooling=False, **settings)
    try:
        async with open_node(NodeSettings(name="bench"), (capability.branch(told),), log=log) as node:
            yield node
    finally:
        log.close()


async def teach(node: Node, users: int) -> None:
    """Have one user learn enough to move, and everybody know the same."""
    roster, states = node.ref(THRESHOLD_ROSTER), node.ref(THRESHOLD_STATES)
    for seq in range(1, TAUGHT + 1):
        confidence = 0.66 + 0.3 * ((seq * 0.618) % 1.0)
        await roster.ask(
            OutcomeResolved(
                user_id="user0",
                symbol="BTC",
                seq=seq,
                signal_id="",
                signal=GatedSignal(
                    action="BUY", confidence=confidence, rsi=50.0, macd=0.0, change_percent=3.0, volume=2e9
                ),
                outcome=0.1 * (confidence - 0.8),
                ts=node.clock.now(),
                acted=True,
            )
        )
    known = await states.ask(Load("user0", "BTC"))
    for number in range(1, users):
        await states.ask(
            KeepState(
                user_id=f"user{number}",
                symbol="BTC",
                outcome_seq=known.outcome_seq,
                why="benchmark",
                state=known.state,
                thresholds=msgspec.Raw(b"[]"),
                records=(),
                due=True,
            )
        )


async def closed(roster: ActorRef, asked: list[EvaluateSignal], seconds: float) -> tuple[float, list[float]]:
    """Verdicts a second, and the times of single ones (µs), with a fixed number of askers."""
    taken: list[float] = []
    end = perf_counter() + seconds

    async def ask(first: int) -> None:
        place = first
        while perf_counter() < end:
            began = perf_counter_ns()
            await roster.ask(asked[place % len(asked)], 5.0)
            taken.append((perf_counter_ns() - began) / 1e3)
            place += ASKERS

    began = perf_counter()
    async with trio.open_nursery() as nursery:
        for first in range(ASKERS):
            nursery.start_soon(ask, first)
    return len(taken) / (perf_counter() - began), taken


async def at_rate(roster: ActorRef, asked: list[EvaluateSignal], rate: float, seconds: float) -> list[float]:
    """The times of verdicts (µs) at a fixed rate. Every millisecond what has become due is asked at once, by askers who
    wait for it; the time of each begins there, so it has in it the wait behind the others."""
    taken: list[float] = []
    due: deque[tuple[int, EvaluateSignal]] = deque()
    ready = trio.Event()
    over = False

    async def ask() -> None:
        while not over:
            if not due:
                await ready.wait()
                continue
            began, request = due.popleft()
            await roster.ask(request, 5.0)
            taken.append((perf_counter_ns() - began) / 1e3)

    async with trio.open_nursery() as nursery:
        for _ in range(ASKERS):
            nursery.start_soon(ask)
        began, sent, total = perf_counter(), 0, round(rate * seconds)
        while sent < total:
            now = perf_counter_ns()
            until = min(total, round((now / 1e9 - began) * rate))
            due.extend((now, asked[place % len(asked)]) for place in range(sent, until))
            sent = max(sent, until)
            ready.set()
            ready = trio.Event()
            await trio.sleep(LAG_S)
        while due:  # noqa: ASYNC110 - nothing tells it
            await trio.sleep(LAG_S)
        over = True
        ready.set()
    return taken


SENDER: Final = """
import socket, sys, time
to = socket.socket(fileno=int(sys.argv[1]))
while True:
    time.sleep(0.001)
    to.send(time.perf_counter_ns().to_bytes(8, "little"))
"""


@contextmanager
def arrivals() -> Iterator[trio.socket.SocketType]:
    """Where another process says, about a thousand times a second, when it said so.

    A timer of the loop's own would do, were it not for epoll, which waits in whole milliseconds.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    command = [sys.executable, "-c", SENDER, str(theirs.fileno())]
    with ours, theirs, subprocess.Popen(command, pass_fds=(theirs.fileno(),)) as sender:
        ours.setblocking(False)
        try:
            yield trio.socket.from_stdlib_socket(ours)
        finally:
            sender.kill()


async def lag_until(done: trio.Event) -> list[float]:
    """How late the loop sees what has come on a socket (µs), until something is done."""
    found: list[float] = []
    with arrivals() as come:
        while not done.is_set():
            said = await come.recv(8)
            found.append((perf_counter_ns() - int.from_bytes(said, "little")) / 1e3)
    return found


async def lag_for(seconds: float) -> list[float]:
    """The same for some seconds."""
    done = trio.Event()
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            await trio.sleep(seconds)
            done.set()

        nursery.start_soon(wait)
        return await lag_until(done)


async def _serving(seconds: float, users: int) -> Sample:
    asked = signals(50_000, users)
    found: Sample = {}
    with tempfile.TemporaryDirectory() as folder, GarbageCollector() as collector:
        async with node_of(Path(folder), idle_s=86_400.0) as node:
            roster = node.ref(THRESHOLD_ROSTER)
            for request in {each.user_id: each for each in asked}.values():
                await roster.ask(request, 5.0)
            collector.freeze()
            rate, taken = await closed(roster, asked, seconds / 2)
            found["verdicts/s"] = rate
            taken = await at_rate(roster, asked, RATE, seconds / 2)
            found["p50"], found["p99"] = quantiles(taken, 0.5, 0.99)
    return found


def serving(seconds: float, users: int = USERS) -> Sample:
    """Verdicts through the actors."""
    return trio.run(_serving, seconds, users)


async def _adapting(seconds: float, users: int) -> Sample:
    found: Sample = {}
    asked = signals(50_000, users)
    with tempfile.TemporaryDirectory() as folder, GarbageCollector() as collector:
        async with node_of(Path(folder), idle_s=1.0) as node:
            roster = node.ref(THRESHOLD_ROSTER)
            await teach(node, users)
            while (await roster.ask(GetThresholdStats())).users_active:  # noqa: ASYNC110 - nothing tells it
                await trio.sleep(0.1)
            collector.freeze()
            quiet = await lag_for(seconds)
            found["quiet p99"] = quantiles(quiet, 0.99)[0]
            for name, rate in (("background", 0.0), ("loaded", 5_000.0)):
                done = trio.Event()
                lags: list[float] = []

                async def watch(done: trio.Event = done, lags: list[float] = lags) -> None:
                    lags += await lag_until(done)

                async def load(done: trio.Event = done, rate: float = rate) -> None:
                    while rate and not done.is_set():
                        await at_rate(roster, asked, rate, 0.5)

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(watch)
                    nursery.start_soon(load)
                    began = perf_counter()
                    result = await roster.ask(AdaptAll(force=True), 600.0)
                    found[f"{name} s"] = perf_counter() - began
                    done.set()
                found[f"{name} moved"] = result.total_updates
                found[f"{name} p99"] = quantiles(lags, 0.99)[0]
                found[f"{name} worst"] = max(lags) / 1e3
                assert result.total_users == users, result
                assert result.failures == 0, result.reasons
            alone = trio.Event()
            async with trio.open_nursery() as nursery:

                async def only_load() -> None:
                    await at_rate(roster, asked, 5_000.0, seconds)
                    alone.set()

                nursery.start_soon(only_load)
                found["load alone p99"] = quantiles(await lag_until(alone), 0.99)[0]
    return found


def adapting(seconds: float, users: int = USERS) -> Sample:
    """A cycle of everybody, in the background."""
    return trio.run(_adapting, seconds, users)


async def _weights(users: int) -> Sample:
    found: Sample = {}
    asked = {request.user_id: request for request in signals(users, users)}
    with tempfile.TemporaryDirectory() as folder:
        async with node_of(Path(folder), idle_s=30.0) as node:
            roster = node.ref(THRESHOLD_ROSTER)
            await teach(node, 10)
            tracemalloc.start()
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            for request in asked.values():
                await roster.ask(request, 5.0)
            gc.collect()
            stats = await roster.ask(GetThresholdStats())
            if stats.users_active >= users:  # otherwise the first were idle before the last came
                found["active user"] = (tracemalloc.get_traced_memory()[0] - before) / users / 1024
            while (await roster.ask(GetThresholdStats())).users_active:  # noqa: ASYNC110
                await trio.sleep(0.1)
            parent = node.ref(THRESHOLD_USERS)
            while (await parent.ask(CountChildren())).specs:  # noqa: ASYNC110
                await trio.sleep(0.1)
            gc.collect()
            found["passive user"] = (tracemalloc.get_traced_memory()[0] - before) / users / 1024
    return found


def weights(users: int = USERS) -> Sample:
    """What a user weighs in memory (kB): with an actor, and once he is passive."""
    return trio.run(_weights, users)


def run(scale: Scale) -> Findings:
    """All of it."""
    core = cores()[0]
    users = scale.count(USERS, 1_000)
    taken = in_turns(
        {
            "serving": lambda: measured(
                "benchmarks.thresholds_serving:serving", core, seconds=scale.seconds, users=users
            ),
            "adapting": lambda: measured(
                "benchmarks.thresholds_serving:adapting", core, seconds=scale.seconds, users=users
            ),
            "weights": lambda: measured("benchmarks.thresholds_serving:weights", core, users=users // 5),
        },
        scale,
    )
    one, all_, idle = taken["serving"], taken["adapting"], taken["weights"]
    rows = (
        Row(f"verdicts on {users:,} users, {ASKERS} askers", "/s", one["verdicts/s"], target=at_least(20_000)),
        Row(f"a verdict at {RATE:,.0f} signals/s, median", "µs", one["p50"]),
        Row(f"a verdict at {RATE:,.0f} signals/s, p99", "µs", one["p99"], target=at_most(1000)),
        Row("memory of a user with an actor", "kB", idle["active user"]),
        Row("memory of a passive user", "kB", idle["passive user"]),
        Row(f"everybody adapted ({users:,} passive users), in the background", "s", all_["background s"]),
        Row("lag of the loop with nothing to do, p99", "µs", all_["quiet p99"]),
        Row("lag of the loop while everybody is adapted, p99", "µs", all_["background p99"]),
        Row("lag of the loop at 5,000 signals/s, p99", "µs", all_["load alone p99"]),
        Row("lag of the loop at 5,000 signals/s while everybody is adapted, p99", "µs", all_["loaded p99"]),
    )
    notes = (
        "In one process on one core, by the actors: each verdict is a message to the roster and its answer. At a fixed "
        "rate a request's time begins when it is due.",
        "Users learned from made-up outcomes; there is no database, so what was learned is in the node's log.",
    )
    return Findings(rows, notes)
