"""A small HTTP/1.1 server on a real socket, in the test's own loop, so that trio's mock clock rules all of it.

It speaks the paths of the trading service, the data aggregator and the threshold service, and fails on command.
"""

from __future__ import annotations

import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import trio

Fault = Callable[[trio.SocketStream], Any]


@dataclass
class Asked:
    """A request that has arrived. `path`: as it was on the wire; `at`: seconds of trio's clock."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    at: float


def reply(status: int, body: Any, *, headers: dict[str, str] | None = None, cut: int = 0) -> bytes:
    """An answer; the last `cut` bytes of it are kept back, though its length is told in full."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [
        f"HTTP/1.1 {status} x",
        f"content-length: {len(raw)}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    whole = "\r\n".join(lines).encode() + b"\r\n\r\n" + raw
    return whole[: len(whole) - cut]


@dataclass
class Service:
    """`faults` are given first, one a request: bytes to send as they are (then the connection ends), or None to be
    silent until the client leaves. `answering`: what it answers otherwise."""

    answering: Callable[[Asked], bytes]
    faults: deque[bytes | None] = field(default_factory=deque)
    always: list[bytes | None] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    hold: trio.Event | None = None
    tls: ssl.SSLContext | None = None
    _grown: trio.Event = field(default_factory=trio.Event)
    _scope: trio.CancelScope | None = None

    @property
    def url(self) -> str:
        return f"{'http' if self.tls is None else 'https'}://127.0.0.1:{self.port}"

    async def until(self, count: int) -> None:
        """Wait for so many requests."""
        while len(self.asked) < count:
            await self._grown.wait()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until `down`."""
        listeners = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        with trio.CancelScope() as self._scope:
            async with trio.open_nursery() as nursery:
                listening = [each if self.tls is None else trio.SSLListener(each, self.tls) for each in listeners]
                await nursery.start(trio.serve_listeners, self._serve, listening)
                task_status.started()

    def down(self) -> None:
        """Refuse connections, and break those that there are."""
        assert self._scope is not None
        self._scope.cancel()

    async def _serve(self, stream: trio.abc.Stream) -> None:
        buffer = b""
        try:
            while True:
                while b"\r\n\r\n" not in buffer:
                    part = await stream.receive_some()
                    if not part:
                        return
                    buffer += part
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                first, *lines = head.decode().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                while len(buffer) < int(headers.get("content-length", "0")):
                    buffer += await stream.receive_some()
                body, buffer = buffer[: int(headers.get("content-length", "0"))], b""
                if not await self._answer(stream, first, headers, body):
                    return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        finally:
            await trio.aclose_forcefully(stream)

    async def _answer(self, stream: trio.abc.Stream, first: str, headers: dict[str, str], body: bytes) -> bool:
        method, target, _ = first.split(" ")
        parts = urlsplit(target)
        asked = Asked(
            method,
            parts.path,
            dict(parse_qsl(parts.query)),
            headers,
            json.loads(body) if body else None,
            trio.current_time(),
        )
        self.asked.append(asked)
        self._grown.set()
        self._grown = trio.Event()
        if self.faults or self.always:
            fault = self.faults.popleft() if self.faults else self.always[0]
            if fault is None:
                await stream.receive_some()  # the client leaves
            else:
                await stream.send_all(fault)
            return False
        if self.hold is not None:
            await self.hold.wait()
        await stream.send_all(self.answering(asked))
        return True


@asynccontextmanager
async def service(answering: Callable[[Asked], bytes], tls: ssl.SSLContext | None = None) -> AsyncIterator[Service]:
    """One that is up until the end of the block."""
    made = Service(answering, tls=tls)
    async with trio.open_nursery() as nursery:
        await nursery.start(made.run)
        yield made
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def plain() -> AsyncIterator[str]:
    """The https address of a server that does not speak TLS."""

    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 400 no\r\n\r\n")

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, answer, listeners)
        yield f"https://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


# What the services answer.

STATUS = {
    "userId": "ann",
    "isActive": True,
    "status": "active",
    "watchlist": ["BTC"],
    "accounts": [{"accountId": "a1", "mode": "paper", "equity": 10012.5, "openOrders": 2, "unheard": [1]}],
    "timestamp": "2026-01-01T00:00:00Z",
    "unheard": {"of": 1},
}
SIGNALS = {
    "signals": [
        {"id": "s1", "symbol": "BTC", "action": "BUY", "confidence": 0.7, "timestamp": "2026-01-01T00:00:01Z"},
        {"id": "s2", "symbol": "BTC"},
    ]
}
WINDOW = {
    "data": [
        {"timestamp": 1767229200000, "open": 2, "high": 3, "low": 1, "close": 2.5, "volume": 10},
        {"timestamp": "2026-01-01T00:00:00Z", "open": 1, "high": 2, "low": 1, "close": 2},
    ],
    "indicators": {"rsi": 55.5, "macd": None},
}
AGGREGATE = {
    "onchain": [{"symbol": "BTC", "transactionCount": 3}],
    "whales": [{"type": "exchange_inflow", "amountUsd": 5e6, "timestamp": "2026-01-01T00:00:00.250Z"}],
    "funding": [{"symbol": "BTC", "exchange": "binance", "rate": 0.0001}],
    "liquidations": [],
    "metadata": {"sources": ["bitquery"], "reliability": 0.9},
}
VERDICT = {
    "success": True,
    "data": {
        "user_id": "ann",
        "symbol": "BTC",
        "should_trade": True,
        "confidence_adjustment": 0,
        "threshold_adjustments": {"rsi_threshold": 70.0},
        "reasoning": "all rules pass",
    },
}


def backend(asked: Asked) -> bytes:
    """All three services, as the reference has them."""
    place = (asked.method, asked.path.rpartition("/")[0])
    whole = (asked.method, asked.path)
    if place == ("GET", "/api/trading/status"):
        return reply(200, STATUS)
    if whole == ("POST", "/api/trading/start"):
        return reply(200, {"success": True, "message": "started", "data": {"sessionId": "x1", "status": "active"}})
    if whole == ("POST", "/api/trading/stop"):
        return reply(200, {"success": True, "message": "stopped"})
    if place == ("GET", "/api/trading/signals"):
        return reply(200, SIGNALS)
    if place == ("PUT", "/api/trading/settings"):
        return reply(200, {"success": True, "data": asked.body})
    if whole == ("POST", "/api/rl/feedback"):
        return reply(200, {"taken": asked.body["predictionId"]})
    if place == ("GET", "/api/data/market"):
        return reply(200, WINDOW)
    if whole == ("POST", "/api/data/aggregate"):
        return reply(200, AGGREGATE)
    if place == ("POST", "/api/v1/evaluate"):
        return reply(200, VERDICT)
    return reply(404, {"error": f"nothing at {asked.path}"})
