"""Many books on one node: what a book costs in memory, and what many do to the loop and to a quote's way.

A whole node in a process of its own, with the store on. The venue in another process speaks Kalshi's protocol on as
many connections as there are feeds, and sends 2,000 frames a second in all; a few markets get most of them (Zipf), as
at a real venue: nine changes of a level behind the best in ten frames, one of the best. Each book has 40 levels.

Memory of a book: what the process of a node with 1,000 books has more than one with ten, divided by their difference.
Everything that comes with a book is in it: keeper, mailbox, stored book, bars.
"""

from __future__ import annotations

import contextlib
import random
import re
import select
import signal
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec

from actors.node import run as run_node
from actors.node import sections
from benchmarks.feed import NOTE, NOTED
from benchmarks.harness import Child, ChildFailed, Findings, Row, Sample, Scale, at_least, in_turns, quantiles
from benchmarks.load import HOST, cpu_seconds
from benchmarks.path import free_port, wait_until_ready
from benchmarks.venue import Venue, arrivals, wait_until
from protocols.venues import kalshi
from runtime.settings import load

TITLE = "Many books on one node"
FRAMES_PER_S = 2_000.0
SHAPES = {"10 books": (1, 10), "100 books on one session": (1, 100), "1,000 books on ten sessions": (10, 100)}
LEVELS = 20
WARM_S = 1.0
ALL_S = 60.0
_LAG = re.compile(r'troupe_loop_lag_seconds_bucket\{le="([^"]+)"\} ([0-9.e+]+)')

CONFIGURATION = """
[node]
data_dir = "{folder}/data"

[edge]
port = {port}
"""
FEED = """
[[feeds]]
name = "f{number}"
venue = "simulated"
url = "{url}"
markets = {markets}
channels = ["book"]
"""
STRATEGY = """
[[strategies]]
name = "note"
strategy = "benchmarks.feed:Note"
markets = {markets}
exchange = "bench"
parameters = {{ file = "{folder}/notes" }}
"""


