"""An account of a real node whose deployment asks: with a server, without one, and after a crash."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
import trio

import actors.execution.capability
import actors.signals.capability
import actors.storage.capability
import actors.thresholds.capability
from actors.execution.account_settings import AccountSpec
from actors.execution.account_tree import account_branch
from actors.execution.accounts.settings import AccountSettings
from actors.execution.deployments import Deployment, DeploymentSettings
from actors.execution.engine_state import EngineSettings
from actors.market.capability import branch as market_branch
from actors.market.feed_settings import FeedSettings, VenueSettings
from actors.market.instrument_master import InstrumentSettings
from actors.thresholds.settings import Settings as ThresholdSettings
from protocols.control import Refused
from protocols.decisions import Decide, Decision, DecisionMade
from protocols.execution import AccountView, ApplyDeployment, GetAccount, GetOrders, account_actor
from protocols.nanos import NANO
from protocols.paths import DECISIONS, HUB, QUERIES
from protocols.signals import ExecutionParams, Signal, SignalStored, SubmitSignal
from protocols.storage import RunQuery
from runtime import Actor, ChildSpec, Done, KillChild, Node, NodeSettings, Tap, open_node, receive, supervisor
from runtime.log import open_log
from tests.actors.databases import Databases

MARKET = "SIM-ALPHA"
PATIENCE_S = 10.0
FOLDERS = [
    actors.storage.capability.OWN_MIGRATIONS,
    str(actors.signals.capability.migrations),
    str(actors.execution.capability.migrations),
]
numbers = itertools.count()


class Oracle(Actor):
    """In the place of the decision server: buys what is asked with a confidence above 0.5, and counts."""

    asked: ClassVar[list[str]] = []

    @receive
    def decide(self, request: Decide) -> Decision:
        self.asked.append(request.decision_id)
        if request.proposal.confidence == 0.25:
            raise Refused("invalid", "expected another confidence", "proposal.confidence")
        trades = (request.proposal.confidence or 0) > 0.5
        return Decision(
            decision_id=request.decision_id,
            user_id=request.user_id,
            symbol=request.symbol,
            action="BUY" if trades else "HOLD",
            should_trade=trades,
            confidence=0.75,
            confidence_kind="probability",
            reasoning="an oracle",
            served_by="oracle",
            arm="treatment",
        )


class Desk:
    """What a test has of the node."""

    def __init__(self, node: Node, tap: Tap) -> None:
        self.node = node
        self.tap = tap
        self.account = node.ref(account_actor("a"))

    async def deploy(self, **fields: Any) -> None:
        known = {"deployment_id": "d", "strategy_id": "s", "account": "a", "user": "ada", "decisions": DECISIONS}
        settings = msgspec.Raw(msgspec.json.encode(DeploymentSettings(**{**known, **fields})))
        await self.account.ask(ApplyDeployment(settings, "active"), PATIENCE_S)

    async def signal(self, name: str, action: Any = "BUY", confidence: float = 0.9, **metadata: float) -> None:
        now = self.node.clock.now()
        params = ExecutionParams(quantity=NANO, max_slippage=0)
        said = Signal(signal_id=name, ts_created=now, strategy_id="s", strategy_source="test", symbol=MARKET,
                      exchange="simulated", action=action, confidence=confidence, execution_params=params,
                      metadata=msgspec.Raw(msgspec.json.encode(metadata)))  # fmt: skip
        await self.node.ref(HUB).ask(SubmitSignal(said), PATIENCE_S)

    async def view(self, fits: Callable[[AccountView], bool]) -> AccountView:
        with trio.fail_after(PATIENCE_S):
            while True:
                view = await self.account.outcome(GetAccount())
                if isinstance(view, Done) and fits(view.value):
                    found: AccountView = view.value
                    return found
                await trio.lowlevel.checkpoint()

    async def orders(self) -> dict[str, tuple[str, str]]:
        """By signal: the decision and the state of its order."""
        found = await self.account.ask(GetOrders(ended=True, limit=100), PATIENCE_S)
        return {each.order.signal_id: (each.order.decision_id, each.state) for each in found.orders}

    async def rows(self, sql: str, count: int) -> list[tuple[Any, ...]]:
        """Rows of the database, once there are so many."""
        with trio.fail_after(PATIENCE_S):
            while True:
                found = await self.node.ref(QUERIES).outcome(RunQuery(sql))
                if isinstance(found, Done) and len(found.value.rows) >= count:
                    return list(found.value.rows)


@pytest.fixture
def database(databases: Databases) -> str:
    return databases.new(FOLDERS)


@asynccontextmanager
async def desk(
    folder: Path, url: str, *, oracle: bool = True, others: tuple[ChildSpec, ...] = ()
) -> AsyncIterator[Desk]:
    Oracle.asked.clear()
    arguments = {"url": url, "migrations": FOLDERS, "migrate": False, "batch_rows": 5_000, "batch_bytes": 4 << 20}
    storage = actors.storage.capability.supervisor(
        "storage",
        ChildSpec(name="writer", actor="actors.storage.writer:Writer", arguments=arguments),
        ChildSpec(name="queries", actor="actors.storage.queries:Queries", arguments={"url": url}),
    )
    spec = AccountSpec(
        engine=EngineSettings(account=AccountSettings(account_id="a", initial_capital="10000")), markets=(MARKET,)
    )
    children = (
        storage,
        actors.signals.capability.branch(actors.signals.capability.Settings()),
        supervisor("decisions", *([ChildSpec(name="server", actor=Oracle)] if oracle else [])),
        market_branch(
            (FeedSettings(name="demo", venue="simulated"),), VenueSettings(), folder, instruments=InstrumentSettings()
        ),
        *others,
        supervisor("execution", supervisor("accounts", account_branch(spec, 1_000, live=False))),
    )
    log = open_log(folder / "log", segment_bytes=1 << 20, max_bytes=1 << 26, reserve_bytes=0)
    try:
        async with open_node(NodeSettings(data_dir=str(folder)), children, log=log) as node:
            with node.open_tap((SignalStored, None)) as tap:
                at = Desk(node, tap)
                await at.view(lambda view: view.state == "trading" and not view.missing)
                yield at
    finally:
        log.close()


async def test_a_crash_in_the_order_path_asks_nobody_again_and_leads_to_the_same_orders(
    tmp_path: Path, database: str
) -> None:
    async with desk(tmp_path, database) as at:
        await at.deploy(opposite="ignore")
        for number in range(3):
            await at.signal(f"buy{number}")
        await at.signal("calm", confidence=0.5)
        await at.signal("out", "CLOSE_ALL")
        await at.view(lambda view: view.fills >= 4)
        before = await at.orders()
        asked = list(Oracle.asked)
        assert len(asked) == len(set(asked)) == 4
        assert [name for name, (decision, _) in before.items() if not decision] == ["out"]
        decisions = {name: decision for name, (decision, _) in before.items() if decision}
        assert set(decisions) == {"buy0", "buy1", "buy2"}
        assert set(decisions.values()) < set(asked)
        await at.node.ref("/execution/accounts/a").ask(KillChild("account"))
        view = await at.view(lambda view: view.state == "trading" and view.fills >= 4)
        assert view.fills == 4
        assert await at.orders() == before
        assert asked == Oracle.asked
        await at.signal("later")
        await at.view(lambda view: view.fills >= 5)
        assert len(Oracle.asked) == 5
        sql = "SELECT signal_id, code, reason FROM execution_verdicts ORDER BY seq"
        verdicts = await at.rows(sql, 6)
        # They were asked about at once, and taken in the order of the stream.
        assert [name for name, _, _ in verdicts] == ["buy0", "buy1", "buy2", "calm", "out", "later"]
        [(code, reason)] = [(code, reason) for _, code, reason in verdicts if code]
        assert code == "decision"
        assert reason.startswith("the signal says BUY, oracle (arm treatment) says HOLD with 0.75: an oracle")
        outcomes = await at.rows("SELECT signal_id, decision_id FROM outcomes", 1)
        assert outcomes[0] == ("buy0", before["buy0"][0])


async def test_without_a_server_the_fallback_decides_and_the_order_path_goes_on(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database, oracle=False) as at:
        await at.deploy()
        await at.signal("sure")
        await at.signal("unsure", confidence=0.3)
        await at.signal("sure too")
        await at.view(lambda view: view.fills >= 2)
        assert {name for name, (decision, _) in (await at.orders()).items() if decision} == {"sure", "sure too"}
        [(name, reason)] = await at.rows("SELECT signal_id, reason FROM execution_verdicts WHERE code = 'decision'", 1)
        assert name == "unsure"
        assert "fallback says not to trade, BUY with 0.3: fallback (REJECTED" in reason


async def test_a_question_that_the_server_takes_for_none_is_decided_by_the_fallback(
    tmp_path: Path, database: str
) -> None:
    async with desk(tmp_path, database) as at:
        await at.deploy()
        await at.signal("odd", confidence=0.25)
        await at.signal("sure")
        await at.view(lambda view: view.fills >= 1)
        assert set(await at.orders()) == {"sure"}
        [(reason,)] = await at.rows("SELECT reason FROM execution_verdicts WHERE code = 'decision'", 1)
        assert "fallback (MODEL_ERROR: invalid: expected another confidence)" in reason


FIELDS = {"rsi": 50.0, "macd": 0.05, "change_percent": 3.0, "volume": 2e9}


async def test_thresholds_are_the_gate_of_a_deployment_that_has_no_server(tmp_path: Path, database: str) -> None:
    thresholds = actors.thresholds.capability.branch(ThresholdSettings(adapt_every_s=0.0))
    async with desk(tmp_path, database, others=(thresholds,)) as at:
        await at.deploy(decisions="", gate="thresholds")
        with at.node.open_tap((DecisionMade, "ada")) as made:
            await at.signal("good", **FIELDS)
            await at.signal("timid", confidence=0.6, **FIELDS)
            await at.signal("out", "CLOSE_ALL")
            await at.view(lambda view: view.fills >= 2)
            told = {each.decision.signal_id: each.decision for each in await made.receive()}
        orders = await at.orders()
        assert set(orders) == {"good", "out"}
        assert orders["good"][0] == told["good"].decision_id
        assert orders["out"][0] == ""
        assert told["timid"].verdict is not None
        assert (told["timid"].served_by, told["timid"].verdict.approved) == ("thresholds", False)
        assert Oracle.asked == []
        [(reason,)] = await at.rows("SELECT reason FROM execution_verdicts WHERE code = 'decision'", 1)
        assert "confidence 0.6 is below the minimum 0.65" in reason


async def test_without_thresholds_the_rule_is_the_gate(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database) as at:
        await at.deploy(decisions="", gate="thresholds")
        await at.signal("sure", **FIELDS)
        await at.signal("unsure", confidence=0.3, **FIELDS)
        await at.view(lambda view: view.fills >= 1)
        [(name,)] = await at.rows("SELECT signal_id FROM execution_verdicts WHERE code = 'decision'", 1)
        assert name == "unsure"
        assert set(await at.orders()) == {"sure"}


def test_a_deployment_is_gated_once() -> None:
    with pytest.raises(ValueError, match="gate: expected none where /decisions/server decides"):
        DeploymentSettings(deployment_id="d", strategy_id="s", account="a", decisions=DECISIONS, gate="thresholds")
    signal = Signal(
        signal_id="x", ts_created=1, strategy_id="s", strategy_source="t", symbol=MARKET, exchange="simulated",
        action="BUY", confidence=0.9, execution_params=ExecutionParams(max_slippage=0),
    )  # fmt: skip
    gated = Deployment(DeploymentSettings(deployment_id="d", strategy_id="s", account="a", gate="thresholds"))
    assert gated.decides(signal)
    assert not gated.decides(msgspec.structs.replace(signal, decision_id="decided before"))
