"""Times as venues write them ("2026-08-09T21:05:48.505350477Z") to nanoseconds, and back.

`datetime` knows microseconds only, and venues write up to nine decimals. Source: RFC 3339, section 5.6.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from typing import Final

from protocols.nanos import NANO

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
# "2026-08-09T21:05:48"
_SECONDS: Final = 19


def rfc3339_nanos(text: str) -> int:
    """Nanoseconds since the Unix epoch; without a zone it is UTC. Digits past the ninth are cut. Raises ValueError."""
    whole, rest = text[:_SECONDS], text[_SECONDS:]
    if not rest or rest == "Z":
        return _second(whole) * NANO
    if rest[0] == ".":
        digits = rest[1:-1] if rest[-1] == "Z" else rest[1:]
        if digits.isdecimal() and digits.isascii():
            return _second(whole) * NANO + int(digits[:9].ljust(9, "0"))
    return _zoned(whole, rest)


def rfc3339_text(nanos: int, decimals: int = 9) -> str:
    """The time in UTC with so many decimals (1 to 9), cut: `2026-08-09T21:05:48.505350477Z`."""
    seconds, fraction = divmod(nanos, NANO)
    return f"{_second_text(seconds)}.{f'{fraction:09d}'[:decimals]}Z"


# Messages come many to a second, and a snapshot repeats one time thousands of times.
@functools.lru_cache(maxsize=64)
def _second(text: str) -> int:
    time = datetime.fromisoformat(text)
    if time.tzinfo is not None or len(text) != _SECONDS:
        raise ValueError(f"not an RFC 3339 time: {text[:40]!r}")
    return (time.replace(tzinfo=UTC) - _EPOCH) // _SECOND


@functools.lru_cache(maxsize=64)
def _second_text(seconds: int) -> str:
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}"


def _zoned(whole: str, rest: str) -> int:
    """With an offset instead of Z: `+02:00`, with or without a fraction before it."""
    at = max(rest.rfind("+"), rest.rfind("-"))
    fraction, zone = (rest[:at], rest[at:]) if at >= 0 else (rest, "")
    digits = fraction[1:]
    if (fraction and (fraction[0] != "." or not digits.isdecimal())) or not zone:
        raise ValueError(f"not an RFC 3339 time: {(whole + rest)[:40]!r}")
    offset = datetime.fromisoformat(whole + zone).utcoffset() or timedelta()
    return (_second(whole) - offset // _SECOND) * NANO + int(digits[:9].ljust(9, "0") or "0")
