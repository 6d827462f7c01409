"""Strategies in the sandbox: from a bar to a signal in the hub, in batches, how they start, and what they weigh.

A node with the hub, the library, the keeper of the sandbox and the roster; bars are published as the bar builder
publishes them, at random moments, and every bar makes a signal. The peer is what a service would do without a sandbox
of its own: the same function in a `ProcessPoolExecutor`, called from asyncio with the same window.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final

import msgspec
import trio

import actors.signals.capability
from actors.market.bar_builder import BarSettings
from actors.market.bar_builder import specs as bar_specs
from actors.strategies import capability
from actors.strategies.library_settings import LibrarySettings
from actors.strategies.library_settings import specs as library_specs
from actors.strategies.sandbox import wire
from actors.strategies.sandbox.control import Limits
from actors.strategies.sandbox.keeper import SandboxSettings
from actors.strategies.sandbox.loaded import Loaded
from actors.strategies.sandbox.zygote import Zygote
from actors.strategies.status import ROSTER, ListStrategies, StartStrategy
from benchmarks.harness import Child, Findings, Row, Sample, Scale, at_most, in_turns, quantiles
from protocols.control import Refused
from protocols.market import Bar
from protocols.nanos import NANO
from protocols.paths import HUB
from protocols.signals import SIGNALS, ReadSignals, SignalStored
from runtime import Node, NodeSettings, open_node, supervisor
from runtime.collector import GarbageCollector
from runtime.log import open_log

TITLE = "Strategies in the sandbox: bar to signal, batches, start, memory"
MINUTE: Final = 60 * NANO
T0: Final = 1_700_000_040 * NANO
WINDOW: Final = 100
MANY: Final = 200
RATE: Final = 100.0
SETTINGS: Final = {
    "min_confidence_threshold": 0.0, "max_risk_threshold": 1.0, "signal_cooldown": 0.0, "max_concurrent_signals": 50
}  # fmt: skip

SOURCE: Final = """
def generate_signal(data, parameters):
    bars = data[parameters.get("symbol", "A")]
    mean = bars.close[-20:].mean()
    side = "CLOSE_LONG" if bars.close[-1] > mean else "CLOSE_SHORT"
    return {"action": side, "confidence": 0.75}
