"""A deployed strategy in a worker: commands in the replies, account and orders among the inputs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from actors.strategies.sandbox import wire
from actors.strategies.sandbox.orders import Desk
from actors.strategies.sandbox.wire_orders import PlaceCommand, UndeployInput
from protocols.deployments import RuleShown
from protocols.orders import AmendOrder, CancelOrder, CancelOrders, NewOrder, OrderCommand, SubmitOrders
from tests.actors.strategies.deployed import deployment, event, filled, position, shown
from tests.actors.strategies.sandbox.serving import Client, Serving, bar, load

MINUTE = 60_000_000_000
TOLD = """
from actors.strategies.sdk import BaseStrategy, NotDeployed

class Trader(BaseStrategy):
    def say(self, *said):
        print(*said)

    def on_order_filled(self, fill):
        held = self.portfolio.get_position(fill.order.symbol)
        self.say("filled", fill.order.order_id, fill.quantity, fill.price, fill.order.state, held.quantity)

    def on_order_cancelled(self, order):
        self.say(order.state, order.order_id, order.reason)

    def on_position_opened(self, position):
        self.say("opened", position.symbol, position.quantity, position.average_price)

    def on_position_closed(self, position):
        self.say("closed", position.symbol, position.quantity, position.realized_pnl)

    def on_bar(self, bar):
"""


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    serving = Serving()
    yield serving
    serving.close()


@pytest.fixture
def worker(serving: Serving) -> Iterator[Client]:
    with serving.worker() as worker:
        yield worker


def minute(place: int, close: float) -> wire.BarInput:
    return bar(place, close, symbol="A")


class Life:
    """A strategy with these lines as its `on_bar`, and the node's side of it."""

    def __init__(self, worker: Client, *lines: str, deployed: bool = True, before: str = "", **options: Any) -> None:
        self.worker = worker
        self.desk = Desk(deployment(), ("A",), "/x@1")
        self.log: list[str] = []
        self.number = 1
        source = TOLD.replace("    def say", f"{before}\n    def say", 1)
        source += "".join(f"        {line}\n" for line in lines)
        options |= {"deployment": self.desk.deploy_input(1)} if deployed else {}
        ready = worker.call(load(source, markets=(("A", "1m"),), now=1, **options))
        assert isinstance(ready, wire.Ready), ready
        self.log += [line.text for line in ready.logs]

    def run(self, *inputs: wire.Input, until_command: bool = False) -> wire.Done:
        reply = self.raw(*inputs, until_command=until_command)
        assert isinstance(reply, wire.Done), reply
        return reply

    def raw(self, *inputs: wire.Input, until_command: bool = False) -> wire.Done | wire.Failed:
        self.number += 1
        reply = self.worker.call(wire.Run(self.number, inputs, until_command))
        assert isinstance(reply, wire.Done | wire.Failed), reply
        self.log += [line.text for line in reply.logs]
        return reply

    def commands(self, *inputs: wire.Input) -> tuple[OrderCommand, ...]:
        taken = self.desk.commands(self.run(*inputs).orders, (), 1)
        if taken.refused:
            self.run(*taken.refused)
        return taken.commands

    def order(self, *inputs: wire.Input) -> NewOrder:
        [command] = self.commands(*inputs)
        assert isinstance(command, SubmitOrders)
        [order] = command.orders
        return order

    def said(self) -> list[str]:
        found, self.log = self.log, []
        return found


def test_an_order_leaves_with_the_reply_and_its_fill_comes_back_with_the_account(worker: Client) -> None:
    life = Life(
        worker,
        "if self.context.bar_count == 1:",
        "    order = self.orders.market_order('A', 2, 'buy')",
        "    self.say(order.state, order.order_id, self.context.is_deployed, self.context.is_live)",
        "    self.say(self.portfolio.total_value, self.portfolio.cash, dict(self.portfolio.positions))",
        "else:",
        "    held = self.portfolio.get_position('A')",
        "    figures = self.portfolio.performance()",
        "    self.say(self.portfolio.total_value, held.market_price, held.unrealized_pnl, figures)",
    )
    order = life.order(minute(0, 100))
    at = f"{MINUTE:x}"
    assert order.client_order_id == f"d-{at}-1"
    assert (order.kind, order.side, order.size, order.deployment_id) == ("market", "buy", 2 * 10**9, "d")
    assert (order.source, order.sender, order.time_in_force) == ("strategy", "/x@1", "DAY")
    assert life.said() == [f"pending d-{at}-1 True True", "10000.0 10000.0 {}"]
    bought = filled(order, 100.5)
    life.run(life.desk.order_input(bought, shown(9_799.0, position(2, 100.5)), MINUTE + 5))
    assert life.said() == [f"filled d-{at}-1 2.0 100.5 filled 2.0", "opened A 2.0 100.5"]
    life.run(minute(1, 103))
    [told] = life.said()
    assert told.startswith("10005.0 103.0 5.0 Performance(total_return=0.000499")
    assert "trades=0, win_rate=None" in told
    sold = position(0, 0, realized="5")
    sold_order = event(order, "cancelled", "cancelled")  # any event will do: it is the account that says it
    life.run(life.desk.order_input(sold_order, shown(10_005.0, sold), 2 * MINUTE))
    assert life.said() == ["closed A 2.0 5.0"]


