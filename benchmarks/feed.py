"""From a venue's socket to the published quote, with every change stored; alone, and beside a huge snapshot.

A whole node in a process of its own, as `bin/troupe run` runs it, with a feed of ten Kalshi markets, the store on, and
one strategy that does nothing but note when each quote came to it. The venue in another process sends 5,000 frames a
second at random moments, each of which moves a best bid. A quote is timed from just before its frame was written to
the socket. Afterwards the database must hold every change.

Then the same with 2,000 frames a second: alone; with a second feed whose venue (Coinbase's protocol, in a third
process) sends a snapshot of 46,000 levels, 5 MB, once in the middle; and with one that hangs up and sends it again all
the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import mmap
import signal
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import asyncpg
import msgspec
import numpy as np

from actors.node import run as run_node
from actors.node import sections
from actors.storage.embedded import server_url
from actors.strategies.strategy import NO_DRAFTS, Draft, Strategy
from benchmarks.harness import Child, Findings, Row, Sample, Scale, at_least, at_most, in_turns, quantiles
from benchmarks.load import HOST, SILENCE_S, LoadFailed, cpu_seconds
from benchmarks.path import free_port, wait_until_ready
from benchmarks.venue import MARKETS, Venue, arrivals, switching, wait_until
from protocols.market import Quote
from runtime.settings import load

TITLE = "From the venue's socket to the published quote"
FRAMES_PER_S = 5_000.0
BESIDE_PER_S = 2_000.0
LEVELS = 46_000
WARM_S = 1.0
STORED_S = 30.0
"""How long the database may take to have it all."""
NOTED = 4_000_000
NOTE = struct.Struct("<qqq")
PAUSE_S = 1.0
"""How long the huge snapshot's connection lasts."""


class NoteFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to note the quotes."""

    file: str


class Note(Strategy[NoteFile]):
    """Notes of every quote its number, when its frame was received, and the time. It reads a clock, as no other may."""

    Parameters = NoteFile
    version = "1"

    def __init__(self, parameters: NoteFile, markets: tuple[str, ...]) -> None:
        super().__init__(parameters, markets)
        with Path(parameters.file).open("r+b") as file:
            self.notes = mmap.mmap(file.fileno(), 0)
        self.at = 0

    def on_quote(self, quote: Quote) -> Sequence[Draft]:
        """Note it."""
        NOTE.pack_into(self.notes, self.at, quote.seq, quote.ts_recv, time.time_ns())
        self.at += NOTE.size
        return NO_DRAFTS


CONFIGURATION = """
[node]
data_dir = "{folder}/data"

[edge]
port = {port}

[bars]
intervals = ["1m"]

[[feeds]]
name = "bench"
venue = "simulated"
url = "{url}"
markets = {markets}
channels = ["book"]

