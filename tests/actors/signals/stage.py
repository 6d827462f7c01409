"""A real node with the hub, the stream and an edge, and WebSocket clients of its stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio
from trio_websocket import WebSocketConnection, open_websocket_url

import actors.edge.capability
import actors.signals.capability
from actors.edge.edge import GetEdgeAddress
from actors.edge.limits import Limits
from actors.signals.capability import Settings
from protocols.paths import EDGE, HUB
from protocols.signals import Signal, SignalAccepted, SubmitSignal
from runtime import ChildSpec, KillChild, Node, NodeSettings, open_node
from runtime.clock import Clock
from runtime.log import open_log

LIMIT_S = 15.0
"""After so many seconds a wait has failed."""


class Desk:
    """What a test has of the node."""

    def __init__(self, node: Node, port: int) -> None:
        self.node = node
        self.port = port
        self.url = f"ws://127.0.0.1:{port}/api/signals/stream"

    async def submit(self, signals: Iterable[Signal]) -> list[SignalAccepted]:
        hub = self.node.ref(HUB)
        return [await hub.ask(SubmitSignal(each)) for each in signals]

    async def kill(self, path: str) -> None:
        """End an actor without asking it."""
        parent, _, name = path.rpartition("/")
        await self.node.ref(parent or "/").ask(KillChild(name))

    @asynccontextmanager
    async def client(
        self, *symbols: str, resume_from: int | None = None, updates: bool = False
    ) -> AsyncIterator[Client]:
        """A client that has been greeted and, if symbols are given, has subscribed."""
        async with open_websocket_url(self.url, message_queue_size=10_000) as socket:
            client = Client(socket)
            assert (await client.next())["status"] == "connected"
            if symbols:
                await client.subscribe(*symbols, resume_from=resume_from, updates=updates)
                assert (await client.next())["status"] == "subscribed"
            yield client


class Client:
    """One WebSocket client."""

    def __init__(self, socket: WebSocketConnection) -> None:
        self.socket = socket

    async def next(self) -> dict[str, Any]:
        """The next message."""
        with trio.fail_after(LIMIT_S):
            text = await self.socket.get_message()
        message: dict[str, Any] = msgspec.json.decode(text)
        return message

    async def say(self, message: object) -> None:
        await self.socket.send_message(msgspec.json.encode(message).decode())

    async def subscribe(self, *symbols: str, resume_from: int | None = None, updates: bool = False) -> None:
        message: dict[str, Any] = {"type": "subscribe", "symbols": symbols}
        if resume_from is not None:
            message["resume_from"] = resume_from
        if updates:
            message["updates"] = True
        await self.say(message)

    async def signals(self, count: int) -> list[int]:
        """The places of the next `count` signals; nothing else may come in between but `resumed`."""
        seqs: list[int] = []
        while len(seqs) < count:
            message = await self.next()
            assert message["type"] in ("signal", "resumed"), message
            if message["type"] == "signal":
                seqs.append(message["seq"])
        return seqs


@asynccontextmanager
async def desk(
    folder: Path,
    settings: Settings | None = None,
    *others: ChildSpec,
    limits: Limits | None = None,
    clock: Clock | None = None,
    **node: Any,
) -> AsyncIterator[Desk]:
    """A node in this folder; leaving the block stops it, and another one in the same folder goes on where it was."""
    edge = actors.edge.capability.Settings(port=0, limits=limits or Limits())
    arguments = {"settings": edge, "routes": ("actors.signals.capability:routes",)}
    children = (
        *others,
        actors.signals.capability.branch(settings or Settings()),
        ChildSpec(name="edge", actor="actors.edge.edge:Edge", arguments=arguments),
    )
    log = open_log(folder / "log", segment_bytes=1 << 20, max_bytes=1 << 26, reserve_bytes=0)
    try:
        async with open_node(NodeSettings(data_dir=str(folder), **node), children, log=log, clock=clock) as running:
            address = await running.ref(EDGE).ask(GetEdgeAddress())
            yield Desk(running, address.port)
    finally:
        log.close()