def test_every_kind_of_command_is_one_for_the_account(worker: Client) -> None:
    life = Life(
        worker,
        "o = self.orders",
        "if self.context.bar_count == 1:",
        "    self.first = o.limit_order('A', 1, 'buy', 99.5, post_only=True, client_order_id='mine',",
        "                               time_in_force='GTC')",
        "    assert o.limit_order('A', 1, 'buy', 99.5, client_order_id='mine') is self.first",
        "    o.stop_order('A', 1, 'sell', 95)",
        "    o.stop_limit_order('A', 1, 'sell', 95, 94.99, reduce_only=True)",
        "    o.trailing_stop_order('A', 1, 'sell', trail_amount=1.5)",
        "    o.trailing_stop_order('A', 1, 'sell', trail_percent=2)",
        "    self.say([(each.order_id[-2:], each.kind) for each in o.get_orders()])",
        "else:",
        "    o.modify_order(self.first.order_id, quantity=2, price=99)",
        "    o.cancel_order(self.first.order_id)",
        "    o.cancel_order(self.first.order_id)",
        "    self.say(len(o.cancel_all_orders('A')), len(o.get_orders(state='pending')), o.get_order('none'))",
    )
    orders = [
        order for each in life.commands(minute(0, 100)) if isinstance(each, SubmitOrders) for order in each.orders
    ]
    assert [(each.kind, each.price, each.stop_price, each.trail, each.trail_share) for each in orders] == [
        ("limit", 99_500_000_000, None, None, None),
        ("stop", None, 95_000_000_000, None, None),
        ("stop_limit", 94_990_000_000, 95_000_000_000, None, None),
        ("trailing_stop", None, None, 1_500_000_000, None),
        ("trailing_stop", None, None, None, 20_000_000),
    ]
    assert [each.client_order_id.rpartition("-")[2] for each in orders] == ["mine", "1", "2", "3", "4"]
    assert (orders[0].client_order_id, orders[0].post_only, orders[0].time_in_force) == ("d-mine", True, "GTC")
    assert [each.reduce_only for each in orders] == [False, False, True, False, False]
    assert life.said()[0].startswith("[('-4', 'trailing_stop'), ('-3', 'trailing_stop')")
    assert life.commands(minute(1, 100)) == (
        AmendOrder("d-mine", 2_000_000_000, 99_000_000_000, None, "/x@1"),
        CancelOrder("d-mine"),
        CancelOrders("A", "d"),
    )
    assert life.said() == ["5 5 None"]
    life.run(life.desk.order_input(event(orders[0], "cancelled", "cancelled", reason="as asked"), None, 3 * MINUTE))
    assert life.said() == ["cancelled d-mine as asked"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("market_order('A', 0.0005, 'buy')", "0.0005 is no multiple of the lot of A"),
        ("limit_order('A', 1, 'buy', 99.995)", "99.995 is on no tick of A"),
        ("stop_order('A', 1, 'buy', 99.999)", "99.999 is on no tick of A"),
        ("trailing_stop_order('A', 1, 'buy', trail_amount=0.001)", "trail: 0.001 is no multiple of the tick of A"),
        ("market_order('A', 1e17, 'buy')", "quantity: expected at most 9223372036, got 100000000000000000"),
    ],
)
def test_a_wrong_precision_is_a_rejected_order_and_never_rounded(line: str, reason: str, worker: Client) -> None:
    life = Life(worker, f"self.orders.{line}")
    assert life.commands(minute(0, 100)) == ()
    assert life.said() == [f"rejected d-{MINUTE:x}-1 {reason}"]


