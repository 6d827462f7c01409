from __future__ import annotations

import struct
from collections.abc import Callable

import msgspec
import pytest
import trio
import trio.testing
from wsproto.connection import CLIENT, Connection
from wsproto.events import BytesMessage, CloseConnection, Event, TextMessage
from wsproto.events import Ping as PingEvent

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.frames import PING, binary_frame, close_frame, pong_frame, text_frame, text_frames
from actors.edge.limits import Limits
from actors.edge.routing import Route, websocket
from actors.edge.websocket import SocketClosed, WebSocket
from protocols.control import Refused
from tests.actors.edge.harness import (
    BINARY,
    CLOSE,
    PONG,
    TEXT,
    Client,
    connected,
    frame,
    opened,
    read_frame,
    serving,
    until,
    upgrade,
)
from tests.actors.edge.harness import PING as PING_CODE

SOON = 0.05


class Stage:
    """A route whose handler echoes, and what it saw."""

    def __init__(self) -> None:
        self.sockets: list[WebSocket] = []
        self.ended: list[SocketClosed] = []
        self.over = trio.Event()

    async def echo(self, socket: WebSocket, call: Call) -> None:
        self.sockets.append(socket)
        try:
            while True:
                await socket.send(await socket.receive())
        except SocketClosed as closed:
            self.ended.append(closed)
            raise
        finally:
            self.over.set()

    @property
    def routes(self) -> list[Route]:
        return [websocket("/ws", self.echo)]


async def expect_close(client: Client, code: int) -> None:
    answer = await read_frame(client)
    assert answer.close_code == code, answer
    await client.end()
    assert await client.is_closed()


async def test_messages_come_and_go_as_text_and_as_bytes_of_every_length() -> None:
    stage = Stage()
    async with serving(stage.routes) as served, opened(served) as client:
        for size in (0, 1, 125, 126, 65_535, 65_536):
            await client.send(frame(TEXT, b"x" * size))
            assert await read_frame(client) == (TEXT, b"x" * size)
        await client.send(frame(BINARY, b"\x00\xff"))
        assert await read_frame(client) == (BINARY, b"\x00\xff")
        await client.send(frame(TEXT, "ä€😀".encode()))
        assert (await read_frame(client)).payload.decode() == "ä€😀"


async def test_fragments_are_one_message_whatever_comes_between_them() -> None:
    stage = Stage()
    async with serving(stage.routes) as served, opened(served) as client:
        euro = "€".encode()
        await client.send(frame(TEXT, b"a" + euro[:1], fin=False))
        await client.send(frame(PING_CODE, b"p"))
        await client.send(frame(0, b"", fin=False) + frame(0, euro[1:] + b"b"))
        assert await read_frame(client) == (PONG, b"p")
        assert await read_frame(client) == (TEXT, b"a" + euro + b"b")


async def test_bytes_that_come_with_the_handshake_are_the_first_frames() -> None:
    stage = Stage()
    async with serving(stage.routes) as served, connected(served) as client:
        await client.send(upgrade("/ws") + frame(TEXT, b"early") + frame(TEXT, b"bird"))
        assert (await client.answer()).status == 101
        assert await read_frame(client) == (TEXT, b"early")
        assert await read_frame(client) == (TEXT, b"bird")


async def test_frames_may_arrive_byte_by_byte() -> None:
    stage = Stage()
    async with serving(stage.routes) as served, opened(served) as client:
        for byte in frame(TEXT, b"slow") + frame(PING_CODE, b"") + frame(CLOSE, b"\x03\xe8"):
            await client.send(bytes([byte]))
        assert await read_frame(client) == (TEXT, b"slow")
        assert await read_frame(client) == (PONG, b"")
        await expect_close(client, 1000)


@pytest.mark.parametrize(
    ("sent", "answered", "told"),
    [
        (b"", 1000, (1005, "")),
        (b"\x03\xe8", 1000, (1000, "")),
        (b"\x03\xe9bye", 1001, (1001, "bye")),
        (b"\x0f\xa0", 4000, (4000, "")),
    ],
)
async def test_a_close_is_answered_and_told_to_the_handler(sent: bytes, answered: int, told: tuple[int, str]) -> None:
    stage = Stage()
    async with serving(stage.routes) as served, opened(served) as client:
        await client.send(frame(CLOSE, sent))
        await expect_close(client, answered)
        await stage.over.wait()
        assert [(closed.code, closed.reason) for closed in stage.ended] == [told]
        assert stage.sockets[0].closed
        assert stage.sockets[0].offer(text_frame(b"late")) is False
        assert served.log == []


