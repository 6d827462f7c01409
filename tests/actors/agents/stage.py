"""A real node with agents, a hub, a bar builder, a database, an edge; a decision server that says what tests want."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import trio

import actors.edge.capability
import actors.market.bar_builder
import actors.signals.capability
import actors.storage.capability
from actors.agents import capability
from actors.agents.settings import AgentsSettings
from actors.edge.auth import token_of
from actors.edge.edge import GetEdgeAddress
from protocols.agents import AgentView, GetAgent
from protocols.control import ActorEvent
from protocols.decisions import Decide, Decision, DecisionMade
from protocols.market import Bar
from protocols.market_data import BARS, GetBars
from protocols.nanos import NANO
from protocols.paths import AGENT_ROSTER, DECISIONS, EDGE, HUB
from protocols.signals import ReadSignals, SignalStored, StoredSignal
from runtime import Actor, ChildSpec, Done, KillChild, Node, NodeSettings, Tap, open_node, receive, supervisor
from runtime.log import open_log
from tests.http_client import http_client

LIMIT_S = 15.0
MINUTE = 60 * NANO
START = 1_750_000_020 * NANO
"""A whole minute."""
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
"""A database that is away. Agents work all the same, so most tests have no other."""
FOLDERS = [
    actors.storage.capability.OWN_MIGRATIONS,
    str(actors.signals.capability.migrations),
    str(capability.migrations),
]


class Oracle(Actor):
    """In the place of the decision server: says BUY, and remembers what it was asked."""

    asked: ClassVar[list[Decide]] = []
    confidence: ClassVar[float] = 0.9
    error: ClassVar[str] = ""

    @receive
    def decide(self, request: Decide) -> Decision:
        self.asked.append(request)
        if self.error:
            raise RuntimeError(self.error)
        decision = Decision(
            decision_id=request.decision_id,
            user_id=request.user_id,
            symbol=request.symbol,
            action="BUY",
            should_trade=True,
            confidence=self.confidence,
            confidence_kind="probability",
            reasoning="an oracle",
            served_by="oracle",
            agent_id=request.agent_id,
            signal_id=request.signal_id,
            marks=("demo",),
            ts=self.clock.now(),
        )
        self.publish(DecisionMade(decision))
        return decision


class Desk:
    """What a test has of the node."""

    def __init__(self, node: Node, port: int, token: str, tap: Tap) -> None:
        self.node = node
        self.tap = tap
        headers = {"authorization": f"Bearer {token}"}
        self.base = f"http://127.0.0.1:{port}/api/v1/agents"
        self.http = http_client(base_url=self.base, headers=headers, timeout=LIMIT_S)

    async def call(self, method: str, path: str, expected: int = 200, /, **body: Any) -> Any:
        """The JSON of an answer with this status."""
        answer = await self.http.request(method, path, json=body if method == "POST" else None)
        assert answer.status_code == expected, answer.text
        return answer.json()

    async def all(self) -> Any:
        """The agents of the list."""
        return (await self.call("GET", self.base))["agents"]

    async def start(self, user: str = "ada", expected: int = 200, /, **config: Any) -> Any:
        return await self.call("POST", "/start", expected, user_id=user, config=config)

    async def control(self, action: str, user: str = "ada", expected: int = 200) -> Any:
        return await self.call("POST", "/control", expected, user_id=user, action=action)

    async def until(self, fits: Callable[[AgentView], bool], user: str = "ada") -> AgentView:
        """The agent, once it is so."""
        with trio.fail_after(LIMIT_S):
            while True:
                found = await self.node.ref(AGENT_ROSTER).outcome(GetAgent(user))
                if isinstance(found, Done) and fits(found.value):
                    view: AgentView = found.value
                    return view
                await trio.lowlevel.checkpoint()

    async def running(self, user: str = "ada") -> AgentView:
        return await self.until(lambda view: view.state == "running", user)

    async def decided(self, count: int, user: str = "ada") -> AgentView:
        return await self.until(lambda view: view.prediction_count >= count, user)

    async def signals(self, count: int) -> list[StoredSignal]:
        """All stored signals, once there are `count`."""
        with trio.fail_after(LIMIT_S):
            while True:
                page = await self.node.ref(HUB).ask(ReadSignals(1))
                if page.last_seq >= count:
                    return list(page.signals)
                await self.tap.receive()

    async def kept(self, count: int, market: str = "A") -> None:
        """Once the bar builder keeps so many bars."""
        with trio.fail_after(LIMIT_S):
            while len((await self.node.ref(BARS).ask(GetBars(market, "1m", limit=5000))).bars) < count:
                await trio.lowlevel.checkpoint()

    async def kill(self, path: str) -> None:
        parent, _, name = path.rpartition("/")
        await self.node.ref(parent or "/").ask(KillChild(name))


def bar(number: int, close: float = 100.0, market: str = "A", **fields: Any) -> Bar:
    """The bar of minute `number`; it rises and falls a little."""
    start = START + number * MINUTE
    price = round((close + number % 7) * NANO)
    known: dict[str, Any] = {"open": price, "high": price + NANO, "low": price - NANO, "close": price} | fields
    return Bar(
        market=market, interval="1m", start=start, end=start + MINUTE, volume="12.5", trades=3, vwap=None,
        source="venue", ts_recv=start + MINUTE + NANO // 10, **known,
    )  # fmt: skip


def now_bar(node: Node, ago: int = 0, **fields: Any) -> Bar:
    """A bar that has just ended, or `ago` minutes before: its signal is not expired."""
    minute = (node.clock.now() - START) // MINUTE - 1 - ago
    return bar(minute, **fields)


@asynccontextmanager
async def desk(
    folder: Path, database: str, settings: AgentsSettings | None = None, *, server: bool = True, bars: bool = True
) -> AsyncIterator[Desk]:
    """A node in this folder; leaving the block stops it, and another one in the same folder goes on where it was."""
    Oracle.asked.clear()
    Oracle.confidence = 0.9
    Oracle.error = ""
    url = {"url": database}
    writer = {**url, "migrations": FOLDERS, "migrate": False, "batch_rows": 5_000, "batch_bytes": 4 << 20}
    edge = {"settings": actors.edge.capability.Settings(port=0), "routes": ("actors.agents.capability:routes",)}
    builder = actors.market.bar_builder.specs(actors.market.bar_builder.BarSettings(intervals=("1m",), grace_ms=0))
    children = (
        actors.storage.capability.supervisor(
            "storage",
            ChildSpec(name="writer", actor="actors.storage.writer:Writer", arguments=writer),
            ChildSpec(name="queries", actor="actors.storage.queries:Queries", arguments=url),
        ),
        actors.signals.capability.branch(actors.signals.capability.Settings()),
        supervisor("decisions", *([ChildSpec(name=DECISIONS.rpartition("/")[2], actor=Oracle)] if server else [])),
        supervisor("market", *(builder if bars else ())),
        *capability.branch(settings or AgentsSettings()),
        ChildSpec(name="edge", actor="actors.edge.edge:Edge", arguments=edge),
    )
    log = open_log(folder / "log", segment_bytes=1 << 20, max_bytes=1 << 26, reserve_bytes=0)
    try:
        async with open_node(NodeSettings(data_dir=str(folder)), children, log=log) as node:
            address = await node.ref(EDGE).ask(GetEdgeAddress())
            with node.open_tap((SignalStored, None), (ActorEvent, None)) as tap:
                at = Desk(node, address.port, token_of(folder), tap)
                async with at.http:
                    yield at
    finally:
        log.close()
