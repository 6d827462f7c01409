from __future__ import annotations

import msgspec
import pytest

from actors.execution.matching.settings import Constant, LatencySettings, SlippageSettings
from protocols.market import Bar
from protocols.nanos import NANO
from protocols.orders import VenueFilled, VenueTriggered
from tests.actors.execution.matching.kit import (
    CENT,
    bar,
    ends,
    fills,
    first_fill,
    instrument,
    order,
    quote,
    send,
    tell,
    venue,
)

MINUTE = 60 * NANO


def test_a_market_order_is_filled_at_the_open_of_the_bar_that_begins_when_it_arrives() -> None:
    made = venue()
    tell(made, bar(0, 100, 101, 99, 100))
    send(made, order("a", "buy", 5), ts=MINUTE)
    told = tell(made, bar(1, 103, 110, 90, 105))
    assert fills(told) == [("a", 103, 5)]
    filled = first_fill(told)
    assert (filled.ts, filled.liquidity, filled.why.model) == (MINUTE, "taker", "bar:open")
    assert (filled.why.session, filled.why.seq) == ("1m", MINUTE)


def test_an_order_that_arrives_inside_a_bar_waits_for_the_next_one() -> None:
    made = venue(latency=LatencySettings(entry=Constant(ns=1)))
    tell(made, bar(0, 100, 101, 99, 100))
    made.submit(order("a", "buy", 5), MINUTE)
    assert fills(tell(made, bar(1, 103, 110, 90, 105))) == []
    assert fills(tell(made, bar(2, 106, 110, 90, 105))) == [("a", 106, 5)]


def test_an_empty_bar_fills_nobody() -> None:
    made = venue()
    tell(made, bar(0, 100, 101, 99, 100))
    send(made, order("a", "buy", 5), ts=MINUTE)
    assert fills(tell(made, bar(1, 100, 100, 100, 100, empty=True))) == []
    assert fills(tell(made, bar(2, 106, 110, 90, 105))) == [("a", 106, 5)]


def stop(name: str, side: str, price: int, **more: object) -> object:
    return order(name, side, 5, kind="stop", stop_price=price, **more)


@pytest.mark.parametrize(
    ("side", "price", "limit_on", "expected"),
    [
        ("buy", 95, "through", [("a", 95, 5)]),
        ("buy", 90, "through", []),
        ("buy", 90, "touch", [("a", 90, 5)]),
        ("buy", 89, "touch", []),
        ("buy", 104, "through", [("a", 103, 5)]),
        ("sell", 109, "through", [("a", 109, 5)]),
        ("sell", 110, "through", []),
        ("sell", 110, "touch", [("a", 110, 5)]),
        ("sell", 102, "through", [("a", 103, 5)]),
    ],
)
def test_a_limit_is_filled_at_its_price_or_at_a_better_open(
    side: str, price: int, limit_on: str, expected: object
) -> None:
    made = venue(limit_on=limit_on)
    tell(made, bar(0, 100, 101, 99, 100))
    send(made, order("a", side, 5, price), ts=MINUTE)
    assert fills(tell(made, bar(1, 103, 110, 90, 105))) == expected


@pytest.mark.parametrize(
    ("side", "price", "expected"),
    [
        ("buy", 107, [("a", 107, 5)]),
        ("buy", 110, [("a", 110, 5)]),
        ("buy", 111, []),
        ("buy", 102, [("a", 103, 5)]),
        ("sell", 95, [("a", 95, 5)]),
        ("sell", 104, [("a", 103, 5)]),
        ("sell", 89, []),
    ],
)
def test_a_stop_is_filled_at_its_price_and_at_the_open_where_that_gaps_through(
    side: str, price: int, expected: object
) -> None:
    made = venue()
    tell(made, bar(0, 100, 101, 99, 100))
    send(made, stop("a", side, price), ts=MINUTE)  # type: ignore[arg-type]
    told = tell(made, bar(1, 103, 110, 90, 105))
    assert fills(told) == expected
    assert any(isinstance(each, VenueTriggered) for each in told) == bool(expected)


def test_the_nearer_of_high_and_low_comes_first() -> None:
    # High nearer: the buy stop at 106 is triggered on the way up, its child takes part pessimistically.
    for high, low, first in ((106, 90, "s"), (120, 99, "b")):
        made = venue()
        tell(made, bar(0, 100, 101, 99, 100))
        group = {"oco": "g"}
        send(made, order("s", "sell", 5, 105, **group), order("b", "buy", 5, 99 + 1, **group), ts=MINUTE)
        told = tell(made, bar(1, 102, high, low, 102))
        assert [name for name, _, _ in fills(told)] == [first]
        assert first_fill(told).why.ambiguous
        assert made.ambiguous == 1


def test_of_two_legs_that_one_bar_reaches_the_stop_is_taken_and_counted() -> None:
    made = venue()
    tell(made, bar(0, 100, 101, 99, 100))
    send(made, order("tp", "sell", 5, 105, oco="g"), stop("sl", "sell", 95, oco="g"), ts=MINUTE)  # type: ignore[arg-type]
    told = tell(made, bar(1, 102, 106, 90, 100))
    assert (fills(told), ends(told)) == ([("sl", 95, 5)], [("tp", "oco")])
    assert first_fill(told).why.ambiguous
    assert made.ambiguous == 1