INVALID = {
    "an opcode that does not exist": (frame(0x3, b"x"), 1002),
    "a control opcode that does not exist": (frame(0xB), 1002),
    "text that is not UTF-8": (frame(TEXT, b"\xff\xfe"), 1007),
    "text that ends within a character": (frame(TEXT, "€".encode()[:2]), 1007),
    "fragments that are not UTF-8": (frame(TEXT, b"a", fin=False) + frame(0, b"\x80"), 1007),
    "a frame without a mask": (frame(TEXT, b"x", masked=False), 1002),
    "a fragmented control frame": (frame(PING_CODE, b"x", fin=False), 1002),
    "the first reserved bit": (frame(TEXT, b"x", reserved=4), 1002),
    "the second reserved bit": (frame(TEXT, b"x", reserved=2), 1002),
    "the third reserved bit": (frame(TEXT, b"x", reserved=1), 1002),
    "a control frame over 125 bytes": (frame(PING_CODE, b"x" * 126), 1002),
    "a continuation of nothing": (frame(0, b"x"), 1002),
    "a message within a message": (frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), 1002),
    "a length in more bytes than it needs": (b"\x81\xfe\x00\x05" + b"\0\0\0\0" + b"hello", 1002),
    "a length in eight bytes that needs two": (b"\x81\xff" + struct.pack("!Q", 300) + b"\0\0\0\0", 1002),
    "a length with its highest bit set": (b"\x81\xff" + b"\xff" * 8 + b"\0\0\0\0" + b"x" * 100, 1002),
    "a claim of eight exabytes": (frame(BINARY, b"x", claimed=2**63 - 1), 1009),
    "a claim of eight exabytes without a payload": (frame(BINARY, claimed=2**63 - 1), 1009),
    "a claim one byte over the limit": (frame(BINARY, claimed=1001), 1009),
    "fragments that claim too much together": (frame(BINARY, b"x" * 900, fin=False) + frame(0, claimed=101), 1009),
    "a close of one byte": (frame(CLOSE, b"\x03"), 1002),
    "a close with a code that is never sent": (frame(CLOSE, b"\x03\xed"), 1002),
    "a close with a code out of range": (frame(CLOSE, b"\x00\x01"), 1002),
    "a close with a reserved code": (frame(CLOSE, b"\x07\xd1"), 1002),
    "a close with a reason that is not UTF-8": (frame(CLOSE, b"\x03\xe8\xff"), 1007),
}


@pytest.mark.parametrize("name", INVALID)
async def test_an_invalid_frame_closes_with_the_right_code_and_what_follows_is_ignored(name: str) -> None:
    sent, code = INVALID[name]
    stage = Stage()
    async with serving(stage.routes, Limits(websocket_message_bytes=1000)) as served:
        async with opened(served) as client:
            await client.send(sent + frame(TEXT, b"after"))
            await expect_close(client, code)
            await stage.over.wait()
            assert stage.ended[0].code == code
        assert served.log == []


async def test_a_message_up_to_the_limit_is_taken_and_sizes_are_counted_in_bytes() -> None:
    stage = Stage()
    async with serving(stage.routes, Limits(websocket_message_bytes=1000)) as served, opened(served) as client:
        await client.send(frame(TEXT, b"x" * 1000))
        assert (await read_frame(client)).payload == b"x" * 1000
        await client.send(b"".join(frame(TEXT if n == 0 else 0, b"x" * 100, fin=n == 9) for n in range(10)))
        assert (await read_frame(client)).payload == b"x" * 1000
        await client.send(frame(TEXT, "ä".encode() * 300, fin=False) + frame(0, "ä".encode() * 201))
        await expect_close(client, 1009)


