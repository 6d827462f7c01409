"""One client's connection to the simulated venue: a bounded backlog, its writer, and the venue's pings."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from actors.market.simulated.desk import Desk
from protocols.venues.kalshi_commands import ErrorCode

HEARTBEAT = b"heartbeat"


class Link:
    """What waits to be sent to one client.

    A client that reads too slowly loses its backlog and its subscriptions (error 25) and keeps its
    connection, as at the venue.
    """

    def __init__(self, id: int, desk: Desk, connection: WebSocketConnection, capacity: int) -> None:
        self.id = id
        self.desk = desk
        self.connection = connection
        self.scope = trio.CancelScope()
        self.silent = False
        self.delay_s = 0.0
        self.overflows = 0
        self._capacity = capacity
        self._backlog: deque[bytes] = deque()
        self._wake = trio.Event()

    def offer(self, frames: Iterable[bytes]) -> None:
        """Queue frames; never waits."""
        self._backlog.extend(frames)
        if len(self._backlog) > self._capacity:
            self.overflow()
        self._wake.set()

    def overflow(self) -> None:
        """Throw the backlog away and end the subscriptions."""
        self.overflows += 1
        self._backlog.clear()
        self._backlog.extend(self.desk.fail(ErrorCode.BUFFER_OVERFLOW))
        self._wake.set()

    def silence(self, silent: bool) -> None:
        """Hold everything back, or go on."""
        self.silent = silent
        self._wake.set()

    async def write(self) -> None:
        """Send the backlog as it grows, until the connection ends."""
        try:
            while True:
                while self._backlog and not self.silent:
                    if self.delay_s:
                        await trio.sleep(self.delay_s)
                    if self._backlog and not self.silent:
                        # The venue sends text frames.
                        await self.connection.send_message(self._backlog.popleft().decode())
                self._wake = trio.Event()
                await self._wake.wait()
        except ConnectionClosed:
            self.scope.cancel()

    async def beat(self, seconds: float) -> None:
        """Ping every `seconds`; a client that does not answer within as many is gone."""
        try:
            while True:
                await trio.sleep(seconds)
                if not self.silent:
                    with trio.fail_after(seconds):
                        await self.connection.ping(HEARTBEAT)
        except (ConnectionClosed, trio.TooSlowError):
            self.scope.cancel()
