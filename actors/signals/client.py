"""`WS /api/signals/stream`: one client's side of the signal stream, for as long as its WebSocket is open."""

from __future__ import annotations

import secrets

import trio

from actors.edge.call import Call
from actors.edge.websocket import SocketClosed, WebSocket
from actors.signals.stream import Attach, ChangeSubscription, Connection, Detach
from protocols.control import Refused, Unknown
from protocols.paths import STREAM
from protocols.signal_stream import (
    ConnectionMessage,
    ErrorMessage,
    Malformed,
    Ping,
    PongMessage,
    Subscribe,
    decode_client,
    encode_server,
    timestamp,
)
from runtime import ActorRef

TRY_AGAIN_LATER = 1013
"""The close code of a server that has no room or is restarting (IANA's registry of WebSocket close codes)."""
RETRY_S = 0.1
PATIENCE_S = 10.0
"""How long a connection waits for a stream actor that is being restarted before it is closed."""

PONG = encode_server(PongMessage()).decode()


async def signal_stream(socket: WebSocket, call: Call) -> None:
    """Serve one client."""
    connection = Connection(f"conn_{secrets.token_hex(8)}", socket)
    stream = call.ref(STREAM)
    ended = False
    try:
        try:
            await stream.ask(Attach(connection))
        except (Refused, Unknown) as error:
            await _say_error(socket, error)
            await socket.close(TRY_AGAIN_LATER, "no room")
            ended = True
            return
        greeting = ConnectionMessage("connected", connection.name, timestamp(call.node.clock.now()))
        await socket.send(encode_server(greeting).decode())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stay_attached, connection, stream)
            await _listen(connection, stream)
            nursery.cancel_scope.cancel()
        ended = True
    except SocketClosed:
        ended = True
    finally:
        if not ended:
            socket.abort()  # the edge was ended: nothing may be offered to a socket that nobody serves
        stream.tell(Detach(connection))


async def _listen(connection: Connection, stream: ActorRef) -> None:
    """Do what the client says, one message after the other, until it leaves."""
    socket = connection.socket
    try:
        while True:
            said = await socket.receive()
            try:
                message = decode_client(said)
            except Malformed as error:
                await _say(socket, ErrorMessage(error.message, "invalid", error.field))
                continue
            if isinstance(message, Ping):
                await socket.send(PONG)
                continue
            subscribe = isinstance(message, Subscribe)
            resume_from = message.resume_from if isinstance(message, Subscribe) else None
            try:
                await stream.ask(ChangeSubscription(connection, subscribe, message.symbols, resume_from))
            except (Refused, Unknown) as error:
                await _say_error(socket, error)
    except SocketClosed:
        return


async def _stay_attached(connection: Connection, stream: ActorRef) -> None:
    """Turn to the next incarnation of the stream actor whenever one has ended; give up after a while."""
    while True:
        await connection.detached.wait()
        with trio.move_on_after(PATIENCE_S):
            while connection.detached.is_set():
                try:
                    await stream.ask(Attach(connection))
                except (Refused, Unknown):
                    await trio.sleep(RETRY_S)
        if connection.detached.is_set():
            connection.socket.close_soon(TRY_AGAIN_LATER, "the signal stream is not available")
            return


async def _say(socket: WebSocket, message: ErrorMessage) -> None:
    await socket.send(encode_server(message).decode())


async def _say_error(socket: WebSocket, error: Refused | Unknown) -> None:
    if isinstance(error, Refused):
        await _say(socket, ErrorMessage(error.message, error.code, error.field))
    else:
        await _say(socket, ErrorMessage("no answer in time: ask again", "unknown"))
