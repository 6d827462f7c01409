"""A real node with the branch of decisions, on trio's clock."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import trio

from actors.decisions.policy import Policy
from actors.decisions.serving.client import decide
from actors.decisions.serving.messages import GetServing, ServingFigures
from actors.decisions.serving.part import specs
from actors.decisions.serving.settings import Settings
from protocols.control import Message
from protocols.decisions import Decide, Decision, Observation, UseModel
from protocols.experiments import ArmPlan, ExperimentPlan
from protocols.paths import DECISIONS
from runtime import ActorRef, ChildSpec, KillChild, Node, NodeSettings, open_node, supervisor
from runtime.clock import SystemClock
from runtime.log import open_log
from tests.actors.decisions.serving.policies import observation

SECOND = 1_000_000_000
START = 1_800_000_000 * SECOND
LIMIT_S = 600.0
numbers = itertools.count(1)


def trio_clock() -> SystemClock:
    """A node's clock that goes as trio's does, so that it jumps with it."""
    return SystemClock(lambda: START, lambda: int(trio.current_time() * SECOND))


def plan(share: float = 0.5, *, control: str = "rule", treatment: str = "rl", shadow: str = "") -> ExperimentPlan:
    """A test of `treatment` against `control`."""
    arms = (
        ArmPlan(name="control", serves=control, weight=1 - share),
        ArmPlan(name="treatment", serves=treatment, weight=share),
    )
    if shadow:
        arms += (ArmPlan(name="shadow", serves=shadow, weight=0.0, shadow=True),)
    return ExperimentPlan(name="test", version=3, salt="a salt", arms=arms)


class Serving:
    """What a test has of the node."""

    def __init__(self, node: Node) -> None:
        self.node = node

    @property
    def server(self) -> ActorRef:
        return self.node.ref(DECISIONS)

    def use(self, policy: Policy, name: str = "rl") -> None:
        """Put a policy in service, from the next message on."""
        assert self.server.tell(UseModel(name=name, version=policy.info.version, policy=policy))

    def request(self, timeout_s: float = 1.0, observed: Observation | None = None, **changes: Any) -> Decide:
        """A request about `observed`, due in `timeout_s`; every one has an id and an observation of its own."""
        number = next(numbers)
        asked: dict[str, Any] = {
            "decision_id": f"d{number}",
            "user_id": "anna",
            "symbol": "BTC",
            "observation": observed or observation(float(number)),
            "deadline": self.node.clock.monotonic() + round(timeout_s * SECOND),
            "model": "rl",
            **changes,
        }
        return Decide(**asked)

    async def ask(self, timeout_s: float = 1.0, observed: Observation | None = None, **changes: Any) -> Decision:
        """Ask the server itself; an answer that comes too late fails the test."""
        request = self.request(timeout_s, observed, **changes)
        decision = await self.server.ask(request, timeout_s)
        assert self.node.clock.monotonic() <= request.deadline
        return decision

    async def decide(self, timeout_s: float = 1.0, observed: Observation | None = None, **changes: Any) -> Decision:
        """Ask as every caller does, by the client."""
        request = self.request(timeout_s, observed, **changes)
        decision = await decide(self.server, request, self.node.clock, publish=self.node.topics.publish)
        late = self.node.clock.monotonic() - request.deadline
        assert late <= 0, f"{late / 1e6} ms late: {decision}"
        assert decision.decision_id == request.decision_id
        return decision

    async def figures(self) -> ServingFigures:
        return await self.server.ask(GetServing())

    async def until(self, holds: Callable[[ServingFigures], bool]) -> None:
        """Ask the server until something holds; nothing tells it."""
        while not holds(await self.figures()):  # noqa: ASYNC110 - that is the point
            await trio.sleep(0.001)

    async def kill(self, path: str = DECISIONS) -> None:
        parent, _, name = path.rpartition("/")
        await self.node.ref(parent).ask(KillChild(name))


@asynccontextmanager
async def serving(
    folder: Path,
    settings: Settings | None = None,
    *plans: ExperimentPlan,
    others: tuple[ChildSpec, ...] = (),
    models: str = "",
    on_trio: bool = True,
    log_bytes: int = 1 << 26,
) -> AsyncIterator[Serving]:
    """A node with decisions in `folder`; leaving the block stops it."""
    branch = supervisor("decisions", *specs(settings or Settings(), models, plans))
    log = open_log(folder / "log", segment_bytes=min(1 << 20, log_bytes // 2), max_bytes=log_bytes, reserve_bytes=0)
    try:
        with trio.fail_after(LIMIT_S):
            clock = trio_clock() if on_trio else None
            async with open_node(NodeSettings(name="test"), (branch, *others), clock=clock, log=log) as node:
                yield Serving(node)
    finally:
        log.close()


M = TypeVar("M", bound=Message)


class Heard(Generic[M]):
    """What was published of a type, in order."""

    def __init__(self) -> None:
        self.all: list[M] = []
        self._more = trio.Event()

    def take(self, messages: list[M]) -> None:
        self.all += messages
        self._more.set()
        self._more = trio.Event()

    async def count(self, wanted: int) -> list[M]:
        """Wait until there are so many."""
        while len(self.all) < wanted:
            await self._more.wait()
        return self.all


@asynccontextmanager
async def following(node: Node, kind: type[M], key: str | None = None) -> AsyncIterator[Heard[M]]:
    """What is published of a type, as it comes."""
    seen: Heard[M] = Heard()

    async def follow(task_status: trio.TaskStatus[None]) -> None:
        with node.open_tap((kind, key), capacity=100_000) as tap:
            task_status.started()
            while True:
                seen.take(await tap.receive())

    async with trio.open_nursery() as nursery:
        await nursery.start(follow)
        yield seen
        nursery.cancel_scope.cancel()
