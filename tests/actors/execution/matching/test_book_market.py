from __future__ import annotations

import pytest

from protocols.instruments import PriceRange
from protocols.market import BookStale, MarketStatus
from protocols.nanos import NANO
from protocols.orders import VenueAccepted, VenueAmended, VenueFilled, VenueRefusedChange, VenueRejected, VenueTriggered
from tests.actors.execution.matching.kit import (
    CENT,
    book,
    ends,
    fills,
    first_fill,
    instrument,
    order,
    send,
    snapshot,
    tell,
    trade,
    venue,
)


def test_a_market_order_walks_the_book_and_says_from_where() -> None:
    made = venue()
    tell(made, snapshot(7, ("ask", 101, 5), ("ask", 103, 5), ("bid", 99, 5)))
    told = send(made, order("a", "buy", 8), ts=75)
    assert fills(told) == [("a", 101, 5), ("a", 103, 3)]
    last = told[-1]
    assert isinstance(last, VenueFilled)
    assert (last.liquidity, last.leaves, last.fill_id, last.venue_order_id) == ("taker", 0, "a/2", "sim-1")
    assert (last.why.model, last.why.session, last.why.seq) == ("book_walk", "s", 7)
    assert last.why.slippage == 2 * NANO // 101
    assert made.open_orders() == ()


def test_liquidity_that_was_taken_is_not_there_for_the_next_order() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 101, 5), ("ask", 103, 5)))
    assert fills(send(made, order("a", "buy", 4), ts=15)) == [("a", 101, 4)]
    assert fills(send(made, order("b", "buy", 4), ts=16)) == [("b", 101, 1), ("b", 103, 3)]
    tell(made, book(2, ("bid", 90, 5)))
    assert fills(send(made, order("c", "buy", 1), ts=25)) == [("c", 103, 1)]


def test_a_level_that_grows_has_that_much_more_and_one_that_shrinks_forgets_only_so_much() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 101, 10)))
    send(made, order("a", "buy", 8), ts=15)
    tell(made, book(2, ("ask", 101, 13)))
    assert fills(send(made, order("b", "buy", 9, 101, time_in_force="IOC"), ts=25)) == [("b", 101, 5)]
    # 13 were taken of 13. Three leave: they may be three of those. Three come: they are new.
    tell(made, book(3, ("ask", 101, 10)))
    assert fills(send(made, order("c", "buy", 9, 101, time_in_force="IOC"), ts=35)) == []
    tell(made, book(4, ("ask", 101, 13)))
    assert fills(send(made, order("d", "buy", 9, 101, time_in_force="IOC"), ts=45)) == [("d", 101, 3)]


def test_a_snapshot_that_shows_the_same_level_gives_nothing_back() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 101, 10)))
    send(made, order("a", "buy", 8), ts=15)
    tell(made, snapshot(2, ("ask", 101, 10), session="next"))
    assert fills(send(made, order("b", "buy", 9, 101, time_in_force="IOC"), ts=25)) == [("b", 101, 2)]


def test_nobody_is_filled_from_the_book_before_the_trade() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 101, 5), ("ask", 103, 5)))
    tell(made, trade(2, 101, 4, "buy"))
    assert fills(send(made, order("a", "buy", 3), ts=21)) == [("a", 101, 1), ("a", 103, 2)]
    # The book shows the trade: its decrease is that one's, and gives nothing back of what was taken.
    tell(made, book(3, ("ask", 101, 1)))
    assert fills(send(made, order("b", "buy", 1), ts=31)) == [("b", 103, 1)]


def test_a_trade_that_the_book_shows_already_takes_nothing_more() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 101, 5)))
    tell(made, book(2, ("ask", 101, 2), ts_event=30))
    tell(made, trade(3, 101, 3, "buy", ts=25))
    assert fills(send(made, order("a", "buy", 2), ts=35)) == [("a", 101, 2)]


def test_a_limit_order_takes_up_to_its_price_and_rests() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 101, 5), ("ask", 102, 5), ("bid", 99, 4)))
    told = send(made, order("a", "buy", 8, 101), ts=15)
    assert isinstance(told[0], VenueAccepted)
    assert told[0].queue_ahead is None
    assert fills(told) == [("a", 101, 5)]
    # Nothing stands at 101 on the bid side.
    assert made.queue_ahead("a") == 0
    told = tell(made, trade(2, 101, 2))
    assert fills(told) == [("a", 101, 2)]
    assert first_fill(told).liquidity == "maker"
    assert [each.client_order_id for each in made.open_orders()] == ["a"]


