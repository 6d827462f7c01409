"""`WS /api/v1/execution/stream`: order events and fills as they happen, without holes.

    client  {"type": "subscribe", "accounts": ["*"], "resume_from": {"paper": 17}}
            {"type": "unsubscribe", "accounts": ["paper"]}     {"type": "ping"}
    server  {"type": "connection", "status": "connected", "connection_id": "…", "timestamp": "…"}
            {"type": "subscription", "status": "subscribed", "accounts": ["*"]}
            {"type": "order_event", "account": "paper", "seq": 18, "kind": "filled", "order": {…}, "fill": {…}}
            {"type": "lagged", "account": "paper", "from": 19, "to": 24}
            {"type": "pong"}     {"type": "error", "code": "invalid", "message": "…", "field": "accounts"}

Events of an account have numbers without holes. Who says after which one he goes on is told all since, from the
database; so is a client that reads slowly. `lagged`: these are not in the database yet; ask for them again.
"""

from __future__ import annotations

import secrets
from functools import partial
from typing import Annotated, Any, Final

import msgspec
import trio

from actors.edge.attachment import serve_attached
from actors.edge.call import Call
from actors.edge.explaining import decoded, explained
from actors.edge.websocket import SocketClosed, WebSocket
from actors.execution.accounts.rows import ExecutionFillRow, ExecutionOrderRow, fills_stream, orders_stream
from actors.execution.event_stream import ALL, Follow, Follower, Unfollow
from actors.execution.http import reading
from actors.execution.http.bodies import FillBody, OrderBody, fill_body, fill_row_body, order_body
from protocols.control import Refused, Unknown
from protocols.execution import EVENTS
from protocols.orders import OrderEvent
from protocols.signal_stream import timestamp

PAGE: Final = 400
Account = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Accounts = Annotated[tuple[Account, ...], msgspec.Meta(min_length=1, max_length=1000)]


class Subscribe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="subscribe"):
    """Follow accounts ("*": all). `resume_from`: by account, the last event that the client has."""

    accounts: Accounts = (ALL,)
    resume_from: dict[str, Annotated[int, msgspec.Meta(ge=0)]] = {}


class Unsubscribe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="unsubscribe"):
    """Follow them no more."""

    accounts: Accounts


class Ping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="ping"):
    """Asks for a pong."""


class Connected(msgspec.Struct, frozen=True, tag_field="type", tag="connection"):
    """The greeting."""

    status: str
    connection_id: str
    timestamp: str


class Subscribed(msgspec.Struct, frozen=True, tag_field="type", tag="subscription"):
    """The answer to `subscribe` and `unsubscribe`."""

    status: str
    accounts: tuple[str, ...]


class OrderEventMessage(msgspec.Struct, frozen=True, tag_field="type", tag="order_event"):
    """Something happened to an order; `order` is as it stands behind it."""

    account: str
    seq: int
    kind: str
    timestamp: str
    order: OrderBody
    fill: FillBody | None


class Behind(msgspec.Struct, frozen=True, tag_field="type", tag="lagged", rename={"first": "from", "last": "to"}):
    """These events are not in the database yet."""

    account: str
    first: int
    last: int


class Pong(msgspec.Struct, frozen=True, tag_field="type", tag="pong"):
    """The answer to `ping`."""


class Problem(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """What was not granted, and why. The connection goes on."""

    code: str
    message: str
    field: str | None = None


_encode = msgspec.json.Encoder().encode
ClientMessage = Subscribe | Unsubscribe | Ping
_decode = msgspec.json.Decoder(ClientMessage).decode


async def execution_stream(socket: WebSocket, call: Call) -> None:
    """Serve one client."""
    follower = Follower(f"orders_{secrets.token_hex(8)}", socket)

    async def serve() -> None:
        await _say(socket, Connected("connected", follower.name, timestamp(call.node.clock.now())))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_deliver, follower, call)
            await _listen(follower, call)
            nursery.cancel_scope.cancel()

    async def refused(error: Refused | Unknown) -> None:
        code, message = (error.code, error.message) if isinstance(error, Refused) else ("unknown", "no answer in time")
        await _say(socket, Problem(code, message))

    await serve_attached(
        follower,
        call.ref(EVENTS),
        partial(Follow, follower),
        Unfollow(follower),
        serve,
        refused,
        "the stream of orders is not available",
    )


