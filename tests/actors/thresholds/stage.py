"""A real node with the branch of thresholds, on a clock that the test moves; with a database or without."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import trio

from actors.execution import capability as execution
from actors.signals import capability as signals
from actors.storage import capability as storage
from actors.thresholds import capability
from actors.thresholds.gate import GateSettings
from actors.thresholds.naming import key_of
from actors.thresholds.safeguards import HOUR_NS
from actors.thresholds.settings import LearningSettings, Settings
from protocols.paths import THRESHOLD_ROSTER, THRESHOLD_STATES, THRESHOLD_USERS
from protocols.thresholds import (
    Adapted,
    AdaptThresholds,
    EvaluateSignal,
    GatedSignal,
    GetRecords,
    GetThresholds,
    GetThresholdStats,
    Learned,
    OutcomeResolved,
    Records,
    ThresholdStats,
    ThresholdsView,
    Verdict,
)
from runtime import ActorRef, ChildSpec, KillChild, Node, NodeSettings, open_node, supervisor
from runtime.clock import SystemClock, VirtualClock
from runtime.log import open_log

BEGIN: Final = 20_000 * 24 * HOUR_NS
LIMIT_S: Final = 30.0
QUICK: Final = LearningSettings(gate=GateSettings(block=10, warmup=20))
"""So that a few outcomes move something."""
QUIET: Final = Settings(learning=QUICK, adapt_every_s=0.0)
numbers = itertools.count(1)


def good(confidence: float = 0.9, **changes: Any) -> GatedSignal:
    """A signal that the defaults let through."""
    fields = {"action": "BUY", "rsi": 50.0, "macd": 0.05, "change_percent": 3.0, "volume": 2e9, **changes}
    return GatedSignal(confidence=confidence, **fields)


class Stage:
    """What a test has of the node."""

    def __init__(self, node: Node, clock: VirtualClock | SystemClock) -> None:
        self.node = node
        self.clock = clock

    @property
    def roster(self) -> ActorRef:
        return self.node.ref(THRESHOLD_ROSTER)

    async def evaluate(self, user: str = "anna", symbol: str = "BTC", signal: GatedSignal | None = None) -> Verdict:
        return await self.roster.ask(
            EvaluateSignal(user_id=user, symbol=symbol, signal=signal or good(), signal_id=f"s{next(numbers)}"), LIMIT_S
        )

    async def view(self, user: str = "anna", symbol: str = "BTC") -> ThresholdsView:
        return await self.roster.ask(GetThresholds(user, symbol), LIMIT_S)

    async def learn(
        self, seq: int, outcome: float | None, confidence: float, *, user: str = "anna", symbol: str = "BTC"
    ) -> Learned:
        """The outcome of a signal that only its confidence makes good or bad."""
        return await self.roster.ask(
            OutcomeResolved(
                user_id=user,
                symbol=symbol,
                seq=seq,
                signal_id=f"s{seq}",
                signal=good(confidence),
                outcome=outcome,
                ts=self.node.clock.now(),
                acted=confidence >= 0.65,
            ),
            LIMIT_S,
        )

    async def teach(self, count: int, *, user: str = "anna", symbol: str = "BTC", first: int = 1) -> int:
        """Outcomes that say: only those with much confidence are worth it. Returns the next number."""
        for seq in range(first, first + count):
            confidence = 0.5 + 0.45 * ((seq * 0.618) % 1.0)
            await self.learn(seq, 0.1 * (confidence - 0.8), confidence, user=user, symbol=symbol)
        return first + count

    async def adapt(self, user: str = "anna", symbol: str = "BTC", *, force: bool = False) -> Adapted:
        return await self.roster.ask(AdaptThresholds(user, symbol, force), LIMIT_S)

    async def records(self, **wanted: Any) -> Records:
        return await self.roster.ask(GetRecords(**wanted), LIMIT_S)

    async def stats(self) -> ThresholdStats:
        return await self.roster.ask(GetThresholdStats(), LIMIT_S)

    async def kill(self, path: str) -> None:
        """As a crash does; what is asked meanwhile waits for its next life, where there is one."""
        parent, _, name = path.rpartition("/")
        await self.node.ref(parent).ask(KillChild(name), LIMIT_S)

    async def kill_user(self, user: str = "anna") -> None:
        await self.kill(f"{THRESHOLD_USERS}/{key_of(user)}")

    async def kill_keeper(self) -> None:
        await self.kill(THRESHOLD_STATES)


def database_children(url: str) -> ChildSpec:
    """Writer and queries of a database that has the tables."""
    migrations = [storage.OWN_MIGRATIONS, *(each.migrations for each in (signals, execution, capability))]
    writer = {"url": url, "migrations": migrations, "migrate": False, "batch_rows": 500, "batch_bytes": 1 << 20}
    return supervisor(
        "storage",
        ChildSpec("writer", "actors.storage.writer:Writer", {**writer, "interval_s": 0.02}),
        ChildSpec("queries", "actors.storage.queries:Queries", {"url": url}),
    )


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what no message tells."""
    with trio.fail_after(LIMIT_S):
        while not await condition():  # noqa: ASYNC110 - nothing tells it
            await trio.sleep(0.005)


@asynccontextmanager
async def stage(
    folder: Path,
    settings: Settings = QUIET,
    *,
    url: str = "",
    clock: VirtualClock | SystemClock | None = None,
    others: tuple[ChildSpec, ...] = (),
    segment_bytes: int = 1 << 20,
) -> AsyncIterator[Stage]:
    """A node in this folder; another one in the same folder goes on where it was."""
    clock = clock or VirtualClock(BEGIN)
    log = open_log(folder / "log", segment_bytes=segment_bytes, max_bytes=1 << 28, reserve_bytes=0)
    first = (database_children(url),) if url else ()
    try:
        with trio.fail_after(LIMIT_S):
            async with open_node(
                NodeSettings(name="test", data_dir=str(folder)),
                (*first, capability.branch(settings), *others),
                clock=clock,
                log=log,
            ) as node:
                yield Stage(node, clock)
    finally:
        log.close()
