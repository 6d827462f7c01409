from __future__ import annotations

from typing import Any

import pytest

from actors.execution.risk.self_trade import Resolution, Resting, met, resolve
from tests.actors.execution.risk.desk import n, order


def at(price: str | int | None, leaves: int = 1, name: str = "r", side: Any = "sell") -> Resting:
    return Resting(name, "other", side, None if price is None else n(price), n(leaves))


def test_a_new_order_is_denied_where_it_would_meet_one_of_the_same_account() -> None:
    found = resolve("deny_new", order("buy", 1, 100), [at(100)], None)
    assert found.denial is not None
    assert (found.denial.code, found.denial.limit) == ("self_trade", "r")
    assert found.denial.reason == "it would meet r of other at 100"


@pytest.mark.parametrize(
    ("one", "resting"),
    [
        (order("buy", 1, "99.99"), at(100)),
        (order("sell", 1, "100.01"), at(100, side="buy")),
        (order("buy", 1, 101), at(100, side="buy")),
        (order("buy", 1, 101), at(None)),
        (order("buy", 1, 101), at(100, leaves=0)),
        (order("buy", 1, 101, post_only=True), at(100)),
        (order("buy", 1, kind="stop", stop_price=n(100)), at(100)),
        (order("buy", 1, 101, client_order_id="r"), at(100)),
    ],
)
def test_orders_that_do_not_meet_are_left_alone(one: Any, resting: Resting) -> None:
    assert resolve("deny_new", one, [resting], None) == Resolution()


def test_a_market_order_meets_what_rests_at_the_best_price_or_where_it_reaches() -> None:
    resting = [at(103, name="far"), at(101, name="near"), at(102, name="middle")]
    assert [each.client_order_id for each in met(order(), resting, n(101))] == ["near"]
    assert [each.client_order_id for each in met(order(), resting, n(101), n(102))] == ["near", "middle"]
    assert [each.client_order_id for each in met(order(), resting, None)] == ["near", "middle", "far"]
    bids = [at(98, name="far", side="buy"), at(99, name="near", side="buy")]
    assert [each.client_order_id for each in met(order("sell"), bids, n(98))] == ["near", "far"]


def test_resting_orders_give_way() -> None:
    resting = [at(100, name="1"), at(99, name="2"), at(101, name="3")]
    assert resolve("cancel_resting", order("buy", 1, 100), resting, None) == Resolution(cancel=("2", "1"))


def test_both_sides_lose_what_they_would_have_traded_with_one_another() -> None:
    resting = [at(100, 3, "1"), at(99, 2, "2")]
    found = resolve("decrease", order("buy", 4, 100), resting, None)
    assert (found.cancel, found.decrease, found.size) == (("2",), (("1", n(1)),), None)
    assert found.denial is not None
    assert resolve("decrease", order("buy", 2, 100), resting, None).cancel == ("2",)
    bigger = resolve("decrease", order("buy", 6, 100), resting, None)
    assert bigger == Resolution(cancel=("2", "1"), size=n(1))


def test_a_new_order_of_which_nothing_is_left_is_denied() -> None:
    found = resolve("decrease", order("buy", 1, 100), [at(100, 1)], None)
    assert found.denial is not None
    assert (found.denial.code, found.cancel, found.size) == ("self_trade", ("r",), None)
