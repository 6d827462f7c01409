"""Strategies in the sandbox that are deployed to an account, on a node. The account is a stand-in that fills at 100."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
import trio
import trio.testing

from actors.strategies.status import GetRunLogs
from protocols.control import Message, Refused, Request
from protocols.deployments import (
    DEPLOYMENTS,
    Denied,
    DeploymentNews,
    DeployRun,
    GetDeployment,
    OrdersTaken,
    PlaceOrders,
    UndeployRun,
    run_actor,
)
from protocols.nanos import NANO
from protocols.orders import CancelOrders, NewOrder, OrderCommand, SubmitOrders
from runtime import Actor, ChildSpec, receive, supervisor
from tests.actors.strategies.deployed import deployment, event, filled, instrument, position, shown
from tests.actors.strategies.sandbox_desk import LIMIT_S, SandboxDesk, bar, sandbox_desk

TRADER = """
from actors.strategies.sdk import BaseStrategy

class Trader(BaseStrategy):
    def initialize(self):
        print("begun", self.context.is_deployed, [each.order_id for each in self.orders.get_orders()]
              if self.context.is_deployed else None)

    def on_bar(self, bar):
        if not self.context.is_deployed:
            print("no account")
            return
        ORDER

    def on_order_filled(self, fill):
        print("filled", fill.quantity, fill.price, self.portfolio.cash)

    def on_order_cancelled(self, order):
        print(order.state, order.reason)

    def on_position_opened(self, position):
        print("opened", position.quantity)
