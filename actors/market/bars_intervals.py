"""Intervals of bars: what their names mean, and where their borders are."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from protocols.nanos import exact_nanos

MS: Final = 1_000_000
SECOND: Final = 1_000 * MS
DAY: Final = 86_400 * SECOND
UNITS: Final = {"ms": MS, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND, "d": DAY, "w": 7 * DAY}
_MOST: Final = 366 * DAY
# The epoch was a Thursday; weeks begin on Monday.
_MONDAY: Final = 4 * DAY
_NAME: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|s|m|h|d|w|t|v)")

DayBounds = Callable[[int], tuple[int, int]]
"""The borders [start, end) of the trading day that holds a time, or of the next one where none does. All in
nanoseconds since the epoch."""


class Interval(msgspec.Struct, frozen=True):
    """`length` in nanoseconds of a `time` interval, in trades of `trades`, in nanos of size of `volume`."""

    name: str
    kind: Literal["time", "trades", "volume"]
    length: int

    @property
    def daily(self) -> bool:
        """Whether its bars are trading days."""
        return self.kind == "time" and self.length == DAY

    def bounds(self, ts: int, day: DayBounds | None = None) -> tuple[int, int]:
        """The borders of the bar that holds `ts`. Multiples since the epoch (weeks: since a Monday), or `day`'s."""
        if day is not None and self.length == DAY:
            return day(ts)
        offset = _MONDAY if self.length % UNITS["w"] == 0 else 0
        start = ts - (ts - offset) % self.length
        return start, start + self.length


def parse_interval(name: str) -> Interval:
    """What "1m", "4h", "1d" (time), "100t" (trades) or "2.5v" (volume) means.

    Raises ValueError for anything else.
    """
    found = _NAME.fullmatch(name)
    if found is not None:
        number, unit = found.groups()
        if unit == "v":
            length = exact_nanos(number)
            if length > 0:
                return Interval(name, "volume", length)
        elif number.isdigit() and not number.startswith("0"):
            if unit == "t":
                return Interval(name, "trades", int(number))
            if int(number) * UNITS[unit] <= _MOST:
                return Interval(name, "time", int(number) * UNITS[unit])
    raise ValueError(f'expected an interval such as "1m", "4h", "1d", "100t" (trades) or "50v" (volume), got {name!r}')
