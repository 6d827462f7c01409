"""What becomes of a worker's floats."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.strategies.sandbox.drafts import SignalError, draft_of, nanos
from actors.strategies.sandbox.inputs import bar_input, quote_input, trade_input
from actors.strategies.sandbox.wire import WireSignal
from protocols.market import Bar, Quote, Trade
from protocols.nanos import INT64_MAX, NANO

SYMBOLS = frozenset({"A", "B"})
MINUTE = 60 * NANO


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.1, 100_000_000), (0.1 + 0.2, 300_000_000), (1e-10, 0), (67_432.17, 67_432_170_000_000), (-1.5, -1_500_000_000)],
)
def test_a_float_becomes_the_nearest_number_of_nanos(value: float, expected: int) -> None:
    assert nanos(value, "price") == expected


@given(st.decimals(min_value=-(10**6), max_value=10**6, places=9))
def test_every_decimal_of_nine_digits_survives_the_float(value: Decimal) -> None:
    assert nanos(float(value), "price") == int(value * NANO)


def test_a_number_beyond_int64_is_an_error_that_names_the_field() -> None:
    with pytest.raises(SignalError, match="stop_loss: expected at most"):
        nanos(1e10, "stop_loss")
    assert nanos(-9.2e9, "x") >= -INT64_MAX


def test_a_draft_has_what_the_strategy_said_and_what_it_left_out_is_named_in_the_metadata() -> None:
    said = WireSignal(
        0, "A", "BUY", 0.75, quantity=0.5, stop_loss=99.5, validity_s=30.0, trend="up", metadata='{"n": 1}',
        defaulted=("confidence",),
    )  # fmt: skip
    draft, metadata = draft_of(said, SYMBOLS, MINUTE)
    assert (draft.market, draft.action, draft.confidence, draft.validity_ns) == ("A", "BUY", 0.75, 30 * NANO)
    assert (draft.execution_params.quantity, draft.execution_params.stop_loss) == (NANO // 2, 99_500_000_000)
    assert draft.execution_params.take_profit is None
    assert draft.market_conditions is not None
    assert draft.market_conditions.trend == "up"
    assert metadata == {"n": 1, "defaulted": ["confidence"]}


@pytest.mark.parametrize(
    ("said", "field"),
    [
        (WireSignal(0, "C", "BUY", 0.5), "symbol"),
        (WireSignal(0, "A", "BUY", 0.5, quantity=1e-12), "quantity"),
        (WireSignal(0, "A", "BUY", 0.5, metadata="[1]"), "metadata"),
        (WireSignal(0, "A", "BUY", 0.5, metadata="{"), "metadata"),
        (WireSignal(0, "A", "BUY", 0.5, take_profit=1e17), "take_profit"),
    ],
)
def test_what_a_signal_may_not_say_is_an_error_that_names_the_field(said: WireSignal, field: str) -> None:
    with pytest.raises(SignalError) as error:
        draft_of(said, SYMBOLS, MINUTE)
    assert error.value.field == field


def test_what_a_source_does_not_have_is_nan_and_never_zero() -> None:
    bar = bar_input(Bar("A", "1m", 0, 60, NANO, NANO, NANO, NANO, "", None, None, "quotes", 1), 7)
    assert all(math.isnan(value) for value in (bar.volume, bar.trades, bar.vwap))
    quote = quote_input(Quote("A", None, 0, NANO, NANO, "s", 1, 0, 5), 7)
    assert math.isnan(quote.bid)
    assert (quote.ask, quote.ts) == (1.0, 5)
    assert trade_input(Trade("A", NANO, NANO, None, "", "s", 1, 3, 5), 7).taker == ""