def test_a_resting_order_is_filled_at_its_price_by_a_trade_beyond_it_up_to_its_size() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 105, 5), ("bid", 100, 50)))
    send(made, order("a", "buy", 8, 100), ts=15)
    told = tell(made, trade(2, 98, 6))
    assert fills(told) == [("a", 100, 6)]
    assert first_fill(told).why.model == "trade"


def test_a_buyers_trade_fills_no_bid_and_one_without_a_taker_reaches_both_sides_once() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 110, 5), ("bid", 90, 5)))
    send(made, order("b", "buy", 8, 100), order("s", "sell", 8, 100 + 1), ts=15)
    assert fills(tell(made, trade(2, 100, 6, "buy"))) == []
    assert fills(tell(made, trade(3, 100, 6, None))) == [("b", 100, 6)]
    assert fills(tell(made, trade(4, 101, 3, None))) == [("s", 101, 3)]


def test_one_trade_is_given_out_once_best_price_and_oldest_first() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 110, 5), ("bid", 90, 5)))
    send(made, order("old", "buy", 3, 99), order("best", "buy", 3, 100), order("young", "buy", 3, 99), ts=15)
    assert fills(tell(made, trade(2, 98, 7))) == [("best", 100, 3), ("old", 99, 3), ("young", 99, 1)]


def test_a_block_trade_fills_nobody() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 110, 5), ("bid", 90, 5)))
    send(made, order("a", "buy", 3, 99), ts=15)
    assert fills(tell(made, trade(2, 98, 7, block=True))) == []


def test_without_trades_a_resting_order_is_filled_when_the_book_crosses_it_and_says_so() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 105, 5), ("bid", 100, 50)))
    send(made, order("a", "buy", 8, 100), ts=15)
    assert fills(tell(made, book(2, ("ask", 101, 5)))) == []
    told = tell(made, book(3, ("bid", 100, 0), ("ask", 99, 3), ("ask", 100, 2)))
    assert fills(told) == [("a", 100, 3), ("a", 100, 2)]
    assert first_fill(told).why.model == "crossed"
    # What filled it is gone for takers as well.
    assert fills(send(made, order("b", "buy", 1), ts=35)) == [("b", 101, 1)]


def test_in_a_locked_book_the_level_beside_an_order_does_not_fill_it() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 105, 5), ("bid", 100, 50)))
    send(made, order("a", "buy", 8, 100), ts=15)
    assert fills(tell(made, book(2, ("ask", 100, 3)))) == []
    assert fills(send(made, order("b", "buy", 1), ts=25)) == [("b", 100, 1)]


def test_ioc_takes_what_there_is_and_fok_all_or_nothing() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 101, 5), ("ask", 102, 5)))
    told = send(made, order("f", "buy", 6, 101, time_in_force="FOK"), ts=15)
    assert (fills(told), ends(told)) == ([], [("f", "fok")])
    told = send(made, order("i", "buy", 6, 101, time_in_force="IOC"), ts=16)
    assert (fills(told), ends(told)) == ([("i", 101, 5)], [("i", "ioc")])
    told = send(made, order("g", "buy", 5, 102, time_in_force="FOK"), ts=17)
    assert (fills(told), ends(told)) == ([("g", 102, 5)], [])
    told = send(made, order("m", "buy", 1), ts=18)
    assert (fills(told), ends(told)) == ([], [("m", "no_liquidity")])


def test_post_only_never_takes() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 101, 5), ("bid", 99, 5)))
    assert ends(send(made, order("a", "buy", 1, 101, post_only=True), ts=15)) == [("a", "post_only")]
    (told,) = send(made, order("b", "buy", 1, 100, post_only=True), ts=16)
    assert isinstance(told, VenueAccepted)


