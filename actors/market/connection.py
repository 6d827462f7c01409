"""One WebSocket to a venue, from its opening to its end: frames in, paced commands out. It knows no protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    DisconnectionTimeout,
    HandshakeError,
    WebSocketConnection,
    open_websocket_url,
)

from actors.edge.clients import websocket_tls
from actors.market.budget import Bucket
from actors.market.rest_client import Headers, retry_after
from actors.market.venue_clock import VenueClock
from protocols.budget import CANCEL
from protocols.venues.simulated import MARKS_HEADER
from runtime.clock import Clock

CONNECT_S: Final = 10.0
MAX_FRAME_BYTES: Final = 64 * 1024 * 1024
"""The longest frame of any venue (Kalshi's AsyncAPI 2.0.0); Coinbase sends snapshots of 5 MB and more."""
_SHARE: Final = 0.8
_LOOKS: Final = 8
"""How often in the time of a silence somebody looks whether it is one."""
MOST_COMMANDS: Final = 4096
"""Commands that wait for the socket, or for the venue's limit on commands."""


class NotConnected(Exception):
    """No connection came about; says why. `retry_s`: the venue asks to stay away for so long."""

    def __init__(self, reason: str, status: int = 0, retry_s: float | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.retry_s = retry_s


class Polling:
    """Stands for the connection to a venue that has no socket: it lasts until somebody ends it."""

    def __init__(self) -> None:
        self.reason = ""
        self._ended = trio.Event()

    def send(self, command: bytes) -> bool:
        """There is nobody to send it to."""
        return False

    def end(self, reason: str) -> None:
        """End it. The first reason counts."""
        self.reason = self.reason or reason
        self._ended.set()

    async def ended(self) -> str:
        """Wait for the end; why."""
        await self._ended.wait()
        return self.reason


class Connection:
    """`run` it once. `commands_s`: how many commands a second the venue takes."""

    def __init__(self, url: str, clock: Clock, venue_clock: VenueClock, silence_s: float, commands_s: float) -> None:
        self.url = url
        self.clock = clock
        self.venue_clock = venue_clock
        self.silence_s = silence_s
        # Pongs count at some venues, and their second is not ours: stay below.
        self.pace = max(1.0, _SHARE * commands_s)
        self.reason = ""
        self._heard = 0
        self._scope = trio.CancelScope()
        self._send, self._receive = trio.open_memory_channel[bytes](MOST_COMMANDS)

    def send(self, command: bytes) -> bool:
        """Queue a command. False: too many wait already."""
        try:
            self._send.send_nowait(command)
        except trio.WouldBlock:
            return False
        return True

    def end(self, reason: str) -> None:
        """End the connection. The first reason counts."""
        self.reason = self.reason or reason
        self._scope.cancel()

    async def run(
        self,
        headers: Callable[[int], Headers],
        opened: Callable[[frozenset[str]], Awaitable[None]],
        frame: Callable[[bytes, int], Awaitable[None]],
        silent: Callable[[], Awaitable[None]],
        open_s: float | None,
    ) -> str:
        """Open, hand over what comes, until it ends; why it did. Raises NotConnected, and what the callables raise.

        `headers(ts)` at the venue's wall time; `opened(marks)` with the marks that the venue's answer declares;
        `silent()` after `silence_s` without a frame; as long again ends it. `open_s`: how long it may last.
        """
        sent = self.clock.now()
        given = [(name.encode(), value.encode()) for name, value in headers(sent + self.venue_clock.offset)]
        with self._scope:
            try:
                tls = await websocket_tls(self.url)
                async with open_websocket_url(
                    self.url,
                    ssl_context=tls,
                    extra_headers=given,
                    message_queue_size=512,
                    max_message_size=MAX_FRAME_BYTES,
                    receive_buffer_size=64 * 1024,
                    connect_timeout=CONNECT_S,
                    disconnect_timeout=1.0,
                ) as socket:
                    answered = _headers(socket.handshake_headers)
                    self._learn(answered, sent)
                    await opened(_marks(answered))
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._write, socket)
                        if open_s is not None:
                            nursery.start_soon(self._end_after, open_s)
                        nursery.start_soon(self._listen, silent)
                        reason = await self._read(socket, frame)
                        self.reason = self.reason or reason
                        nursery.cancel_scope.cancel()
            except ConnectionRejected as rejected:
                answered = _headers(rejected.headers)
                self._learn(answered, sent)
                said = (rejected.body or b"")[:200].decode("utf-8", "replace")
                raise NotConnected(
                    f"HTTP {rejected.status_code} {said}".rstrip(),
                    rejected.status_code,
                    retry_after(answered.get("retry-after"), self.clock.now()),
                ) from None
            except (HandshakeError, OSError, ValueError) as error:
                raise NotConnected(f"{type(error).__name__}: {error}") from None
            except DisconnectionTimeout:
                pass  # the venue did not say good-bye in time
        return self.reason or "closed"

    async def _read(self, socket: WebSocketConnection, frame: Callable[[bytes, int], Awaitable[None]]) -> str:
        now = self.clock.now
        try:
            while True:
                message = await socket.get_message()
                self._heard += 1
                await frame(message.encode() if isinstance(message, str) else message, now())
        except ConnectionClosed as closed:
            return f"closed by the venue: {closed.reason}"

    async def _listen(self, silent: Callable[[], Awaitable[None]]) -> None:
        """End a connection on which nothing comes. Looks now and then: a time limit of each frame costs too much."""
        looked, quiet_s, asked = self._heard, 0.0, False
        step_s = self.silence_s / _LOOKS
        while True:
            await trio.sleep(step_s)
            if self._heard != looked:
                looked, quiet_s, asked = self._heard, 0.0, False
                continue
            quiet_s += step_s
            if quiet_s >= 2 * self.silence_s - step_s / 2:
                self.end(f"silent for {2 * self.silence_s:g} s")
            elif quiet_s >= self.silence_s - step_s / 2 and not asked:
                asked = True
                await silent()

    async def _write(self, socket: WebSocketConnection) -> None:
        bucket = Bucket(self.pace, self.pace, trio.current_time())
        try:
            async for command in self._receive:
                await trio.sleep(bucket.wait(1.0, CANCEL, trio.current_time()))
                bucket.take(1.0, trio.current_time())
                await socket.send_message(command.decode())
        except ConnectionClosed:
            pass  # the reader finds out why

    async def _end_after(self, seconds: float) -> None:
        await trio.sleep(seconds)
        self.end("planned: the venue lets no connection live much longer")

    def _learn(self, answered: dict[str, str], sent: int) -> None:
        if "date" in answered:
            self.venue_clock.observe(answered["date"], sent, self.clock.now())


def _headers(raw: object) -> dict[str, str]:
    pairs = raw if isinstance(raw, (list, tuple)) else ()
    return {name.decode().lower(): value.decode("latin-1") for name, value in pairs}


def _marks(headers: dict[str, str]) -> frozenset[str]:
    """Marks that the handshake declares. An unknown word is kept: it says at least that something is up."""
    return frozenset(word.strip() for word in headers.get(MARKS_HEADER, "").split(",") if word.strip())