def test_an_open_beyond_one_leg_is_not_ambiguous() -> None:
    made = venue()
    tell(made, bar(0, 100, 101, 99, 100))
    send(made, order("tp", "sell", 5, 105, oco="g"), stop("sl", "sell", 95, oco="g"), ts=MINUTE)  # type: ignore[arg-type]
    told = tell(made, bar(1, 107, 108, 90, 100))
    assert (fills(told), ends(told)) == ([("tp", 107, 5)], [("sl", "oco")])
    assert made.ambiguous == 0


def bracket(entry: object) -> tuple[object, ...]:
    legs = {"parent": "p", "oco": "g"}
    return entry, order("tp", "sell", 5, 108, **legs), stop("sl", "sell", 95, **legs)


def test_children_of_a_parent_that_fills_at_the_open_take_part_in_the_whole_bar() -> None:
    made = venue()
    tell(made, bar(0, 100, 101, 99, 100))
    send(made, *bracket(order("p", "buy", 5)), ts=MINUTE)  # type: ignore[arg-type]
    assert fills(tell(made, bar(1, 102, 109, 96, 103))) == [("p", 102, 5), ("tp", 108, 5)]
    assert made.ambiguous == 0


@pytest.mark.parametrize(
    ("high", "low", "close", "expected", "ambiguous"),
    [
        # The high may have come before the entry: only the close would have said otherwise.
        (110, 97, 100, [("p", 99, 5)], 0),
        (112, 97, 109, [("p", 99, 5), ("tp", 108, 5)], 0),
        (112, 94, 109, [("p", 99, 5), ("sl", 95, 5)], 0),
    ],
)
def test_children_of_a_parent_that_fills_on_the_path_have_the_worse_of_what_is_left(
    high: int, low: int, close: int, expected: object, ambiguous: int
) -> None:
    made = venue()
    tell(made, bar(0, 101, 101, 100, 101))
    send(made, *bracket(order("p", "buy", 5, 99)), ts=MINUTE)  # type: ignore[arg-type]
    assert fills(tell(made, bar(1, 101, high, low, close))) == expected
    assert made.ambiguous == ambiguous


def test_a_stop_that_the_bar_reached_perhaps_before_the_entry_is_filled_and_counted() -> None:
    made = venue()
    tell(made, bar(0, 100, 101, 99, 100))
    entry = order("p", "buy", 5, kind="stop", stop_price=105)
    send(made, *bracket(entry), ts=MINUTE)  # type: ignore[arg-type]
    # The low is nearer: 100, 94, 107, 106.
    told = tell(made, bar(1, 100, 107, 94, 106))
    assert fills(told) == [("p", 105, 5), ("sl", 95, 5)]
    assert made.ambiguous == 1
    assert told[-2].why.ambiguous or told[-1].why.ambiguous  # type: ignore[union-attr]


def test_a_stop_limit_is_a_limit_from_its_trigger_on() -> None:
    made = venue()
    tell(made, bar(0, 100, 101, 99, 100))
    send(made, order("a", "buy", 5, 103, kind="stop_limit", stop_price=105), ts=MINUTE)
    # 100, 99, 106, 102: triggered on the way up, filled on the way down.
    assert fills(tell(made, bar(1, 100, 106, 99, 102))) == [("a", 103, 5)]
    made = venue()
    tell(made, bar(0, 100, 101, 99, 100))
    send(made, order("a", "buy", 5, 106, kind="stop_limit", stop_price=105), ts=MINUTE)
    assert fills(tell(made, bar(1, 100, 106, 99, 102))) == [("a", 105, 5)]


def test_a_trailing_stop_follows_the_path() -> None:
    made = venue()
    tell(made, bar(0, 100, 101, 99, 100))
    send(made, order("a", "sell", 5, kind="trailing_stop", trail=5), ts=MINUTE)
    # 100, 99, 108, 104: it has followed to 103 at the high, and the close does not reach it.
    assert fills(tell(made, bar(1, 100, 108, 99, 104))) == []
    assert fills(tell(made, bar(2, 104, 105, 102, 103))) == [("a", 103, 5)]


def test_the_pessimistic_path_goes_against_the_stops_that_wait() -> None:
    for path, expected in (("adaptive", []), ("pessimistic", [("a", 95, 5)])):
        made = venue(path=path)
        tell(made, bar(0, 100, 101, 99, 100))
        send(made, order("a", "sell", 5, kind="trailing_stop", trail=5), ts=MINUTE)
        # Adaptive: 100, 101, 94 …, where the stop stands at 96.
        told = tell(made, bar(1, 100, 101, 94, 100))
        assert fills(told) == ([("a", 96, 5)] if path == "adaptive" else expected)


