"""A real node with the keeper of outcomes, the hub, the market index and the database; time passes as the test says.

The learner only notes what it is told: what a learner makes of it is tested where learners are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import trio

import actors.decisions.capability
import actors.execution.capability
import actors.market.capability
import actors.signals.capability
import actors.storage.capability
from actors.execution.roster_rows import EXECUTION_ROSTER, ExecutionRosterRow
from actors.signals.capability import Settings as HubSettings
from actors.storage import schema
from actors.thresholds.intake import part
from actors.thresholds.intake.messages import Look
from actors.thresholds.intake.settings import OutcomeSettings
from protocols.control import Refused
from protocols.execution import OUTCOMES, DeploymentList, DeploymentView, ListDeployments, OutcomeRow, OutcomeStored
from protocols.market import Quote
from protocols.nanos import NANO
from protocols.paths import HUB, THRESHOLD_OUTCOMES, THRESHOLD_ROSTER
from protocols.signals import SignalAccepted, SubmitSignal
from protocols.threshold_outcomes import GetOutcomeFigures, OutcomeFigures, ReportTrade, TradeTaken
from protocols.thresholds import GatedSignal, Learned, OutcomeResolved, PoorPerformance
from runtime import Actor, ActorRef, ChildSpec, KillChild, Node, NodeSettings, open_node, receive, supervisor
from runtime.clock import SECOND, VirtualClock
from runtime.log import NodeLog, open_log
from tests.actors.signals.samples import signal

THRESHOLD_MIGRATIONS = Path(part.__file__).parents[1] / "migrations"
FOLDERS = [
    str(schema.OWN),
    *(each.migrations for each in (actors.execution.capability, actors.signals.capability, actors.market.capability)),
    str(THRESHOLD_MIGRATIONS),
]
BEGIN = 1_800_000_000 * SECOND
LIMIT_S = 15.0
HOUR = 3600 * SECOND
BUY = GatedSignal(action="BUY", confidence=0.8, rsi=40.0, change_percent=3.0, volume=2e9)
SETTINGS = OutcomeSettings(fee_rate=0.0, stale_s=60.0, grace_s=0.0)


class Pupil(Actor):
    """Stands for learners: notes what it is told, each place of a user once; `refusing`: it cannot just now."""

    notes: ClassVar[list[OutcomeResolved | PoorPerformance]] = []
    refusing: ClassVar[set[str]] = set()

    @receive
    def resolved(self, request: OutcomeResolved) -> Learned:
        if request.user_id in self.refusing:
            raise Refused("unavailable", "what was stored cannot be read")
        known = any(
            isinstance(each, OutcomeResolved) and each.user_id == request.user_id and each.seq >= request.seq
            for each in self.notes
        )
        if not known:
            self.notes.append(request)
        return Learned(not known)

    @receive
    def poor(self, request: PoorPerformance) -> Learned:
        known = request in self.notes  # a repeat has the same time
        if not known:
            self.notes.append(request)
        return Learned(not known)


class Deployments(Actor):
    """Stands for the roster of deployments: one of the strategy `test` for `ada`."""

    @receive
    def all(self, request: ListDeployments) -> DeploymentList:
        settings = msgspec.json.encode({"deployment_id": "d1", "strategy_id": "test", "markets": []})
        view = DeploymentView(
            deployment_id="d1",
            strategy_id="test",
            account="paper",
            user="ada",
            name="",
            mode="paper",
            state="active",
            reason="",
            settings=msgspec.Raw(settings),
            created=0,
        )
        return DeploymentList((view,))


class Stage:
    """What a test has of the node."""

    def __init__(self, node: Node, clock: VirtualClock) -> None:
        self.node = node
        self.clock = clock

    @property
    def keeper(self) -> ActorRef:
        return self.node.ref(THRESHOLD_OUTCOMES)

    @property
    def log(self) -> NodeLog:
        return self.node.require_log()

    async def figures(self) -> OutcomeFigures:
        return await self.keeper.ask(GetOutcomeFigures(), LIMIT_S)

    async def trade(self, outcome: float, **changes: Any) -> TradeTaken:
        told = {"user_id": "ada", "symbol": "BTC", "signal": BUY, "closed_at": self.clock.now(), **changes}
        return await self.keeper.ask(ReportTrade(outcome=outcome, **told), LIMIT_S)

    def quote(self, bid: float, ask: float, market: str = "BTC") -> None:
        now = self.clock.now()
        bid_, ask_ = round(bid * NANO), round(ask * NANO)
        self.node.topics.publish(Quote(market, bid_, NANO, ask_, NANO, "s", 1, now, now))

    async def submit(self, number: int, **changes: Any) -> SignalAccepted:
        now = self.clock.now()
        given = {"symbol": "BTC", "ts_created": now, "ts_expires": now + HOUR, "metadata": msgspec.Raw(b'{"rsi": 40}')}
        return await self.node.ref(HUB).ask(SubmitSignal(signal(number, **{**given, **changes})), LIMIT_S)

    def executed(self, number: int, share: float) -> None:
        """What an account writes when a position that the signal has led to is closed."""
        now = self.clock.now()
        seq = self.log.last_seq(OUTCOMES) + 1
        row = OutcomeRow(
            stream=OUTCOMES,
            seq=seq,
            outcome_id=f"paper-{number}",
            account="paper",
            deployment_id="d1",
            strategy_id="test",
            signal_id=f"sig_{number}",
            decision_id="",
            client_order_id=f"o{number}",
            market="BTC",
            side="long",
            size=NANO,
            entry_ts=now - HOUR // 2,
            entry_price=100 * NANO,
            exit_ts=now,
            exit_price=round(100 * (1 + share)) * NANO,
            pnl=str(100 * share),
            fees="0",
            return_share=share,
            currency="USD",
            exit_reason="signal",
            marks=(),
        )
        self.log.append(row)
        self.node.topics.publish(OutcomeStored(seq))

    async def kill(self, path: str = THRESHOLD_OUTCOMES) -> None:
        """As a crash does."""
        parent, _, name = path.rpartition("/")
        await self.node.ref(parent).ask(KillChild(name), LIMIT_S)

    async def pass_time(self, nanoseconds: int) -> None:
        self.clock.advance(nanoseconds)
        await self.keeper.send(Look())

    def told(self, user: str = "ada") -> list[tuple[str, float | None, bool]]:
        """Signal, outcome and whether it was traded, of what this user's learner knows."""
        found = [each for each in Pupil.notes if isinstance(each, OutcomeResolved) and each.user_id == user]
        return [(each.signal_id, each.outcome, each.acted) for each in found]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what no message tells."""
    with trio.fail_after(LIMIT_S):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.005)


def storage(url: str) -> ChildSpec:
    writer = {"url": url, "migrations": FOLDERS, "migrate": False, "batch_rows": 200, "batch_bytes": 1 << 20}
    return supervisor(
        "storage",
        ChildSpec("writer", "actors.storage.writer:Writer", {**writer, "interval_s": 0.02}),
        ChildSpec("queries", "actors.storage.queries:Queries", {"url": url}),
    )


@asynccontextmanager
async def stage(
    folder: Path, url: str, clock: VirtualClock | None = None, settings: OutcomeSettings = SETTINGS
) -> AsyncIterator[Stage]:
    """A node in this folder; another one in the same folder goes on where it was. Without a URL: no database."""
    clock = clock or VirtualClock(BEGIN)
    here = "tests.actors.thresholds.intake.stage"
    roster = THRESHOLD_ROSTER.rpartition("/")[2]
    branches = (
        *((storage(url),) if url else ()),
        actors.signals.capability.branch(HubSettings(validity_s=86_400.0)),
        supervisor("execution", ChildSpec("deployments", f"{here}:Deployments")),
        supervisor("market", ChildSpec("index", "actors.market.index:MarketIndex", {"feeds": {"f": ["BTC"]}})),
        supervisor("thresholds", ChildSpec(roster, f"{here}:Pupil"), part.spec(settings)),
    )
    log = open_log(folder / "log", segment_bytes=1 << 20, max_bytes=1 << 26, reserve_bytes=0)
    try:
        with trio.fail_after(LIMIT_S * 2):
            async with open_node(
                NodeSettings(name="test", data_dir=str(folder)), branches, clock=clock, log=log
            ) as node:
                at = Stage(node, clock)
                if not log.last_seq(EXECUTION_ROSTER):
                    _deploy(log, clock.now())
                yield at
    finally:
        log.close()


def _deploy(log: NodeLog, now: int) -> None:
    settings = msgspec.Raw(msgspec.json.encode({"deployment_id": "d1", "strategy_id": "test", "user": "ada"}))
    log.append(
        ExecutionRosterRow(
            stream=EXECUTION_ROSTER,
            seq=1,
            ts=now,
            kind="deployment",
            id="d1",
            event="active",
            reason="",
            settings=settings,
        )
    )
