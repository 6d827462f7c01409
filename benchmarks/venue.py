"""A stand-in for a venue: speaks Kalshi's WebSocket protocol to one client, and knows when it sent which frame.

It exists because the simulated venue makes its own order flow in its own time; here every frame changes the best bid of
one market, so that each is seen as a quote, and the times are the benchmark's. Plain blocking sockets: it shares
nothing with what is measured.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import random
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.load import HOST, SILENCE_S, LoadFailed
from protocols.venues import kalshi
from protocols.venues.kalshi_commands import decode_command

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SID = 1
LAST_PING = b""
"""What `pings` sends when it has sent them all."""
MARKETS = tuple(f"BENCH-{number}" for number in range(10))
_BID, _ASK = "0.4500", "0.5500"


class Venue:
    """Listens; `accept` serves one client up to its order book subscription, `send` sends the next change."""

    def __init__(self, markets: Sequence[str]) -> None:
        self.markets = tuple(markets)
        self.sent = 0
        """Frames that changed a book."""
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self.sock: socket.socket
        self._seq = 0
        self._received = b""

    @property
    def url(self) -> str:
        """Where a feed connects."""
        return f"ws://{HOST}:{self.port}/trade-api/ws/v2"

    def accept(self) -> None:
        """Wait for the client and its subscription, and send the snapshots."""
        self._listener.settimeout(SILENCE_S)
        self.sock, _ = self._listener.accept()
        self.sock.settimeout(SILENCE_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._upgrade()
        while True:
            command = decode_command(self._next_text())
            assert command.params is not None
            for channel in command.params.channels or ():
                body = kalshi.SubscribedBody(channel=channel, sid=_SID)
                self._write(kalshi.encode(kalshi.SubscribedFrame(id=command.id, sid=_SID, msg=body)))
                if channel == kalshi.ORDERBOOK:
                    for market in self.markets:
                        self._snapshot(market)
                    return

    def send(self) -> int:
        """Change the best bid's size in the next market; returns the frame's number, from 0."""
        number = self.sent
        self.sent += 1
        self._seq += 1
        market = self.markets[number % len(self.markets)]
        change = "1.00" if number // len(self.markets) % 2 == 0 else "-1.00"
        self._write(
            b'{"type":"orderbook_delta","sid":%d,"seq":%d,"msg":{"market_ticker":"%b","market_id":"synthetic",'
            b'"price_dollars":"%b","delta_fp":"%b","side":"yes","ts_ms":%d}}'
            % (_SID, self._seq, market.encode(), _BID.encode(), change.encode(), time.time_ns() // 1_000_000)
        )
        return number

    def number_of(self, seq: int) -> int:
        """The number of the frame with this sequence number."""
        return seq - len(self.markets) - 1

    def close(self) -> None:
        """Hang up."""
        self.sock.close()
        self._listener.close()

    def _snapshot(self, market: str) -> None:
        self._seq += 1
        body = kalshi.SnapshotBody(
            market_ticker=market,
            market_id="synthetic",
            yes_dollars_fp=(("0.4400", "300.00"), (_BID, "100.00")),
            no_dollars_fp=((_ASK, "100.00"), ("0.5600", "300.00")),
        )
        self._write(kalshi.encode(kalshi.SnapshotFrame(sid=_SID, seq=self._seq, msg=body)))

    def _upgrade(self) -> None:
        while b"\r\n\r\n" not in self._received:
            self._read()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        self.sock.sendall(switching(head))

    def _read(self) -> None:
        data = self.sock.recv(65_536)
        if not data:
            raise LoadFailed("the feed hung up")
        self._received += data

    def _next_text(self) -> bytes:
        """The next text frame of the client (RFC 6455 5.2: masked). Commands are short and come whole."""
        while True:
            received = self._received
            if len(received) >= 2:
                size, start = received[1] & 0x7F, 2
                if size == 126:
                    size, start = int.from_bytes(received[2:4], "big"), 4
                end = start + 4 + size
                if len(received) >= end:
                    mask, masked = received[start : start + 4], received[start + 4 : end]
                    self._received = received[end:]
                    if received[0] == 0x81:
                        return bytes(byte ^ mask[index % 4] for index, byte in enumerate(masked))
                    continue
            self._read()

    def _write(self, text: bytes) -> None:
        head = bytes((0x81, len(text))) if len(text) < 126 else b"\x81\x7e" + len(text).to_bytes(2, "big")
        self.sock.sendall(head + text)


def switching(request: bytes) -> bytes:
    """The answer that opens a WebSocket (RFC 6455 4.2.2), which says that all that follows is made up."""
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in request.split(b"\r\n"))
    }
    digest = hashlib.sha1(headers[b"sec-websocket-key"] + _GUID, usedforsecurity=False).digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        b"sec-websocket-accept: " + base64.b64encode(digest) + b"\r\ntroupe-marks: synthetic\r\n\r\n"
    )


def arrivals(rate: float, seconds: float, seed: int = 7) -> Iterator[float]:
    """Seconds from the start at which frames are due: independent of one another (Poisson), `rate` a second."""
    chance = random.Random(seed)
    due = 0.0
    while (due := due + chance.expovariate(rate)) < seconds:
        yield due


def wait_until(moment: float, readable: Sequence[socket.socket] = ()) -> Sequence[Any]:
    """Sleep to `time.perf_counter() == moment` to some 60 µs, or until something can be read; returns what."""
    # select takes microseconds, where epoll and poll round up to whole milliseconds.
    return select.select(readable, (), (), max(0.0, moment - time.perf_counter()))[0]


def feed(
    announce: Callable[[dict[str, Any]], None], markets: Sequence[str], rate: float, seconds: float
) -> dict[str, float]:
    """Serve one client: announces the address, then, once subscribed, sends `rate` frames a second."""
    venue = Venue(markets)
    announce({"url": venue.url})
    venue.accept()
    announce({"subscribed": True})
    began = time.perf_counter()
    with contextlib.suppress(ConnectionError):  # the node has ended, and so may the feed
        for due in arrivals(rate, seconds):
            wait_until(began + due)
            venue.send()
    elapsed = time.perf_counter() - began
    venue.close()
    return {"frames/s": venue.sent / elapsed}


def pings(port: int, rate: float, seconds: float) -> int:
    """Send the time (monotonic nanoseconds) to a UDP port, `rate` times a second at random; returns how often."""
    count = 0
    began = time.perf_counter()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((HOST, port))
        for due in arrivals(rate, seconds, seed=11):
            wait_until(began + due)
            sock.send(time.monotonic_ns().to_bytes(8, "big"))
            count += 1
        sock.send(LAST_PING)
    return count
