"""The equity of an account over time: samples, the peak, the drawdown, and with what the day began."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from protocols.nanos import NANO


class EquitySample(NamedTuple):
    """Equity at a moment, in nanos of the account's currency; `cash` of that currency."""

    ts: int
    equity: int
    cash: int
    unrealized: int
    peak: int
    day_start: int


class EquityCurve:
    """Follows the equity. What has no price is counted in `missing` and is no sample.

    A day goes from midnight to midnight of `zone`. It begins with the last equity before its midnight, so that what
    happens over night belongs to the new day; the first day begins with its first sample.
    """

    __slots__ = ("_new", "_next_day", "_zone", "day_start", "last", "missing", "peak", "worst")

    def __init__(self, zone: str = "UTC") -> None:
        self._zone = ZoneInfo(zone)
        self._next_day: int | None = None
        self._new: list[EquitySample] = []
        self.last: int | None = None
        self.peak: int | None = None
        self.day_start: int | None = None
        self.worst = 0
        """The deepest drawdown so far, nanos of money."""
        self.missing = 0

    def sample(self, ts: int, equity: int | None, cash: int, unrealized: int | None) -> EquitySample | None:
        """Take one in. Times do not go backwards."""
        if equity is None or unrealized is None:
            self.missing += 1
            return None
        if self._next_day is None:
            self.day_start = equity
            self._next_day = next_midnight(ts, self._zone)
        elif ts >= self._next_day:
            self.day_start = self.last
            self._next_day = next_midnight(ts, self._zone)
        if self.peak is None or equity > self.peak:
            self.peak = equity
        self.worst = max(self.worst, self.peak - equity)
        self.last = equity
        assert self.day_start is not None
        sample = EquitySample(ts, equity, cash, unrealized, self.peak, self.day_start)
        self._new.append(sample)
        return sample

    def flow(self, amount: int) -> None:
        """Money was put in (negative: taken out): it is neither profit nor drawdown, so peak and day move with it."""
        if self.peak is not None and self.day_start is not None and self.last is not None:
            self.peak += amount
            self.day_start += amount
            self.last += amount

    def drawdown(self) -> int | None:
        """How far the last equity is below the peak, nanos of money; None before the first sample."""
        return None if self.peak is None or self.last is None else self.peak - self.last

    def take_samples(self) -> list[EquitySample]:
        """The samples since the last call."""
        taken, self._new = self._new, []
        return taken

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        return {
            "next_day": self._next_day,
            "numbers": [_text(each) for each in (self.last, self.peak, self.day_start, self.worst)],
            "missing": self.missing,
            "new": [(each.ts, *map(str, each[1:])) for each in self._new],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Become what `state` gave."""
        self._next_day = state["next_day"]
        self.last, self.peak, self.day_start, worst = (_number(each) for each in state["numbers"])
        self.worst = worst or 0
        self.missing = state["missing"]
        self._new = [EquitySample(ts, *map(int, rest)) for ts, *rest in state["new"]]


def next_midnight(ts: int, zone: ZoneInfo) -> int:
    """The first midnight of `zone` behind `ts`, nanoseconds since the Unix epoch."""
    local = datetime.datetime.fromtimestamp(ts // NANO, zone)
    tomorrow = local.date() + datetime.timedelta(days=1)
    return int(datetime.datetime.combine(tomorrow, datetime.time(), zone).timestamp()) * NANO


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