def test_price_protection_ends_a_market_order_at_its_share_of_the_best_price() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 100, 5), ("ask", 102, 5), ("ask", 103, 5)))
    told = send(made, order("a", "buy", 12, protection=NANO // 50), ts=15)
    assert (fills(told), ends(told)) == ([("a", 100, 5), ("a", 102, 5)], [("a", "protection")])
    made = venue(protection="0.02")
    tell(made, snapshot(1, ("bid", 100, 5), ("bid", 97, 5)))
    assert ends(send(made, order("a", "sell", 12), ts=15)) == [("a", "protection")]


def test_an_iceberg_shows_a_part_and_each_new_part_goes_to_the_back() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 110, 5), ("bid", 100, 10)))
    send(made, order("a", "buy", 9, 100, display=4), ts=15)
    assert fills(tell(made, trade(2, 100, 20))) == [("a", 100, 4)]
    assert made.queue_ahead("a") == 10 * NANO
    tell(made, book(3, ("bid", 100, 6)))
    assert fills(tell(made, trade(4, 100, 7))) == [("a", 100, 1)]
    assert fills(tell(made, trade(5, 99, 20))) == [("a", 100, 4)]


def test_less_size_keeps_the_place_and_a_new_price_or_more_size_loses_it() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 110, 5), ("bid", 100, 10), ("bid", 99, 3)))
    send(made, order("a", "buy", 9, 100), ts=15)
    tell(made, book(2, ("bid", 100, 30)))
    made.amend("a", 5 * NANO, None, None, 21)
    made.advance(21)
    (told,) = made.take(21)
    assert told == VenueAmended("a", 5 * NANO, 100 * CENT, None, 21, 10 * NANO)
    made.amend("a", 8 * NANO, None, None, 22)
    made.advance(22)
    assert made.queue_ahead("a") == 30 * NANO
    made.amend("a", None, 99 * CENT, None, 23)
    made.advance(23)
    assert made.queue_ahead("a") == 3 * NANO
    made.amend("a", None, 110 * CENT, None, 24)
    made.advance(24)
    assert fills(made.take(24)) == [("a", 110, 5)]
    made.amend("a", 5 * NANO, None, None, 25)
    made.advance(25)
    (refused,) = made.take(25)
    assert isinstance(refused, VenueRefusedChange)
    assert (refused.code, refused.gone) == ("below_filled", False)


def test_a_cancel_that_comes_behind_the_fill_is_refused_as_gone() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 101, 5)))
    send(made, order("a", "buy", 5), ts=15)
    made.cancel("a", 15)
    made.advance(16)
    (refused,) = made.take(16)
    assert isinstance(refused, VenueRefusedChange)
    assert (refused.what, refused.code, refused.gone) == ("cancel", "unknown_order", True)


def test_a_stop_becomes_a_market_order_when_a_trade_reaches_it_behind_what_that_trade_took() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 101, 5), ("ask", 102, 5), ("bid", 99, 5)))
    assert tell(made, trade(2, 100, 1, "buy", ts=12)) == []
    send(made, order("a", "buy", 2, kind="stop", stop_price=101), ts=15)
    told = tell(made, trade(3, 101, 5, "buy"))
    assert told[0] == VenueTriggered("a", 30)
    assert fills(told) == [("a", 102, 2)]


def test_without_trades_stops_look_at_the_best_prices_and_a_stop_limit_rests_then() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 101, 5), ("bid", 99, 5)))
    send(made, order("a", "sell", 2, 98, kind="stop_limit", stop_price=95), ts=15)
    told = tell(made, book(2, ("bid", 99, 0), ("bid", 95, 5)))
    assert told == [VenueTriggered("a", 20)]
    assert fills(tell(made, book(3, ("bid", 98, 1)))) == [("a", 98, 1)]


def test_a_trailing_stop_follows_the_market_and_then_sells() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 101, 5), ("bid", 100, 5)))
    send(made, order("a", "sell", 2, kind="trailing_stop", trail=5), ts=15)
    tell(made, book(2, ("ask", 101, 0), ("bid", 110, 5), ("ask", 111, 5)))
    assert tell(made, book(3, ("bid", 110, 0), ("bid", 106, 5))) == []
    assert fills(tell(made, book(4, ("bid", 106, 0), ("bid", 105, 1), ("bid", 100, 5)))) == [
        ("a", 105, 1),
        ("a", 100, 1),
    ]


def test_a_stop_that_is_reached_already_is_triggered_at_once() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 101, 5), ("bid", 100, 5)))
    assert fills(send(made, order("a", "sell", 2, kind="stop", stop_price=100), ts=15)) == [("a", 100, 2)]