async def test_endless_fragments_are_cut_at_the_limit() -> None:
    stage = Stage()
    async with serving(stage.routes, Limits(websocket_message_bytes=1000)) as served, opened(served) as client:
        await client.send(frame(BINARY, b"", fin=False))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood, client, frame(0, b"x" * 50, fin=False))
            assert (await read_frame(client)).close_code == 1009
            nursery.cancel_scope.cancel()


async def flood(client: Client, data: bytes) -> None:
    try:
        while True:
            await client.send(data)
    except trio.BrokenResourceError:
        pass


@pytest.mark.parametrize("opcode", [PING_CODE, PONG])
async def test_too_many_pings_a_second_close_with_1008(opcode: int) -> None:
    stage = Stage()
    async with serving(stage.routes, Limits(websocket_pings_per_s=3)) as served, opened(served) as client:
        await client.send(frame(opcode, b"p") * 20)
        code = 0
        while not code:
            answer = await read_frame(client)
            code = answer.close_code if answer.opcode == CLOSE else 0
        assert code == 1008


async def test_a_flood_of_tiny_messages_leaves_room_for_others() -> None:
    stage = Stage()
    async with (
        serving(stage.routes) as served,
        opened(served) as flooding,
        opened(served) as other,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(flood, flooding, frame(TEXT, b"") * 500)
        nursery.start_soon(flooding.rest)
        for _ in range(20):
            await other.send(frame(TEXT, b"x"))
            assert (await read_frame(other)).payload == b"x"
        nursery.cancel_scope.cancel()


async def test_a_read_full_of_messages_is_not_handed_over_in_one_turn() -> None:
    turns = 0
    taken: list[int] = []

    async def take(socket: WebSocket, call: Call) -> None:
        for _ in range(500):
            await socket.receive()
            taken.append(turns)

    async def turn() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with serving([websocket("/ws", take)]) as served, opened(served) as client, trio.open_nursery() as nursery:
        nursery.start_soon(turn)
        await client.send(frame(TEXT, b"x") * 500)
        assert (await read_frame(client)).close_code == 1000
        nursery.cancel_scope.cancel()
    assert taken[-1] - taken[0] >= 10


# Ends.


async def test_a_client_that_is_still_sending_is_not_reset_before_it_has_the_close() -> None:
    stage = Stage()
    async with serving(stage.routes) as served, opened(served) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send, frame(0x3, b"x") + b"x" * 3_000_000)
        assert (await read_frame(client)).close_code == 1002


async def test_a_client_that_closes_gets_what_was_queued_before() -> None:
    held = Held()
    async with (
        serving(held.routes, Limits(websocket_backlog_bytes=50_000)) as served,
        opened(served, receive_buffer=4096) as client,
    ):
        socket = await held.receive.receive()
        taken = fill(socket, binary_frame(b"x" * 10_000))
        await client.send(frame(CLOSE, b"\x03\xe8"))
        await until(lambda: socket.closed)
        for _ in range(taken):
            assert (await read_frame(client)).opcode == BINARY
        assert (await read_frame(client)).close_code == 1000


async def test_a_handler_that_returns_leaves_its_backlog_to_be_read() -> None:
    taken: list[int] = []

    async def burst(socket: WebSocket, call: Call) -> None:
        taken.append(fill(socket, binary_frame(b"x" * 10_000)))

    limits = Limits(websocket_backlog_bytes=50_000)
    async with serving([websocket("/ws", burst)], limits) as served, opened(served, receive_buffer=4096) as client:
        await until(lambda: bool(taken))
        for _ in range(taken[0]):
            assert (await read_frame(client)).payload == b"x" * 10_000
        assert (await read_frame(client)).close_code == 1000


async def test_a_handler_that_returns_closes_with_1000_after_what_it_sent() -> None:
    async def brief(socket: WebSocket, call: Call) -> None:
        await socket.send("bye")

    async with serving([websocket("/ws", brief)]) as served, opened(served) as client:
        assert await read_frame(client) == (TEXT, b"bye")
        assert (await read_frame(client)).close_code == 1000
        await client.send(frame(TEXT, b"ignored") + frame(CLOSE, b"\x03\xe8"))
        assert await client.is_closed()


