"""Exact products of integers, rounded once to a currency's step.

Prices, quantities and multipliers are nanos, so that a product of the three is money of 10⁻²⁷; what comes out is nanos
of money, a multiple of `step`. Python ints only.
"""

from __future__ import annotations

from typing import Final, Literal

from protocols.nanos import NANO

Rounding = Literal["half_even", "half_up", "down", "up", "floor", "ceiling"]
"""As the modes of `decimal`: `down` is toward zero, `up` away from it, `half_up` away from zero on a tie."""

UNIT: Final = NANO * NANO
"""A price of nanos times a quantity of nanos, times a multiplier of nanos, over this: nanos of money."""


def rounded(numerator: int, denominator: int, rule: Rounding) -> int:
    """The whole number for numerator / denominator. `denominator` is above 0."""
    whole, rest = divmod(numerator, denominator)
    if not rest:
        return whole
    if rule == "half_even":
        twice = rest * 2
        if twice > denominator or (twice == denominator and whole & 1):
            return whole + 1
        return whole
    if rule == "half_up":
        twice = rest * 2
        return whole + 1 if twice > denominator or (twice == denominator and numerator > 0) else whole
    if rule == "down":
        return whole + 1 if numerator < 0 else whole
    if rule == "up":
        return whole if numerator < 0 else whole + 1
    return whole + 1 if rule == "ceiling" else whole


def money(price: int, quantity: int, multiplier: int, step: int = 1, rule: Rounding = "half_even") -> int:
    """price x quantity x multiplier in nanos, a multiple of `step`; signed as the product is."""
    if multiplier == NANO:
        return rounded(price * quantity, NANO * step, rule) * step
    return rounded(price * quantity * multiplier, UNIT * step, rule) * step


def share(total: int, part: int, whole: int, step: int = 1, rule: Rounding = "half_even") -> int:
    """The part/whole of `total`, a multiple of `step`. Raises ZeroDivisionError for a whole of 0."""
    if whole < 0:
        part, whole = -part, -whole
    return rounded(total * part, whole * step, rule) * step