"""


class GetPlaced(Request["Placed"], frozen=True, gc=False, tag="test_get_placed"):
    """Asks the stand-in what it was given."""


class Placed(Message, frozen=True, gc=False, tag="test_placed"):
    requests: tuple[PlaceOrders, ...]


class Script(Message, frozen=True, gc=False, kw_only=True, tag="test_script"):
    """What the stand-in is to do from now on."""

    deployed: bool = True
    late: bool = False
    """The first who asks is told that there is no deployment yet."""
    refuses: str = ""
    denies: str = ""
    tells: bool = False
    crashes: int = 0
    holds: bool = False


class Deployments(Actor):
    """Where the deployments are, and the one account of them: each order is filled at once, at 100."""

    script: ClassVar[Script] = Script()
    requests: ClassVar[list[PlaceOrders]] = []

    @receive
    def told(self, message: Script) -> None:
        Deployments.script = message

    @receive
    def tell(self, request: GetPlaced) -> Placed:
        return Placed(tuple(Deployments.requests))

    @receive
    def find(self, request: GetDeployment) -> DeployRun:
        if Deployments.script.late or not Deployments.script.deployed:
            Deployments.script = msgspec.structs.replace(Deployments.script, late=False)
            raise Refused("not_found", request.run)
        return standing(self.clock.now())

    @receive
    def place(self, request: PlaceOrders) -> OrdersTaken:
        Deployments.requests.append(request)
        script = Deployments.script
        if script.crashes:
            Deployments.script = msgspec.structs.replace(script, crashes=script.crashes - 1)
            raise RuntimeError("the account dies over it")
        if script.refuses:
            raise Refused("not_active", script.refuses)
        if script.denies:
            [order] = orders_of(request.commands)
            code, name = "max_order_size", order.client_order_id
            if script.tells:
                told = event(order, "denied", "denied", reason=script.denies, reason_code=code, ts=self.clock.now())
                self.spawn(self.lookup(run_actor("trader")).send, DeploymentNews("d", told, None))
            denied = Denied(index=0, client_order_id=name, code=code, reason=script.denies, told=script.tells)
            return OrdersTaken("d", (denied,))
        now = self.clock.now()
        for order in orders_of(request.commands) if not script.holds else ():
            news = DeploymentNews("d", filled(order, 100.0, ts=now), shown(9_900.0, position(1, 100.0), ts=now))
            self.spawn(self.lookup(run_actor("trader")).send, news)
        return OrdersTaken("d")


def standing(now: int) -> DeployRun:
    order = NewOrder(client_order_id="d-old", market="A", side="buy", kind="limit", size=NANO, price=90 * NANO)
    return deployment(shown(ts=now), account=DEPLOYMENTS, open_orders=(event(order, "accepted", "accepted").order,))


def orders_of(commands: tuple[OrderCommand, ...]) -> list[NewOrder]:
    return [order for each in commands if isinstance(each, SubmitOrders) for order in each.orders]


class TradingDesk:
    def __init__(self, desk: SandboxDesk) -> None:
        self.desk = desk
        self.bars = 0

    async def start(self, *lines: str) -> None:
        await self.desk.write("trader", TRADER.replace("ORDER", "\n        ".join(lines)))
        await self.desk.start("trader")
        await self.desk.until("trader", "active")

    def bar(self) -> None:
        self.desk.say(bar(self.bars, 100.0))
        self.bars += 1

    async def script(self, **script: Any) -> None:
        assert self.desk.node.ref(DEPLOYMENTS).tell(Script(**script))
        await self.placed(0)

    async def placed(self, count: int) -> tuple[PlaceOrders, ...]:
        """All requests, once there are `count`."""
        with trio.fail_after(LIMIT_S):
            while len(found := (await self.desk.node.ref(DEPLOYMENTS).ask(GetPlaced())).requests) < count:
                await trio.testing.wait_all_tasks_blocked(0.01)
        return found

    async def log(self, *expected: str) -> list[str]:
        """The lines of the log, once there are those expected at its end."""
        with trio.fail_after(LIMIT_S):
            while True:
                lines = (await self.desk.node.ref(run_actor("trader")).ask(GetRunLogs(1000))).lines
                found = [line.text for _, line in lines]
                if found[-len(expected) :] == list(expected):
                    return found
                await trio.testing.wait_all_tasks_blocked(0.01)

    async def deployed(self) -> None:
        with trio.fail_after(LIMIT_S):
            while "deployment" not in dict((await self.desk.status("trader")).figures):
                await trio.testing.wait_all_tasks_blocked(0.01)

    async def ask(self, request: Request[Any]) -> Any:
        return await self.desk.node.ref(run_actor("trader")).ask(request, LIMIT_S)


@asynccontextmanager
async def trading_desk(folder: Path, **script: Any) -> AsyncIterator[TradingDesk]:
    Deployments.script, Deployments.requests = Script(**script), []
    stand_in = f"{__name__}:Deployments"
    execution = supervisor("execution", ChildSpec(name="deployments", actor=stand_in))
    async with sandbox_desk(folder, children=(execution,)) as desk:
        yield TradingDesk(desk)


async def test_a_strategy_orders_hears_of_its_fill_and_cancels(tmp_path: Path) -> None:
    async with trading_desk(tmp_path) as trading:
        await trading.start(
            "if self.context.bar_count == 1: self.orders.market_order('A', 1, 'buy')",
            "else: self.orders.cancel_all_orders()",
        )
        trading.bar()
        lines = await trading.log("filled 1.0 100.0 9900.0", "opened 1.0")
        assert lines[0] == "begun True ['d-old']"
        [first] = await trading.placed(1)
        [order] = orders_of(first.commands)
        assert (first.deployment_id, order.kind, order.size) == ("d", "market", NANO)
        path, _, incarnation = order.sender.partition("@")
        assert (path, incarnation.count(".")) == (run_actor("trader"), 1)
        trading.bar()
        assert (await trading.placed(2))[1].commands == (CancelOrders("", "d"),)
        figures = dict((await trading.desk.status("trader")).figures)
        assert (figures["deployment"], figures["commands_taken"], figures["commands_refused"]) == ("d", 2, 0)


async def test_what_the_account_or_the_instrument_does_not_take_is_told_as_a_rejection(tmp_path: Path) -> None:
    async with trading_desk(tmp_path) as trading:
        await trading.start(
            "self.orders.market_order('A', 0.0001 if self.context.bar_count == 1 else 1, 'buy')",
        )
        trading.bar()
        await trading.log("rejected 0.0001 is no multiple of the lot of A")
        await trading.script(refuses="it is paused")
        trading.bar()
        await trading.log("rejected not_active: it is paused")
        await trading.script(denies="2 is more than 1")
        trading.bar()
        await trading.log("rejected max_order_size: 2 is more than 1")
        await trading.script(denies="2 is still more", tells=True)
        trading.bar()
        await trading.log("rejected max_order_size: 2 is more than 1", "rejected 2 is still more")
        # A definition that changes counts from then on.
        await trading.script()
        trading.desk.say(msgspec.structs.replace(instrument(), lot=2 * NANO))
        trading.bar()
        await trading.log("rejected 1.0 is no multiple of the lot of A")
        assert len(await trading.placed(3)) == 3


async def test_an_unknown_outcome_is_asked_again_with_the_same_ids_and_what_comes_behind_waits(tmp_path: Path) -> None:
    async with trading_desk(tmp_path, crashes=1) as trading:
        await trading.start("self.orders.market_order('A', 1, 'buy')")
        trading.bar()
        trading.bar()
        first, again, second = await trading.placed(3)
        assert first == again
        assert second != first
        await trading.log("filled 1.0 100.0 9900.0")
        assert dict((await trading.desk.status("trader")).figures)["commands_asked_again"] == 1


async def test_orders_whose_turn_comes_too_late_are_not_sent_any_more_and_cancels_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.strategies.sandboxed_trading.LATE_NS", -1)
    async with trading_desk(tmp_path) as trading:
        await trading.start("self.orders.cancel_all_orders()", "self.orders.market_order('A', 1, 'buy')")
        trading.bar()
        await trading.log("rejected too late: the account did not answer")
        assert [each.commands for each in await trading.placed(1)] == [(CancelOrders("", "d"),)]


async def test_a_strategy_that_answers_each_refusal_by_another_wrong_order_holds_up_nothing(tmp_path: Path) -> None:
    async with trading_desk(tmp_path) as trading:
        wrong = "self.orders.market_order('A', 0.0001, 'buy')"
        source = TRADER.replace("print(order.state, order.reason)", "self.again()")
        source += f"""
    again_count = 0

    def again(self):
        self.again_count += 1
        if self.again_count <= 300:
            {wrong}
        else:
            print("tired")
