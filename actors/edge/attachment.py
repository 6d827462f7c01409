"""A WebSocket whose client hangs on an actor: it outlives the actor's restarts, and leaves nothing behind.

The actor fans something out to the connections that have attached themselves. When it ends, it (or its watcher) sets
`connection.detached`; the connection turns to its next incarnation, and is closed if there is none for a while.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import trio

from actors.edge.websocket import SocketClosed, WebSocket
from protocols.control import Message, Refused, Request, Unknown
from runtime import ActorRef

TRY_AGAIN_LATER: Final = 1013
"""The close code of a server that has no room or is restarting (IANA's registry of WebSocket close codes)."""
RETRY_S: Final = 0.1
PATIENCE_S: Final = 10.0
"""How long a connection waits for an actor that is being restarted before it is closed."""


class Attached(Protocol):
    """A connection as the actor knows it. `detached` is set when the actor has ended, and cleared by attaching."""

    @property
    def socket(self) -> WebSocket:
        """The client's WebSocket."""

    @property
    def detached(self) -> trio.Event:
        """Set: the actor knows nothing of it."""


async def serve_attached(
    connection: Attached,
    actor: ActorRef,
    attach: Callable[[], Request[Any]],
    detach: Message,
    serve: Callable[[], Awaitable[None]],
    refused: Callable[[Refused | Unknown], Awaitable[None]],
    gone: str,
) -> None:
    """Attach, run `serve` until it or the client ends, detach.

    `attach()` makes the request that attaches; `refused` tells the client why that was not possible; `gone` is the
    reason of the close when the actor does not come back.
    """
    socket = connection.socket
    ended = False
    try:
        try:
            await actor.ask(attach())
        except (Refused, Unknown) as error:
            await refused(error)
            await socket.close(TRY_AGAIN_LATER, "no room")
            ended = True
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stay_attached, connection, actor, attach, gone)
            await serve()
            nursery.cancel_scope.cancel()
        ended = True
    except SocketClosed:
        ended = True
    finally:
        if not ended:
            socket.abort()  # the edge was ended: nothing may be offered to a socket that nobody serves
        actor.tell(detach)


async def _stay_attached(connection: Attached, actor: ActorRef, attach: Callable[[], Request[Any]], gone: str) -> None:
    """Turn to the next incarnation of the actor whenever one has ended; give up after a while."""
    while True:
        await connection.detached.wait()
        with trio.move_on_after(PATIENCE_S):
            while connection.detached.is_set():
                try:
                    await actor.ask(attach())
                except (Refused, Unknown):
                    await trio.sleep(RETRY_S)
        if connection.detached.is_set():
            connection.socket.close_soon(TRY_AGAIN_LATER, gone)
            return
