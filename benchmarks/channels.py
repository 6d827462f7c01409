"""Channels: how fast stored signals leave for Kafka, Redis and a webhook, each confirmed and its position written.

A node has stored signals while there was no channel; then it is started with one that begins at the beginning, and what
is measured is how fast the channel catches up: reading the hub, making JSON, sending, waiting for the confirmation.
The other sides are a real Redis that writes every command to its file, the cluster that librdkafka brings, and a small
HTTP server; each runs in a process of its own.
"""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from actors.signals.channels.messages import INDEX, ChannelView, GetChannels
from actors.signals.channels.settings import ChannelSettings
from benchmarks.fanout import signal
from benchmarks.harness import TROUPE, Child, Findings, Row, Sample, Scale, at_least, cores, in_turns
from protocols.control import Refused, Unknown
from protocols.paths import HUB
from protocols.signals import SubmitSignal
from runtime import Node, NodeSettings, open_node
from runtime.collector import GarbageCollector
from runtime.log import open_log
from tests.actors.signals.channels.kit import SECRET, branch, kafka_cluster, receiver, redis_server

TITLE = "Signals through channels"
SIGNALS = 15_000
"""Fewer than the hub remembers: the database is not measured here."""
WANTED = 500.0
"""Signals a second that every channel has to keep up with."""
BATCHES = (100, 1)
LOOK_S = 0.002

Announce = Callable[[dict[str, Any]], None]


# The other sides.


def serve_redis(announce: Announce) -> None:
    """A Redis server until this process is ended."""
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder) / "redis") as server:
        trio.run(server.ready)
        announce({"url": server.url})
        _wait(server.kill)


def serve_kafka(announce: Announce) -> None:
    """A Kafka cluster until this process is ended."""
    with kafka_cluster() as cluster:
        announce({"url": cluster.url})
        _wait(lambda: None)


def serve_webhook(announce: Announce) -> None:
    """An HTTP server until this process is ended."""

    async def main() -> None:
        async with receiver() as server:
            server.keep = False
            announce({"url": server.url})
            await trio.sleep_forever()

    trio.run(main)


def _wait(at_the_end: Callable[[], None]) -> None:
    import signal as signals

    def ended(number: int, frame: object) -> None:
        at_the_end()
        raise SystemExit(0)

    signals.signal(signals.SIGTERM, ended)
    while True:
        signals.pause()


# The node.


def drain(announce: Announce, kind: Any, url: str, count: int, batch: int) -> Sample:
    """Store signals, then start the channel and time it."""

    async def main(folder: Path) -> Sample:
        settings = ChannelSettings(
            name="measured",
            kind=kind,
            url=url,
            start="beginning",
            batch=batch,
            prefix=f"{time.time_ns()}:" if kind == "redis" else "",
            secret=SECRET if kind == "webhook" else "",
        )
        async with _node(folder) as node:
            for number in range(1, count + 1):
                await node.ref(HUB).ask(SubmitSignal(signal(number)))
        async with _node(folder, settings) as node:
            first = await _view(node, lambda view: view.delivered > 0)
            began, busy = time.perf_counter(), time.process_time()
            last = await _view(node, lambda view: view.behind == 0)
            seconds, busy = time.perf_counter() - began, time.process_time() - busy
            done = last.delivered - first.delivered
            return {"signals/s": done / seconds, "own µs": busy / done * 1e6}

    with tempfile.TemporaryDirectory() as name:
        return trio.run(main, Path(name))


@asynccontextmanager
async def _node(folder: Path, *channels: ChannelSettings) -> AsyncIterator[Node]:
    with GarbageCollector(), open_log(folder / "log") as log:
        async with open_node(NodeSettings(data_dir=str(folder)), (branch(*channels),), log=log) as node:
            yield node


async def _view(node: Node, condition: Callable[[ChannelView], bool]) -> ChannelView:
    while True:
        try:
            [view] = (await node.ref(INDEX).ask(GetChannels())).channels
        except (Refused, Unknown):
            pass  # the channels are just being started
        else:
            if view.reason:
                raise RuntimeError(f"the channel failed: {view.reason}")
            if view.state != "starting" and condition(view):
                return view
        await trio.sleep(LOOK_S)


def drained(kind: str, count: int, batch: int) -> Sample:
    """One run with its other side, each on a core of its own."""
    node_core, other_core = cores()
    with Child(f"benchmarks.channels:serve_{kind}", other_core) as serving:
        url = serving.announced()["url"]
        with Child("benchmarks.channels:drain", node_core, kind=kind, url=url, count=count, batch=batch) as node:
            found: Sample = node.result()
            return found


def run(scale: Scale) -> Findings:
    """Measure every kind in batches and one by one."""
    rows = []
    for batch in BATCHES:
        count = scale.count(SIGNALS if batch > 1 else SIGNALS // 5, 500)
        for kind in ("kafka", "redis", "webhook"):
            found = in_turns({TROUPE: functools.partial(drained, kind, count, batch)}, scale)[TROUPE]
            # One by one a channel is as slow as the round trip, here to this machine and back.
            target = at_least(WANTED) if batch > 1 else None
            how = f"in batches of {batch}" if batch > 1 else "one by one"
            rows.append(Row(f"{kind}, {how}", "signals/s", found["signals/s"], target=target))
            rows.append(Row(f"{kind}, {how}: the node's own time", "µs/signal", found["own µs"]))
    notes = (
        "A channel has one batch on its way at a time, so that order holds; a target that is further away makes "
        "batches worth more. Redis is told to write every command to its file before it answers.",
    )
    return Findings(tuple(rows), notes)
