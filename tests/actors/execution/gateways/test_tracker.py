from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.execution.gateways.findings import FillSeen, OrderSeen
from actors.execution.gateways.tracker import Tracker
from protocols.gateways import Adopted
from protocols.nanos import NANO
from protocols.orders import (
    VenueAccepted,
    VenueCancelled,
    VenueFilled,
    VenueReport,
)
from tests.actors.execution.gateways.kit import MARKET, order


def seen(status: str, filled: int | None = None, **more: Any) -> OrderSeen:
    fields: dict[str, Any] = {"venue_order_id": "v", "client_order_id": "a", "status": status, "ts": 5}
    return OrderSeen(**(fields | {"filled": None if filled is None else filled * NANO} | more))


def fill(id: str, contracts: int, ts: int = 5, name: str = "a") -> FillSeen:
    return FillSeen(
        venue_order_id="v",
        client_order_id=name,
        fill_id=id,
        market=MARKET,
        side="buy",
        price=NANO // 2,
        size=contracts * NANO,
        liquidity="maker",
        fee=0,
        fee_currency="USD",
        ts=ts,
    )


def tracking(contracts: int = 10) -> Tracker:
    tracker = Tracker()
    assert tracker.send(order("a", contracts=contracts), 1) is not None
    return tracker


def words(reports: list[VenueReport]) -> list[str]:
    return [type(report).__name__.removeprefix("Venue") for report in reports]


def test_the_end_waits_for_fills_that_the_venue_has_counted() -> None:
    tracker = tracking()
    assert words(tracker.order(seen("open"))) == ["Accepted"]
    assert tracker.order(seen("ended", 4)) == []
    assert words(tracker.fill(fill("1", 3))) == ["Filled"]
    assert words(tracker.fill(fill("2", 1))) == ["Filled", "Cancelled"]
    assert tracker.open() == []
    assert tracker.order(seen("ended", 4)) == tracker.fill(fill("2", 1)) == []


def test_what_was_cancelled_says_how_much_was_filled() -> None:
    tracker = tracking()
    tracker.order(seen("open"))
    assert tracker.order(seen("ended", unfilled=7 * NANO)) == []
    assert words(tracker.fill(fill("1", 3))) == ["Filled", "Cancelled"]


def test_a_fill_before_any_answer_says_that_the_order_was_taken() -> None:
    tracker = tracking()
    assert words(tracker.fill(fill("1", 10))) == ["Accepted", "Filled"]
    assert tracker.open() == []


def test_a_fill_under_the_venues_id_alone_waits_for_the_name() -> None:
    tracker = tracking()
    assert tracker.fill(fill("1", 4, name="")) == []
    assert words(tracker.order(seen("open", 4))) == ["Accepted", "Filled"]


def test_an_order_that_rests_no_more_for_no_reason_is_asked_about() -> None:
    tracker = tracking()
    assert words(tracker.order(seen("gone", 0))) == ["Accepted"]
    (tracked,) = tracker.open()
    assert tracked.puzzling
    (ended,) = tracker.order(seen("ended", 0, reason="SelfTradePrevention"))
    assert isinstance(ended, VenueCancelled)
    assert ended.code == "self_trade"


@pytest.mark.parametrize("named", [True, False])
def test_fills_of_an_earlier_life_are_not_counted_twice(named: bool) -> None:
    tracker = Tracker()
    ids = ("1", "2") if named else ()
    adopted = Adopted(order=order("a"), venue_order_id="v", filled=4 * NANO, fill_ids=ids, sent=1)
    assert tracker.adopt(adopted) == []
    (tracked,) = tracker.open()
    tracker.order(seen("open", 7))
    assert tracked.owed
    # The list has what was booked, what was missed, and what the stream says at the same time.
    tracked.listing = [fill("4", 1, 9), fill("3", 2, 8), fill("2", 3, 7), fill("1", 1, 6)]
    reports = [*tracker.fill(fill("4", 1, 9)), *tracker.listed(tracked)]
    told = [each for each in reports if isinstance(each, VenueFilled)]
    assert [(each.fill_id, each.leaves) for each in told] == [("4", 5 * NANO), ("3", 3 * NANO)]
    assert words(tracker.fill(fill("5", 3, 10))) == ["Filled"]
    assert tracker.open() == []


def test_an_account_that_begins_anew_is_told_again_what_it_may_lack() -> None:
    tracker = tracking()
    tracker.order(seen("open"))
    tracker.fill(fill("1", 4))
    tracker.fill(fill("2", 1))
    tracker.order(seen("ended", 5))
    again = tracker.adopt(Adopted(order=order("a"), venue_order_id="v", filled=4 * NANO, fill_ids=("1",)))
    assert words(again) == ["Filled", "Cancelled"]


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_however_often_and_in_whatever_order_it_is_said_each_thing_is_reported_once(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 4), max_size=5))
    total = sum(sizes)
    filled = bool(sizes) and data.draw(st.booleans())
    size = total if filled else total + data.draw(st.integers(1, 5))
    fills = [fill(str(number), each, 10 + number) for number, each in enumerate(sizes)]
    nameless = [fill(str(number), each, 10 + number, "") for number, each in enumerate(sizes)]
    partly = [seen("open", sum(sizes[:number])) for number in range(len(sizes) + 1) if sum(sizes[:number]) < size]
    final = seen("filled", total) if filled else seen("ended", total, reason="user")
    said: list[OrderSeen | FillSeen] = data.draw(
        st.lists(st.sampled_from([*fills, *nameless, *partly, final, seen("open")]), max_size=20)
    )
    tracker = tracking(size)
    reports: list[VenueReport] = []
    # In the end everything has been said.
    for each in [*said, *data.draw(st.permutations([*fills, final]))]:
        reports += tracker.order(each) if isinstance(each, OrderSeen) else tracker.fill(each)
    assert isinstance(reports[0], VenueAccepted)
    told = [each for each in reports if isinstance(each, VenueFilled)]
    assert sorted(each.fill_id for each in told) == sorted(each.fill_id for each in fills)
    assert sum(each.size for each in told) == total * NANO
    ends = [each for each in reports if isinstance(each, VenueCancelled)]
    assert ends == ([] if filled else [reports[-1]])
    assert len(reports) == 1 + len(told) + len(ends)
    assert tracker.open() == []