"""


def bar(number: int, market: str = "A") -> Bar:
    """The `number`-th minute bar."""
    start = T0 + number * MINUTE
    price = 100 * NANO + (number * 7919 % 101) * NANO // 100
    return Bar(market, "1m", start, start + MINUTE, price, price, price, price, "1", 1, price, "venue", start + MINUTE)


def bar_input(number: int) -> wire.BarInput:
    """The same bar, as a worker gets it."""
    price = 100 + (number * 7919 % 101) / 100
    start = T0 + number * MINUTE
    return wire.BarInput("A", "1m", start, start + MINUTE, price, price, price, price, 1.0, 1.0, price, start + MINUTE)


def _node(work: Callable[[Node, Path], Any], most: int = 10) -> None:
    """Run `work` on a node with a library, whose folder holds the strategy under many names."""

    async def main(folder: Path) -> None:
        children = (
            actors.signals.capability.branch(actors.signals.capability.Settings()),
            supervisor("market", *bar_specs(BarSettings())),
            *library_specs(LibrarySettings(folder=str(folder / "strategies"))),
            *capability.branch((), SandboxSettings(memory_mb=64), capability.RunsSettings(max_concurrent=most)),
        )
        with open_log(folder / "log") as log, GarbageCollector() as collector:
            async with open_node(NodeSettings(data_dir=str(folder)), children, log=log) as node:
                collector.freeze()
                await work(node, folder / "strategies")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "strategies").mkdir()
        for number in range(max(most, 10)):
            (folder / "strategies" / f"s{number:03}.py").write_text(SOURCE)
        trio.run(main, folder)


async def _start(node: Node, name: str, market: str) -> float:
    """Start a strategy; returns how long it took, in milliseconds. The first waits until the library has its file."""
    asked = StartStrategy(
        strategy_id=name,
        source="folder",
        symbols=(market,),
        timeframe="1m",
        parameters=msgspec.Raw(msgspec.json.encode({"symbol": market})),
        settings=msgspec.Raw(msgspec.json.encode(SETTINGS)),
    )
    with trio.fail_after(60):
        while True:
            began = time.perf_counter_ns()
            try:
                await node.ref(ROSTER).ask(asked, 30)
            except Refused as refused:
                if refused.code != "not_found":
                    raise
                await trio.sleep(0.05)
            else:
                return (time.perf_counter_ns() - began) / 1e6


def signals(announce: Callable[[dict[str, Any]], None], seconds: float, strategies: int, rate: float) -> Sample:
    """Publish `rate` bars a second for each strategy at random moments; the time to the signal, in microseconds.

    Rate 0: one strategy, and each bar as soon as the signal of the one before is stored.
    """
    found: dict[str, float] = {}

    async def work(node: Node, folder: Path) -> None:
        markets = [f"M{number:03}" for number in range(strategies)]
        starts = [await _start(node, f"s{number:03}", market) for number, market in enumerate(markets)]
        sent: dict[tuple[str, int], int] = {}
        ages: list[float] = []
        chance = random.Random(7)
        counts = dict.fromkeys(markets, 0)
        published = 0
        arrived = trio.Event()

        async def in_turns_with_signals() -> None:
            """Each bar as soon as the signal of the one before is stored."""
            nonlocal published
            end = trio.current_time() + seconds
            while trio.current_time() < end:
                market = markets[0]
                counts[market] += 1
                each = bar(counts[market], market)
                sent[market, each.end] = node.clock.now()
                node.publish(each)
                published += 1
                with trio.fail_after(5):
                    while len(ages) < published:
                        await arrived.wait()

        async def publish() -> None:
            nonlocal published
            end = trio.current_time() + seconds
            due = trio.current_time()
            while (now := trio.current_time()) < end:
                if now < due:
                    await trio.sleep(due - now)
                    continue
                due += chance.expovariate(rate * strategies)
                market = markets[published % strategies]
                counts[market] += 1
                # Long and short in turns: the gate holds back a repeated exit.
                each = bar(counts[market], market)
                sent[market, each.end] = node.clock.now()
                node.publish(each)
                published += 1

        async def take() -> None:
            nonlocal arrived
            place = 1
            with node.open_tap((SignalStored, SIGNALS), capacity=10_000) as tap:
                while True:
                    await tap.receive()
                    page = await node.ref(HUB).ask(ReadSignals(place))
                    for each in page.signals:
                        ages.append((each.ts_stored - sent[each.signal.symbol, each.signal.ts_event]) / 1e3)
                    place = page.next_seq
                    arrived.set()
                    arrived = trio.Event()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(take)
            cpu = time.process_time()
            await (publish() if rate else in_turns_with_signals())
            cpu = time.process_time() - cpu
            await trio.sleep(0.5)
            nursery.cancel_scope.cancel()
        if len(ages) < published * 0.99:
            raise RuntimeError(f"{published} bars have made {len(ages)} signals")
        p50, p99, p999 = quantiles(ages, 0.5, 0.99, 0.999)
        (start,) = quantiles(starts[1:] or starts, 0.5)
        found.update({"p50": p50, "p99": p99, "p99.9": p999, "start": start, "node": cpu / seconds})
        listed = await node.ref(ROSTER).ask(ListStrategies())
        pids = [dict(each.figures)["pid"] for each in listed.strategies]
        found["memory"] = sum(_private(int(str(pid))) for pid in pids) / len(pids) / 2**20

    _node(work, strategies)
    return found


def _private(pid: int) -> int:
    """Private memory of a process in bytes (proc(5), smaps_rollup)."""
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(row.split()[1]) * 1024 for row in rows if row.startswith(("Private_Dirty", "Private_Clean")))


def batches(announce: Callable[[dict[str, Any]], None], seconds: float, size: int) -> Sample:
    """A worker alone, given one bar, and `size` bars at a time: microseconds for each bar."""
    found: dict[str, float] = {}
    nothing = "def generate_signal(data, parameters):\n    return None\n"

    async def main() -> None:
        zygote = await Zygote.start()
        try:
            for name, source in (("nothing", nothing), ("mean", SOURCE)):
                worker = await zygote.create(name, Limits(memory_mb=64))
                load = wire.Load(
                    1, name, "1", "s.py", source, (("A", "1m"),), msgspec.Raw(b"\x80"), WINDOW, True, None
                )  # fmt: skip
                loaded = await Loaded.load(worker, load, 10.0, 10.0)
                await loaded.history([bar_input(number) for number in range(WINDOW)])
                costs: list[float] = []
                alone: list[float] = []
                number, end = WINDOW, trio.current_time() + seconds / 4
                while trio.current_time() < end:
                    began = time.perf_counter_ns()
                    await loaded.run((bar_input(number),))
                    alone.append((time.perf_counter_ns() - began) / 1e3)
                    number += 1
                found[f"{name} p50"], found[f"{name} p99"] = quantiles(alone, 0.5, 0.99)
                end = trio.current_time() + seconds / 4
                while trio.current_time() < end:
                    inputs = tuple(bar_input(each) for each in range(number, number + size))
                    number += size
                    began = time.perf_counter_ns()
                    reply = await loaded.run(inputs)
                    costs.append((time.perf_counter_ns() - began) / 1e3 / size)
                    assert isinstance(reply, wire.Done), reply
                (found[name],) = quantiles(costs, 0.5)
                await loaded.close()
        finally:
            await zygote.close()

    trio.run(main)
    return found


def _called(window: list[float]) -> tuple[str, float]:
    """The strategy's work in the peer's process."""
    import numpy as np

    closes = np.array(window)
    mean = closes[-20:].mean()
    return ("CLOSE_LONG" if closes[-1] > mean else "CLOSE_SHORT"), 0.75


def pool(announce: Callable[[dict[str, Any]], None], seconds: float, rate: float) -> Sample:
    """The peer: asyncio and a `ProcessPoolExecutor` of one process; microseconds from bar to answer. Rate 0: each bar
    as soon as the answer to the one before is there.
    """
    ages: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        chance = random.Random(7)
        window = [100 + (number * 7919 % 101) / 100 for number in range(WINDOW)]
        with ProcessPoolExecutor(1) as executor:
            await loop.run_in_executor(executor, _called, window)
            end = loop.time() + seconds
            while loop.time() < end:
                if rate:
                    await asyncio.sleep(chance.expovariate(rate))
                began = time.perf_counter_ns()
                await loop.run_in_executor(executor, _called, window)
                ages.append((time.perf_counter_ns() - began) / 1e3)

    asyncio.run(main())
    p50, p99, p999 = quantiles(ages, 0.5, 0.99, 0.999)
    return {"p50": p50, "p99": p99, "p99.9": p999}


def process_start(announce: Callable[[dict[str, Any]], None], seconds: float) -> Sample:
    """The peer: a fresh Python that imports numpy; milliseconds until it has said so."""
    times: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter_ns()
        subprocess.run([sys.executable, "-I", "-c", "import numpy; print(1)"], check=True, capture_output=True)
        times.append((time.perf_counter_ns() - began) / 1e6)
    (p50,) = quantiles(times, 0.5)
    return {"start": p50}


def measured(function: str, **arguments: Any) -> Sample:
    """One turn in a process of its own."""
    with Child(f"benchmarks.strategies:{function}", **arguments) as child:
        found: Sample = child.result()
        return found


def run(scale: Scale) -> Findings:
    """Measure one strategy, many, batches, and the peers, in turns."""
    seconds = 2 * scale.seconds
    many = scale.count(MANY, 20)
    peer = "asyncio + ProcessPoolExecutor"
    fresh = "a new Python with numpy"
    turns = in_turns(
        {
            "one": lambda: measured("signals", seconds=seconds, strategies=1, rate=0.0),
            peer: lambda: measured("pool", seconds=seconds, rate=0.0),
            "seldom": lambda: measured("signals", seconds=seconds, strategies=1, rate=RATE),
            f"{peer}, seldom": lambda: measured("pool", seconds=seconds, rate=RATE),
            "many": lambda: measured("signals", seconds=seconds, strategies=many, rate=1.0),
            "batch": lambda: measured("batches", seconds=seconds, size=256),
            fresh: lambda: measured("process_start", seconds=seconds),
        },
        scale,
    )
    one, pooled, crowd, batch = turns["one"], turns[peer], turns["many"], turns["batch"]
    seldom, pooled_seldom = turns["seldom"], turns[f"{peer}, seldom"]
    often = f"at {RATE:g} bars/s"
    return Findings(
        (
            Row("bar to stored signal, p50", "µs", one["p50"], peer, pooled["p50"], at_most(150.0)),
            Row("bar to stored signal, p99", "µs", one["p99"], peer, pooled["p99"], at_most(500.0)),
            Row("bar to stored signal, p99.9", "µs", one["p99.9"], peer, pooled["p99.9"]),
            Row(f"bar to stored signal {often}, p50", "µs", seldom["p50"], peer, pooled_seldom["p50"]),
            Row(f"bar to stored signal {often}, p99", "µs", seldom["p99"], peer, pooled_seldom["p99"]),
            Row("bar to the strategy's answer, p50", "µs", batch["mean p50"], peer, pooled["p50"]),
            Row("bar to the strategy's answer, p99", "µs", batch["mean p99"], peer, pooled["p99"]),
            Row("bar to the answer of one that does nothing, p50", "µs", batch["nothing p50"]),
            Row("a bar in batches of 256, nothing done with it", "µs", batch["nothing"], target=at_most(3.0)),
            Row("a bar in batches of 256, mean of 20 closes", "µs", batch["mean"]),
            Row(
                "start of a strategy, asked to running",
                "ms",
                crowd["start"],
                fresh,
                turns[fresh]["start"],
                at_most(10.0),
            ),
            Row("private memory of an idle strategy", "MiB", one["memory"], target=at_most(5.0)),
            Row(f"{many} strategies, one bar a second each: bar to signal, p50", "µs", crowd["p50"]),
            Row(f"{many} strategies, one bar a second each: bar to signal, p99", "µs", crowd["p99"]),
            Row(f"{many} strategies: processor of the node", "cores", crowd["node"]),
        ),
        (
            "Back to back (each bar as soon as the signal of the one before is stored) unless a rate is named; those "
            f"at {RATE:g} bars/s come at random moments (Poisson), when processors have gone to sleep. Every bar makes "
            f"a signal; windows of {WINDOW} bars; the sandbox as strong as the machine has it. The peer has neither "
            "walls, limits nor a hub.",
        ),
    )
