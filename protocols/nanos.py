"""Decimal digits <-> nanos: prices, sizes and money as integers of 10⁻⁹, never through a float.

Real feeds carry numbers that do not fit: asks of 10¹⁰, sizes with ten decimals, ticks of 10⁻¹⁰. Nothing here
rounds in silence. A price out of range is dropped, a size out of range is clamped to int64, digits past 10⁻⁹
are truncated, and each of the three is counted in a `NumberFaults`.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

NANO: Final = 1_000_000_000
INT64_MAX: Final = 2**63 - 1

_DECIMALS: Final = 9
_SCALE: Final = tuple(10 ** (_DECIMALS - places) for places in range(_DECIMALS + 1))
# The longest run of digits taken on the fast path; anything longer is no price or size that a venue means.
_MAX_DIGITS: Final = 40
_MAX_EXPONENT: Final = 60


class NumberFaults:
    """Counts what parsing could not keep exactly. One per feed; shown in its probe.

    `truncated`: digits past 10⁻⁹ were cut off. `clamped`: sizes cut to int64. `dropped`: prices out of range.
    """

    __slots__ = ("clamped", "dropped", "truncated")

    def __init__(self) -> None:
        self.truncated = 0
        self.clamped = 0
        self.dropped = 0

    @property
    def total(self) -> int:
        """All faults together."""
        return self.truncated + self.clamped + self.dropped


def exact_nanos(digits: str) -> int:
    """Nanos of a decimal text, exactly.

    Raises ValueError where the text is no number or is finer than 10⁻⁹.
    """
    value, cut = scaled(digits)
    if cut:
        raise ValueError(f"{digits!r} is finer than 10⁻⁹")
    return value


def scaled(digits: str) -> tuple[int, bool]:
    """(nanos of a decimal text truncated toward zero, whether non-zero digits were cut). Unbounded.

    Accepts what JSON and venues write: an optional minus, digits, at most one point, an optional exponent.
    Raises ValueError for anything else (signs, spaces, underscores, NaN, infinities).
    """
    whole, _, fraction = digits.partition(".")
    places = len(fraction)
    joined = whole + fraction
    if places <= _DECIMALS and joined.isascii() and len(joined) <= _MAX_DIGITS:
        if joined.isdigit() and whole:
            return int(joined) * _SCALE[places], False
        if joined[:1] == "-" and joined[1:].isdigit() and len(whole) > 1:
            return int(joined) * _SCALE[places], False
    return _scaled_slowly(digits)


def _scaled_slowly(digits: str) -> tuple[int, bool]:
    number = digits[1:] if digits[:1] == "-" else digits
    mantissa, _, exponent = number.lower().partition("e")
    plain = mantissa.replace(".", "", 1)
    if (
        not (plain.isascii() and plain.isdigit() and mantissa[0].isdigit())
        or len(plain) > 10 * _MAX_DIGITS
        or ("e" in number.lower() and not exponent.lstrip("+-").isdigit())
    ):
        raise ValueError(f"not a decimal number: {digits[:60]!r}")
    try:
        sign, digit_tuple, raw_exponent = Decimal(digits).as_tuple()
    except InvalidOperation:
        raise ValueError(f"not a decimal number: {digits[:60]!r}") from None
    if not isinstance(raw_exponent, int) or abs(raw_exponent) > 10 * _MAX_DIGITS + _MAX_EXPONENT:
        raise ValueError(f"not a decimal number in any range: {digits[:60]!r}")
    shift = raw_exponent + _DECIMALS
    magnitude = int("".join(map(str, digit_tuple)) or "0")
    if shift >= 0:
        value, rest = magnitude * 10**shift, 0
    else:
        value, rest = divmod(magnitude, 10**-shift)
    return (-value if sign else value), rest != 0


def price_nanos(digits: str, faults: NumberFaults) -> int | None:
    """Nanos of a price, or None (and counted as dropped) where it is outside int64. Raises ValueError."""
    value, cut = scaled(digits)
    if not -INT64_MAX <= value <= INT64_MAX:
        faults.dropped += 1
        return None
    if cut:
        faults.truncated += 1
    return value


def size_nanos(digits: str, faults: NumberFaults) -> int:
    """Nanos of a size or of a signed change of size, clamped to int64. Raises ValueError.

    Only a textual zero is zero: a size that truncation would make zero stays one nano of its sign, because a
    level is deleted by what the venue wrote and not by what we can hold.
    """
    value, cut = scaled(digits)
    if cut:
        faults.truncated += 1
        if value == 0:
            return -1 if digits[:1] == "-" else 1
    if value > INT64_MAX:
        faults.clamped += 1
        return INT64_MAX
    if value < -INT64_MAX:
        faults.clamped += 1
        return -INT64_MAX
    return value


def decimal_text(nanos: int, places: int = 0) -> str:
    """The exact decimal digits of nanos, with at least `places` decimals and no needless zeros beyond them.

    `decimal_text(740_000_000, 4) == "0.7400"`, `decimal_text(-1_840_000_000) == "-1.84"`.
    """
    whole, fraction = divmod(abs(nanos), NANO)
    tail = f"{fraction:09d}".rstrip("0").ljust(places, "0")
    sign = "-" if nanos < 0 else ""
    return f"{sign}{whole}.{tail}" if tail else f"{sign}{whole}"
