from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.execution.matching.queue_models import PROBABILITIES, QueueModel
from protocols.nanos import NANO
from protocols.orders import VenueAccepted
from tests.actors.execution.matching.kit import book, fills, first_fill, order, send, snapshot, tell, trade, venue

FORMULAS = {
    "probability_power": lambda f, b, n: b**n / (b**n + f**n),
    "probability_log": lambda f, b, n: math.log(1 + b) / (math.log(1 + b) + math.log(1 + f)),
    "probability_power_total": lambda f, b, n: b**n / (b + f) ** n,
    "probability_log_total": lambda f, b, n: math.log(1 + b) / math.log(1 + b + f),
    "probability_power_front_back": lambda f, b, n: 1 - (f / (f + b)) ** n,
}
sizes = st.integers(min_value=0, max_value=10_000)


def test_ahead_100_and_order_50_trades_of_80_30_and_50_fill_0_10_and_40() -> None:
    made = venue()
    tell(made, snapshot(1, ("bid", 100, 100), ("ask", 101, 5)))
    (accepted,) = send(made, order("a", "buy", 50, 100), ts=15)
    assert isinstance(accepted, VenueAccepted)
    assert accepted.queue_ahead == 100 * NANO
    assert fills(tell(made, trade(2, 100, 80))) == []
    second = tell(made, trade(3, 100, 30))
    assert fills(second) == [("a", 100, 10)]
    third = tell(made, trade(4, 100, 50))
    assert fills(third) == [("a", 100, 40)]
    why = first_fill(second).why
    assert (why.model, why.queue_ahead_at_rest, why.queue_ahead_at_fill) == ("queue:risk_averse", 100 * NANO, 20 * NANO)
    assert (why.trade_id, why.session, why.seq) == ("t3", "s", 3)
    assert first_fill(third).why.queue_ahead_at_fill == 0
    assert first_fill(third).leaves == 0


@pytest.mark.parametrize("name", sorted(FORMULAS))
@given(ahead=sizes, back=sizes, cancelled=sizes, traded=sizes, exponent=st.sampled_from([1.0, 2.0, 3.0]))
def test_probability_models_are_the_published_formulas(
    name: Any, ahead: int, back: int, cancelled: int, traded: int, exponent: float
) -> None:
    previous = ahead + back
    traded = min(traded, ahead)
    displayed = max(previous - traded - cancelled, 0)
    model = QueueModel(name, exponent)
    place = model.rest(ahead * NANO)
    if traded:
        model.trade(place, traded * NANO, 0)
    model.depth(place, previous * NANO, displayed * NANO, 0)

    front = ahead - traded
    change = previous - displayed - traded
    behind = previous - front
    if change < 0:
        expected = min(front, displayed)
    else:
        try:
            share = FORMULAS[name](front, behind, exponent)
        except ZeroDivisionError:
            share = 1.0
        estimate = front - (1 - share) * change + min(behind - share * change, 0)
        expected = max(min(estimate, displayed), 0)
    assert place.ahead is not None
    assert place.ahead / NANO == pytest.approx(expected, abs=1e-6)


@given(st.lists(st.tuples(st.booleans(), sizes), max_size=20), sizes)
def test_the_risk_averse_queue_moves_by_trades_and_never_has_more_ahead_than_its_level(
    steps: list[tuple[bool, int]], start: int
) -> None:
    model = QueueModel("risk_averse")
    place, shown, ahead = model.rest(start), start, start
    for is_trade, size in steps:
        if is_trade:
            assert model.trade(place, size, 0) == max(size - ahead, 0)
            ahead = max(ahead - size, 0)
        else:
            model.depth(place, shown, size, 0)
            shown, ahead = size, min(ahead, size)
        assert place.ahead == ahead


@pytest.mark.parametrize("name", ["risk_averse", *sorted(PROBABILITIES)])
@given(ahead=sizes, back=sizes, traded=sizes, left=sizes)
def test_a_trade_and_the_decrease_it_caused_are_one_event_whichever_is_told_first(
    name: Any, ahead: int, back: int, traded: int, left: int
) -> None:
    model = QueueModel(name)
    shown, later = ahead + back, min(left, ahead + back)
    one = model.rest(ahead * NANO)
    over_one = model.trade(one, traded * NANO, 50)
    model.depth(one, shown * NANO, later * NANO, 60)
    if later < shown:
        other = model.rest(ahead * NANO)
        model.depth(other, shown * NANO, later * NANO, 60)
        over_other = model.trade(other, traded * NANO, 50)
        assert (one.ahead, over_one) == (other.ahead, over_other)


def test_without_a_queue_every_trade_at_the_price_fills() -> None:
    made = venue(queue="none")
    tell(made, snapshot(1, ("bid", 100, 100), ("ask", 101, 5)))
    send(made, order("a", "buy", 50, 100), ts=15)
    told = tell(made, trade(2, 100, 30))
    assert fills(told) == [("a", 100, 30)]
    assert first_fill(told).why.model == "trade"


def test_what_is_cancelled_ahead_brings_a_risk_averse_order_forward_only_where_the_level_says_so() -> None:
    made = venue()
    tell(made, snapshot(1, ("bid", 100, 100), ("ask", 101, 5)))
    send(made, order("a", "buy", 50, 100), ts=15)
    tell(made, book(2, ("bid", 100, 160)))
    tell(made, book(3, ("bid", 100, 120)))
    assert made.queue_ahead("a") == 100 * NANO
    tell(made, book(4, ("bid", 100, 30)))
    assert made.queue_ahead("a") == 30 * NANO
    tell(made, book(5, ("bid", 100, 0)))
    assert made.queue_ahead("a") == 0
    assert fills(tell(made, trade(6, 100, 20))) == [("a", 100, 20)]


def test_two_orders_of_ours_at_one_price_share_what_a_trade_leaves() -> None:
    made = venue()
    tell(made, snapshot(1, ("bid", 100, 10), ("ask", 101, 5)))
    send(made, order("a", "buy", 5, 100), ts=15)
    tell(made, book(2, ("bid", 100, 14)))
    send(made, order("b", "buy", 5, 100), ts=25)
    assert fills(tell(made, trade(3, 100, 16))) == [("a", 100, 5)]
    # The trade was larger than all that the level showed: nobody of those is ahead of b any more.
    assert fills(tell(made, trade(4, 100, 4))) == [("b", 100, 4)]
