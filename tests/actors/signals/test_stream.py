from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from trio_websocket import ConnectionClosed, open_websocket_url

from actors.edge.limits import Limits
from actors.signals.capability import Settings
from protocols.control import Probe
from protocols.paths import EDGE, HUB, STREAM
from protocols.signals import SubmitSignal
from tests.actors.signals.samples import signal
from tests.actors.signals.stage import LIMIT_S, Desk, desk


async def test_a_client_is_greeted_subscribes_and_receives_numbered_signals(tmp_path: Path) -> None:
    async with desk(tmp_path) as at, at.client() as client:
        await client.subscribe("A")
        assert await client.next() == {"type": "subscription", "status": "subscribed", "symbols": ["A"]}
        await at.submit([signal(1, "A", current_price=740_000_001), signal(2, "B"), signal(3, "A")])
        first, second = await client.next(), await client.next()
        assert (first["type"], first["seq"], second["seq"]) == ("signal", 1, 3)
        assert first["data"]["signal_id"] == "sig_1"
        assert first["data"]["current_price"] == 0.740000001
        assert first["data"]["execution_params"]["order_type"] == "MARKET"


async def test_every_kind_of_message_of_a_client_has_its_answer(tmp_path: Path) -> None:
    async with desk(tmp_path) as at, at.client() as client:
        await client.say({"type": "ping"})
        assert await client.next() == {"type": "pong"}
        await client.say({"type": "subscribe", "symbols": []})
        assert (await client.next())["field"] == "symbols"
        await client.say({"type": "shout"})
        assert await client.next() == {
            "type": "error", "code": "invalid", "message": "Invalid value 'shout'", "field": "type",
        }  # fmt: skip
        await client.say({"type": "subscribe", "symbols": ["A"], "resume_form": 3})
        assert (await client.next())["field"] == "resume_form"
        await client.say({"type": "subscribe", "symbols": ["A"], "resume_from": 3})
        error = await client.next()
        assert (error["code"], error["field"]) == ("invalid", "resume_from")
        await client.subscribe("*")
        assert (await client.next())["type"] == "subscription"
        await client.say({"type": "unsubscribe", "symbols": ["A"]})
        assert (await client.next())["field"] == "symbols"
        await client.say({"type": "unsubscribe", "symbols": ["*"]})
        assert await client.next() == {"type": "subscription", "status": "unsubscribed", "symbols": ["*"]}
        await client.socket.send_message(b"\x00")
        assert (await client.next())["code"] == "invalid"


@pytest.mark.parametrize("frames", [4096, 2], ids=["from the frames", "from the hub"])
async def test_a_client_that_resumes_gets_what_it_missed_and_then_goes_on_live(tmp_path: Path, frames: int) -> None:
    async with desk(tmp_path, Settings(frames=frames)) as at:
        await at.submit(signal(number, "AB"[number % 2]) for number in range(1, 701))
        async with at.client("*", resume_from=100) as client:
            assert await client.signals(601) == list(range(100, 701))
            assert await client.next() == {"type": "resumed", "from": 100, "to": 700, "count": 601, "missing": []}
            await at.submit([signal(701)])
            assert await client.signals(1) == [701]
        async with at.client("A", resume_from=690) as client:
            assert await client.signals(6) == [690, 692, 694, 696, 698, 700]


async def test_what_can_be_read_nowhere_now_is_said_and_the_rest_is_sent(tmp_path: Path) -> None:
    settings = Settings(history=5, frames=3, patience_s=0)
    async with desk(tmp_path, settings) as at:
        await at.submit(signal(number) for number in range(1, 11))
        async with at.client("*", resume_from=1) as client:
            error = await client.next()
            assert (error["code"], error["field"]) == ("unavailable", "resume_from")
            assert await client.signals(3) == [8, 9, 10]
            resumed = await client.next()
            assert resumed["missing"] == [{"from": 1, "to": 7}]


async def test_one_subscriber_too_many_is_refused_with_the_reason(tmp_path: Path) -> None:
    async with desk(tmp_path, Settings(max_subscribers=1)) as at:
        async with at.client("*"), open_websocket_url(at.url) as late:
            error = msgspec.json.decode(await late.get_message())
            assert (error["type"], error["code"]) == ("error", "overloaded")
            with pytest.raises(ConnectionClosed) as closed:
                await late.get_message()
            assert closed.value.reason.code == 1013
        async with at.client("*"):
            figures = dict((await at.node.ref(STREAM).ask(Probe())).figures)
            assert (figures["subscribers"], figures["refused_subscribers"]) == (1, 1)


