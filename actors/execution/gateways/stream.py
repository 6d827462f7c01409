"""One connection of a venue's private stream: opened, listened to, pinged, until it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
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
from protocols.venues.simulated import MARKS_HEADER

_CONNECT_S: Final = 10.0
_MOST_BYTES: Final = 16 * 1024 * 1024


class PrivateStream:
    """`run` it once. A connection that does not answer a ping in `silence_s` is over."""

    def __init__(self, url: str, silence_s: float) -> None:
        self.url = url
        self.silence_s = silence_s
        self._reason = ""
        self._scope = trio.CancelScope()

    def end(self, reason: str) -> None:
        """End it. The first reason counts."""
        self._reason = self._reason or reason
        self._scope.cancel()

    async def run(
        self,
        headers: Sequence[tuple[str, str]],
        opening: Callable[[], Sequence[bytes]],
        opened: Callable[[frozenset[str]], Awaitable[None]],
        heard: Callable[[bytes], Awaitable[None]],
    ) -> str:
        """Say what `opening` gives, hand over what comes; why it ended."""
        raw = [(name.encode(), value.encode()) for name, value in headers]
        with self._scope:
            try:
                tls = await websocket_tls(self.url)
                async with open_websocket_url(
                    self.url,
                    ssl_context=tls,
                    extra_headers=raw,
                    message_queue_size=256,
                    max_message_size=_MOST_BYTES,
                    connect_timeout=_CONNECT_S,
                    disconnect_timeout=1.0,
                ) as socket:
                    await opened(_marks(socket))
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._ping, socket)
                        reason = await self._talk(socket, opening(), heard)
                        self._reason = self._reason or reason
                        nursery.cancel_scope.cancel()
            except ConnectionRejected as rejected:
                said = (rejected.body or b"")[:200].decode("utf-8", "replace")
                return f"refused: HTTP {rejected.status_code} {said}".rstrip()
            except DisconnectionTimeout:
                pass  # the venue did not say good-bye in time
            except (HandshakeError, OSError, ValueError) as error:
                return f"not connected: {type(error).__name__}: {error}"
        return self._reason or "closed"

    async def _talk(
        self, socket: WebSocketConnection, opening: Sequence[bytes], heard: Callable[[bytes], Awaitable[None]]
    ) -> str:
        try:
            for command in opening:
                await socket.send_message(command.decode())
            while True:
                message = await socket.get_message()
                await heard(message.encode() if isinstance(message, str) else message)
        except ConnectionClosed as closed:
            return f"closed by the venue: {closed.reason}"

    async def _ping(self, socket: WebSocketConnection) -> None:
        while True:
            await trio.sleep(self.silence_s / 2)
            try:
                with trio.move_on_after(self.silence_s / 2) as waiting:
                    await socket.ping()
            except ConnectionClosed:
                return  # who listens finds out why
            if waiting.cancelled_caught:
                self.end(f"no answer to a ping for {self.silence_s / 2:g} s")


def _marks(socket: WebSocketConnection) -> frozenset[str]:
    declared = dict(socket.handshake_headers or ())
    words = declared.get(MARKS_HEADER.encode(), b"").decode("latin-1")
    return frozenset(word.strip() for word in words.split(",") if word.strip())
