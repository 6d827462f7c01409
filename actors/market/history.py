"""What is there of a history, what is missing, and what ought to be there: spans, parts and holes. No I/O.

A history is one market's bars of one interval, or its trades, or its funding. It is kept in parts, each of a span
[start, end) that no other part overlaps; a part is whole or it is not there. What is wanted and in no part is missing.

A **hole** is a bar that ought to be there and is not. Whether an absent bar is one depends on the venue:

* A venue that sends a bar for every interval, empty ones too (Binance): each absent bar is a hole.
* A venue that leaves out bars without a trade, on an exchange with hours (Massive, Alpha Vantage): of the bars of a
  day, each session must have one; of finer bars, each session must have at least one. An absent minute is `quiet`.
* A venue that leaves out bars without a trade and never closes (Kalshi, Coinbase, Kraken): none can be told; `quiet`.

What is absent before the first bar of all is no hole but where the history begins.
Trades are numbered without a gap by some venues; where numbers are missing there, it is a hole.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from actors.market.bars_intervals import DAY, parse_interval
from actors.market.calendars import ALWAYS, Calendar, calendar_of
from actors.market.venue_rest import HistoryKind

NANO: Final = 1_000_000_000
MONTH: Final = "1M"
"""A calendar month, of UTC: the one interval that has no fixed length."""
HOUR: Final = 3600 * NANO
SENDS_EMPTY_BARS: Final = frozenset({"binance", "binance-usdm", "binance-coinm"})
"""Venues that send a bar for every interval since a market was listed."""
NUMBERS_TRADES: Final = frozenset({"binance", "binance-usdm", "binance-coinm"})
"""Venues whose trades of a market are numbered without a gap."""
CALENDARS: Final = {"massive": "XNYS", "alphavantage": "XNYS"}
"""The calendar of a venue's markets; others never close."""
ZONES: Final = {"XNYS": "America/New_York"}
"""Where a calendar's days begin at midnight."""
MOST_HOLES: Final = 1000
"""Holes that are listed of one part; what is beyond is in the sum of bars alone."""


class Span(NamedTuple):
    """[start, end) in nanoseconds."""

    start: int
    end: int


class Hole(msgspec.Struct, frozen=True, array_like=True):
    """[start, end) in which `missing` bars, trades or sessions ought to be and are not."""

    start: int
    end: int
    missing: int
    why: str


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a history: what it spans, and what is in it.

    `first` and `last`: the start of its first and last bar, or the times of its first and last trade; None where it is
    empty. `quiet`: absent bars of which nobody can say that they ought to be there. `cut`: digits of volumes past
    10⁻¹², which the file cannot hold.
    """

    file: str
    start: int
    end: int
    rows: int
    first: int | None
    last: int | None
    holes: tuple[Hole, ...] = ()
    quiet: int = 0
    cut: int = 0
    calls: int = 0
    bytes: int = 0
    retrieved_at: int = 0

    @property
    def span(self) -> Span:
        """What it covers, with or without rows."""
        return Span(self.start, self.end)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is there of one history. `interval` is empty but for bars. Parts are sorted and do not overlap."""

    version: int = 1
    venue: str
    market: str
    kind: HistoryKind
    interval: str = ""
    marks: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()

    def missing(self, wanted: Span) -> list[Span]:
        """The spans of `wanted` that no part covers, in order."""
        return missing(wanted, [part.span for part in self.parts])

    def with_part(self, part: Part) -> Manifest:
        """With one more part. Raises ValueError where it overlaps another one."""
        if any(part.start < each.end and each.start < part.end for each in self.parts):
            raise ValueError(f"the part {part.file} overlaps another one")
        return msgspec.structs.replace(self, parts=tuple(sorted((*self.parts, part), key=lambda each: each.start)))

    @property
    def rows(self) -> int:
        """Of all parts."""
        return sum(part.rows for part in self.parts)

    def holes(self) -> tuple[Hole, ...]:
        """Of all parts; what lies before the first row of all is none: the history begins there."""
        first = min((part.first for part in self.parts if part.first is not None), default=None)
        if first is None:
            return ()
        return tuple(hole for part in self.parts for hole in part.holes if hole.end > first)


def missing(wanted: Span, covered: Iterable[Span]) -> list[Span]:
    """The spans of `wanted` that are not covered, in order."""
    found: list[Span] = []
    at = wanted.start
    for span in sorted(covered):
        if span.end <= at:
            continue
        if span.start >= wanted.end:
            break
        if span.start > at:
            found.append(Span(at, span.start))
        at = span.end
    if at < wanted.end:
        found.append(Span(at, wanted.end))
    return found


def parts_of(span: Span, kind: HistoryKind, interval: str, venue: str) -> list[Span]:
    """`span` cut where parts end: at months for bars under an hour, at years for hours, at days for trades.

    Days and months are those of the venue's exchange: a venue that answers by its own months is asked once for each.
    Days and longer bars, and funding, are one part.
    """
    zone = ZoneInfo(ZONES.get(CALENDARS.get(venue, ""), "UTC"))
    if kind == "funding" or (kind == "bars" and length_of(interval) >= DAY):
        return [span] if span.start < span.end else []
    found: list[Span] = []
    at = span.start
    while at < span.end:
        border = min(_next_border(at, kind, interval, zone), span.end)
        found.append(Span(at, border))
        at = border
    return found


