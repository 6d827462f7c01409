"""`WS /api/v1/execution/stream`: order events without holes, from any place on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio
from trio_websocket import WebSocketConnection, open_websocket_url

from actors.execution.event_stream import WAITING, Follower
from protocols.orders import NewOrder, Order, OrderEvent
from tests.actors.execution.http.conftest import Client

LIMIT_S = 20.0


class Listener:
    def __init__(self, socket: WebSocketConnection) -> None:
        self.socket = socket

    async def next(self) -> dict[str, Any]:
        with trio.fail_after(LIMIT_S):
            message: dict[str, Any] = msgspec.json.decode(await self.socket.get_message())
        return message

    async def say(self, **message: Any) -> None:
        await self.socket.send_message(msgspec.json.encode(message).decode())

    async def subscribed(self, **fields: Any) -> None:
        await self.say(type="subscribe", **fields)
        assert (await self.next())["status"] == "subscribed"

    async def events(self, count: int) -> list[dict[str, Any]]:
        found = [await self.next() for _ in range(count)]
        assert all(each["type"] == "order_event" for each in found), found
        return found


@asynccontextmanager
async def listening(client: Client) -> AsyncIterator[Listener]:
    url = f"ws://127.0.0.1:{client.node.port}/api/v1/execution/stream"
    async with open_websocket_url(url, message_queue_size=10_000) as socket:
        listener = Listener(socket)
        assert (await listener.next())["status"] == "connected"
        yield listener


def order(client: Client, session: str, name: str, **fields: Any) -> None:
    known = {"symbol": "SIM-ALPHA", "side": "buy", "quantity": 0.01, "client_order_id": name, **fields}
    client("POST", f"/api/paper-trading/sessions/{session}/orders", 201, **known)


async def test_events_of_an_account_are_told_as_they_happen(client: Client) -> None:
    session, other = client.session(), client.session()
    async with listening(client) as listener:
        await listener.subscribed(accounts=[session])
        order(client, other, "other")
        order(client, session, "mine")
        events = await listener.events(3)
        assert [(each["seq"], each["kind"], each["account"]) for each in events] == [
            (1, "submitted", session),
            (2, "accepted", session),
            (3, "filled", session),
        ]
        filled = events[2]
        assert (filled["order"]["state"], filled["fill"]["quantity"]) == ("filled", "0.01")
        await listener.say(type="ping")
        assert (await listener.next())["type"] == "pong"
        await listener.say(type="unsubscribe", accounts=[session])
        assert (await listener.next())["status"] == "unsubscribed"


async def test_a_client_that_comes_back_is_told_what_it_missed_and_then_goes_on(client: Client) -> None:
    session = client.session()
    for number in range(3):
        order(client, session, f"b{number}")
        order(client, session, f"s{number}", side="sell")
    async with listening(client) as listener:
        await listener.subscribed(accounts=[session], resume_from={session: 5})
        events = await listener.events(13)
        order(client, session, "next")
        events += await listener.events(3)
        assert [each["seq"] for each in events] == list(range(6, 22))
        assert [each["fill"]["client_order_id"] for each in events if each["fill"]] == ["s0", "b1", "s1", "b2", "s2",
                                                                                        "next"]  # fmt: skip


async def test_what_is_no_message_is_an_error_and_the_connection_goes_on(client: Client) -> None:
    async with listening(client) as listener:
        await listener.say(type="subscribe", accounts=[])
        error = await listener.next()
        assert (error["type"], error["code"], error["field"]) == ("error", "invalid", "accounts")
        await listener.say(type="subscribe", account_id="nobody")
        error = await listener.next()
        assert (error["type"], error["field"]) == ("error", "account_id")
        await listener.socket.send_message("no json")
        assert (await listener.next())["code"] == "malformed_json"
        await listener.say(type="ping")
        assert (await listener.next())["type"] == "pong"


async def test_a_client_loses_nothing_while_the_stream_is_started_anew(client: Client) -> None:
    session = client.session()
    async with listening(client) as listener:
        await listener.subscribed(accounts=["*"], resume_from={session: 0})
        order(client, session, "before")
        seen = [each for each in await listener.events(3) if each["account"] == session]
        client("POST", "/api/v1/actors/execution/events/kill")
        order(client, session, "between")
        while len(seen) < 9:
            order(client, session, f"after{len(seen)}")  # the first event behind a hole shows it
            with trio.move_on_after(0.3):
                while len(seen) < 9:
                    message = await listener.next()
                    seen += [message] if message["account"] == session else []
        assert [each["seq"] for each in seen] == list(range(1, len(seen) + 1))


def test_what_a_client_cannot_hold_it_reads_from_the_database() -> None:
    follower = Follower("slow", None)  # type: ignore[arg-type]
    for seq in range(1, WAITING + 3):
        follower.hand(event("a", seq))
    assert follower.heads == {"a": WAITING}
    assert [each.seq for each in follower.waiting] == [WAITING + 1, WAITING + 2]
    assert follower.woken.is_set()


def event(account: str, seq: int) -> OrderEvent:
    asked = NewOrder(client_order_id="o", market="X", side="buy", kind="market", size=1)
    return OrderEvent(
        account=account, seq=seq, kind="accepted", ts=seq, order=Order(account=account, order=asked, state="accepted")
    )
