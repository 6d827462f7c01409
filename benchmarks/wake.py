"""How soon the loop wakes, at 20,000 rows/s beside 2,000 market frames/s.

A node with embedded PostgreSQL, the writer process, a feed's session and its books reads 2,000 frames/s from a venue in
another process and appends 20,000 rows/s to its log. A third process sends the time by UDP; the wake latency is how old
it is when a task of the loop has it. Nothing is pinned: all of them share the machine as they would in service.
"""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio

from actors.market.capability import branch
from actors.market.feed_settings import FeedSettings, VenueSettings
from benchmarks.database import BareQuote, figures_of, row, storage, until_ready
from benchmarks.harness import Child, Findings, Row, Sample, Scale, in_turns, quantiles
from benchmarks.venue import LAST_PING, MARKETS
from protocols.market import ListMarkets
from runtime import NodeSettings, open_node
from runtime.collector import GarbageCollector
from runtime.log import NodeLog, open_log

TITLE = "How soon the loop wakes beside storage and a feed"
ROWS_PER_S = 20_000.0
FRAMES_PER_S = 2_000.0
PINGS_PER_S = 1_000.0
MOST_S = 120.0


async def _take_pings(sock: socket.socket, ages: list[int]) -> None:
    while True:
        await trio.lowlevel.wait_readable(sock)
        try:
            while True:
                stamp = sock.recv(64)
                if stamp == LAST_PING:
                    return
                ages.append(time.monotonic_ns() - int.from_bytes(stamp, "big"))
        except BlockingIOError:
            continue


async def _append_rows(log: NodeLog, per_s: float) -> None:
    number, began = 0, trio.current_time()
    while True:
        due = int((trio.current_time() - began) * per_s)
        for each in range(number, due):
            log.append(row(BareQuote, each))
        number = max(number, due)
        await trio.sleep(0.001)


def wakes(announce: Callable[[dict[str, Any]], None], rows_per_s: float, url: str = "") -> Sample:
    """How old the pings are, in milliseconds, that come in while rows are appended and a feed is read.

    Announces the port for the pings once everything runs. `url`: of the venue; empty: no feed.
    """
    ages: list[int] = []
    found: dict[str, float] = {}

    async def main(folder: Path, log: NodeLog) -> None:
        children = [storage(folder)]
        if url:
            settings = FeedSettings(name="bench", url=url, markets=MARKETS, channels=("book",))
            children.append(branch([settings], VenueSettings(), folder))
        with GarbageCollector() as collector, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
            async with open_node(NodeSettings(data_dir=str(folder)), tuple(children), log=log) as node:
                collector.freeze()
                before = await until_ready(node)
                async with trio.open_nursery() as nursery:
                    if rows_per_s:
                        nursery.start_soon(_append_rows, log, rows_per_s)
                    announce({"port": sock.getsockname()[1]})
                    began = trio.current_time()
                    with trio.fail_after(MOST_S):
                        await _take_pings(sock, ages)
                    rows = (await figures_of(node))["rows"] - before["rows"]
                    found["rows/s"] = rows / (trio.current_time() - began)
                    nursery.cancel_scope.cancel()
                if url:
                    markets = (await node.ref("/market/index").ask(ListMarkets())).markets
                    if any(each.quote is None for each in markets):
                        raise RuntimeError("the feed has brought no quotes")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with open_log(folder / "log") as log:
            trio.run(main, folder, log)
    p50, p99, p999, most = quantiles((age / 1e6 for age in ages), 0.5, 0.99, 0.999, 1.0)
    return {"p50": p50, "p99": p99, "p99.9": p999, "longest": most, **found}


def waking(seconds: float, busy: bool) -> Sample:
    """One run of `wakes` with its pings and, where it is busy, its feed."""
    if not busy:
        with Child("benchmarks.wake:wakes", rows_per_s=0.0) as node:
            return _pinged(node, seconds)
    with Child("benchmarks.venue:feed", markets=MARKETS, rate=FRAMES_PER_S, seconds=600.0) as venue:
        url = venue.announced()["url"]
        with Child("benchmarks.wake:wakes", rows_per_s=ROWS_PER_S, url=url) as node:
            venue.announced()
            return _pinged(node, seconds)


def _pinged(node: Child, seconds: float) -> Sample:
    port = node.announced()["port"]
    with Child("benchmarks.venue:pings", port=port, rate=PINGS_PER_S, seconds=seconds) as pinging:
        pinging.result()
        found: Sample = node.result()
        return found


def run(scale: Scale) -> Findings:
    """Measure a busy node and an idle one in turns."""
    seconds = 2 * scale.seconds
    idle = "the same node with nothing to do"
    wake = in_turns({"busy": lambda: waking(seconds, True), idle: lambda: waking(seconds, False)}, scale)
    figure = f"age of a ping at {ROWS_PER_S:,.0f} rows/s beside {FRAMES_PER_S:,.0f} frames/s"
    return Findings(
        (
            *(
                Row(f"{figure}, {share}", "ms", wake["busy"][share], idle, wake[idle][share])
                for share in ("p50", "p99", "p99.9", "longest")
            ),
            Row("rows that reached the database meanwhile", "rows/s", wake["busy"]["rows/s"]),
        ),
        (f"{PINGS_PER_S:,.0f} pings/s and all frames at random moments (Poisson), {seconds:g} s a turn.",),
    )
