"""`WS /api/signals/stream`: one client's side of the signal stream, for as long as its WebSocket is open."""

from __future__ import annotations

import secrets
from functools import partial

from actors.edge.attachment import serve_attached
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

PONG = encode_server(PongMessage()).decode()


async def signal_stream(socket: WebSocket, call: Call) -> None:
    """Serve one client."""
    connection = Connection(f"conn_{secrets.token_hex(8)}", socket)
    stream = call.ref(STREAM)

    async def serve() -> None:
        greeting = ConnectionMessage("connected", connection.name, timestamp(call.node.clock.now()))
        await socket.send(encode_server(greeting).decode())
        await _listen(connection, stream)

    await serve_attached(
        connection,
        stream,
        partial(Attach, connection),
        Detach(connection),
        serve,
        partial(_say_error, socket),
        "the signal stream is not available",
    )


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
            resume_from, updates = (
                (message.resume_from, message.updates) if isinstance(message, Subscribe) else (None, False)
            )
            try:
                await stream.ask(ChangeSubscription(connection, subscribe, message.symbols, resume_from, updates))
            except (Refused, Unknown) as error:
                await _say_error(socket, error)
    except SocketClosed:
        return


async def _say(socket: WebSocket, message: ErrorMessage) -> None:
    await socket.send(encode_server(message).decode())


async def _say_error(socket: WebSocket, error: Refused | Unknown) -> None:
    if isinstance(error, Refused):
        await _say(socket, ErrorMessage(error.message, error.code, error.field))
    else:
        await _say(socket, ErrorMessage("no answer in time: ask again", "unknown"))
