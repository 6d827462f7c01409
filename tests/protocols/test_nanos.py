from __future__ import annotations

from decimal import ROUND_DOWN, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.nanos import INT64_MAX, NANO, NumberFaults, decimal_text, exact_nanos, price_nanos, scaled, size_nanos

int64 = st.integers(-INT64_MAX, INT64_MAX)


def test_the_venues_own_digits_become_nanos_exactly() -> None:
    assert exact_nanos("0.7400") == 740_000_000
    assert exact_nanos("-1.84") == -1_840_000_000
    assert exact_nanos("-0.05") == -50_000_000
    assert exact_nanos("1406474.86") == 1_406_474_860_000_000
    assert exact_nanos("0.000000001") == 1
    assert exact_nanos("-0") == 0


def test_exponents_as_json_writes_them_are_read_exactly() -> None:
    assert exact_nanos("1e-7") == 100
    assert exact_nanos("-2.5E+3") == -2_500 * NANO


@pytest.mark.parametrize(
    "text",
    ["", "-", ".", ".5", "-.5", "+1", " 1", "1 ", "1_000", "1.2.3", "NaN", "Infinity", "0x1", "1e", "1e+", "١", "1-1"],
)
def test_what_is_no_decimal_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a decimal number"):
        scaled(text)


def test_a_number_of_absurd_length_or_exponent_is_refused_quickly() -> None:
    for text in ("9" * 100_000, "1e999999999", "1e-999999999"):
        with pytest.raises(ValueError, match="not a decimal number"):
            scaled(text)


def test_digits_past_nanos_are_truncated_and_counted() -> None:
    faults = NumberFaults()
    assert price_nanos("0.12345678999", faults) == 123_456_789
    assert size_nanos("-3.0000000019", faults) == -3_000_000_001
    assert price_nanos("0.1230000000000", faults) == 123_000_000
    assert (faults.truncated, faults.clamped, faults.dropped) == (2, 0, 0)


def test_a_price_out_of_range_is_dropped_and_a_size_is_clamped() -> None:
    faults = NumberFaults()
    assert price_nanos("10000000000", faults) is None
    assert size_nanos("10000000000", faults) == INT64_MAX
    assert size_nanos("-10000000000", faults) == -INT64_MAX
    assert (faults.truncated, faults.clamped, faults.dropped) == (0, 2, 1)
    assert faults.total == 3


def test_only_a_textual_zero_is_a_size_of_zero() -> None:
    faults = NumberFaults()
    assert size_nanos("0.0000000000", faults) == 0
    assert faults.total == 0
    assert size_nanos("0.0000000004", faults) == 1
    assert size_nanos("-0.0000000004", faults) == -1
    assert faults.truncated == 2


def test_text_has_the_places_asked_for_and_no_needless_zeros() -> None:
    assert decimal_text(740_000_000, 4) == "0.7400"
    assert decimal_text(-1_840_000_000) == "-1.84"
    assert decimal_text(5 * NANO) == "5"
    assert decimal_text(1, 2) == "0.000000001"


@given(int64, st.integers(0, 9))
def test_every_int64_survives_text_and_back(nanos: int, places: int) -> None:
    assert exact_nanos(decimal_text(nanos, places)) == nanos


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12))
def test_parsing_agrees_with_decimal_arithmetic(number: Decimal) -> None:
    text = str(number).replace("E", "e")
    # The context's own precision would round before anything is compared.
    with localcontext(prec=200):
        exact = number * NANO
        expected = int(exact.to_integral_value(ROUND_DOWN))
        value, cut = scaled(text)
        assert value == expected
        assert cut == (exact != expected)


@given(st.text(max_size=12))
def test_any_text_is_a_number_or_a_value_error(text: str) -> None:
    try:
        value, _ = scaled(text)
    except ValueError:
        return
    assert value == int((Decimal(text) * NANO).to_integral_value(ROUND_DOWN))
