"""Fan-out: one message to 200 WebSocket subscribers, message after message.

Three servers send the same texts of 180 bytes: Troupe through the fan-out of its signal stream, `websockets` through
its `broadcast` on uvloop, trio-websocket by sending to one connection after the other. Compression is off everywhere.
All give their loop a turn after every burst, and all stop for a moment when a client is 128 KiB behind, so that no
message is lost. Bursts of 1 are signals that come one by one; bursts of 10 are what piles up while a loop is busy.
"""

from __future__ import annotations

import asyncio
import functools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio

from actors.edge.call import Call
from actors.edge.capability import Settings
from actors.edge.edge import Edge, GetEdgeAddress
from actors.edge.frames import text_frame
from actors.edge.limits import Limits
from actors.edge.routing import websocket
from actors.edge.websocket import SocketClosed, WebSocket
from actors.signals.capability import Settings as SignalSettings
from actors.signals.capability import branch
from actors.signals.fanout import FanOut
from actors.signals.subscriber import Frame, Subscriber
from benchmarks.harness import TROUPE, Child, Findings, Row, Sample, Scale, cores, in_turns, times_at_least, under_load
from protocols.control import Probe
from protocols.paths import HUB, STREAM
from protocols.signal_stream import encode_signal
from protocols.signals import Signal, StoredSignal, SubmitSignal
from runtime import ChildSpec, Node, NodeSettings, open_node
from runtime.collector import GarbageCollector
from runtime.log import NodeLog, open_log

TITLE = "Fan-out to 200 subscribers"
PATH = "/stream"
SIGNAL_PATH = "/api/signals/stream"
SUBSCRIBE = '{"type":"subscribe","symbols":["*"]}'
SUBSCRIBERS = 200
BYTES = 180
FRAMES = 4_000
BURSTS = (1, 10)
LOOK_EVERY = 200
"""Messages between two looks at how far the clients are behind: fewer than the 128 KiB hold."""
BEHIND_BYTES = 131_072
MOMENT_S = 0.001
AHEAD = 50
"""Signals that may be stored and not yet fanned out: less than a client's backlog holds."""

Announce = Callable[[dict[str, Any]], None]


def text_of(number: int, size: int) -> bytes:
    """A text of so many bytes."""
    head = b'{"type":"signal","seq":%d,"symbol":"KXBTC-25DEC31-T100000","action":"BUY","confidence":0.8125,"note":"'
    text = head % number
    return text + b"x" * (size - len(text) - 2) + b'"}'


# Troupe.


class Stage:
    """What the route and the publisher of the Troupe server share."""

    fanout: FanOut
    wanted: int
    complete: trio.Event


async def subscribe(socket: WebSocket, call: Call) -> None:
    """Subscribe to everything until the client leaves."""
    subscriber = Subscriber(str(len(Stage.fanout)), socket)
    Stage.fanout.attach(subscriber)
    Stage.fanout.subscribe(subscriber, ("*",), None)
    if len(Stage.fanout) == Stage.wanted:
        Stage.complete.set()
    try:
        while True:
            await socket.receive()
    except SocketClosed:
        Stage.fanout.detach(subscriber)


routes = [websocket(PATH, subscribe)]


def serve_troupe(announce: Announce, connections: int, frames: int, burst: int) -> None:
    """The edge on a node of its own; sends `frames` messages once all have connected."""

    async def main(folder: str) -> None:
        Stage.fanout = fanout = FanOut(0)
        Stage.wanted = connections
        Stage.complete = trio.Event()
        arguments = {"settings": Settings(port=0), "routes": ("benchmarks.fanout:routes",)}
        children = (ChildSpec(name="edge", actor=Edge, arguments=arguments),)
        with GarbageCollector() as collector:
            async with open_node(NodeSettings(data_dir=folder), children) as node:
                address = await node.ref("/edge").ask(GetEdgeAddress())
                announce({"port": address.port})
                await Stage.complete.wait()
                collector.freeze()
                await trio.sleep(0.2)
                sinks = [subscriber.sink for subscriber in fanout._subscribers]
                looked = 0
                for first in range(1, frames + 1, burst):
                    batch = []
                    for number in range(first, min(first + burst, frames + 1)):
                        text = text_of(number, BYTES)
                        batch.append(Frame(number, "KXBTC", text, text_frame(text)))
                    for _ in fanout.publish(batch):
                        await trio.lowlevel.checkpoint()
                    await trio.lowlevel.checkpoint()
                    if first - looked >= LOOK_EVERY:
                        looked = first
                        while max(sink.backlog_bytes for sink in sinks) > BEHIND_BYTES:  # noqa: ASYNC110 - no event
                            await trio.sleep(MOMENT_S)
                if fanout.lost_frames:
                    raise RuntimeError(f"{fanout.lost_frames} frames were lost")
                await trio.sleep_forever()

    with tempfile.TemporaryDirectory() as folder:
        trio.run(main, folder)


