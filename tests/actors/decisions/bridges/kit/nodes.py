"""Nodes with bridges, on trio's clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from actors.decisions.bridges.part import LIMIT, specs
from actors.decisions.bridges.settings import Settings
from protocols.bridges import BridgeState, GetBridge
from runtime import Node, NodeSettings, open_node, supervisor

SECOND = 1_000_000_000
START = 1_767_225_600 * SECOND
"""2026-01-01T00:00:00Z"""


class TrioClock:
    """The node's time is trio's: who moves trio's mock clock moves everything."""

    def __init__(self) -> None:
        self.began = trio.current_time()

    def monotonic(self) -> int:
        return round((trio.current_time() - self.began) * SECOND)

    def now(self) -> int:
        return START + self.monotonic()

    async def sleep_until(self, moment: int) -> None:
        await trio.sleep(max(0, moment - self.now()) / SECOND)


@asynccontextmanager
async def bridged(settings: Settings, seed: int | None = None) -> AsyncIterator[Node]:
    """A node with the bridges of these settings."""
    tree = supervisor("decisions", supervisor("bridges", *specs(settings), limit=LIMIT))
    async with open_node(NodeSettings(name="test"), (tree,), clock=TrioClock(), seed=seed) as node:
        yield node


async def state_of(node: Node, path: str) -> BridgeState:
    return await node.ref(path).ask(GetBridge())