def test_what_no_order_can_be_is_an_exception_that_names_it(worker: Client) -> None:
    calls = {
        "market_order('B', 1, 'buy')": "symbol: expected one of A, got 'B'",
        "market_order('A', 0, 'buy')": "quantity: expected a number above 0, at most 1e+18, got 0",
        "market_order('A', float('nan'), 'buy')": "quantity: expected a number above 0, got nan",
        "market_order('A', 1, 'long')": "side: expected one of buy, sell, got 'long'",
        "market_order('A', 1, 'buy', time_in_force='GTD')":
            "time_in_force: expected one of GTC, IOC, FOK, DAY, got 'GTD'",
        "limit_order('A', 1, 'buy', None)": "price: expected a price, got None",
        "trailing_stop_order('A', 1, 'buy')": "trail_amount: expected one of trail_amount and trail_percent, got None",
        "trailing_stop_order('A', 1, 'buy', trail_percent=100)":
            "trail_percent: expected a number above 0 and below 100, got 100.0",
        "market_order('A', 1, 'buy', client_order_id='a b')":
            "client_order_id: expected 1 to 64 letters, digits, '.', '_' and '-', got 'a b'",
        "cancel_order('x')": "order_id: expected the id of an order of this strategy, got 'x'",
    }  # fmt: skip
    lines = [f"self.orders.{each}" for each in calls]
    life = Life(worker, "self.orders.market_order('A', 1, 'buy')", f"calls = {lines}", *(
        f"if self.context.bar_count == {place + 1}: {line}" for place, line in enumerate(lines)
    ))  # fmt: skip
    for place, message in enumerate(calls.values()):
        reply = life.raw(minute(place, 100))
        assert isinstance(reply, wire.Failed)
        assert (reply.error, reply.message, reply.orders) == ("OrderError", message, ())


def test_what_a_failing_input_has_ordered_is_not_sent_and_stands_as_rejected(worker: Client) -> None:
    life = Life(
        worker,
        "if self.context.bar_count == 2:",
        "    [order] = self.orders.get_orders()",
        "    self.say(order.state, order.reason)",
        "    return",
        "self.orders.market_order('A', 1, 'buy')",
        "1 / 0",
    )
    reply = life.raw(minute(0, 100), minute(1, 100))
    assert isinstance(reply, wire.Failed)
    assert (reply.count, reply.orders) == (0, ())
    assert life.run(minute(1, 100)).orders == ()
    assert life.said() == ["rejected not sent: handling the input has failed"]


def test_commands_beyond_the_bound_of_an_input_are_left_out_and_counted(worker: Client) -> None:
    life = Life(
        worker,
        "states = [self.orders.market_order('A', 1, 'buy') for _ in range(70)]",
        "last = self.orders.cancel_order(states[0].order_id)",
        "self.say(states[63].state, states[64].state, states[64].reason, last.reason, len(self.orders.get_orders()))",
    )
    reply = life.run(minute(0, 100))
    assert (len(reply.orders), reply.excess) == (wire.MOST_ORDERS, 7)
    told = "not sent: more than 64 commands of one input"
    assert life.said() == [f"pending rejected {told} {told} 64"]
    again = life.run(minute(1, 100))
    assert (len(again.orders), again.excess) == (64, 7)


def test_a_batch_stops_behind_the_input_that_led_to_a_command_and_goes_on_from_there(worker: Client) -> None:
    life = Life(
        worker,
        "self.buy()",
        "if self.context.bar_count % 3 == 0: self.orders.market_order('A', 1, 'buy')",
        "self.say(len(self.data.get_bars('A')))",
    )
    inputs = [minute(place, 100.0 + place) for place in range(8)]
    first = life.run(*inputs, until_command=True)
    assert (first.count, [each.index for each in first.orders], len(first.signals)) == (3, [2], 3)
    second = life.run(*inputs[3:], until_command=True)
    assert (second.count, [each.index for each in second.orders]) == (3, [2])
    third = life.run(*inputs[6:], until_command=True)
    assert (third.count, third.orders) == (2, ())
    assert life.said() == [str(number) for number in range(1, 9)]
    whole = life.run(*(minute(place, 100.0) for place in range(8, 16)))
    assert (whole.count, [each.index for each in whole.orders]) == (8, [0, 3, 6])


def test_a_batch_may_stop_behind_a_signal_as_behind_a_command(worker: Client) -> None:
    life = Life(
        worker,
        "count = self.context.bar_count",
        "if count == 2: self.buy()",
        "if count == 4: self.orders.market_order('A', 1, 'buy')",
    )
    inputs = [minute(place, 100.0 + place) for place in range(6)]
    first = worker.call(wire.Run(2, tuple(inputs), until_signal=True))
    assert isinstance(first, wire.Done)
    assert (first.count, [each.index for each in first.signals], first.orders) == (2, [1], ())
    second = worker.call(wire.Run(3, tuple(inputs[2:]), until_signal=True))
    assert isinstance(second, wire.Done)
    assert (second.count, second.signals, [each.index for each in second.orders]) == (2, (), [1])
    life.number = 3
    assert life.run(*inputs[4:]).count == 2