[[strategies]]
name = "note"
strategy = "benchmarks.feed:Note"
markets = {markets}
exchange = "bench"
parameters = {{ file = "{folder}/notes" }}
"""
HUGE = """
[[feeds]]
name = "huge"
venue = "simulated"
speaks = "coinbase"
url = "{url}"
markets = ["BTC-USD"]
channels = ["book"]
"""


def node(url: str, port: int, folder: str, huge: str = "") -> int:
    """A node as `bin/troupe run` runs it, until SIGTERM."""
    text = CONFIGURATION.format(folder=folder, port=port, url=url, markets=msgspec.json.encode(MARKETS).decode())
    if huge:
        text += HUGE.format(url=huge)
    file = Path(folder) / "bench.toml"
    file.write_text(text, encoding="utf-8")
    return run_node(load(file, sections()))


def outside(announce: Callable[[dict[str, Any]], None], folder: str, rate: float, seconds: float) -> Sample:
    """The venue. Announces its address; begins to send at SIGUSR1."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    venue = Venue(MARKETS)
    announce({"url": venue.url})
    venue.accept()
    signal.sigwait({signal.SIGUSR1})
    sent: list[int] = []
    warm = 0
    began = time.perf_counter()
    for due in arrivals(rate, WARM_S + seconds):
        wait_until(began + due, ())
        if due < WARM_S:
            warm = len(sent)
        sent.append(time.time_ns())
        venue.send()
    notes = np.memmap(f"{folder}/notes", dtype=np.int64, mode="r", shape=(NOTED, 3))
    give_up = time.perf_counter() + 5.0
    while (come := int(np.count_nonzero(notes[:, 0]))) < len(sent) + len(MARKETS) and time.perf_counter() < give_up:
        time.sleep(0.1)
    whole: list[float] = []
    to_session: list[float] = []
    to_quote: list[float] = []
    arrived = 0
    for seq, received, noted in notes[:come].tolist():
        number = venue.number_of(seq)
        if number < 0:
            continue  # a snapshot
        arrived += 1
        if number >= warm:
            whole.append((noted - sent[number]) / 1e6)
            to_session.append((received - sent[number]) / 1e6)
            to_quote.append((noted - received) / 1e6)
    sample: Sample = {"arrived": arrived / len(sent), "sent": len(sent)}
    for name, values in (("whole", whole), ("to_session", to_session), ("to_quote", to_quote)):
        for share, value in zip(("p50", "p99", "p99.9"), quantiles(values, 0.5, 0.99, 0.999), strict=True):
            sample[f"{name} {share}"] = value
    time.sleep(0.5)
    venue.close()
    return sample


def huge_venue(announce: Callable[[dict[str, Any]], None], once: bool) -> Sample:
    """A venue that sends 46,000 levels to whoever subscribes, until SIGTERM.

    It hangs up a second later, always or (`once`) at SIGUSR1.
    """
    listener = socket.create_server((HOST, 0))
    stopping, hang_up = threading.Event(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: (stopping.set(), hang_up.set()))
    signal.signal(signal.SIGUSR1, lambda *_: hang_up.set())
    announce({"url": f"ws://{HOST}:{listener.getsockname()[1]}/"})
    frames = [_frame(json.dumps(body).encode()) for body in _huge()]
    served = 0
    listener.settimeout(0.2)
    while not stopping.is_set():
        with contextlib.suppress(TimeoutError, OSError):
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(SILENCE_S)
                _upgrade(sock)
                for frame in frames:
                    sock.sendall(frame)
                served += 1
                hang_up.wait(None if once else PAUSE_S)
                if once and not stopping.is_set():
                    hang_up.clear()
    return {"served": served, "bytes": sum(map(len, frames))}


