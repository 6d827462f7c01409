"""The account of a deployed strategy as its author sees it: orders, positions, values."""

from __future__ import annotations

import math
from typing import Any

import pytest

from actors.strategies.sdk import NotDeployed, OrderError
from actors.strategies.sdk import orders as orders_module
from actors.strategies.sdk.account import Account, Holding, Rule, Standing, Terms
from actors.strategies.sdk.orders import CancelAll, Modify, Place, StrategyOrders
from actors.strategies.sdk.trading import Order, OrderState


class Prices:
    def __init__(self, **prices: float | None) -> None:
        self.known = prices

    def symbols(self) -> tuple[str, ...]:
        return tuple(self.known)

    def price(self, symbol: str) -> float | None:
        return self.known[symbol]


def account(prices: Prices, standing: Standing, **terms: Terms) -> Account:
    return Account("d", "USD", terms or {"A": Terms(lot=0.1)}, prices, standing)


def held(quantity: float, average: float, **more: Any) -> Holding:
    return Holding(quantity=quantity, average_price=average, **{"invested": quantity * average, **more})


def told(order: Order, state: OrderState) -> Order:
    return Order(
        order_id=order.order_id, symbol=order.symbol, side=order.side, kind=order.kind, quantity=order.quantity,
        state=state,
    )  # fmt: skip


def test_the_value_of_spot_margin_and_short_predictions_is_what_went_into_them_and_the_profit() -> None:
    prices = Prices(S=12.0, M=90.0, P=0.25)
    positions = {
        "S": held(10, 10.0),
        "M": held(-2, 100.0, invested=0.0),
        # Sold YES at 0.40: the collateral of 0.60 each went into it.
        "P": held(-100, 0.40, invested=60.0),
    }
    found = account(prices, Standing(cash=1000.0, positions=positions), S=Terms(), M=Terms(multiplier=5.0), P=Terms())
    assert found.portfolio.total_value == pytest.approx(1000 + 120 + 2 * 10 * 5 + 100 * 0.75)
    assert found.portfolio.cash == 1000.0
    assert found.portfolio.positions["M"].unrealized_pnl == pytest.approx(100)


def test_a_price_that_nobody_knows_makes_the_value_unknown_and_one_that_was_told_will_do() -> None:
    prices = Prices(A=None)
    found = account(prices, Standing(cash=0.0, positions={"A": held(1, 10.0)}))
    assert math.isnan(found.portfolio.total_value)
    assert found.portfolio.positions["A"].market_price is None
    assert found.portfolio.performance().unrealized_pnl is None
    found.observe()
    assert (found.risk.drawdown(), found.portfolio.performance().max_drawdown) == (None, None)
    found.stand(Standing(cash=0.0, positions={"A": held(1, 10.0, price=11.0)}))
    assert found.portfolio.total_value == 11.0
    prices.known["A"] = 12.0
    assert found.portfolio.total_value == 12.0


def test_a_flip_closes_one_position_and_opens_the_next_and_counts_as_a_trade() -> None:
    found = account(Prices(A=10.0), Standing(cash=0.0, positions={}))
    assert [each.kind for each in found.stand(Standing(cash=0.0, positions={"A": held(1, 10.0)}))] == ["opened"]
    assert found.stand(Standing(cash=0.0, positions={"A": held(2, 10.5)})) == []
    closed, opened = found.stand(Standing(cash=0.0, positions={"A": held(-1, 12.0, realized=3.0)}))
    assert (closed.kind, closed.position.quantity, closed.position.realized_pnl) == ("closed", 2, 3.0)
    assert (opened.kind, opened.position.quantity, opened.position.realized_pnl) == ("opened", -1, 0.0)
    [gone] = found.stand(Standing(cash=0.0, positions={"A": held(0, 0.0, realized=2.0)}))
    assert (gone.kind, gone.position.realized_pnl) == ("closed", -1.0)
    assert found.stand(Standing(cash=0.0, positions={"A": held(0, 0.0, realized=2.0)})) == []
    figures = found.portfolio.performance()
    assert (figures.trades, figures.win_rate, figures.unrealized_pnl) == (2, 0.5, 0.0)
    assert found.stand(Standing(cash=0.0, positions={}, trades=7, wins=None)) == []
    assert (found.portfolio.performance().trades, found.portfolio.performance().win_rate) == (7, None)


def test_drawdown_is_below_the_highest_value_so_far() -> None:
    prices = Prices(A=10.0)
    found = account(prices, Standing(cash=90.0, positions={"A": held(1, 10.0)}, initial=100.0))
    for price in (10.0, 30.0, 6.0, 18.0):
        prices.known["A"] = price
        found.observe()
    assert found.risk.drawdown() == pytest.approx(0.1)
    figures = found.portfolio.performance()
    assert (figures.max_drawdown, figures.total_return) == (pytest.approx(0.2), pytest.approx(0.08))