@pytest.mark.parametrize("path", [HUB, STREAM])
async def test_killing_the_hub_or_the_stream_loses_and_doubles_nothing_for_who_stays_connected(
    tmp_path: Path, path: str
) -> None:
    async with desk(tmp_path, Settings(frames=8)) as at, at.client("*") as all_of_it, at.client("A") as some:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(submit_surely, at, 300)
            for _ in range(3):
                await all_of_it.signals(50)
                await at.kill(path)
            rest = await all_of_it.signals(150)
        assert rest == list(range(151, 301))
        assert await some.signals(300) == list(range(1, 301))


async def test_who_was_cut_off_resumes_behind_its_last_place_and_misses_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        async with at.client("*") as client:
            await at.submit(signal(number) for number in range(1, 11))
            assert await client.signals(10) == list(range(1, 11))
            await at.kill(EDGE)
            with pytest.raises(ConnectionClosed):
                await client.next()
        await at.submit(signal(number) for number in range(11, 21))
        await at.kill(HUB)
        await at.kill(STREAM)
        async with at.client("*", resume_from=11) as client:
            assert await client.signals(10) == list(range(11, 21))


async def test_numbers_and_replays_go_on_after_a_restart_of_the_node_without_a_database(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.submit(signal(number) for number in range(1, 31))
    async with desk(tmp_path) as at, at.client("*", resume_from=5) as client:
        accepted = await at.submit([signal(30), signal(31)])
        assert [(each.seq, each.repeated) for each in accepted] == [(30, True), (31, False)]
        assert await client.signals(27) == list(range(5, 32))


@pytest.mark.long
async def test_a_subscriber_that_never_reads_is_not_seen_by_two_hundred_others(tmp_path: Path) -> None:
    count = 120
    async with AsyncExitStack() as stack:
        at = await stack.enter_async_context(desk(tmp_path, limits=Limits(websocket_backlog_bytes=65_536)))
        deaf = await never_reading(stack, at)
        others = [await stack.enter_async_context(at.client("A")) for _ in range(200)]
        # Only the one that does not read is subscribed to what is big: more than any socket buffer holds.
        big = msgspec.Raw(msgspec.json.encode({"text": "x" * 16_000}))
        numbers = iter(range(1, 6 * count + 1))
        expected: list[int] = []
        for _ in range(count):
            await at.submit(signal(next(numbers), "B", metadata=big) for _ in range(5))
            small = await at.submit([signal(next(numbers), "A")])
            expected += [each.seq for each in small]
        for other in others:
            assert await other.signals(count) == expected
        figures = dict((await at.node.ref(STREAM).ask(Probe())).figures)
        assert figures["subscribers"] == 201
        lost = int(str(figures["lost_frames"]))
        assert lost > 0
        # Now it reads: what it got, in order, and what it lost, at its place; together everything.
        got = await read_until_lost(deaf, lost)
        assert got == list(range(1, 6 * count + 1))


async def never_reading(stack: AsyncExitStack, at: Desk) -> trio.SocketStream:
    """A raw client with a small receive buffer that subscribes and then reads nothing."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    raw.setblocking(False)
    sock = trio.socket.from_stdlib_socket(raw)
    await sock.connect(("127.0.0.1", at.port))
    stream = await stack.enter_async_context(trio.SocketStream(sock))
    handshake = (
        f"GET /api/signals/stream HTTP/1.1\r\nHost: 127.0.0.1:{at.port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    text = b'{"type":"subscribe","symbols":["*"]}'
    await stream.send_all(handshake.encode() + bytes((0x81, 0x80 | len(text))) + bytes(4) + text)
    seen = b""
    with trio.fail_after(LIMIT_S):
        while not seen.endswith(b'"status":"subscribed","symbols":["*"]}'):
            seen += await stream.receive_some(4_096)
    return stream


async def read_until_lost(stream: trio.SocketStream, lost: int) -> list[int]:
    """The places of everything, sent or told as lost, in the order in which it came, until `lost` losses are told."""
    places: list[int] = []
    data = bytearray()
    with trio.fail_after(LIMIT_S):
        while lost:
            data += await stream.receive_some(65_536)
            for message in take_frames(data):
                if message["type"] == "signal":
                    places.append(message["seq"])
                else:
                    span = range(message["from"], message["to"] + 1)
                    assert len(span) == message["count"]
                    places += span
                    lost -= len(span)
    return places


def take_frames(data: bytearray) -> Iterator[dict[str, Any]]:
    """The messages of the whole frames at the beginning, which are taken away."""
    while len(data) >= 4:
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        if len(data) < start + size:
            return
        yield msgspec.json.decode(data[start : start + size])
        del data[: start + size]


async def submit_surely(at: Desk, count: int) -> None:
    """Submit as a strategy does: whatever the outcome, the same signal again until it is accepted."""
    hub = at.node.ref(HUB)
    for number in range(1, count + 1):
        while True:
            outcome = await hub.outcome(SubmitSignal(signal(number, "A")))
            if type(outcome).__name__ == "Done":
                break
            await trio.lowlevel.checkpoint()