def test_a_bracket_opens_with_its_parent_and_one_leg_cancels_the_other() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 101, 5), ("bid", 100, 5)))
    legs = {"parent": "p", "oco": "g"}
    told = send(
        made,
        order("p", "buy", 5),
        order("tp", "sell", 5, 105, **legs),
        order("sl", "sell", 5, kind="stop", stop_price=95, **legs),
        ts=15,
    )
    assert [type(each).__name__ for each in told] == ["VenueAccepted", "VenueFilled", "VenueAccepted", "VenueAccepted"]
    told = tell(made, trade(2, 106, 2, "buy"))
    assert fills(told) == [("tp", 105, 2)]
    assert told[-1] == VenueAmended("sl", 3 * NANO, None, 95 * CENT, 20)
    told = tell(made, trade(3, 106, 9, "buy"))
    assert (fills(told), ends(told)) == ([("tp", 105, 3)], [("sl", "oco")])


def test_a_held_child_is_cancelled_with_its_parent() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 101, 5), ("bid", 100, 5)))
    send(made, order("p", "buy", 5, 90), order("c", "sell", 5, 105, parent="p"), ts=15)
    assert [each.client_order_id for each in made.open_orders()] == ["p", "c"]
    made.cancel("p", 16)
    made.advance(16)
    assert ends(made.take(16)) == [("p", "user"), ("c", "parent")]


def test_in_a_pause_nothing_is_filled_cancels_pass_and_what_rests_is_filled_when_it_goes_on() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 101, 5), ("bid", 100, 5)))
    send(made, order("a", "buy", 5, 99), order("b", "buy", 1, 98), ts=15)
    tell(made, MarketStatus("M", "paused", "s", 20, 20))
    assert tell(made, trade(3, 90, 50)) == []
    (told,) = send(made, order("m", "buy", 1), ts=31)
    assert isinstance(told, VenueRejected)
    assert told.code == "market_paused"
    made.cancel("b", 32)
    made.advance(32)
    assert ends(made.take(32)) == [("b", "user")]
    tell(made, book(4, ("bid", 100, 0), ("ask", 101, 0), ("ask", 95, 2), ("bid", 94, 2)))
    assert fills(tell(made, MarketStatus("M", "active", "s", 50, 50))) == [("a", 99, 2)]
    assert (made.marks["M"].bid, made.marks["M"].ask) == (94 * CENT, 95 * CENT)


@pytest.mark.parametrize(("phase", "code"), [("closed", "closed"), ("determined", "closed"), ("settled", "settled")])
def test_after_the_end_open_orders_are_cancelled_and_new_ones_rejected(phase: str, code: str) -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 101, 5), ("bid", 100, 5)))
    send(made, order("a", "buy", 5, 99), order("c", "sell", 5, 105, parent="a"), ts=15)
    assert ends(tell(made, MarketStatus("M", phase, "s", 20, 20))) == [("a", code), ("c", "parent")]  # type: ignore[arg-type]
    (told,) = send(made, order("b", "buy", 1, 99), ts=31)
    assert isinstance(told, VenueRejected)


def test_a_stale_book_fills_nobody_until_a_snapshot() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 101, 5), ("bid", 100, 5)))
    send(made, order("a", "buy", 5, 99), ts=15)
    made.market(BookStale("M", "f", "gap", 20), 20)
    assert tell(made, trade(3, 90, 50)) == []
    assert fills(send(made, order("m", "buy", 1), ts=31)) == []
    assert tell(made, book(4, ("ask", 98, 5))) == []
    told = tell(made, snapshot(5, ("ask", 97, 5), ("bid", 90, 5)))
    assert fills(told) == [("a", 99, 5)]
    # It waited for a market, of which the older order has taken everything.
    assert ends(told) == [("m", "no_liquidity")]


def test_an_update_that_cannot_be_right_makes_the_book_stale() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 101, 5), ("bid", 100, 5)))
    tell(made, book(2, ("bid", 102, 5)))
    assert made.market_of("M").gaps == 1
    assert fills(send(made, order("m", "buy", 1), ts=31)) == []
    told = tell(made, snapshot(4, ("ask", 101, 5)))
    assert fills(told) == [("m", 101, 1)]
    assert first_fill(told).why.note == "waited for a market"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (order("a", "buy", 0, 100), "size"),
        (order("a", "buy", 2_000, 100), "max_size"),
        (order("a", "buy", 1, 100), "min_size"),
        (order("a", "buy", 2, 10), "min_notional"),
        (order("a", "buy", 2, 100, kind="stop_limit"), "stop_price"),
        (order("a", "buy", 2, kind="trailing_stop"), "trail"),
        (order("a", "buy", 2, 100, post_only=True, time_in_force="IOC"), "post_only"),
        (order("a", "buy", 2, 100, time_in_force="GTD", expires=15), "expires"),
        (order("a", "buy", 2, 100, display=3), "display"),
        (order("a", "buy", 2, 2_000_000_000), "tick"),
        (order("a", "buy", 2, 100, market="X"), "unknown_market"),
        (order("a", "buy", 2, kind="limit"), "price"),
    ],
)
def test_what_the_venue_does_not_take_is_rejected_with_its_code(wrong: object, code: str) -> None:
    made = venue(instrument(minimum_size=2 * NANO, maximum_size=1_000 * NANO, minimum_notional=NANO))
    tell(made, snapshot(1, ("ask", 101, 5)))
    (told,) = send(made, wrong, ts=15)  # type: ignore[arg-type]
    assert isinstance(told, VenueRejected)
    assert told.code == code


