from __future__ import annotations

from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    ROUND_UP,
    Decimal,
    localcontext,
)

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.execution.accounts.rounding import Rounding, money, rounded, share
from tests.actors.execution.accounts.kit import n

MODES: dict[Rounding, str] = {
    "half_even": ROUND_HALF_EVEN,
    "half_up": ROUND_HALF_UP,
    "down": ROUND_DOWN,
    "up": ROUND_UP,
    "floor": ROUND_FLOOR,
    "ceiling": ROUND_CEILING,
}


@settings(max_examples=100)
@given(st.integers(-(10**30), 10**30), st.integers(1, 10**20), st.sampled_from(sorted(MODES)))
def test_every_rule_rounds_as_the_decimal_module_does(numerator: int, denominator: int, rule: Rounding) -> None:
    # The quotient to 80 digits is exact enough: a tie is a short decimal, and it is told apart before.
    with localcontext() as context:
        context.prec = 80
        exact = Decimal(numerator) / Decimal(denominator)
        expected = int(exact.to_integral_value(MODES[rule]))
    assert rounded(numerator, denominator, rule) == expected


@pytest.mark.parametrize(
    ("rule", "expected"), [("half_even", (2, 2, -2)), ("half_up", (2, 3, -3)), ("down", (1, 2, -2))]
)
def test_ties_go_where_the_rule_says(rule: Rounding, expected: tuple[int, int, int]) -> None:
    assert (rounded(3, 2, rule), rounded(5, 2, rule), rounded(-5, 2, rule)) == expected


def test_a_product_is_money_with_the_decimals_of_its_currency() -> None:
    cent = n("0.01")
    assert money(n("33.335"), n("0.1"), n(1)) == n("3.3335")
    assert money(n("33.335"), n("0.1"), n(1), cent) == n("3.33")
    assert money(n("33.35"), n("0.1"), n(1), cent, "half_up") == n("3.34")
    assert money(n("33.35"), n("0.1"), n(1), cent) == n("3.34"), "3.335: to the even one"
    assert money(n("33.45"), n("0.1"), n(1), cent) == n("3.34"), "3.345: to the even one"
    assert money(n("4500.25"), n(-2), n(50)) == n(-450025)


def test_a_share_has_the_sign_of_its_part() -> None:
    assert share(100, 1, 3) == 33
    assert share(100, -1, -3) == 33
    assert share(100, 1, -3) == -33