ROOM_BYTES = 16 << 20


def signal(number: int) -> Signal:
    """A signal as a strategy makes it: some 750 bytes of JSON."""
    return Signal(
        signal_id=f"bench-{number:09}",
        ts_created=time.time_ns(),
        strategy_id="bench",
        strategy_source="benchmarks",
        symbol="KXBTC-25DEC31-T100000",
        exchange="bench",
        action="BUY",
        confidence=0.8125,
        current_price=457_500_000,
    )


def serve_hub(announce: Announce, connections: int, frames: int) -> None:
    """A node with hub, stream and edge; signals are submitted one after the other, as soon as the last is stored."""

    async def figure(node: Node, name: str) -> int:
        report = await node.ref(STREAM).ask(Probe())
        return int(dict(report.figures)[name] or 0)

    async def main(folder: Path, log: NodeLog) -> None:
        # Room for a client that the machine keeps from reading: what it takes is measured, not how patient we are.
        settings = Settings(port=0, limits=Limits(websocket_backlog_bytes=ROOM_BYTES))
        arguments = {"settings": settings, "routes": ("actors.signals.capability:routes",)}
        edge = ChildSpec(name="edge", actor=Edge, arguments=arguments)
        children = (branch(SignalSettings(backlog_bytes=ROOM_BYTES)), edge)
        with GarbageCollector() as collector:
            async with open_node(NodeSettings(data_dir=str(folder)), children, log=log) as node:
                address = await node.ref("/edge").ask(GetEdgeAddress())
                announce({"port": address.port})
                while await figure(node, "subscribers") < connections:  # noqa: ASYNC110
                    await trio.sleep(0.05)
                collector.freeze()
                await trio.sleep(0.2)
                hub = node.ref(HUB)
                for number in range(1, frames + 1):
                    await hub.ask(SubmitSignal(signal(number)))
                    if number % AHEAD == 0:
                        while await figure(node, "head") < number:  # noqa: ASYNC110
                            await trio.sleep(MOMENT_S)
                if lost := await figure(node, "lost_frames"):
                    raise RuntimeError(f"{lost} frames were lost")
                await trio.sleep_forever()

    with tempfile.TemporaryDirectory() as name, open_log(Path(name) / "log") as log:
        trio.run(main, Path(name), log)


# Peers.