def test_takers_slip_and_limits_do_not() -> None:
    made = venue(slippage=SlippageSettings(model="share", share="0.01"))
    tell(made, bar(0, 100, 101, 99, 100))
    send(made, order("m", "buy", 5), order("l", "buy", 5, 95), ts=MINUTE)
    told = tell(made, bar(1, 100, 110, 90, 105))
    assert fills(told) == [("m", 101, 5), ("l", 95, 5)]
    assert first_fill(told).why.slippage == NANO // 100


def test_no_more_than_a_share_of_a_bars_volume_is_filled_and_the_rest_goes_on() -> None:
    made = venue(slippage=SlippageSettings(participation="0.1"))
    tell(made, bar(0, 100, 101, 99, 100))
    send(made, order("a", "buy", 25), order("b", "buy", 3, time_in_force="IOC"), ts=MINUTE)
    told = tell(made, bar(1, 100, 110, 90, 105, volume="100"))
    assert (fills(told), ends(told)) == ([("a", 100, 10)], [("b", "ioc")])
    assert fills(tell(made, bar(2, 101, 110, 90, 105, volume="100"))) == [("a", 101, 10)]
    assert fills(tell(made, bar(3, 102, 110, 90, 105, volume="1000"))) == [("a", 102, 5)]


def test_immediate_limits_are_judged_at_the_open_alone() -> None:
    made = venue()
    tell(made, bar(0, 100, 101, 99, 100))
    send(
        made,
        order("i", "buy", 5, 95, time_in_force="IOC"),
        order("f", "buy", 5, 101, time_in_force="FOK"),
        order("p", "buy", 5, 101, post_only=True),
        ts=MINUTE,
    )
    told = tell(made, bar(1, 100, 110, 90, 105))
    assert (fills(told), ends(told)) == ([("f", 100, 5)], [("i", "ioc"), ("p", "post_only")])


def test_price_protection_looks_at_the_last_close() -> None:
    made = venue()
    tell(made, bar(0, 100, 101, 99, 100))
    send(made, order("a", "buy", 5, protection=NANO // 50), ts=MINUTE)
    assert ends(tell(made, bar(1, 103, 110, 90, 105))) == [("a", "protection")]


def test_the_shortest_interval_decides_and_bars_yield_to_quotes() -> None:
    made = venue()
    hour = msgspec.structs.replace(bar(0, 100, 120, 80, 110), interval="1h", end=60 * MINUTE)
    made.bar(bar(0, 100, 101, 99, 100), MINUTE)
    send(made, order("a", "buy", 5, 90), ts=0)
    made.bar(hour, 60 * MINUTE)
    assert fills(made.take(60 * MINUTE)) == []
    made.quote(quote(1, 80, 5, 85, 5), 61 * MINUTE)
    assert fills(made.take(61 * MINUTE)) == [("a", 85, 5)]
    assert made.marks["M"].last == 100 * CENT


def test_a_fill_inside_a_bar_is_never_told_before_the_bar() -> None:
    made = venue()
    tell(made, bar(0, 100, 101, 99, 100))
    made.submit(order("a", "buy", 5), MINUTE)
    made.advance(MINUTE)
    made.bar(bar(1, 103, 110, 90, 105), 2 * MINUTE)
    assert [each for each in made.take(2 * MINUTE - 1) if isinstance(each, VenueFilled)] == []
    assert fills(made.take(2 * MINUTE)) == [("a", 103, 5)]


def test_a_trailing_child_begins_where_its_parent_was_filled() -> None:
    made = venue()
    tell(made, bar(0, 110, 111, 109, 110))
    send(made, order("p", "buy", 5), order("c", "sell", 5, kind="trailing_stop", trail=5, parent="p"), ts=MINUTE)
    # The open gaps down by ten: the stop stands at 95 and not at 105.
    assert fills(tell(made, bar(1, 100, 101, 97, 98))) == [("p", 100, 5)]
    assert fills(tell(made, bar(2, 98, 99, 90, 91))) == [("c", 96, 5)]


def test_markets_with_bars_are_filled_each_by_its_own_and_links_hold_between_them() -> None:
    made = venue(instrument("M"), instrument("N"))

    def of(market: str, made_bar: Bar) -> Bar:
        return msgspec.structs.replace(made_bar, market=market)

    for market in "MN":
        tell(made, of(market, bar(0, 100, 101, 99, 100)))
    send(
        made,
        order("m", "buy", 5),
        order("n", "buy", 5, 90, market="N", oco="g"),
        order("o", "sell", 5, 110, market="M", oco="g"),
        order("child", "sell", 5, market="N", parent="m"),
        ts=MINUTE,
    )
    told = tell(made, of("M", bar(1, 103, 112, 102, 105)))
    assert (fills(told), ends(told)) == ([("m", 103, 5), ("o", 110, 5)], [("n", "oco")])
    assert fills(tell(made, of("N", bar(1, 50, 112, 40, 105)))) == []
    assert fills(tell(made, of("N", bar(2, 60, 112, 40, 105)))) == [("child", 60, 5)]
    assert made.marks["M"].last == 105 * CENT