async def test_a_handler_closes_with_its_own_code() -> None:
    async def strict(socket: WebSocket, call: Call) -> None:
        await socket.close(4001, "ü" * 100)
        assert socket.closed
        with pytest.raises(SocketClosed):
            await socket.send("late")
        with pytest.raises(SocketClosed) as closed:
            await socket.receive()
        assert closed.value.code == 4001

    async with serving([websocket("/ws", strict)]) as served, opened(served) as client:
        answer = await read_frame(client)
        assert answer.close_code == 4001
        assert answer.payload[2:].decode() == "ü" * 61
        await client.send(frame(CLOSE, b"\x0f\xa1"))
        assert await client.is_closed()
        assert served.log == []


class Wanted(msgspec.Struct):
    depth: int = 1


def raises(error: Exception) -> Callable[[Wanted, WebSocket, Call], object]:
    async def handler(request: Wanted, socket: WebSocket, call: Call) -> None:
        if request.depth > 1:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(raise_it)
        raise error

    async def raise_it() -> None:
        raise error

    return handler


@pytest.mark.parametrize(
    ("error", "code", "reason", "logged"),
    [
        (HttpError(404, "not_found", "no such topic"), 1008, b"not_found: no such topic", 0),
        (Refused("full", "too many"), 1008, b"full: too many", 0),
        (ValueError("secret"), 1011, b"the server failed; its log says why", 1),
    ],
)
@pytest.mark.parametrize("depth", [1, 2])
async def test_what_a_handler_raises_becomes_a_close_code(
    error: Exception, code: int, reason: bytes, logged: int, depth: int
) -> None:
    async with serving([websocket("/ws", raises(error))]) as served, opened(served, f"/ws?depth={depth}") as client:  # type: ignore[arg-type]
        answer = await read_frame(client)
        assert (answer.close_code, answer.payload[2:]) == (code, reason)
        await client.send(frame(CLOSE))
        assert await client.is_closed()
        assert len(served.log) == logged


async def test_a_request_of_a_websocket_is_checked_before_it_opens() -> None:
    async with serving([websocket("/ws", raises(ValueError()))]) as served, connected(served) as client:  # type: ignore[arg-type]
        await client.send(upgrade("/ws?depth=deep"))
        answer = await client.answer()
        assert (answer.status, answer.json()["error"]["field"]) == (400, "depth")