def _huge() -> list[dict[str, Any]]:
    updates = [
        {
            "side": side,
            "event_time": "1970-01-01T00:00:00Z",
            "price_level": f"{60_000 + sign * (number + 1) / 100:.2f}",
            "new_quantity": f"{0.00001 * (number % 997 + 1):.8f}",
        }
        for side, sign in (("bid", -1), ("offer", 1))
        for number in range(LEVELS // 2)
    ]
    about = {"client_id": "", "timestamp": "2026-01-01T00:00:00.000000Z"}
    ack = {"channel": "subscriptions", "sequence_num": 0, "events": [{"subscriptions": {"level2": ["BTC-USD"]}}]}
    snapshot = {"type": "snapshot", "product_id": "BTC-USD", "updates": updates}
    return [about | ack, about | {"channel": "l2_data", "sequence_num": 1, "events": [snapshot]}]


def _frame(text: bytes) -> bytes:
    size = len(text)
    head = (
        bytes((0x81, 126)) + size.to_bytes(2, "big") if size < 65_536 else bytes((0x81, 127)) + size.to_bytes(8, "big")
    )
    return head + text


def _upgrade(sock: socket.socket) -> None:
    request = b""
    while b"\r\n\r\n" not in request:
        data = sock.recv(65_536)
        if not data:
            raise LoadFailed("the node hung up")
        request += data
    sock.sendall(switching(request))
    sock.recv(65_536)  # what it subscribes to


async def _stored(folder: str, expected: int) -> int:
    """Changes in the database, once all of them are there or time is up."""
    connection = await asyncpg.connect(server_url(Path(folder) / "data" / "postgres"))
    try:
        give_up = time.perf_counter() + STORED_S
        while True:
            count = int(await connection.fetchval("SELECT count(*) FROM rl_orderbook_deltas"))
            if count >= expected or time.perf_counter() > give_up:
                return count
            await asyncio.sleep(0.2)
    finally:
        await connection.close()


def passed(rate: float, seconds: float, huge: Literal["", "once", "always"] = "") -> Sample:
    """One run of the node and its outside world."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as processes:
        Path(folder).chmod(0o755)
        notes = Path(folder) / "notes"
        with notes.open("wb") as file:
            file.truncate(NOTED * NOTE.size)
        beside = processes.enter_context(Child("benchmarks.feed:huge_venue", once=huge == "once")) if huge else None
        world = processes.enter_context(Child("benchmarks.feed:outside", folder=folder, rate=rate, seconds=seconds))
        about = {"url": world.announced()["url"], "port": port, "folder": folder}
        if beside is not None:
            about["huge"] = beside.announced()["url"]
        whole = processes.enter_context(Child("benchmarks.feed:node", **about))
        wait_until_ready(port)
        # The server has just been made: what that leaves to be done is not of this run.
        time.sleep(1.0)
        world.signal(signal.SIGUSR1)
        began, cpu = time.perf_counter(), cpu_seconds(whole.pid)
        if beside is not None and huge == "once":
            time.sleep(WARM_S + seconds / 2)
            beside.signal(signal.SIGUSR1)
        found: Sample = world.result()
        found["busy"] = (cpu_seconds(whole.pid) - cpu) / (time.perf_counter() - began)
        found["stored"] = asyncio.run(_stored(folder, int(found["sent"]))) / found["sent"]
        if beside is not None:
            beside.signal(signal.SIGTERM)
            found["snapshots"] = beside.result()["served"]
        return found


def run(scale: Scale) -> Findings:
    """Measure the four in turns."""
    seconds = 2 * scale.seconds
    sides: dict[str, Callable[[], Sample]] = {
        "fast": partial(passed, FRAMES_PER_S, seconds),
        "alone": partial(passed, BESIDE_PER_S, seconds),
        "once": partial(passed, BESIDE_PER_S, seconds, huge="once"),
        "always": partial(passed, BESIDE_PER_S, seconds, huge="always"),
    }
    found = in_turns(sides, scale)
    rows = []
    for name, words in (
        ("fast", f"{FRAMES_PER_S:,.0f} frames/s"),
        ("alone", f"{BESIDE_PER_S:,.0f} frames/s"),
        ("once", f"{BESIDE_PER_S:,.0f} frames/s, one snapshot of {LEVELS:,} levels in the middle"),
        ("always", f"{BESIDE_PER_S:,.0f} frames/s, such snapshots all the time"),
    ):
        each = found[name]
        for share in ("p50", "p99", "p99.9"):
            target = at_most(1) if (name, share) == ("fast", "p99") else None
            rows.append(Row(f"{words}, {share}", "ms", each[f"whole {share}"], target=target))
        for part, what in (("to_session", "venue's socket to session"), ("to_quote", "session to strategy")):
            rows.append(Row(f"  {what}, p50", "ms", each[f"{part} p50"]))
            rows.append(Row(f"  {what}, p99", "ms", each[f"{part} p99"]))
        rows.append(
            Row("  quotes that arrived", "%", tuple(100 * share for share in each["arrived"]), target=at_least(100))
        )
        rows.append(
            Row("  changes in the database", "%", tuple(100 * share for share in each["stored"]), target=at_least(100))
        )
        rows.append(Row("  the node's share of a core", "%", tuple(100 * busy for busy in each["busy"])))
        if "snapshots" in each:
            rows.append(Row("  snapshots meanwhile", "", each["snapshots"]))
    return Findings(
        tuple(rows),
        (
            f"Frames at random moments (Poisson) over {len(MARKETS)} markets, {seconds:g} s a turn after {WARM_S:g} s.",
            "Node, writer, PostgreSQL and the venues share the machine; nothing is pinned.",
        ),
    )