def test_what_becomes_of_orders_may_stand_anywhere_in_a_batch_and_lead_to_commands(worker: Client) -> None:
    desk = Desk(deployment(), ("A",))
    source = """
from actors.strategies.sdk import BaseStrategy

class Again(BaseStrategy):
    def on_bar(self, bar):
        if self.context.bar_count == 1:
            self.orders.limit_order("A", 3, "sell", 101)

    def on_order_cancelled(self, order):
        self.orders.market_order("A", order.quantity, order.side)

    def on_order_filled(self, fill):
        self.orders.stop_order("A", fill.quantity, "buy", fill.price)
"""
    worker.call(load(source, markets=(("A", "1m"),), deployment=desk.deploy_input(1)))

    def run(number: int, *inputs: wire.Input) -> tuple[int, list[NewOrder]]:
        done = worker.call(wire.Run(number, inputs, until_command=True))
        assert isinstance(done, wire.Done), done
        taken = desk.commands(done.orders, (), 1)
        return done.count, [order for each in taken.commands if isinstance(each, SubmitOrders) for order in each.orders]

    _, [first] = run(2, minute(0, 100))
    expired = desk.order_input(event(first, "expired", "expired"), None, MINUTE + 1)
    count, [second] = run(3, minute(1, 100), desk.account_input(shown(), 2 * MINUTE), expired, minute(2, 100))
    assert (count, second.kind, second.side, second.size) == (3, "market", "sell", 3 * 10**9)
    bought = desk.order_input(filled(second, 100.0), shown(), 2 * MINUTE + 1)
    count, [third] = run(4, minute(2, 100), bought)
    assert (count, third.kind, third.stop_price) == (2, "stop", 100 * 10**9)


def test_batches_up_to_a_command_and_single_steps_say_the_same(serving: Serving) -> None:
    lines = (
        "rsi = self.data.rsi('A', 3)",
        "if rsi is None: return",
        "if rsi < 40: self.orders.limit_order('A', 1, 'buy', bar.close)",
        "if rsi > 60: self.buy(confidence=rsi / 100)",
        "if rsi > 80: self.orders.cancel_all_orders()",
    )
    inputs = [minute(place, 100.0 + (place * 37) % 17) for place in range(120)]

    def said(size: int) -> list[tuple[int, object]]:
        with serving.worker() as worker:
            life, found, place = Life(worker, *lines), list[tuple[int, object]](), 0
            while place < len(inputs):
                done = life.run(*inputs[place : place + size], until_command=size > 1)
                everything = (*done.signals, *done.orders)
                found += [(place + each.index, msgspec.structs.replace(each, index=0)) for each in everything]
                place += done.count
        return sorted(found, key=lambda each: (each[0], repr(each[1])))

    single = said(1)
    assert len(single) > 50
    assert said(256) == single
    assert said(7) == single


def test_orders_of_inputs_with_the_same_time_have_ids_of_their_own(worker: Client) -> None:
    life = Life(worker, "self.orders.market_order('A', 1, 'buy')")
    same = wire.BarInput("A", "1m", 0, 60, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 7)
    keys = [each.key for each in life.run(same, same).orders if isinstance(each, PlaceCommand)]
    assert keys == ["7-1", "7-2"]


def test_a_deployment_while_it_runs_and_its_end(worker: Client) -> None:
    life = Life(
        worker,
        "try:",
        "    self.kept = getattr(self, 'kept', None) or (self.orders if self.context.is_deployed else None)",
        "    (self.kept or self.orders).market_order('A', 1, 'buy')",
        "except NotDeployed as error:",
        "    self.say('NotDeployed', self.context.is_deployed)",
        deployed=False,
    )
    life.run(minute(0, 100))
    life.run(life.desk.deploy_input(MINUTE))
    assert len(life.run(minute(1, 100)).orders) == 1
    life.run(UndeployInput(2 * MINUTE))
    life.run(minute(2, 100), life.desk.account_input(shown(), 3 * MINUTE))
    assert life.said() == ["NotDeployed False", "NotDeployed False"]


def test_what_initialize_orders_leaves_with_the_first_input(worker: Client) -> None:
    lines = ("    def initialize(self):", "self.say(self.portfolio.cash)", "self.orders.market_order('A', 1, 'buy')")
    first = "\n        ".join(lines)
    life = Life(worker, "pass", before=first, live=False)
    assert life.said() == ["10000.0"]
    assert life.order(minute(0, 100)).client_order_id == "d-1-1"


