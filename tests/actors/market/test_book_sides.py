"""The three forms of a side against a dict that is sorted each time it is asked."""

from __future__ import annotations

from array import array
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.market.book_sides import OffGrid, Side, Sign, SortedSide, WideSide, packed_side, positive, side_for
from actors.market.ladder import Grid, LadderSide
from protocols.market import Level, pack_levels

FORMS: list[Callable[[Sign], Side]] = [SortedSide, WideSide, lambda sign: LadderSide(sign, Grid(-20, 1, 61))]
prices = st.integers(-20, 40)
loads = st.dictionaries(prices, st.integers(1, 9), max_size=30)
steps = st.lists(st.tuples(prices, st.integers(0, 9)), max_size=60)


@pytest.mark.parametrize("form", FORMS, ids=["sorted", "wide", "ladder"])
@pytest.mark.parametrize("sign", [1, -1])
@given(loads, steps)
def test_a_side_is_a_sorted_dict_of_levels(
    form: Callable[[Sign], Side], sign: Sign, first: dict[int, int], changes: list[tuple[int, int]]
) -> None:
    side, expected = form(sign), dict(first)
    side.load(dict(first))
    for price, size in [(None, 0), *changes]:
        if price is not None:
            if size and price not in expected:
                side.insert(price, size)
            elif price in expected and not size:
                side.remove(price)
            elif price in expected:
                side.sizes[price] = size
            expected = {**expected, price: size} if size else {p: s for p, s in expected.items() if p != price}
        ordered = sorted(expected, reverse=sign > 0)
        assert list(side.prices()) == ordered
        assert (side.best, side.last) == ((ordered[0], ordered[-1]) if ordered else (None, None))
        assert side.levels(3) == tuple(Level(each, expected[each]) for each in ordered[:3])
        assert (len(side), side.sizes) == (len(expected), expected)


@pytest.mark.parametrize("sign", [1, -1])
@given(loads, steps)
def test_a_side_that_was_packed_becomes_the_same_side_when_it_is_first_touched(
    sign: Sign, first: dict[int, int], changes: list[tuple[int, int]]
) -> None:
    packed = WideSide.packed(sign, array("q", [-30, *first]), array("q", [9, *first.values()]))
    plain = WideSide(sign)
    plain.load({-30: 9} | first)
    assert (packed.best, packed.best_size() > 0) == (plain.best, True)
    for price, size in changes:
        for side in (packed, plain):
            if size and price not in side.sizes:
                side.insert(price, size)
            elif price in side.sizes and not size:
                side.remove(price)
    assert (packed.best, packed.best_size(), packed.levels()) == (plain.best, plain.best_size(), plain.levels())


def test_the_best_size_of_a_packed_side_is_known_before_anything_else_of_it() -> None:
    bids = [(price, price + 1) for price in range(20_000, 0, -1)]
    side, negative = packed_side(1, pack_levels(bids))
    assert type(side) is WideSide
    assert (negative, side.best, side.best_size()) == (False, 20_000, 20_001)
    assert side.levels(2) == (Level(20_000, 20_001), Level(19_999, 20_000))
    assert packed_side(1, pack_levels([*bids, (-1, -1)]))[1]
    with pytest.raises(AttributeError, match="nothing"):
        side.nothing  # noqa: B018


@pytest.mark.parametrize("price", [-1, 5, 110, 200])
def test_a_ladder_refuses_a_price_that_is_none_of_its_grid_and_stays_as_it_was(price: int) -> None:
    ladder = LadderSide(1, Grid(0, 10, 11))
    ladder.load({40: 7})
    with pytest.raises(OffGrid):
        ladder.insert(price, 1)
    with pytest.raises(OffGrid):
        ladder.load({50: 1, price: 1})
    assert (list(ladder.prices()), ladder.sizes, ladder.best) == ([40], {40: 7}, 40)


def test_the_grid_of_a_prediction_market_has_both_ends() -> None:
    assert Grid.unit(10_000_000) == Grid(0, 10_000_000, 101)
    ladder = LadderSide(-1, Grid.unit(100_000))
    ladder.load({0: 1, 1_000_000_000: 2})
    assert list(ladder.prices()) == [0, 1_000_000_000]
    for grid in ((0, 0, 5), (0, 1, 0)):
        with pytest.raises(ValueError, match="a grid of"):
            Grid(*grid)


def test_only_a_wide_snapshot_makes_a_wide_side() -> None:
    assert type(side_for(1, dict.fromkeys(range(10_000), 1))) is SortedSide
    assert type(side_for(1, dict.fromkeys(range(10_001), 1))) is WideSide


def test_levels_of_size_zero_are_left_out_and_negative_ones_are_told() -> None:
    assert positive([1, 2, 3], [5, 0, 6]) == ({1: 5, 3: 6}, False)
    assert positive([1, 2], [5, -1])[1]
    assert positive([], []) == ({}, False)
