from __future__ import annotations

from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.market.indicators_averages import Ema
from actors.strategies.catalogue import StrategyError, make
from actors.strategies.moving_average_cross import MovingAverageCross
from protocols.market import Bar, Quote
from protocols.nanos import NANO
from tests.actors.strategies.quotes import NOW, quote

MINUTE = 60 * NANO


def bar(index: int, close: int, *, interval: str = "1m", market: str = "A") -> Bar:
    start = NOW + index * MINUTE
    end = start + MINUTE
    return Bar(market, interval, start, end, close, close, close, close, "1", 1, close, "trades", end)


def cross(**parameters: Any) -> MovingAverageCross:
    made = make("moving_average_cross", parameters, ("A",))
    assert isinstance(made, MovingAverageCross)
    return made


def signs_of_means(closes: list[int], fast: int, slow: int) -> list[int]:
    """The sign of fast minus slow mean at each close, 0 where there are too few."""
    signs = []
    for end in range(1, len(closes) + 1):
        if end < slow:
            signs.append(0)
            continue
        difference = Fraction(sum(closes[end - fast : end]), fast) - Fraction(sum(closes[end - slow : end]), slow)
        signs.append((difference > 0) - (difference < 0))
    return signs


@settings(max_examples=60)
@given(
    closes=st.lists(st.integers(1, 9), max_size=60),
    fast=st.integers(1, 4),
    more=st.integers(1, 5),
)
def test_a_simple_cross_is_a_change_of_the_sign_of_the_difference_of_the_means(
    closes: list[int], fast: int, more: int
) -> None:
    strategy = cross(fast=fast, slow=fast + more)
    expected, known = [], 0
    for index, sign in enumerate(signs_of_means(closes, fast, fast + more)):
        if sign and sign != known:
            if known:
                expected.append((index, "BUY" if sign > 0 else "SELL"))
            known = sign
    found = []
    for index, close in enumerate(closes):
        found += [(index, draft.action) for draft in strategy.on_bar(bar(index, close))]
    assert found == expected


@settings(max_examples=40)
@given(closes=st.lists(st.integers(1, 1000), max_size=60))
def test_an_exponential_cross_is_that_of_the_exponential_averages_of_the_house(closes: list[int]) -> None:
    strategy = cross(fast=3, slow=7, kind="ema", on="quotes")
    fast, slow = Ema(3), Ema(7)
    known = 0
    for index, close in enumerate(closes):
        given_quote = Quote("A", close, 1, close, 1, "s", index, NOW, NOW + index)
        drafts = strategy.on_quote(given_quote)
        values = fast.update(2.0 * close), slow.update(2.0 * close)
        if values[0] is None or values[1] is None:
            assert not drafts
            continue
        sign = (values[0] > values[1]) - (values[0] < values[1])
        changed = sign not in (0, known) and known != 0
        known = sign or known
        assert [draft.action for draft in drafts] == ([("BUY" if sign > 0 else "SELL")] if changed else [])


def test_without_shorts_it_closes_and_a_gap_begins_the_averages_anew() -> None:
    strategy = cross(fast=1, slow=2, allow_short=False, quantity="2.5")
    closes = [1, 2, 1]
    drafts = [draft for index, close in enumerate(closes) for draft in strategy.on_bar(bar(index, close))]
    assert [draft.action for draft in drafts] == ["CLOSE_LONG"]
    assert drafts[0].execution_params.quantity == 2_500_000_000
    assert strategy.figures() == (("up", 0), ("down", 1))
    strategy.on_gap("A")
    assert not strategy.on_bar(bar(4, 9))


def test_it_takes_bars_of_its_interval_alone_or_quotes_alone() -> None:
    on_bars, on_quotes = cross(fast=1, slow=2, interval="5m"), cross(fast=1, slow=2, on="quotes")
    assert (on_bars.intervals, on_quotes.intervals) == (("5m",), ())
    for index in range(4):
        assert not on_bars.on_bar(bar(index, index % 2 + 1))
        assert not on_bars.on_quote(quote(index, mid_cents=50 + index % 2))
        assert not on_quotes.on_bar(bar(index, index % 2 + 1))
    stale = msgspec.structs.replace(quote(0), marks=("stale",))
    assert not on_quotes.on_quote(stale)
    assert on_quotes.figures() == (("up", 0), ("down", 0))


@pytest.mark.parametrize(
    ("parameters", "field"),
    [({"fast": 30}, "fast"), ({"quantity": "0"}, "quantity"), ({"kind": "wma"}, "kind"), ({"interval": "1x"}, "")],
)
def test_a_wrong_parameter_is_named(parameters: dict[str, Any], field: str) -> None:
    with pytest.raises(StrategyError) as error:
        cross(**parameters)
    assert error.value.field == (f"parameters.{field}" if field else "parameters")