"""
        await trading.desk.write("trader", source.replace("ORDER", wrong))
        await trading.desk.start("trader")
        await trading.deployed()
        trading.bar()
        await trading.log("tired")
        assert await trading.placed(0) == ()


async def test_too_many_orders_of_an_input_are_left_out_and_count_as_errors(tmp_path: Path) -> None:
    async with trading_desk(tmp_path, holds=True) as trading:
        await trading.start("[self.orders.market_order('A', 1, 'buy') for _ in range(70)]")
        trading.bar()
        [request] = await trading.placed(1)
        assert len(request.commands) == 64
        assert (await trading.desk.status("trader")).last_error == "6 commands are left out: at most 64 of one input"
        for _ in range(10):
            trading.bar()
        ended = await trading.desk.until("trader", "error")
        assert ended.reason.startswith("more than 10 errors, the last: 6 commands are left out")


async def test_a_run_is_deployed_while_it_runs_and_let_go(tmp_path: Path) -> None:
    async with trading_desk(tmp_path, deployed=False) as trading:
        await trading.start("print('account', self.portfolio.cash)")
        trading.bar()
        await trading.log("begun False None", "no account")
        await trading.ask(standing(1))
        trading.bar()
        await trading.log("account 10000.0")
        with pytest.raises(Refused, match=r"^deployed: trader is deployed as d$"):
            await trading.ask(msgspec.structs.replace(standing(1), deployment_id="e"))
        await trading.desk.node.ref(run_actor("trader")).send(DeploymentNews("d", None, shown(5.0, ts=1)))
        trading.bar()
        await trading.log("account 5.0")
        await trading.ask(UndeployRun("d", "enough"))
        trading.bar()
        await trading.log("no account")


async def test_a_deployment_that_comes_while_the_strategy_is_loaded_is_found(tmp_path: Path) -> None:
    async with trading_desk(tmp_path, late=True) as trading:
        await trading.start("print('account', self.portfolio.cash)")
        await trading.deployed()
        trading.bar()
        await trading.log("begun False None", "account 10000.0")


async def test_news_of_a_deployment_that_a_life_does_not_know_makes_it_ask(tmp_path: Path) -> None:
    async with trading_desk(tmp_path, deployed=False) as trading:
        await trading.start("print('account', self.portfolio.cash)")
        await trading.script()
        with trio.fail_after(LIMIT_S):
            while "deployment" not in dict((await trading.desk.status("trader")).figures):
                await trading.desk.node.ref(run_actor("trader")).send(DeploymentNews("d", None, shown(7.0)))
                await trio.testing.wait_all_tasks_blocked(0.01)
        trading.bar()
        await trading.log("account 10000.0")


async def test_the_next_life_and_the_next_version_have_the_account_and_the_open_orders_before_an_input(
    tmp_path: Path,
) -> None:
    async with trading_desk(tmp_path) as trading:
        await trading.start("print('account', self.portfolio.cash)")
        trading.bar()
        await trading.log("account 10000.0")
        os.kill(int(str(dict((await trading.desk.status("trader")).figures)["pid"])), signal.SIGKILL)
        trading.bar()
        await trading.desk.until("trader", "loading")
        await trading.desk.until("trader", "active")
        trading.bar()
        lines = await trading.log("begun True ['d-old']", "account 10000.0")
        assert lines == ["begun True ['d-old']", "account 10000.0"]
        trading.desk.heard.clear()
        await trading.desk.write("trader", TRADER.replace("ORDER", "print('next', self.portfolio.cash)"))
        await trading.log("begun True ['d-old']")
        trading.bar()
        await trading.log("begun True ['d-old']", "next 10000.0")
