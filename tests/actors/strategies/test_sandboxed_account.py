"""A strategy in the sandbox with a real account: it trades on paper, and its next life goes on where it was."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import msgspec
import trio
import trio.testing

from actors.execution.account_settings import AccountSpec
from actors.execution.capability import Settings, branch
from actors.execution.deployments import DeploymentSettings
from actors.strategies.status import GetRunLogs
from protocols.deployments import run_actor
from protocols.execution import AccountView, GetAccount, MoneyIn, account_actor
from protocols.market import ListMarkets, MarketList, MarketSummary, Quote
from protocols.nanos import NANO
from runtime import Actor, ChildSpec, receive
from tests.actors.strategies.deployed import instrument
from tests.actors.strategies.sandbox_desk import LIMIT_S, SandboxDesk, bar, sandbox_desk

TRADER = """
from actors.strategies.sdk import BaseStrategy

class Trader(BaseStrategy):
    def initialize(self):
        print("begun", self.context.is_deployed and [each.state for each in self.orders.get_orders()])

    def on_bar(self, bar):
        if not self.context.is_deployed:
            print("no account")
        elif bar.close == 1:
            self.orders.market_order("A", 1, "buy")
        elif bar.close == 2:
            self.orders.limit_order("A", 2, "buy", 50, time_in_force="GTC", client_order_id="low")
        elif bar.close == 3:
            self.orders.cancel_all_orders()
        elif bar.close == 4:
            self.portfolio.close_position("A")
        else:
            print("cash", self.portfolio.cash, self.portfolio.total_value)

    def on_order_filled(self, fill):
        print("filled", fill.order.side, fill.quantity, fill.price, fill.fee)

    def on_order_cancelled(self, order):
        print(order.state, order.order_id)

    def on_position_opened(self, position):
        print("opened", position.quantity, position.average_price)

    def on_position_closed(self, position):
        print("closed", position.quantity, position.realized_pnl)
"""


class Index(Actor):
    """The market index of a node with one market, without a book."""

    @receive
    def list(self, request: ListMarkets) -> MarketList:
        return MarketList((MarketSummary("A", "test", "", "active", None, ()),), ())


class _Trading:
    def __init__(self, desk: SandboxDesk) -> None:
        self.desk = desk
        self.bars = 0

    async def log(self, *expected: str) -> None:
        """Wait until the last lines of the strategy's log are these."""
        with trio.fail_after(LIMIT_S):
            while True:
                lines = (await self.desk.node.ref(run_actor("trader")).ask(GetRunLogs(100))).lines
                if [line.text for _, line in lines][-len(expected) :] == list(expected):
                    return
                await trio.testing.wait_all_tasks_blocked(0.01)

    async def account(self) -> AccountView:
        return await self.desk.node.ref(account_actor("p")).ask(GetAccount(), LIMIT_S)

    async def orders(self, count: int) -> None:
        """Wait until so many orders are open."""
        with trio.fail_after(LIMIT_S):
            while (await self.account()).open_orders != count:
                await trio.testing.wait_all_tasks_blocked(0.01)

    def say(self, close: float) -> None:
        """A quote of 100 to 101, and a bar whose close says what is to be done."""
        now = self.desk.node.clock.now()
        self.desk.say(Quote("A", 100 * NANO, 9 * NANO, 101 * NANO, 9 * NANO, "s", self.bars + 1, now, now))
        self.desk.say(bar(self.bars, close))
        self.bars += 1


async def test_a_strategy_trades_through_an_account_and_its_next_life_goes_on_where_it_was(tmp_path: Path) -> None:
    market = msgspec.to_builtins(instrument(maker_fee="0", taker_fee="0.001", status="open"))
    market.pop("type", None)
    account = msgspec.convert(
        {"engine": {"account": {"account_id": "p", "user": "u", "currency": "USD"}}, "markets": ["A"]}, AccountSpec
    )
    bound = DeploymentSettings(deployment_id="d1", strategy_id="trader", account="p", markets=("A",))
    execution = branch(Settings(instruments=(market,)), (account,), (bound,))
    index = ChildSpec(name="index", actor=f"{__name__}:Index")
    async with sandbox_desk(tmp_path, children=(execution,), market=(index,)) as desk:
        await desk.write("trader", TRADER)
        await desk.start("trader")
        trading = _Trading(desk)
        with trio.fail_after(LIMIT_S):
            while "deployment" not in dict((await desk.status("trader")).figures):
                await trio.testing.wait_all_tasks_blocked(0.01)
        await desk.node.ref(account_actor("p")).ask(MoneyIn(10_000 * NANO, "USD", "first"))
        trading.say(1)
        await trading.log("filled buy 1.0 101.0 0.101", "opened 1.0 101.0")
        trading.say(2)
        await trading.orders(1)

        # The strategy dies: its next life has the account, and the order that works.
        os.kill(int(str(dict((await desk.status("trader")).figures)["pid"])), signal.SIGKILL)
        trading.say(9)
        await desk.until("trader", "loading")
        await desk.until("trader", "active")
        await trading.log("begun ['submitted']")

        trading.say(3)
        await trading.log("cancelled d1-low")
        trading.say(4)
        await trading.log("filled sell 1.0 100.0 0.1", "closed 1.0 -1.0")
        trading.say(9)
        await trading.log("cash 9998.799 9998.799")
        view = await trading.account()
        assert (view.cash, view.open_orders, view.orders, view.fills) == ("9998.799", 0, 3, 2)
