"""`WS /rl/ws/orderbook`: one client's side of the books, for as long as its WebSocket is open."""

from __future__ import annotations

import secrets
from functools import partial

import msgspec

from actors.edge.attachment import serve_attached
from actors.edge.call import Call
from actors.edge.websocket import SocketClosed, WebSocket
from actors.market.orderbook_stream import AttachBooks, ChangeBooks, Connection, DetachBooks, ResyncBooks
from protocols.control import Refused, Request, Unknown
from protocols.market_data import ORDERBOOK_STREAM
from protocols.orderbook_stream import (
    ClientMessage,
    ErrorDetail,
    ErrorMessage,
    PingBooks,
    PongMessage,
    Resync,
    SubscribeBooks,
    decode_client,
    encode_server,
)
from runtime import ActorRef

PONG = encode_server(PongMessage()).decode()


class OrderbookQuery(msgspec.Struct, frozen=True):
    """The markets to begin with, as often as there are some; more can be subscribed to later."""

    market: tuple[str, ...] = ()


async def orderbook_socket(request: OrderbookQuery, socket: WebSocket, call: Call) -> None:
    """Serve one client."""
    connection = Connection(f"books_{secrets.token_hex(8)}", socket)
    stream = call.ref(ORDERBOOK_STREAM)

    async def serve() -> None:
        if request.market:
            await _do(connection, stream, ChangeBooks(connection, subscribe=True, markets=request.market))
        await _listen(connection, stream)

    await serve_attached(
        connection,
        stream,
        partial(AttachBooks, connection),
        DetachBooks(connection),
        serve,
        partial(_say_error, socket),
        "the order book stream is not available",
    )


async def _listen(connection: Connection, stream: ActorRef) -> None:
    """Do what the client says, one message after the other, until it leaves."""
    socket = connection.socket
    try:
        while True:
            said = await socket.receive()
            try:
                message = decode_client(said)
            except (msgspec.DecodeError, UnicodeError) as error:
                await _say(socket, ErrorDetail("invalid", str(error), _field(str(error))))
                continue
            if isinstance(message, PingBooks):
                await socket.send(PONG)
            else:
                await _do(connection, stream, _request(connection, message))
    except SocketClosed:
        return


def _request(connection: Connection, message: ClientMessage) -> Request[None]:
    if isinstance(message, Resync):
        return ResyncBooks(connection, message.market)
    assert not isinstance(message, PingBooks)
    return ChangeBooks(connection, isinstance(message, SubscribeBooks), message.markets)


async def _do(connection: Connection, stream: ActorRef, request: Request[None]) -> None:
    try:
        await stream.ask(request)
    except (Refused, Unknown) as error:
        await _say_error(connection.socket, error)


def _field(text: str) -> str | None:
    """The field that msgspec names: `Expected `array` - at `$.markets``."""
    _, found, place = text.rpartition("at `$.")
    return place.rstrip("`") if found else None


async def _say(socket: WebSocket, error: ErrorDetail) -> None:
    await socket.send(encode_server(ErrorMessage(error)).decode())


async def _say_error(socket: WebSocket, error: Refused | Unknown) -> None:
    if isinstance(error, Refused):
        await _say(socket, ErrorDetail(error.code, error.message, error.field))
    else:
        await _say(socket, ErrorDetail("unknown", "no answer in time: ask again"))
