"""A node with a small tree and the real control routes, for commands to talk to: `python -m tests.cli.small_node DIR`.

It prints `ready` when it serves, publishes a `Beat` for every line that it reads, and ends with its standard input.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import trio

from actors.edge import control
from actors.edge.auth import Guard, token_of
from actors.edge.routing import Router
from actors.edge.server import Server
from protocols.control import Message
from runtime import Actor, ChildSpec, Node, ReplicaSettings, open_node, receive, supervisor


class Beat(Message, frozen=True, gc=False, tag="beat"):
    """Something to publish."""

    market: str

    def topic_key(self) -> str:
        return self.market


class Listener(Actor):
    """Subscribes, so that the topic is known."""

    async def on_start(self) -> None:
        self.subscribe(Beat)

    @receive
    def beat(self, message: Beat) -> None:
        pass


async def serve(folder: Path) -> None:
    books = supervisor("books", *(ChildSpec(name, "tests.cli.small_node:Listener") for name in ("KXBTC", "KXETH")))
    quoter = ChildSpec("quoter", "tests.cli.small_node:Listener", replicas=ReplicaSettings(count=2, most=4))
    async with open_node(children=(books, quoter)) as node:
        guard = Guard(token_of(folder))
        server = Server(Router(control.routes), guard, node=node)
        port = server.bind("127.0.0.1", 0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.serve)
            url = f"http://127.0.0.1:{port}"
            (folder / "node.json").write_text(json.dumps({"url": url, "pid": os.getpid(), "name": "small"}))
            print("ready", flush=True)
            await _beats(node)
            await server.drain()


async def _beats(node: Node) -> None:
    async for line in trio.wrap_file(sys.stdin):
        node.publish(Beat(line.strip()))


if __name__ == "__main__":
    from tests.cli import small_node

    trio.run(small_node.serve, Path(sys.argv[1]))