def test_a_price_between_ticks_or_a_size_between_lots_is_rejected_and_never_rounded() -> None:
    made = venue(instrument(lot=2 * NANO, price_ranges=(PriceRange(0, NANO, 5 * CENT),)))
    tell(made, snapshot(1, ("ask", 50, 5)))
    codes = [
        each.code
        for each in send(made, order("a", "buy", 3, 50), order("b", "buy", 2, 52), ts=15)
        if isinstance(each, VenueRejected)
    ]
    assert codes == ["lot", "tick"]


def test_prices_may_be_negative_where_the_instrument_says_so() -> None:
    made = venue(instrument(price_ranges=(PriceRange(-100 * NANO, 100 * NANO, CENT),)))
    tell(made, snapshot(1, ("ask", -3700, 5), ("bid", -3800, 5)))
    assert fills(send(made, order("a", "buy", 2), ts=15)) == [("a", -3700, 2)]
    send(made, order("b", "buy", 2, -3750), ts=16)
    assert fills(tell(made, trade(2, -3751, 1))) == [("b", -3750, 1)]


def test_gtd_ends_at_its_moment_and_day_with_the_day() -> None:
    day = 86_400 * NANO
    made = venue()
    tell(made, snapshot(1, ("ask", 101, 5)))
    send(made, order("g", "buy", 1, 90, time_in_force="GTD", expires=500), ts=15)
    send(made, order("d", "buy", 1, 90, time_in_force="DAY"), ts=16)
    assert made.due() == 500
    # At its very moment a market's message comes first.
    assert fills(tell(made, trade(50, 80, 1))) == [("g", 90, 1)]
    assert made.due() == day
    made.advance(day)
    assert ends(made.take(day)) == [("d", "day")]


def test_by_chance_orders_are_rejected_or_filled_in_part_and_the_venue_says_so() -> None:
    made = venue(rejection=0.5, seed=3)
    tell(made, snapshot(1, ("ask", 101, 5_000)))
    told = send(made, *(order(f"o{count}", "buy", 1) for count in range(100)), ts=15)
    rejected = [each for each in told if isinstance(each, VenueRejected)]
    assert 30 < len(rejected) < 70
    assert {each.code for each in rejected} == {"random"}

    made = venue(partial_fill=1.0, seed=3)
    tell(made, snapshot(1, ("ask", 101, 50), ("ask", 102, 50)))
    told = send(made, order("m", "buy", 80), ts=15)
    taken = sum(size for _, _, size in fills(told))
    assert 0 < taken < 80
    assert first_fill(told).why.note == "random: partial fill"
    assert ends(told) == [("m", "random")]


def test_an_order_deeper_than_everything_shown_does_not_know_its_queue_until_the_book_shows_its_level() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 110, 5), ("bid", 100, 10)))
    (accepted,) = send(made, order("a", "buy", 2, 90), ts=15)
    assert isinstance(accepted, VenueAccepted)
    assert accepted.queue_ahead is None
    assert fills(tell(made, trade(2, 90, 50))) == []
    tell(made, book(3, ("bid", 90, 7)))
    assert made.queue_ahead("a") == 7 * NANO


