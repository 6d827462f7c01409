"""Numbers and times of execution in JSON: never nanos, and never by way of a float.

Inherited fields are JSON numbers with exactly their digits, new ones decimal strings; a request may write either.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Final

import msgspec

from actors.edge.errors import HttpError
from protocols.nanos import INT64_MAX, decimal_text, exact_nanos
from protocols.signal_stream import timestamp

Amount = Annotated[Decimal, msgspec.Meta(description="Decimal digits: a JSON number, or the same as text.")]
"""A decimal number of a request, with the digits that were written."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def nanos(value: Decimal, field: str, *, positive: bool = False) -> int:
    """Nanos of a number. Raises HttpError 400 for one that is finer than 10⁻⁹, out of range, or not above 0."""
    if not value.is_finite():
        raise HttpError(400, "invalid", f"expected a number, got {value}", field)
    try:
        found = exact_nanos(str(value))
    except ValueError as error:
        raise HttpError(400, "invalid", str(error), field) from None
    if abs(found) > INT64_MAX:
        raise HttpError(400, "invalid", f"{value} is out of range", field)
    if positive and found <= 0:
        raise HttpError(400, "invalid", f"expected above 0, got {value}", field)
    return found


def maybe_nanos(value: Decimal | None, field: str) -> int | None:
    """As `nanos`, of what may be left out."""
    return None if value is None else nanos(value, field)


def digits(value: Decimal, field: str) -> str:
    """A number as plain decimal text. Raises HttpError 400."""
    return decimal_text(nanos(value, field))


def number(amount: int | None) -> msgspec.Raw | None:
    """Nanos as a JSON number with exact digits."""
    return None if amount is None else msgspec.Raw(decimal_text(amount).encode())


def known_number(amount: int) -> msgspec.Raw:
    """As `number`, of what is always known."""
    return msgspec.Raw(decimal_text(amount).encode())


def plain(text: str | None) -> msgspec.Raw | None:
    """Decimal text as a JSON number."""
    return None if text is None else known_plain(text)


def known_plain(text: str) -> msgspec.Raw:
    """As `plain`, of what is always known; text of the database ("1.0E+4") included."""
    return msgspec.Raw(decimal_text(exact_nanos(text)).encode())


def string(amount: int | None) -> str | None:
    """Nanos as decimal text."""
    return None if amount is None else decimal_text(amount)


def moment(ts: int) -> str | None:
    """A time in ISO 8601; None for 0, which is never."""
    return timestamp(ts) if ts else None


def nanoseconds(text: str, field: str, default: int) -> int:
    """Nanoseconds of ISO 8601 (UTC where it does not say); empty: `default`. Raises HttpError 400."""
    if not text:
        return default
    try:
        said = datetime.fromisoformat(text)
        span = (said if said.tzinfo else said.replace(tzinfo=UTC)) - _EPOCH
    except (ValueError, OverflowError):
        raise HttpError(400, "invalid", f"expected a time in ISO 8601, got {text[:100]!r}", field) from None
    found = ((span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds) * 1000
    return max(-INT64_MAX, min(INT64_MAX, found))