class DeepVenue(Venue):
    """Books of twenty levels a side."""

    def _snapshot(self, market: str) -> None:
        self._seq += 1
        body = kalshi.SnapshotBody(
            market_ticker=market,
            market_id="synthetic",
            yes_dollars_fp=tuple((f"0.{45 - n:02d}00", "300.00") for n in range(LEVELS)),
            no_dollars_fp=tuple((f"0.{55 + n:02d}00", "300.00") for n in range(LEVELS)),
        )
        self._write(kalshi.encode(kalshi.SnapshotFrame(sid=1, seq=self._seq, msg=body)))

    def change(self, market: str, price: str, size: str) -> int:
        """Change a level; returns the frame's number in its subscription."""
        self._seq += 1
        self._write(
            b'{"type":"orderbook_delta","sid":1,"seq":%d,"msg":{"market_ticker":"%b","market_id":"synthetic",'
            b'"price_dollars":"%b","delta_fp":"%b","side":"yes","ts_ms":%d}}'
            % (self._seq, market.encode(), price.encode(), size.encode(), time.time_ns() // 1_000_000)
        )
        return self._seq


def names(feed: int, count: int) -> list[str]:
    """The markets of a feed."""
    return [f"M{feed}-{number:03d}" for number in range(count)]


def node(urls: list[str], port: int, folder: str, each: int) -> int:
    """A node as `bin/troupe run` runs it, until SIGTERM."""
    text = CONFIGURATION.format(folder=folder, port=port)
    for number, url in enumerate(urls):
        markets = msgspec.json.encode(names(number, each)).decode()
        text += FEED.format(number=number, url=url, markets=markets)
    text += STRATEGY.format(folder=folder, markets=msgspec.json.encode(names(0, each)).decode())
    file = Path(folder) / "bench.toml"
    file.write_text(text, encoding="utf-8")
    return run_node(load(file, sections()))


def outside(
    announce: Callable[[dict[str, Any]], None], folder: str, feeds: int, each: int, rate: float, seconds: float
) -> Sample:
    """The venues. Announces their addresses; begins to send at SIGUSR1."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    venues = [DeepVenue(names(number, each)) for number in range(feeds)]
    announce({"urls": [venue.url for venue in venues]})
    waiting = {venue._listener: venue for venue in venues}
    while waiting:
        for listener in select.select(list(waiting), [], [], ALL_S)[0]:
            waiting.pop(listener).accept()
    signal.sigwait({signal.SIGUSR1})
    chance = random.Random(7)
    markets = [(number, name) for number in range(feeds) for name in names(number, each)]
    chance.shuffle(markets)
    weights = [1 / (rank + 1) for rank in range(len(markets))]
    sent: dict[int, int] = {}
    warm = 0
    signs: dict[tuple[str, str], bool] = {}
    began = time.perf_counter()
    for due in arrivals(rate, WARM_S + seconds):
        number, market = chance.choices(markets, weights)[0]
        price = "0.4500" if chance.random() < 0.1 else f"0.{45 - chance.randrange(1, LEVELS):02d}00"
        up = signs[market, price] = not signs.get((market, price), False)
        wait_until(began + due)
        now = time.time_ns()
        seq = venues[number].change(market, price, "1.00" if up else "-1.00")
        if number == 0 and price == "0.4500":
            sent[seq] = now
        if due < WARM_S:
            warm = now
    time.sleep(1.0)
    whole = []
    notes = Path(f"{folder}/notes").read_bytes()
    for seq, _, noted in NOTE.iter_unpack(notes):
        if not seq:
            break
        at = sent.get(seq)
        if at is not None and at >= warm:
            whole.append((noted - at) / 1e6)
    p50, p99, p999 = quantiles(whole, 0.5, 0.99, 0.999)
    expected = sum(1 for at in sent.values() if at >= warm)
    for venue in venues:
        venue.close()
    return {"p50": p50, "p99": p99, "p99.9": p999, "arrived": len(whole) / expected}


def _resident(pid: int) -> int:
    """Bytes of a process's memory that it alone has, as the kernel counts them."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Private_"))


def _lag(port: int) -> dict[float, float]:
    text = httpx.get(f"http://{HOST}:{port}/metrics").text
    return {float(bound): float(count) for bound, count in _LAG.findall(text)}


def _quantile(before: dict[float, float], after: dict[float, float], share: float) -> float:
    """The bound below which this share of the wakes in between was late, in milliseconds."""
    counts = {bound: after[bound] - before.get(bound, 0.0) for bound in after}
    total = max(counts.values())
    return 1000 * min(bound for bound, count in counts.items() if count >= share * total)


def passed(feeds: int, each: int, seconds: float) -> Sample:
    """One run of the node and its outside world."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as processes:
        Path(folder).chmod(0o755)
        with (Path(folder) / "notes").open("wb") as file:
            file.truncate(NOTED * NOTE.size)
        about: dict[str, Any] = {"folder": folder, "each": each}
        world = processes.enter_context(
            Child("benchmarks.books:outside", feeds=feeds, rate=FRAMES_PER_S, seconds=seconds, **about)
        )
        whole = processes.enter_context(
            Child("benchmarks.books:node", urls=world.announced()["urls"], port=port, **about)
        )
        wait_until_ready(port)
        _wait_until_live(port, feeds)
        time.sleep(2.0)
        rest = _resident(whole.pid)
        before = _lag(port)
        world.signal(signal.SIGUSR1)
        began, cpu = time.perf_counter(), cpu_seconds(whole.pid)
        found: Sample = world.result()
        found["busy"] = (cpu_seconds(whole.pid) - cpu) / (time.perf_counter() - began)
        found["lag p99"] = _quantile(before, _lag(port), 0.99)
        found["memory"] = rest
        return found


def _wait_until_live(port: int, feeds: int) -> None:
    give_up = time.perf_counter() + ALL_S
    while time.perf_counter() < give_up:
        found = httpx.get(f"http://{HOST}:{port}/api/v1/feeds").json()["feeds"]
        if sum(each["state"] == "live" for each in found) == feeds:
            return
        time.sleep(0.2)
    raise ChildFailed(f"the feeds were not live within {ALL_S:g} s")


def run(scale: Scale) -> Findings:
    """Measure the three in turns."""
    seconds = 2 * scale.seconds
    found = in_turns({name: partial(passed, *shape, seconds) for name, shape in SHAPES.items()}, scale)
    rows = []
    fewest, *_, most = SHAPES
    difference = SHAPES[most][0] * SHAPES[most][1] - SHAPES[fewest][0] * SHAPES[fewest][1]
    book = tuple(
        (many - few) / difference / 1024
        for few, many in zip(found[fewest]["memory"], found[most]["memory"], strict=True)
    )
    rows.append(Row(f"memory of a book ({2 * LEVELS} levels), its actor and its place in store and bars", "KiB", book))
    for name in SHAPES:
        each = found[name]
        for share in ("p50", "p99", "p99.9"):
            rows.append(Row(f"{name}: venue's socket to quote, {share}", "ms", each[share]))
        rows.append(Row("  the loop's lag, p99 at most", "ms", each["lag p99"]))
        rows.append(Row("  the node's share of a core", "%", tuple(100 * busy for busy in each["busy"])))
        rows.append(Row("  quotes that arrived", "%", tuple(100 * n for n in each["arrived"]), target=at_least(100)))
    return Findings(
        tuple(rows),
        (f"{FRAMES_PER_S:,.0f} frames/s in all (Poisson), {seconds:g} s a turn after {WARM_S:g} s.",),
    )
