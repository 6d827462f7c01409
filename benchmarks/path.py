"""The whole way: from a frame on the venue's socket to the signal's frame at a subscriber's socket.

A whole node in a process of its own, as `bin/troupe run` runs it, with a feed of ten markets and one strategy. The
outside world in another: a venue that sends 2,000 frames a second, each of which moves a best bid, and one subscriber
of all signals. The strategy makes a signal of every frame, or of every twentieth, and writes the number of the frame
into it; so the subscriber knows when the frame was given to the venue's socket.

Frame, book, quote, strategy, hub (stored in the node's log), stream, socket: nothing is left out, and every signal is
in the database afterwards. Nothing is pinned: node, writer, PostgreSQL and the outside share the machine.
"""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec

from actors.node import run as run_node
from actors.node import sections
from actors.strategies.strategy import NO_DRAFTS, Draft, Strategy
from benchmarks.harness import Child, ChildFailed, Findings, Row, Sample, Scale, at_least, at_most, in_turns, quantiles
from benchmarks.load import HOST, SILENCE_S, LoadFailed, client_frame, cpu_seconds, upgrade_request
from benchmarks.venue import MARKETS, Venue, arrivals, wait_until
from protocols.market import Quote
from runtime.settings import load

TITLE = "From the venue's socket to a subscriber's"
FRAMES_PER_S = 2_000.0
EVERY = (20, 1)
WARM_S = 1.0
READY_S = 60.0
LAST_S = 5.0
"""How long the subscriber waits for the next signal before it takes the rest for lost."""
VALIDITY_NS = 60_000_000_000
STREAM_PATH = "/api/signals/stream"
STAMP = re.compile(rb'"metadata":\{"seq":(\d+),"received":(\d+),"decided":(\d+)\}')
_TEXT, _PING = 0x81, 0x89
_PONG = b"\x8a\x80\0\0\0\0"


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of every how many frames to make a signal."""

    nth: int


class Echo(Strategy[Parameters]):
    """Advises to buy at every `nth` frame, and says of which frame and when. It reads a clock, as no other may."""

    Parameters = Parameters
    version = "1"

    def on_quote(self, quote: Quote) -> Sequence[Draft]:
        """Make a signal of a frame that is not a snapshot."""
        if quote.seq % self.parameters.nth or quote.seq <= len(MARKETS):
            return NO_DRAFTS
        stamp = b'{"seq":%d,"received":%d,"decided":%d}' % (quote.seq, quote.ts_recv, time.time_ns())
        metadata = msgspec.Raw(stamp)
        return (Draft(market=quote.market, action="BUY", confidence=0.5, validity_ns=VALIDITY_NS, metadata=metadata),)


CONFIGURATION = """
[node]
data_dir = "{folder}"

[edge]
port = {port}

[[feeds]]
name = "bench"
venue = "simulated"
url = "{url}"
markets = {markets}
channels = ["book"]

[[strategies]]
name = "echo"
strategy = "benchmarks.path:Echo"
markets = {markets}
exchange = "bench"
parameters = {{ nth = {every} }}
"""


def node(url: str, port: int, every: int) -> int:
    """A node as `bin/troupe run` runs it, until SIGTERM."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        file = Path(folder) / "bench.toml"
        file.write_text(
            CONFIGURATION.format(
                folder=f"{folder}/data", port=port, url=url, every=every, markets=msgspec.json.encode(MARKETS).decode()
            ),
            encoding="utf-8",
        )
        return run_node(load(file, sections()))


class Listener:
    """One subscriber that reads whole frames."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection((HOST, port), SILENCE_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.sendall(upgrade_request(STREAM_PATH, port))
        self._received = b""
        while b"\r\n\r\n" not in self._received:
            self._read()
        self._received = self._received.partition(b"\r\n\r\n")[2]
        self.sock.sendall(client_frame(b'{"type":"subscribe","symbols":["*"]}'))
        while b'"subscribed"' not in b"".join(self.texts()):
            self._read()
        self.sock.setblocking(False)

    def _read(self) -> None:
        data = self.sock.recv(65_536)
        if not data:
            raise LoadFailed("the node hung up")
        self._received += data

    def texts(self) -> list[bytes]:
        """The frames that are whole."""
        found = []
        received, at = self._received, 0
        while len(received) >= at + 2:
            size, start = received[at + 1], at + 2
            if size == 126:
                size, start = int.from_bytes(received[start : start + 2], "big"), start + 2
            if len(received) < start + size:
                break
            if received[at] == _PING:
                self.sock.sendall(_PONG)
            elif received[at] != _TEXT:
                raise LoadFailed(f"an unexpected frame: {received[at : at + 300]!r}")
            else:
                found.append(received[start : start + size])
            at = start + size
        self._received = received[at:]
        return found

    def take(self) -> list[bytes]:
        """Read what is there; the frames that are whole then."""
        self._read()
        return self.texts()


class Times:
    """When each frame was sent, and what became of the signals made of them, in nanoseconds."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.sent: list[int] = []
        self.whole: list[int] = []
        self.to_session: list[int] = []
        self.to_strategy: list[int] = []
        self.to_subscriber: list[int] = []

    def send(self) -> None:
        """Send the next frame."""
        self.sent.append(time.time_ns())
        self.venue.send()

    def arrived(self, texts: list[bytes]) -> None:
        """Signals have come."""
        now = time.time_ns()
        for text in texts:
            stamp = STAMP.search(text)
            if stamp is None:
                raise LoadFailed(f"not a signal: {text[:300]!r}")
            seq, received, decided = map(int, stamp.groups())
            sent = self.sent[self.venue.number_of(seq)]
            self.whole.append(now - sent)
            self.to_session.append(received - sent)
            self.to_strategy.append(decided - received)
            self.to_subscriber.append(now - decided)

    def sample(self, skipped: int) -> Sample:
        """Quantiles in milliseconds, without the first signals."""
        sample: Sample = {"signals": len(self.whole) - skipped}
        for name in ("whole", "to_session", "to_strategy", "to_subscriber"):
            taken = (each / 1e6 for each in getattr(self, name)[skipped:])
            for share, value in zip(("p50", "p99", "p99.9"), quantiles(taken, 0.5, 0.99, 0.999), strict=True):
                sample[f"{name} {share}"] = value
        return sample


