from __future__ import annotations

from protocols.market import BookStale
from protocols.nanos import NANO
from protocols.orders import VenueAccepted
from tests.actors.execution.matching.kit import (
    ends,
    fills,
    first_fill,
    order,
    quote,
    send,
    snapshot,
    tell,
    trade,
    venue,
)


def test_a_market_order_takes_the_quoted_size_and_no_more() -> None:
    made = venue()
    tell(made, quote(1, 99, 5, 101, 4))
    told = send(made, order("a", "buy", 6), ts=15)
    assert (fills(told), ends(told)) == ([("a", 101, 4)], [("a", "no_liquidity")])
    assert first_fill(told).why.model == "quote"


def test_the_same_quote_again_gives_nothing_back_and_a_larger_one_what_is_new() -> None:
    made = venue()
    tell(made, quote(1, 99, 5, 101, 4))
    send(made, order("a", "buy", 3), ts=15)
    tell(made, quote(2, 98, 5, 101, 4))
    assert fills(send(made, order("b", "buy", 3), ts=25)) == [("b", 101, 1)]
    tell(made, quote(3, 98, 5, 101, 6))
    assert fills(send(made, order("c", "buy", 3), ts=35)) == [("c", 101, 2)]


def test_a_level_that_is_hidden_behind_a_better_one_keeps_what_was_taken_and_one_that_is_passed_does_not() -> None:
    made = venue()
    tell(made, quote(1, 99, 5, 101, 4))
    send(made, order("a", "buy", 4), ts=15)
    tell(made, quote(2, 99, 5, 100, 1))
    tell(made, quote(3, 99, 5, 101, 4))
    assert fills(send(made, order("b", "buy", 4), ts=35)) == []
    tell(made, quote(4, 99, 5, 102, 4))
    tell(made, quote(5, 99, 5, 101, 4))
    assert fills(send(made, order("c", "buy", 4), ts=55)) == [("c", 101, 4)]


def test_what_a_quote_does_not_show_may_slip_a_tick_and_says_so() -> None:
    made = venue(beyond_quote="slip")
    tell(made, quote(1, 99, 5, 101, 4))
    told = send(made, order("a", "sell", 8), ts=15)
    assert fills(told) == [("a", 99, 5), ("a", 98, 3)]
    assert "no data has shown it" in told[-1].why.note  # type: ignore[union-attr]


def test_a_quote_without_sizes_fills_any_size_and_says_so() -> None:
    made = venue()
    tell(made, quote(1, 99, 0, 101, 0))
    told = send(made, order("a", "buy", 1_000_000), ts=15)
    assert fills(told) == [("a", 101, 1_000_000)]
    assert first_fill(told).why.note == "the source gives no size"


def test_an_order_behind_the_best_price_learns_its_queue_when_the_quote_comes_to_it() -> None:
    made = venue()
    tell(made, quote(1, 99, 5, 101, 4))
    (accepted,) = send(made, order("a", "buy", 3, 98), ts=15)
    assert isinstance(accepted, VenueAccepted)
    assert accepted.queue_ahead is None
    assert fills(tell(made, trade(2, 98, 10))) == []
    tell(made, quote(3, 98, 7, 101, 4))
    assert made.queue_ahead("a") == 7 * NANO
    tell(made, quote(4, 99, 2, 101, 4))
    assert made.queue_ahead("a") == 7 * NANO
    tell(made, quote(5, 97, 2, 101, 4))
    assert made.queue_ahead("a") == 0


def test_an_order_inside_the_spread_is_first_and_takes_part_in_the_next_trade_there() -> None:
    made = venue()
    tell(made, quote(1, 99, 5, 103, 4))
    send(made, order("a", "buy", 3, 100), ts=15)
    assert fills(tell(made, trade(2, 100, 2))) == [("a", 100, 2)]
    assert fills(tell(made, quote(3, 99, 5, 100, 4))) == [("a", 100, 1)]


def test_stale_quotes_fill_nobody() -> None:
    made = venue()
    tell(made, quote(1, 99, 5, 101, 4))
    made.market(BookStale("M", "f", "gap", 12), 12)
    assert fills(send(made, order("a", "buy", 1), ts=15)) == []
    assert fills(tell(made, quote(2, 99, 5, 101, 4, marks=("stale",)))) == []
    assert fills(tell(made, quote(3, 99, 5, 102, 4))) == [("a", 102, 1)]


def test_where_there_is_a_book_quotes_decide_nothing() -> None:
    made = venue()
    tell(made, quote(1, 99, 5, 101, 4))
    tell(made, snapshot(2, ("ask", 105, 5)))
    tell(made, quote(3, 99, 5, 101, 4))
    assert fills(send(made, order("a", "buy", 1), ts=35)) == [("a", 105, 1)]
    assert made.marks["M"].ask == 1_050_000_000


def test_with_trades_alone_takers_take_part_in_the_next_trade_on_their_side() -> None:
    made = venue()
    tell(made, trade(1, 100, 5, "buy"))
    send(made, order("a", "buy", 6), order("b", "sell", 1), ts=15)
    assert fills(tell(made, trade(2, 101, 4, "buy"))) == [("a", 101, 4)]
    assert fills(tell(made, trade(3, 100, 4, "sell"))) == [("b", 100, 1)]
    assert fills(tell(made, trade(4, 102, 4, None))) == [("a", 102, 2)]


def test_with_trades_alone_a_limit_order_is_filled_by_trades_beyond_its_price() -> None:
    made = venue()
    tell(made, trade(1, 100, 5, "buy"))
    send(made, order("a", "buy", 6, 99), ts=15)
    assert fills(tell(made, trade(2, 99, 4, "sell"))) == []
    assert fills(tell(made, trade(3, 98, 4, "sell"))) == [("a", 99, 4)]
    made = venue(limit_on="touch")
    tell(made, trade(1, 100, 5, "buy"))
    send(made, order("a", "buy", 6, 99), ts=15)
    assert fills(tell(made, trade(2, 99, 4, "sell"))) == [("a", 99, 4)]


def test_a_mark_is_the_same_object_and_knows_the_exit_side() -> None:
    made = venue()
    mark = made.market_of("M").mark
    assert mark is made.marks["M"]
    assert (mark.mid(), mark.exit(1)) == (None, None)
    tell(made, quote(1, 99, 5, 102, 4))
    assert (mark.mid(), mark.exit(1), mark.exit(-1)) == (1_005_000_000, 990_000_000, 1_020_000_000)
    tell(made, trade(2, 100, 1))
    tell(made, quote(3, None, 0, 102, 4))
    assert mark.exit(1) == NANO