def test_the_mirror_of_a_new_life_begins_with_the_open_orders_and_limits(worker: Client) -> None:
    order = NewOrder(client_order_id="d-x", market="A", side="buy", kind="limit", size=10**9, price=99 * 10**9)
    stands = event(order, "accepted", "accepted").order
    rules = (
        RuleShown(name="max_order_size", limit="5", measure="order_size"),
        RuleShown(name="max_daily_loss", limit="0.1", used="0.02"),
        RuleShown(name="max_exposure", limit="1000", measure="exposure", market="A"),
    )
    desk = Desk(deployment(shown(9_000.0, position(2, 100), rules=rules), open_orders=(stands,)), ("A",))
    source = TOLD + "".join(f"        {line}\n" for line in (
        "self.say([(each.order_id, each.state) for each in self.orders.get_orders()])",
        "self.say([(each.name, each.limit, each.used) for each in self.risk.rules])",
        "self.say(self.risk.check('A', 6, 'buy').reasons, self.risk.check('A', 3, 'buy').reasons)",
        "self.say(self.risk.check('A', 9, 'buy', 500.0).allowed, self.risk.check('A', 1, 'sell').allowed)",
        "self.say(self.risk.position_size('A', 'buy', 98.0), self.risk.drawdown(), self.risk.sharpe_ratio())",
        "self.orders.cancel_order('d-x')",
        "self.portfolio.close_position('A')",
    ))  # fmt: skip
    reply = worker.call(load(source, markets=(("A", "1m"),), deployment=desk.deploy_input(5)))
    assert isinstance(reply, wire.Ready), reply
    done = worker.call(wire.Run(2, (minute(0, 103),)))
    assert isinstance(done, wire.Done), done
    assert [line.text for line in done.logs] == [
        "[('d-x', 'submitted')]",
        "[('max_order_size', 5.0, None), ('max_daily_loss', 0.1, 0.02), ('max_exposure', 1000.0, None)]",
        "('max_order_size: 6, and the limit is 5',) ()",
        "False True",
        "18.412 0.0 None",
    ]
    taken = desk.commands(done.orders, ("synthetic",), 9)
    assert taken.refused == ()
    cancel, close = taken.commands
    assert cancel == CancelOrder("d-x")
    assert isinstance(close, SubmitOrders)
    [closing] = close.orders
    assert (closing.side, closing.size, closing.reduce_only, closing.marks) == ("sell", 2 * 10**9, True, ("synthetic",))


def test_a_function_takes_no_notice_of_an_account(worker: Client) -> None:
    source = "def generate_signal(data, parameters): return None"
    desk = Desk(deployment(), ("A",))
    assert isinstance(worker.call(load(source, markets=(("A", "1m"),), deployment=desk.deploy_input(0))), wire.Ready)
    done = worker.call(wire.Run(2, (desk.deploy_input(0), desk.account_input(shown(), 0), minute(0, 1))))
    assert isinstance(done, wire.Done)
    assert (done.count, done.orders) == (3, ())


def test_figures_of_risk_are_those_of_whole_days(worker: Client) -> None:
    life = Life(
        worker,
        "if self.context.bar_count == 31:",
        "    risk = self.risk",
        "    figures = [risk.sharpe_ratio(), risk.value_at_risk(), risk.conditional_value_at_risk(), risk.drawdown()]",
        "    self.say([*figures, risk.beta('A'), self.portfolio.performance().max_drawdown])",
        "elif self.context.bar_count == 20:",
        "    self.say(self.risk.sharpe_ratio())",
    )
    closes = [100.0 + (place * 7) % 11 for place in range(31)]
    life.run(life.desk.account_input(shown(9_900.0, position(1, 100.0)), 1))
    # Bars of a day that end at midnight: each belongs to the day that it closes.
    life.run(*(bar(place, close, "A", minutes=1440) for place, close in enumerate(closes)))
    values = 9_900.0 + np.array(closes)
    returns = values[1:-1] / values[:-2] - 1
    prices = np.array(closes[1:-1]) / np.array(closes[:-2]) - 1
    low = np.quantile(returns, 0.05)
    downs = 1 - values / np.maximum.accumulate(values)
    expected = [
        returns.mean() / returns.std(ddof=1) * np.sqrt(365),
        -low,
        -returns[returns <= low].mean(),
        downs[-1],
        np.cov(returns, prices)[0, 1] / prices.var(ddof=1),
        downs.max(),
    ]
    opened, early, last = life.said()
    assert (opened, early) == ("opened A 1.0 100.0", "None")
    assert json.loads(last) == pytest.approx(expected)