def outside(announce: Callable[[dict[str, Any]], None], port: int, every: int, rate: float, seconds: float) -> Sample:
    """The venue and the subscriber. Announces the venue's address; begins to send at SIGUSR1."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    venue = Venue(MARKETS)
    announce({"url": venue.url})
    venue.accept()
    listener = _listener(port)
    signal.sigwait({signal.SIGUSR1})
    times = Times(venue)
    skipped = 0
    began = time.perf_counter()
    for due in arrivals(rate, WARM_S + seconds):
        while wait_until(began + due, (listener.sock,)):
            times.arrived(listener.take())
        if due < WARM_S:
            skipped = len(times.whole)
        times.send()
    expected = sum(1 for number in range(venue.sent) if (number + 1 + len(MARKETS)) % every == 0)
    while len(times.whole) < expected and wait_until(time.perf_counter() + LAST_S, (listener.sock,)):
        times.arrived(listener.take())
    venue.close()
    return times.sample(skipped) | {"arrived": len(times.whole) / expected}


def _listener(port: int) -> Listener:
    """Connect as soon as the edge is there: it is the last to start."""
    give_up = time.perf_counter() + SILENCE_S
    while True:
        try:
            return Listener(port)
        except ConnectionRefusedError:
            if time.perf_counter() > give_up:
                raise
            time.sleep(0.05)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


def wait_until_ready(port: int) -> None:
    """Wait until the node says that all of it is ready, its database too. Raises ChildFailed."""
    give_up = time.perf_counter() + READY_S
    while time.perf_counter() < give_up:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"http://{HOST}:{port}/health/ready").status_code == 200:
                return
        time.sleep(0.1)
    raise ChildFailed(f"the node was not ready within {READY_S:g} s")


def passed(every: int, seconds: float) -> Sample:
    """One run of the node and its outside world."""
    port = free_port()
    parameters: dict[str, Any] = {"port": port, "every": every}
    with (
        Child("benchmarks.path:outside", rate=FRAMES_PER_S, seconds=seconds, **parameters) as world,
        Child("benchmarks.path:node", url=world.announced()["url"], **parameters) as whole,
    ):
        wait_until_ready(port)
        # The server has just been made: what that leaves to be done is not of this run.
        time.sleep(1.0)
        world.signal(signal.SIGUSR1)
        began, cpu = time.perf_counter(), cpu_seconds(whole.pid)
        found: Sample = world.result()
        found["busy"] = (cpu_seconds(whole.pid) - cpu) / (time.perf_counter() - began)
        return found


def run(scale: Scale) -> Findings:
    """Measure both densities of signals in turns."""
    seconds = 2 * scale.seconds
    found = in_turns({str(every): partial(passed, every, seconds) for every in EVERY}, scale)
    rows = []
    for every in EVERY:
        each = found[str(every)]
        which = "of every frame a signal" if every == 1 else f"of every {every}th frame a signal"
        for share in ("p50", "p99", "p99.9"):
            rows.append(
                Row(f"{which}, {share}", "ms", each[f"whole {share}"], target=at_most(2) if share == "p99" else None)
            )
        for name, words in (
            ("to_session", "venue's socket to session"),
            ("to_strategy", "session to strategy"),
            ("to_subscriber", "strategy to subscriber's socket"),
        ):
            rows.append(Row(f"  {words}, p50", "ms", each[f"{name} p50"]))
            rows.append(Row(f"  {words}, p99", "ms", each[f"{name} p99"]))
        arrived = tuple(100 * share for share in each["arrived"])
        rows.append(Row("  signals that arrived", "%", arrived, target=at_least(100)))
        rows.append(Row("  the node's share of a core", "%", tuple(100 * busy for busy in each["busy"])))
    return Findings(
        tuple(rows),
        (
            f"{FRAMES_PER_S:,.0f} frames/s at random moments (Poisson) over {len(MARKETS)} markets, {seconds:g} s a "
            f"turn after {WARM_S:g} s; a signal is timed from just before its frame was written.",
        ),
    )
