"""What is read from a book, against the definitions in exact fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.market.book import Book, Grid
from protocols.market import BookUpdate, LevelChange
from protocols.market import Side as Leg

CENT = 10_000_000
Levels = dict[int, int]
sizes = st.integers(1, 10**15)
bids = st.dictionaries(st.integers(1, 49), sizes, max_size=20)
asks = st.dictionaries(st.integers(50, 99), sizes, max_size=20)


def book_of(bids: Levels, asks: Levels, grid: Grid | None = None) -> Book:
    changes = [LevelChange("bid", cents * CENT, size) for cents, size in bids.items()]
    changes += [LevelChange("ask", cents * CENT, size) for cents, size in asks.items()]
    book = Book("M", grid)
    book.apply(BookUpdate("M", tuple(changes), "absolute", True, "s", 1, 0, 0))
    return book


def test_a_book_by_hand() -> None:
    book = book_of({40: 30, 39: 10}, {42: 10, 43: 50})
    assert book.best() == (40 * CENT, 30, 42 * CENT, 10)
    assert book.best().ask_size == 10
    assert (book.mid(), book.spread()) == (41 * CENT, 2 * CENT)
    assert book.imbalance() == 0.5
    assert book.imbalance(2) == book.imbalance(0) == -0.2
    # Three times the size on the bid: three quarters of the way to the ask.
    assert book.microprice() == 41.5 * CENT
    assert book.vwap("ask", 10) == 42 * CENT
    assert book.vwap("ask", 40) == 42.75 * CENT
    assert book.vwap("bid", 41) is None
    assert [level.price for level in book.levels("ask", 1)] == [42 * CENT]


def test_a_side_that_is_missing_makes_no_figure_up() -> None:
    empty, one_sided = book_of({}, {}), book_of({40: 5}, {})
    assert empty.best() == (None, 0, None, 0)
    for book in (empty, one_sided):
        assert (book.mid(), book.spread(), book.microprice()) == (None, None, None)
        assert book.vwap("ask", 1) is None
    assert (empty.imbalance(), one_sided.imbalance()) == (None, 1.0)
    with pytest.raises(ValueError, match="a size of 0"):
        one_sided.vwap("bid", 0)


@given(bids, asks, st.integers(1, 25), st.sampled_from([None, Grid.unit(CENT)]), st.integers(1, 10**16))
def test_figures_are_what_their_definitions_say(
    bids: Levels, asks: Levels, depth: int, grid: Grid | None, size: int
) -> None:
    book = book_of(bids, asks, grid)
    best_bids, best_asks = sorted(bids, reverse=True)[:depth], sorted(asks)[:depth]
    resting = sum(bids[each] for each in best_bids), sum(asks[each] for each in best_asks)
    imbalance = book.imbalance(depth)
    if any(resting):
        assert imbalance == pytest.approx(float(Fraction(resting[0] - resting[1], sum(resting))), rel=1e-12)
    else:
        assert imbalance is None
    sides: list[tuple[Leg, Levels, list[int]]] = [
        ("bid", bids, sorted(bids, reverse=True)),
        ("ask", asks, sorted(asks)),
    ]
    for leg, levels, order in sides:
        left, cost = size, Fraction(0)
        for cents in order:
            taken = min(left, levels[cents])
            left, cost = left - taken, cost + taken * cents * CENT
        vwap = book.vwap(leg, size)
        assert (vwap is None) == (left > 0)
        if vwap is not None:
            assert vwap == pytest.approx(float(cost / size), rel=1e-12)
    microprice, mid = book.microprice(), book.mid()
    if bids and asks:
        bid, ask = max(bids), min(asks)
        exact = Fraction(bid * asks[ask] + ask * bids[bid], bids[bid] + asks[ask]) * CENT
        assert microprice == pytest.approx(float(exact), rel=1e-12)
        assert mid == (bid + ask) * CENT / 2
        assert book.spread() == (ask - bid) * CENT