@pytest.mark.parametrize("kept", [False, True], ids=["as it is", "restored"])
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_book_that_deepens_tells_each_order_its_queue_when_it_comes_to_its_price(side: str, kept: bool) -> None:
    """Best price first: those behind the last level still do not know."""
    made, sign = venue(), 1 if side == "buy" else -1
    leg = "bid" if side == "buy" else "ask"
    tell(made, snapshot(1, ("ask", 201, 5), ("bid", 199, 5)))
    prices = {f"o{behind}": 200 - sign * behind for behind in (30, 10, 50, 20, 40)}
    for ts, (name, price) in enumerate(prices.items()):
        send(made, order(name, side, 2, price), ts=15 + ts)
    if kept:
        fresh = venue()
        fresh.restore(made.snapshot())
        made = fresh
    for number, (behind, known) in enumerate([(15, ["o10"]), (30, ["o10", "o20", "o30"]), (60, list(prices))], 2):
        tell(made, book(number, (leg, 200 - sign * behind, 7)))
        expected = {name: (7 * NANO if prices[name] == 200 - sign * behind else 0) for name in known}
        found = {name: made.queue_ahead(name) for name in sorted(prices) if made.queue_ahead(name) is not None}
        if number > 3:
            expected["o30"] = 7 * NANO  # which it still shows
        assert found == dict(sorted(expected.items()))


def test_the_pessimistic_bracket_waits_for_trades_beyond_and_the_optimistic_one_has_no_queue() -> None:
    for bracket, first, second in (("pessimistic", [], [("a", 100, 5)]), ("optimistic", [("a", 100, 5)], [])):
        made = venue(bracket=bracket)
        tell(made, snapshot(1, ("ask", 110, 5), ("bid", 100, 10)))
        send(made, order("a", "buy", 5, 100), ts=15)
        assert fills(tell(made, trade(2, 100, 50))) == first
        assert fills(tell(made, trade(3, 99, 5))) == second


def test_a_stop_and_a_held_child_can_be_amended_before_they_work() -> None:
    made = venue()
    tell(made, snapshot(1, ("ask", 101, 5), ("bid", 99, 5)))
    tell(made, trade(2, 100, 1, "buy", ts=12))
    send(
        made,
        order("s", "sell", 2, kind="stop", stop_price=95),
        order("p", "buy", 2, 98),
        order("c", "sell", 2, 105, parent="p"),
        ts=15,
    )
    made.amend("s", 1 * NANO, None, 99 * CENT, 16)
    made.amend("c", None, 103 * CENT, None, 16)
    made.amend("p", None, None, 90 * CENT, 16)
    made.advance(16)
    stop, child, refused = made.take(16)
    assert stop == VenueAmended("s", NANO, None, 99 * CENT, 16)
    assert child == VenueAmended("c", 2 * NANO, 103 * CENT, None, 16)
    assert isinstance(refused, VenueRefusedChange)
    assert refused.code == "stop_price"
    assert fills(tell(made, trade(3, 99, 1, "buy"))) == [("s", 99, 1)]
    assert fills(tell(made, trade(4, 97, 2, "sell"))) == [("p", 98, 2)]
    assert fills(tell(made, trade(5, 104, 2, "buy"))) == [("c", 103, 2)]


@pytest.mark.parametrize(
    ("trigger", "by_quote", "by_trade"), [("last", False, True), ("quote", True, False), ("auto", False, True)]
)
def test_what_stops_look_at_can_be_chosen(trigger: str, by_quote: bool, by_trade: bool) -> None:
    made = venue(trigger=trigger)
    tell(made, snapshot(1, ("ask", 101, 5), ("bid", 99, 5)))
    tell(made, trade(2, 100, 1, "buy", ts=12))
    send(made, order("q", "sell", 1, kind="stop", stop_price=97), ts=15)
    told = tell(made, book(3, ("bid", 99, 0), ("bid", 96, 5)))
    assert bool(fills(told)) == by_quote
    send(made, order("t", "buy", 1, kind="stop", stop_price=103), ts=35)
    assert ("t", 101, 1) not in fills(told)
    assert (("t", 101, 1) in fills(tell(made, trade(4, 103, 1, "sell")))) == by_trade


def test_fills_are_whole_lots_where_levels_and_trades_are_not() -> None:
    made = venue(instrument(lot=2 * NANO))
    tell(made, snapshot(1, ("ask", 101, 3), ("ask", 102, 5), ("bid", 99, 1)))
    assert fills(send(made, order("a", "buy", 4), ts=15)) == [("a", 101, 2), ("a", 102, 2)]
    send(made, order("b", "buy", 6, 100), ts=16)
    assert fills(tell(made, trade(2, 98, 3))) == [("b", 100, 2)]
    assert fills(tell(made, book(3, ("ask", 99, 3), ("bid", 99, 0)))) == [("b", 100, 2)]
