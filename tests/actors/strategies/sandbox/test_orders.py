"""The node's side of a deployed run: what becomes of a worker's commands, and what the worker is told."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.strategies.sandbox.orders import Desk
from actors.strategies.sandbox.wire_orders import (
    CancelAllCommand,
    CancelCommand,
    ModifyCommand,
    PlaceCommand,
    RefusedInput,
    WireCommand,
)
from protocols.instruments import PriceRange
from protocols.nanos import NANO
from protocols.orders import CancelOrder, CancelOrders, NewOrder, OrderCommand, SubmitOrders
from tests.actors.strategies.deployed import CENT, deployment, event, filled, instrument, position, shown


def place(key: str = "1", symbol: str = "A", **more: Any) -> PlaceCommand:
    fields: dict[str, Any] = {"side": "buy", "kind": "market", "quantity": 1.0, "time_in_force": "DAY"} | more
    return PlaceCommand(0, key, symbol, **fields)


def order_of(*commands: OrderCommand) -> NewOrder:
    [command] = commands
    assert isinstance(command, SubmitOrders)
    [order] = command.orders
    return order


def reason(desk: Desk, command: WireCommand) -> str:
    taken = desk.commands((command,), (), 5)
    assert taken.commands == ()
    [refused] = taken.refused
    return refused.reason


@given(st.floats(min_value=1e-9, max_value=1e9), st.floats(min_value=-10, max_value=1e6))
@settings(max_examples=100, deadline=None)
def test_numbers_pass_exactly_where_they_are_on_the_steps_and_are_refused_elsewhere(size: float, price: float) -> None:
    desk = Desk(deployment(), ("A",))
    taken = desk.commands((place(kind="limit", quantity=size, price=price),), (), 1)
    if taken.commands:
        order = order_of(*taken.commands)
        assert order.price is not None
        assert abs(order.size / NANO - size) <= 1e-9 + 1e-15 * size
        assert abs(order.price / NANO - price) <= 1e-8 + 1e-15 * abs(price)
        assert (order.size % (NANO // 1000), order.price % CENT) == (0, 0)
    else:
        [refused] = taken.refused
        assert (refused.order_id, refused.what) == ("d-1", "place")


@given(st.integers(1, 10**9), st.integers(0, 10**8))
@settings(max_examples=100, deadline=None)
def test_every_lot_and_every_tick_that_a_float_names_is_itself(lots: int, ticks: int) -> None:
    command = place(kind="limit", quantity=lots / 1000, price=ticks / 100)
    order = order_of(*Desk(deployment(), ("A",)).commands((command,), (), 1).commands)
    assert (order.size, order.price) == (lots * (NANO // 1000), ticks * CENT)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (place(symbol="B"), "symbol: expected one of A, got 'B'"),
        (place(kind="limit"), "limit: expected price, got no price"),
        (place(price=1.0), "market: expected no price, got price"),
        (place(kind="stop_limit", price=1.0), "stop_limit: expected price, stop_price, got price"),
        (place(kind="trailing_stop", trail=1.0, trail_percent=1.0), "trail_percent: expected it or a trail, got both"),
        (place(post_only=True), "post_only: expected a limit order, got market"),
        (place(quantity=1e-9), "1e-09 is no multiple of the lot of A"),
        (place(quantity=1e-10), "1e-10 is less than a lot of A"),
        (CancelCommand(0, "e-1"), "order_id: there is no open order 'e-1' of this deployment"),
        (ModifyCommand(0, "d-none", 1.0), "order_id: there is no open order 'd-none' of this deployment"),
        (CancelAllCommand(0, "B"), "symbol: expected one of A, got 'B'"),
    ],
)
def test_what_a_worker_may_not_say_goes_back_with_the_reason(command: WireCommand, said: str) -> None:
    assert reason(Desk(deployment(), ("A",)), command) == said


def test_markets_without_a_definition_or_with_one_that_is_too_fine_take_no_orders() -> None:
    desk = Desk(deployment(markets=("A", "B"), instruments=()), ())
    assert reason(desk, place()) == "symbol: the steps of A are not known"
    desk.define(instrument(data_only=True))
    assert reason(desk, place()) == "symbol: the steps of A are finer than an order can say"
    desk.define(instrument())
    assert order_of(*desk.commands((place(),), (), 1).commands).market == "A"


def test_steps_are_those_of_the_price_range_and_a_distance_is_of_the_finest() -> None:
    ranges = (PriceRange(0, NANO // 10, NANO // 1000), PriceRange(NANO // 10, NANO, CENT))
    fine = msgspec.structs.replace(instrument(), price_ranges=ranges)
    desk = Desk(deployment(instruments=(fine,)), ("A",))
    assert order_of(*desk.commands((place("1", kind="limit", price=0.012),), (), 1).commands).price == 12_000_000
    assert reason(desk, place("2", kind="limit", price=0.512)) == "0.512 is on no tick of A"
    trailing = place("3", kind="trailing_stop", trail=0.003, side="sell")
    assert order_of(*desk.commands((trailing,), (), 1).commands).trail == 3_000_000


def test_commands_keep_their_order_and_only_open_orders_of_the_deployment_can_be_cancelled() -> None:
    desk = Desk(deployment(), ("A",), "/run@1.2")
    said = (place("1"), CancelCommand(0, "d-1"), place("2", quantity=1e-9), CancelAllCommand(0, ""), place("3"))
    taken = desk.commands(said, ("demo",), 9)
    first, cancel, rest, last = taken.commands
    assert (cancel, rest) == (CancelOrder("d-1"), CancelOrders("", "d"))
    assert [order_of(each).client_order_id for each in (first, last)] == ["d-1", "d-3"]
    assert (order_of(first).sender, order_of(first).marks) == ("/run@1.2", ("demo",))
    assert taken.refused == (RefusedInput("d-2", "place", "1e-09 is no multiple of the lot of A", 9),)
    desk.order_input(filled(order_of(first), 100.0), None, 10)
    assert "there is no open order 'd-1'" in reason(desk, CancelCommand(0, "d-1"))


def test_what_the_account_does_not_take_is_told_once() -> None:
    desk = Desk(deployment(), ("A",))
    [command] = desk.commands((place(),), (), 1).commands
    assert desk.refuse(command, "paused", 2) == (RefusedInput("d-1", "place", "paused", 2),)
    assert desk.refuse(command, "paused", 3) == ()
    [again] = desk.commands((place("2"),), (), 1).commands
    desk.order_input(event(order_of(again), "denied", "denied", reason="too large"), None, 2)
    assert desk.refuse(again, "too large", 3) == ()
    assert desk.refuse(CancelOrder("d-2"), "why", 4) == (RefusedInput("d-2", "cancel", "why", 4),)


def test_a_worker_is_told_floats_in_the_words_of_the_sdk() -> None:
    desk = Desk(deployment(), ("A",))
    order = order_of(*desk.commands((place(kind="limit", price=99.5),), (), 1).commands)
    denied = desk.order_input(event(order, "denied", "denied", reason_code="max_position"), None, 3)
    assert (denied.order.state, denied.order.reason, denied.event) == ("rejected", "max_position", "denied")
    told = desk.order_input(filled(order, 99.5, ts=4), shown(1.0, position(1, 99.5, price=99 * NANO), fees=NANO), 5)
    assert told.fill is not None
    assert (told.fill.quantity, told.fill.price, told.fill.fee, told.fill.ts) == (1.0, 99.5, 0.1, 4)
    assert told.account is not None
    assert (told.account.cash, told.account.fees, told.account.initial) == (1.0, 1.0, 10_000.0)
    [held] = told.account.positions
    assert (held.quantity, held.average_price, held.invested, held.price) == (1.0, 99.5, 99.5, 99.0)
    flat = msgspec.structs.replace(position(0, 0, realized="12.5"), average_price=None)
    [closed] = desk.account_input(shown(2.0, flat), 6).account.positions
    assert math.isnan(closed.average_price)
    assert closed.realized == 12.5


def test_the_deployment_of_a_next_worker_has_what_was_told_meanwhile() -> None:
    desk = Desk(deployment(), ("A",))
    order = order_of(*desk.commands((place("1", kind="limit", price=99.5),), (), 1).commands)
    desk.commands((place("2"),), (), 1)
    desk.order_input(event(order, "filled", "partially_filled", filled=NANO // 2), shown(7.0), 2)
    again = desk.deploy_input(9)
    assert [(each.order_id, each.state, each.filled) for each in again.orders] == [
        ("d-1", "partially_filled", 0.5),
        ("d-2", "submitted", 0.0),
    ]
    assert (again.account.cash, again.now) == (7.0, 9)
    assert [(each.symbol, each.lot, each.multiplier) for each in again.markets] == [("A", 0.001, 1.0)]