def _next_border(ts: int, kind: HistoryKind, interval: str, zone: ZoneInfo) -> int:
    day = datetime.fromtimestamp(ts // NANO, UTC).astimezone(zone).date()
    if kind == "trades":
        return midnight(day + timedelta(days=1), zone)
    if length_of(interval) >= HOUR:
        return midnight(date(day.year + 1, 1, 1), zone)
    return midnight(_next_month(day), zone)


def length_of(interval: str) -> int:
    """The length of a bar in nanoseconds; of a month, that of the longest. Raises ValueError for no time."""
    if interval == MONTH:
        return 31 * DAY
    parsed = parse_interval(interval)
    if parsed.kind != "time":
        raise ValueError(f"a history has bars of time, not of {parsed.kind}")
    return parsed.length


def _next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def midnight(day: date, zone: ZoneInfo) -> int:
    """The begin of a day in a zone, in nanoseconds."""
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * NANO


def closed_until(kind: HistoryKind, interval: str, venue: str, now: int) -> int:
    """The end of what can be whole at `now`: a bar that is still open would be kept as it is."""
    if kind != "bars":
        return now
    length = length_of(interval)
    zone = ZONES.get(CALENDARS.get(venue, ""))
    if zone is not None and length >= DAY:
        return midnight(datetime.fromtimestamp(now // NANO, UTC).astimezone(ZoneInfo(zone)).date(), ZoneInfo(zone))
    if length > DAY:
        # Venues begin weeks and spans of three days where they like, but with a day.
        return (now - length) // DAY * DAY + DAY
    return now // length * length


def bar_holes(starts: Sequence[int], span: Span, venue: str, interval: str) -> tuple[tuple[Hole, ...], int]:
    """(holes, quiet bars) of the bars of `span` that start at `starts`, sorted. Imports calendars where needed."""
    length = length_of(interval)
    if venue in SENDS_EMPTY_BARS:
        return (_month_holes(starts) if interval == MONTH else _grid_holes(starts, span, length)), 0
    name = CALENDARS.get(venue, ALWAYS)
    if name == ALWAYS:
        first, after = _grid(starts, span, length)
        return (), max(0, (after - first) // length - len(starts))
    calendar = calendar_of(name)
    span = _known(span, calendar)
    if length >= DAY:
        return _session_holes(starts, span, calendar, daily=True), 0
    holes = _session_holes(starts, span, calendar, daily=False)
    inside = sum(
        (min(session.closes, span.end) - max(session.opens, span.start)) // length
        for session in calendar.sessions(span.start, span.end)
    )
    there = sum(1 for start in starts if calendar.is_open(start)) if starts else 0
    return holes, max(inside - there, 0)


def _known(span: Span, calendar: Calendar) -> Span:
    assert calendar.known is not None
    start, end = calendar.known
    return Span(min(max(span.start, start), end - 1), min(span.end, end))


def _grid(starts: Sequence[int], span: Span, length: int) -> tuple[int, int]:
    """The first start of a bar in the span, and the first one behind it. Bars that are there show where they begin."""
    phase = starts[0] % length if starts else 0
    return _at_or_after(span.start, phase, length), _at_or_after(span.end, phase, length)


def _at_or_after(moment: int, phase: int, length: int) -> int:
    return moment + (phase - moment) % length


def _grid_holes(starts: Sequence[int], span: Span, length: int) -> tuple[Hole, ...]:
    expected, after = _grid(starts, span, length)
    holes: list[Hole] = []
    for start in (*starts, after):
        if start > expected:
            holes.append(Hole(expected, start, (start - expected) // length, "bars are missing"))
        expected = start + length
    return _bounded(holes)


def _month_holes(starts: Sequence[int]) -> tuple[Hole, ...]:
    """Between the months that are there."""
    holes: list[Hole] = []
    for before, start in pairwise(starts):
        month = _next_month(datetime.fromtimestamp(before // NANO, UTC).date())
        first, count = midnight(month, ZoneInfo("UTC")), 0
        while midnight(month, ZoneInfo("UTC")) < start:
            month, count = _next_month(month), count + 1
        if count:
            holes.append(Hole(first, start, count, "bars are missing"))
    return tuple(holes)


def _session_holes(starts: Sequence[int], span: Span, calendar: Calendar, *, daily: bool) -> tuple[Hole, ...]:
    """Sessions of the span without their bar (which begins at midnight there), or without any bar."""
    zone = ZoneInfo(ZONES.get(calendar.name, "UTC"))
    holes: list[Hole] = []
    for session in calendar.sessions(span.start, span.end):
        first, after = session.opens, session.closes
        if daily:
            day = date.fromisoformat(session.day)
            first, after = midnight(day, zone), midnight(day + timedelta(days=1), zone)
        if first < span.start or session.closes > span.end:
            continue
        place = bisect_left(starts, first)
        if place == len(starts) or starts[place] >= after:
            why = "a session without its bar" if daily else "a session without any bar"
            holes.append(Hole(first, after, 1, why))
    return _bounded(holes)


def trade_holes(numbered: Sequence[tuple[int, str]], venue: str) -> tuple[Hole, ...]:
    """Where numbers are missing among trades, given as (time, id), sorted by time."""
    if venue not in NUMBERS_TRADES:
        return ()
    try:
        numbers = sorted((int(trade_id), ts) for ts, trade_id in numbered)
    except ValueError:
        return ()
    holes = [
        Hole(before, ts, number - last - 1, "trade numbers are missing")
        for (last, before), (number, ts) in pairwise(numbers)
        if number > last + 1
    ]
    return _bounded(holes)


def _bounded(holes: list[Hole]) -> tuple[Hole, ...]:
    if len(holes) <= MOST_HOLES:
        return tuple(holes)
    rest = holes[MOST_HOLES - 1 :]
    last = Hole(rest[0].start, rest[-1].end, sum(hole.missing for hole in rest), f"{len(rest)} holes: {rest[0].why}")
    return (*holes[: MOST_HOLES - 1], last)