@pytest.mark.parametrize("reset", [False, True])
async def test_a_client_that_vanishes_ends_the_handler_with_1006(reset: bool) -> None:
    stage = Stage()
    async with serving(stage.routes) as served:
        async with opened(served) as client:
            await client.send(frame(TEXT, b"half")[:3])
            if reset:
                client.stream.setsockopt(1, 13, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # SO_LINGER 0: close by reset
        await stage.over.wait()
        assert [closed.code for closed in stage.ended] == [1006]
        assert served.log == []


async def test_a_client_that_does_not_answer_the_close_is_cut() -> None:
    async def brief(socket: WebSocket, call: Call) -> None: ...

    async with serving([websocket("/ws", brief)], Limits(websocket_close_s=SOON)) as served, opened(served) as client:
        assert (await read_frame(client)).close_code == 1000
        assert await client.is_closed()


async def test_a_client_that_does_not_answer_a_close_of_the_handler_is_cut_while_that_receives() -> None:
    over = trio.Event()

    async def closing(socket: WebSocket, call: Call) -> None:
        await socket.close()
        assert await socket.receive() == "still here"
        with pytest.raises(SocketClosed):
            await socket.receive()
        over.set()

    async with serving([websocket("/ws", closing)], Limits(websocket_close_s=SOON)) as served, opened(served) as client:
        await client.send(frame(TEXT, b"still here"))
        assert (await read_frame(client)).close_code == 1000
        await over.wait()


async def test_a_silent_client_is_pinged_and_cut_if_it_does_not_answer() -> None:
    stage = Stage()
    async with (
        serving(stage.routes, Limits(websocket_ping_s=SOON, websocket_pong_s=SOON)) as served,
        opened(served) as client,
    ):
        for _ in range(3):
            assert await read_frame(client) == (PING_CODE, b"")
            await client.send(frame(PONG))
        assert await read_frame(client) == (PING_CODE, b"")
        assert await client.is_closed()
        await stage.over.wait()
        assert stage.ended[0].code == 1006
        assert served.server.figures.aborted_websockets == 1


async def test_a_handler_that_ignores_the_end_is_cancelled() -> None:
    cancelled = trio.Event()

    async def deaf(socket: WebSocket, call: Call) -> None:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    limits = Limits(websocket_ping_s=SOON, websocket_pong_s=SOON, websocket_close_s=SOON)
    async with serving([websocket("/ws", deaf)], limits) as served, opened(served):
        await cancelled.wait()


async def test_a_drain_closes_with_1001() -> None:
    stage = Stage()
    async with serving(stage.routes) as served, opened(served) as client:
        await client.send(frame(TEXT, b"x"))
        await read_frame(client)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(served.server.drain)
            assert (await read_frame(client)).close_code == 1001
            await client.send(frame(CLOSE, b"\x03\xe9"))
            assert await client.is_closed()
        assert stage.ended[0].code == 1001


# Sending.


class Held:
    """A route that hands its sockets to the test."""

    def __init__(self) -> None:
        self.send, self.receive = trio.open_memory_channel[WebSocket](1000)

    async def hold(self, socket: WebSocket, call: Call) -> None:
        await self.send.send(socket)
        while True:
            await socket.receive()

    @property
    def routes(self) -> list[Route]:
        return [websocket("/ws", self.hold)]


def fill(socket: WebSocket, payload: bytes) -> int:
    """Offer until the backlog is full; return how many were taken."""
    taken = 0
    while socket.offer(payload):
        taken += 1
    return taken


async def test_an_offer_to_a_reader_goes_out_at_once() -> None:
    held = Held()
    async with serving(held.routes) as served, opened(served) as client:
        socket = await held.receive.receive()
        assert socket.offer(text_frame(b"now"))
        assert socket.backlog_bytes == 0
        assert await read_frame(client) == (TEXT, b"now")
        assert socket.offer_bytes(text_frames([b"one", b"two"]), 2)
        assert [await read_frame(client) for _ in range(2)] == [(TEXT, b"one"), (TEXT, b"two")]
        assert served.server.figures.frames == 3


async def test_a_full_backlog_refuses_whole_messages_and_loses_nothing_that_it_took() -> None:
    held = Held()
    limits = Limits(websocket_backlog_bytes=50_000)
    async with serving(held.routes, limits) as served, opened(served, receive_buffer=4096) as client:
        socket = await held.receive.receive()
        sent: list[bytes] = []
        while socket.offer_bytes(text_frames([b"%06d" % len(sent), b"x" * 1000]), 2):
            sent.append(b"%06d" % len(sent))
        assert 0 < socket.backlog_bytes <= limits.websocket_backlog_bytes
        assert served.server.figures.refused_frames == 2
        assert served.server.figures.frames == 2 * len(sent)
        assert not socket.closed
        for expected in sent:
            assert await read_frame(client) == (TEXT, expected)
            assert await read_frame(client) == (TEXT, b"x" * 1000)
        while socket.backlog_bytes:
            await trio.lowlevel.checkpoint()
        assert socket.offer(text_frame(b"again"))
        assert await read_frame(client) == (TEXT, b"again")


async def test_a_send_waits_for_room_and_keeps_its_place_behind_what_was_offered() -> None:
    held = Held()
    limits = Limits(websocket_backlog_bytes=50_000)
    async with serving(held.routes, limits) as served, opened(served, receive_buffer=4096) as client:
        socket = await held.receive.receive()
        taken = fill(socket, binary_frame(b"x" * 10_000))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(socket.send, "y" * 20_000)
            await trio.testing.wait_all_tasks_blocked()
            assert served.server.figures.frames == taken
            for _ in range(taken):
                assert (await read_frame(client)).payload == b"x" * 10_000
            assert (await read_frame(client)).payload == b"y" * 20_000


async def test_a_send_that_waits_for_room_ends_with_the_socket() -> None:
    held = Held()
    async with serving(held.routes, Limits(websocket_backlog_bytes=50_000)) as served:
        async with opened(served, receive_buffer=4096) as client, trio.open_nursery() as nursery:
            socket = await held.receive.receive()
            fill(socket, binary_frame(b"x" * 10_000))

            async def send() -> None:
                with pytest.raises(SocketClosed):
                    await socket.send("y" * 20_000)

            nursery.start_soon(send)
            await trio.testing.wait_all_tasks_blocked()
            client.stream.socket.close()
        assert served.log == []


async def test_a_message_larger_than_the_backlog_can_be_sent() -> None:
    held = Held()
    async with serving(held.routes, Limits(websocket_backlog_bytes=1000)) as served, opened(served) as client:
        socket = await held.receive.receive()

        async def send() -> None:
            await socket.send(b"x" * 3_000_000)
            await socket.send(b"y")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            assert (await read_frame(client)).payload == b"x" * 3_000_000
            assert (await read_frame(client)).payload == b"y"


async def test_a_close_comes_after_the_backlog() -> None:
    held = Held()
    async with (
        serving(held.routes, Limits(websocket_backlog_bytes=50_000)) as served,
        opened(served, receive_buffer=4096) as client,
    ):
        socket = await held.receive.receive()
        taken = fill(socket, binary_frame(b"x" * 10_000))
        socket.close_soon(1013, "too slow")
        assert socket.offer(PING) is False
        for _ in range(taken):
            assert (await read_frame(client)).opcode == BINARY
        assert (await read_frame(client)).close_code == 1013


async def test_a_client_that_never_reads_is_cut_in_the_end_though_it_keeps_sending() -> None:
    held = Held()
    async with (
        serving(held.routes, Limits(websocket_backlog_bytes=50_000, write_s=SOON)) as served,
        opened(served, receive_buffer=4096) as client,
    ):
        socket = await held.receive.receive()
        fill(socket, binary_frame(b"x" * 10_000))
        while not socket.closed:
            await client.send(frame(TEXT, b"still here"))
            await trio.sleep(0.005)
        assert socket.backlog_bytes == 0
        assert served.server.figures.aborted_websockets == 1


@pytest.mark.long
async def test_two_hundred_subscribers_see_nothing_of_one_that_never_reads() -> None:
    held = Held()
    subscribers, messages = 200, 300
    payloads = [b"%06d" % number + b"x" * 174 for number in range(messages)]
    done: list[int] = []
    async with (
        serving(held.routes, Limits(websocket_backlog_bytes=20_000)) as served,
        trio.open_nursery() as nursery,
        opened(served, receive_buffer=2048),
    ):
        stuck = await held.receive.receive()

        async def subscribe() -> None:
            async with opened(served) as client:
                for payload in payloads:
                    assert await read_frame(client) == (TEXT, payload)
                done.append(1)

        for _ in range(subscribers):
            nursery.start_soon(subscribe)
        readers = [await held.receive.receive() for _ in range(subscribers)]
        fill(stuck, text_frame(b"z" * 10_000))
        refused = 0
        for begin in range(0, messages, 10):
            joined = text_frames(payloads[begin : begin + 10])
            refused += not stuck.offer_bytes(joined, 10)
            for reader in readers:
                assert reader.offer_bytes(joined, 10)
            await trio.lowlevel.checkpoint()
        await until(lambda: len(done) == subscribers)
        assert refused > 0
        assert not stuck.closed
        assert 0 < stuck.backlog_bytes <= 20_000


# Frames.


def decoded(data: bytes) -> list[Event]:
    connection = Connection(CLIENT)
    connection.receive_data(data)
    return list(connection.events())


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 100_000])
def test_frames_are_what_another_implementation_reads(size: int) -> None:
    [text] = decoded(text_frame(b"x" * size))
    assert isinstance(text, TextMessage)
    assert (text.data, text.message_finished) == ("x" * size, True)
    [binary] = decoded(binary_frame(b"\x00" * size))
    assert isinstance(binary, BytesMessage)
    assert bytes(binary.data) == b"\x00" * size


def test_control_frames_are_what_another_implementation_reads() -> None:
    ping, pong, close = decoded(PING + pong_frame(b"p" * 125) + close_frame(1001, "bye"))
    assert isinstance(ping, PingEvent)
    assert bytes(pong.payload) == b"p" * 125  # type: ignore[attr-defined]
    assert isinstance(close, CloseConnection)
    assert (close.code, close.reason) == (1001, "bye")