async def _listen(follower: Follower, call: Call) -> None:
    """Do what the client says until it leaves."""
    socket = follower.socket
    log = call.node.require_log()
    try:
        while True:
            said = await socket.receive()
            try:
                message = _decode(said)
            except msgspec.ValidationError as error:
                text, field = explained(error, ClientMessage, decoded(said))
                await _say(socket, Problem("invalid", text, field or None))
                continue
            except msgspec.DecodeError as error:
                await _say(socket, Problem("malformed_json", str(error)))
                continue
            if isinstance(message, Ping):
                await _say(socket, Pong())
            elif isinstance(message, Unsubscribe):
                follower.accounts -= set(message.accounts)
                for account in message.accounts:
                    follower.cursors.pop(account, None)
                await _say(socket, Subscribed("unsubscribed", message.accounts))
            else:
                await _say(socket, Subscribed("subscribed", message.accounts))
                follower.accounts |= set(message.accounts)
                for account, seq in message.resume_from.items():
                    follower.cursors[account] = seq
                    if (last := log.last_seq(orders_stream(account))) > seq:
                        follower.catch_up(account, last)
                for account in {*message.accounts} - {ALL}:
                    follower.cursors.setdefault(account, log.last_seq(orders_stream(account)))
    except SocketClosed:
        return


async def _deliver(follower: Follower, call: Call) -> None:
    """Send what waits, each account's events in order; what is missing in between is read."""
    try:
        while True:
            await follower.woken.wait()
            follower.woken = trio.Event()
            heads, follower.heads = follower.heads, {}
            for account, head in heads.items():
                await _replay(follower, call, account, head)
            while follower.waiting and not follower.heads:
                await _event(follower, call, follower.waiting.popleft())
            if follower.heads:
                follower.woken.set()
    except SocketClosed:
        return


async def _event(follower: Follower, call: Call, event: OrderEvent) -> None:
    if not follower.follows(event.account):
        return
    cursor = follower.cursors.get(event.account)
    if cursor is not None and event.seq <= cursor:
        return
    if cursor is not None and event.seq > cursor + 1:
        await _replay(follower, call, event.account, event.seq - 1)
    follower.cursors[event.account] = event.seq
    fill = None if event.fill is None else fill_body(event.fill)
    await _say(
        follower.socket,
        OrderEventMessage(event.account, event.seq, event.kind, timestamp(event.ts), order_body(event.order), fill),
    )


async def _replay(follower: Follower, call: Call, account: str, head: int) -> None:
    """Send the events behind the client's place, up to `head`, from the database."""
    while (cursor := follower.cursors.get(account, 0)) < head:
        try:
            page = await reading.rows(
                call,
                ExecutionOrderRow,
                orders_stream(account),
                before=min(head, cursor + PAGE) + 1,
                limit=PAGE,
                where="AND o.seq > $4",
                arguments=(cursor,),
            )
            fills = await _fills(call, account, page.rows)
        except (Refused, Unknown):
            page, fills = None, {}
        for row in () if page is None else page.rows[::-1]:
            message = OrderEventMessage(
                account, row.seq, row.kind, timestamp(row.ts), order_body(row.order()), fills.get(row.fill_id)
            )
            await _say(follower.socket, message)
            follower.cursors[account] = row.seq
        if page is None or not page.rows:
            await _say(follower.socket, Behind(account, cursor + 1, head))
            follower.cursors[account] = head


async def _fills(call: Call, account: str, events: tuple[ExecutionOrderRow, ...]) -> dict[str, FillBody]:
    names = tuple(row.fill_id for row in events if row.fill_id)
    if not names:
        return {}
    page = await reading.rows(
        call,
        ExecutionFillRow,
        fills_stream(account),
        limit=PAGE,
        where="AND o.fill_id = ANY($4)",
        arguments=(names,),
    )
    return {row.fill_id: fill_row_body(row) for row in page.rows}


async def _say(socket: WebSocket, message: Any) -> None:
    await socket.send(_encode(message).decode())
