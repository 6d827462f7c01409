"""A node whose edge is misused from all sides: those who behave notice nothing."""

from __future__ import annotations

import os
import random
import socket
import struct
from pathlib import Path

import pytest
import trio

from tests.node.kit import DEFAULT, NodeProcess, assert_unbroken, until
from tests.node.subscriber import Subscriber

SETTINGS = ("signals.backlog_bytes=16384", "edge.limits.header_s=1.0", "edge.limits.websocket_close_s=0.5")


def malformed(chance: random.Random, port: int) -> bytes:
    """What a client should not say first."""
    host = f"Host: 127.0.0.1:{port}\r\n".encode()
    upgrade = (
        b"GET /api/signals/stream HTTP/1.1\r\n" + host + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    return chance.choice(
        [
            chance.randbytes(chance.randint(1, 5_000)),
            b"GET / HTTP/1.1\r\n" + host + b"X: " + b"a" * 100_000,
            b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + host + b"\r\n",
            b"GET / HTTP/1.1\r\n" + host + b"A: b\r\n" * 500 + b"\r\n",
            b"GET / HTTP/1.1\r\n" + host,  # and nothing more
            b"POST /api/v1/actors/edge/kill HTTP/1.1\r\n" + host + b"Content-Length: 99999999\r\n\r\n",
            b"POST / HTTP/1.1\r\n" + host + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST / HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
            (b"GET /health/live HTTP/1.1\r\n" + host + b"\r\n") * 200,
            upgrade + b"\x81\x05hello",  # not masked
            upgrade + b"\xc1\x80\0\0\0\0",  # a reserved bit
            upgrade + b"\x83\x80\0\0\0\0",  # no such opcode
            upgrade + b"\x81\x82\0\0\0\0\xff\xfe",  # not UTF-8
            upgrade + b"\x09\x80\0\0\0\0",  # a ping in parts
            upgrade + b"\x81\xff" + struct.pack(">Q", 2**62) + b"\0\0\0\0",
            upgrade + b"\x89\x80\0\0\0\0" * 5_000,
            upgrade + b"\x81\x8d\0\0\0\0" + b'{"type": 1.5}',
            upgrade + b"\x81\xfe\x20\x00\0\0\0\0" + b"[" * 8192,
        ]
    )


async def hammer(port: int, chance: random.Random, done: list[int]) -> None:
    """One malformed client after the other."""
    while True:
        try:
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            async with stream:
                with trio.move_on_after(1.0):
                    await stream.send_all(malformed(chance, port))
                    if chance.random() < 0.3:
                        await stream.send_eof()
                    if chance.random() < 0.7:
                        while await stream.receive_some(65_536):
                            pass
        except (OSError, trio.BrokenResourceError):
            pass
        done[0] += 1


async def deaf(port: int) -> socket.socket:
    """A subscriber that never reads."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
    await stream.socket.connect(("127.0.0.1", port))
    await stream.send_all(
        f"GET /api/signals/stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    await stream.receive_some(128)
    client = Subscriber(stream)
    await client.subscribe()
    return sock


async def attacked(
    folder: Path, chance: random.Random, *, readers: int, most_deaf: int, clients: int, attacks: int
) -> None:
    configuration = DEFAULT.replace("rate = 100.0", "rate = 60.0") + "parameters = { signals = 4 }\n"
    with NodeProcess(folder, configuration, *SETTINGS) as node:
        await node.ready()
        async with trio.open_nursery() as nursery:
            healthy = [await Subscriber.connect(node.port) for _ in range(readers)]
            for subscriber in healthy:
                nursery.start_soon(subscriber.read)
                await subscriber.subscribe()
            sockets = [await deaf(node.port) for _ in range(most_deaf)]
            done = [0]
            for _ in range(clients):
                nursery.start_soon(hammer, node.port, chance, done)

            async def some_have_lost() -> bool:
                return bool((await node.component("signal_stream"))["figures"]["lost_frames"])

            await until(some_have_lost, "losses of those who do not read")
            await until(lambda: done[0] > attacks, "malformed clients", 120.0)
            first = max(subscriber.seqs[0] for subscriber in healthy)
            last = max(subscriber.seqs[-1] for subscriber in healthy) + 20
            for subscriber in healthy:
                await subscriber.reaches(last)
            same = [[each for each in subscriber.signals if first <= each[0] <= last] for subscriber in healthy]
            assert_unbroken([seq for seq, _ in same[0]])
            assert all(signals == same[0] for signals in same)
            assert not [notice for subscriber in healthy for notice in subscriber.said("lagged")]
            nursery.cancel_scope.cancel()
        for sock in sockets:
            sock.close()
        assert await node.is_ready()
        tree = await node.get("/api/v1/actors")
        assert restarts(tree) == 0
        figures = (await node.component("edge"))["figures"]
        assert figures["failed"] == 0
        assert "Traceback" not in node.log
        assert await node.stop() == 0
        assert node.survivors() == []


def restarts(view: dict[str, object]) -> int:
    """Of a branch of the tree, all in all."""
    return int(str(view["restarts"])) + sum(restarts(child) for child in view["children"])  # type: ignore[attr-defined]


@pytest.mark.long
async def test_readers_get_every_signal_in_order_whatever_others_do(prepared: Path, chance: random.Random) -> None:
    await attacked(prepared, chance, readers=192, most_deaf=8, clients=10, attacks=100)


@pytest.mark.long
async def test_readers_get_every_signal_in_order_whatever_a_crowd_does(prepared: Path, chance: random.Random) -> None:
    assert os.sysconf("SC_OPEN_MAX") > 2_000
    await attacked(prepared, chance, readers=600, most_deaf=200, clients=40, attacks=3_000)