def test_a_size_by_risk_is_in_whole_lots_and_the_stop_on_the_losing_side() -> None:
    found = account(Prices(A=100.0, B=None), Standing(cash=10_000.0, positions={}), A=Terms(lot=0.1), B=Terms())
    assert found.risk.position_size("A", "buy", 97.0, 0.01) == pytest.approx(33.3)
    assert found.risk.position_size("A", "sell", 102.0) == pytest.approx(50.0)
    assert found.risk.position_size("A", "buy", 50.0, 1e-6) == 0.0
    with pytest.raises(OrderError, match=r"^stop_loss: expected a price below 100, got 101\.0$"):
        found.risk.position_size("A", "buy", 101.0)
    with pytest.raises(OrderError, match=r"^symbol: expected one whose price is known, got 'B'$"):
        found.risk.position_size("B", "buy", 1.0)


@pytest.mark.parametrize(
    ("rule", "quantity", "side", "allowed"),
    [
        (Rule(name="r", limit=2, measure="order_size"), 2, "buy", True),
        (Rule(name="r", limit=2, measure="order_size"), 2.5, "buy", False),
        (Rule(name="r", limit=2, measure="order_size", enabled=False), 2.5, "buy", True),
        (Rule(name="r", limit=2, measure="order_size", symbol="B"), 2.5, "buy", True),
        (Rule(name="r", limit=150, measure="order_notional"), 2, "buy", False),
        (Rule(name="r", limit=4, measure="position_size"), 1, "buy", True),
        (Rule(name="r", limit=3, measure="position_size"), 1, "buy", False),
        (Rule(name="r", limit=350, measure="position_notional"), 1, "buy", False),
        (Rule(name="r", limit=350, measure="exposure"), 1, "buy", False),
        (Rule(name="r", limit=1, measure="positions"), 1, "buy", True),
        (Rule(name="r", limit=0.1, used=0.1), 1, "buy", False),
        (Rule(name="r", limit=0.1, used=0.1), 3, "sell", True),
        (Rule(name="r", limit=0.1, used=0.1), 4, "sell", False),
        (Rule(name="r", limit=0.1, used=None), 1, "buy", True),
    ],
)
def test_a_check_says_what_is_known_of_the_limits(rule: Rule, quantity: float, side: Any, allowed: bool) -> None:
    found = account(Prices(A=100.0), Standing(cash=0.0, positions={"A": held(3, 100.0)}, rules=(rule,)))
    check = found.risk.check("A", quantity, side)
    assert (check.allowed, bool(check.reasons)) == (allowed, not allowed)


def test_an_id_of_ones_own_names_one_order() -> None:
    orders = StrategyOrders("d", ("A",), 10)
    first = orders.market_order("A", 1, "buy", client_order_id="x")
    assert orders.market_order("A", 1, "buy", client_order_id="x") is first
    with pytest.raises(OrderError, match="client_order_id: expected another one: there is an order of this name"):
        orders.market_order("A", 1, "sell", client_order_id="x")
    [command] = orders.take()
    assert isinstance(command, Place)
    assert command.key == "x"


def test_orders_that_have_ended_are_forgotten_after_a_thousand_and_open_ones_never() -> None:
    orders = StrategyOrders("d", ("A",), 10)
    still = orders.limit_order("A", 1, "buy", 5)
    for number in range(orders_module.MOST_FINAL + 5):
        orders.told(told(orders.market_order("A", 1, "buy", client_order_id=f"n{number}"), "filled"))
        orders.take()
    assert len(orders.get_orders()) == orders_module.MOST_FINAL + 1
    assert orders.get_order(still.order_id) is still
    assert orders.get_order("d-n0") is None
    assert orders.get_orders()[0].order_id == "d-n1004"


def test_a_cancel_is_said_once_until_it_is_known_not_to_have_been_done() -> None:
    orders = StrategyOrders("d", ("A",), 10)
    order = orders.limit_order("A", 1, "buy", 5)
    orders.cancel_order(order.order_id)
    orders.cancel_order(order.order_id)
    assert list(orders.cancel_all_orders()) == [order]
    assert len(orders.take()) == 2
    orders.not_cancelled(order.order_id)
    orders.cancel_all_orders("A")
    assert orders.take() == [CancelAll("A")]
    orders.told(told(order, "cancelled"))
    assert list(orders.cancel_all_orders()) == []
    orders.cancel_order(order.order_id)
    assert orders.modify_order(order.order_id, price=6).state == "cancelled"
    assert orders.take() == []
    other = orders.limit_order("A", 1, "buy", 5)
    orders.modify_order(other.order_id, price=6)
    assert orders.take()[1] == Modify(order_id=other.order_id, quantity=None, price=6.0, stop_price=None)
    with pytest.raises(OrderError, match="modify_order: expected a quantity, a price or a stop_price"):
        orders.modify_order(other.order_id)


def test_what_is_kept_of_an_account_that_is_over_says_so() -> None:
    found = account(Prices(A=1.0), Standing(cash=0.0, positions={}))
    found.close()
    for call in (
        lambda: found.orders.market_order("A", 1, "buy"),
        lambda: found.portfolio.cash,
        lambda: found.portfolio.close_position("A"),
        lambda: found.risk.check("A", 1, "buy"),
        found.risk.drawdown,
    ):
        with pytest.raises(NotDeployed):
            call()