def serve_websockets(announce: Announce, connections: int, frames: int, burst: int, size: int = BYTES) -> None:
    """`websockets` on uvloop."""
    import uvloop
    from websockets.asyncio.server import ServerConnection, broadcast, serve

    async def main() -> None:
        members: set[ServerConnection] = set()
        complete = asyncio.Event()

        async def handler(connection: ServerConnection) -> None:
            members.add(connection)
            if len(members) == connections:
                complete.set()
            await connection.wait_closed()

        async with serve(handler, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
            announce({"port": next(iter(server.sockets)).getsockname()[1]})
            await complete.wait()
            await asyncio.sleep(0.2)
            transports = [member.transport for member in members]
            looked = 0
            for first in range(1, frames + 1, burst):
                for number in range(first, min(first + burst, frames + 1)):
                    broadcast(members, text_of(number, size).decode())
                await asyncio.sleep(0)
                if first - looked >= LOOK_EVERY:
                    looked = first
                    while max(transport.get_write_buffer_size() for transport in transports) > BEHIND_BYTES:  # noqa: ASYNC110
                        await asyncio.sleep(MOMENT_S)
            await asyncio.Event().wait()

    uvloop.run(main())


def serve_trio_websocket(announce: Announce, connections: int, frames: int, burst: int) -> None:
    """trio-websocket: its sends wait until the socket has taken the frame, which is its own brake."""
    from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

    async def main() -> None:
        members: list[WebSocketConnection] = []
        complete = trio.Event()

        async def handler(request: WebSocketRequest) -> None:
            connection = await request.accept()
            members.append(connection)
            if len(members) == connections:
                complete.set()
            try:
                await connection.get_message()
            except ConnectionClosed:
                members.remove(connection)

        async with trio.open_nursery() as nursery:
            serving = functools.partial(serve_websocket, handler, "127.0.0.1", 0, ssl_context=None)
            server = await nursery.start(serving)
            announce({"port": server.port})
            await complete.wait()
            await trio.sleep(0.2)
            for number in range(1, frames + 1):
                text = text_of(number, BYTES).decode()
                for member in members:
                    await member.send_message(text)
            await trio.sleep_forever()

    trio.run(main)


PEERS = {"websockets broadcast, uvloop": "serve_websockets", "trio-websocket": "serve_trio_websocket"}
SLOW = frozenset({"trio-websocket"})
"""Peers that get a tenth of the messages, or the run would take a minute."""


def fanned(server: str, frames: int, burst: int, connections: int = SUBSCRIBERS, **more: int) -> Sample:
    """One run of a server with its subscribers, each on a core of its own."""
    numbers: dict[str, Any] = {"connections": connections, "frames": frames}
    with Child(f"benchmarks.fanout:{server}", cores()[0], burst=burst, **numbers, **more) as serving:
        return under_load(serving, "subscribers", path=PATH, **numbers)


def fanned_signals(frames: int, connections: int = SUBSCRIBERS) -> Sample:
    """One run of hub, stream and edge with their subscribers."""
    numbers: dict[str, Any] = {"connections": connections, "frames": frames}
    with Child("benchmarks.fanout:serve_hub", cores()[0], **numbers) as serving:
        return under_load(serving, "subscribers", path=SIGNAL_PATH, greeting=SUBSCRIBE, greetings=2, **numbers)


def signal_bytes() -> int:
    """How long a signal's text is."""
    return len(encode_signal(StoredSignal(1_000, time.time_ns(), signal(1_000))))


def run(scale: Scale) -> Findings:
    """Measure all three in turns, for each size of burst."""
    frames = scale.count(FRAMES // 100) * 100
    rows: list[Row] = []
    busy = 0.0
    for burst in BURSTS:
        sides: dict[str, Callable[[], Sample]] = {TROUPE: functools.partial(fanned, "serve_troupe", frames, burst)}
        for peer, server in PEERS.items():
            if burst == 1 or peer not in SLOW:
                fewer = max(100, frames // 10) if peer in SLOW else frames
                sides[peer] = functools.partial(fanned, server, fewer, burst)
        found = in_turns(sides, scale)
        busy = max(busy, *found[TROUPE]["client busy"])
        figure = f"180 bytes to {SUBSCRIBERS}, in bursts of {burst}"
        for peer in sides:
            if peer != TROUPE:
                bound = 4.0 if peer in SLOW else 1.3
                target = times_at_least(bound) if burst == 1 else None
                rows.append(Row(figure, "frames/s", found[TROUPE]["frames/s"], peer, found[peer]["frames/s"], target))
        peer = next(iter(PEERS))
        cpu = found[TROUPE]["server µs"], found[peer]["server µs"]
        rows.append(Row(f"the server's time on its core, bursts of {burst}", "µs/frame", cpu[0], peer, cpu[1]))
    size, peer = signal_bytes(), next(iter(PEERS))
    found = in_turns(
        {
            TROUPE: functools.partial(fanned_signals, frames),
            peer: functools.partial(fanned, "serve_websockets", frames, 1, size=size),
        },
        scale,
    )
    figure = f"signals of {size} bytes to {SUBSCRIBERS}, through log, hub and stream"
    rows.append(Row(figure, "frames/s", found[TROUPE]["frames/s"], peer, found[peer]["frames/s"]))
    notes = (
        f"{frames:,} messages to each subscriber (trio-websocket: a tenth). Server and client on a core each; "
        f"the client was busy {busy:.0%} of its core at most.",
        "Through log, hub and stream signals are submitted one after the other, and each is encoded there; the peer is "
        "given ready texts of the same size. What has piled up for a subscriber is sent in one piece.",
    )
    return Findings(tuple(rows), notes)
