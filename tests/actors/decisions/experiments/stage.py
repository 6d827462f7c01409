"""A real node with the decision server, the keeper of experiments and the rollouts; days pass as the test says."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio

from actors.decisions.experiments import history, part
from actors.decisions.experiments.history import Logged
from actors.decisions.experiments.plans import ExperimentSettings
from actors.decisions.policy import Policy
from actors.decisions.serving.part import specs
from actors.decisions.serving.settings import Settings
from protocols.control import Probe
from protocols.decisions import Decide, Decision, DecisionMade, Proposal, UseModel
from protocols.experiment_reports import AbTestReport, GetReport
from protocols.experiments import AbTestStatus, AnalysisPlan, ConfigureTest, Feedback, FeedbackTaken, GetTest
from protocols.paths import DECISIONS, EXPERIMENTS
from runtime import ActorRef, ChildSpec, KillChild, Node, NodeSettings, open_node, supervisor
from runtime.clock import SECOND, VirtualClock
from runtime.log import NodeLog, open_log
from tests.actors.decisions.serving.policies import Sure, observation

DAY = 86_400 * SECOND
BEGIN = 20_000 * DAY + 12 * 3600 * SECOND
LIMIT_S = 10.0
BUY = Proposal(action="BUY", confidence=0.8, rsi=25.0)
QUICK = AnalysisPlan(min_units=20, tuned_for=200.0)
numbers = itertools.count(1)


def experiment(share: float = 0.5, **changes: Any) -> ExperimentSettings:
    """A test of a model `rl` against the rule."""
    told = {"name": "t", "treatment": "rl", "rl_traffic_percentage": share, "analysis": QUICK, **changes}
    return ExperimentSettings(**told)


class Stage:
    """What a test has of the node."""

    def __init__(self, node: Node, clock: VirtualClock) -> None:
        self.node = node
        self.clock = clock

    @property
    def keeper(self) -> ActorRef:
        return self.node.ref(EXPERIMENTS)

    @property
    def log(self) -> NodeLog:
        return self.node.require_log()

    def serve(self, policy: Policy | None = None, name: str = "rl") -> None:
        """Put a model in service; without one that buys."""
        policy = policy or Sure()
        assert self.node.ref(DECISIONS).tell(UseModel(name=name, version=policy.info.version, policy=policy))

    async def predict(self, user: str, **changes: Any) -> Decision:
        """Ask for a decision on a signal that the rule would trade."""
        number = next(numbers)
        asked: dict[str, Any] = {
            "decision_id": f"d{number}",
            "user_id": user,
            "symbol": "BTC",
            "observation": observation(float(number)),
            "deadline": self.clock.monotonic() + SECOND,
            "proposal": BUY,
            **changes,
        }
        return await self.node.ref(DECISIONS).ask(Decide(**asked), LIMIT_S)

    async def predictions(self, users: int, prefix: str = "u") -> dict[str, Decision]:
        """One decision for each of so many users."""
        return {f"{prefix}{number}": await self.predict(f"{prefix}{number}") for number in range(users)}

    async def feedback(self, decision: Decision, outcome: float, **changes: Any) -> FeedbackTaken:
        told = {"user_id": decision.user_id, "decision_id": decision.decision_id, "outcome": outcome, **changes}
        return await self.keeper.ask(Feedback(**told), LIMIT_S)

    async def configure(self, **changes: Any) -> AbTestStatus:
        return await self.keeper.ask(ConfigureTest(**{"name": "t", **changes}), LIMIT_S)

    async def status(self, name: str = "t") -> AbTestStatus:
        return await self.keeper.ask(GetTest(name), LIMIT_S)

    async def report(self, name: str = "t", version: int = 0) -> AbTestReport:
        return await self.keeper.ask(GetReport(name=name, version=version), LIMIT_S)

    async def kill(self, path: str = EXPERIMENTS, *, back: bool = True) -> None:
        """As a crash does. `back`: its next life has begun, and what it is asked waits until it has remembered."""
        parent, _, name = path.rpartition("/")
        before = self._incarnation(path)
        await self.node.ref(parent).ask(KillChild(name), LIMIT_S)

        async def lives_again() -> bool:
            return not back or self._incarnation(path) != before

        await until(lives_again)

    def _incarnation(self, path: str) -> object:
        cell = self.node.find(path)
        return None if cell is None else cell.mark.incarnation

    def publish(self, decision: Decision) -> None:
        """Say that a decision was given."""
        self.node.topics.publish(DecisionMade(decision))

    async def logged(self) -> Logged:
        """What the log has, once the recorder has written what it was told."""
        await self.node.ref("/decisions/recorder").ask(Probe(), LIMIT_S)
        return history.read_log(self.log.directory, history.KEEPERS)


def rows(logged: Logged, kind: type[msgspec.Struct]) -> list[Any]:
    """Rows of one kind."""
    return [row for row in logged.rows if isinstance(row, kind)]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what no message tells."""
    with trio.fail_after(LIMIT_S):
        while True:
            if await condition():
                return
            await trio.sleep(0.005)


@asynccontextmanager
async def stage(
    folder: Path,
    *experiments: ExperimentSettings,
    clock: VirtualClock | None = None,
    others: tuple[ChildSpec, ...] = (),
    segment_bytes: int = 1 << 20,
    settings: Settings = Settings(),  # noqa: B008
) -> AsyncIterator[Stage]:
    """A node in this folder; another one in the same folder goes on where it was."""
    clock = clock or VirtualClock(BEGIN)
    branch = supervisor("decisions", *specs(settings, ""), *part.specs(experiments or (experiment(),)))
    log = open_log(folder / "log", segment_bytes=segment_bytes, max_bytes=1 << 26, reserve_bytes=0)
    try:
        with trio.fail_after(LIMIT_S):
            async with open_node(
                NodeSettings(name="test", data_dir=str(folder)), (*others, branch), clock=clock, log=log
            ) as node:
                at = Stage(node, clock)
                for each in experiments or (experiment(),):
                    await at.status(each.name)  # before it answers it has told the server its plans
                at.serve()
                yield at
    finally:
        log.close()
