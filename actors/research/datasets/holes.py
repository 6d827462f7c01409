"""Bars that should be there and are not, and times that look shifted.

With a calendar a bar should be there for every interval of a session (of a day or longer: one for every session).
Without one the bars tell by themselves when their market is open: a week is divided into slots of an interval (at most
an hour; of less than three weeks a working day and a free one), and a slot is open that has at least a fifth of the
bars that the middle one of those with bars has, or that came by but once. Weekends and nights that are always empty are
then no holes.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from actors.market.bars_intervals import DAY, parse_interval
from actors.market.calendars import Calendar
from actors.market.tables.decimals import MISSING
from actors.research.datasets.findings import FIRST_ROWS, Finding
from actors.research.datasets.table import Table

HOUR: Final = 3600 * 10**9
WEEK: Final = 7 * DAY
_MONDAY: Final = 4 * DAY
OPEN_SHARE: Final = 0.2
_SHIFTS: Final = tuple(range(-14, 15))
_MUCH: Final = 0.2
Moments = NDArray[np.int64]


class Holes(msgspec.Struct):
    """`present` of the `expected` bars are there; `spans`: [start, end) of those that are not, longest first."""

    present: int
    expected: int
    spans: list[tuple[int, int, int]]
    told_by: str

    @property
    def missing(self) -> int:
        """Bars that are not there."""
        return sum(count for _, _, count in self.spans)

    def findings(self, market: str) -> list[Finding]:
        """One finding, if any is missing."""
        if not self.spans:
            return []
        examples = tuple(f"{_text(start)} to {_text(end)}: {count}" for start, end, count in self.spans[:FIRST_ROWS])
        return [
            Finding(
                kind="holes",
                severity="warning",
                count=self.missing,
                market=market,
                message=f"{self.missing} of {self.expected} bars are not there, in {len(self.spans)} holes "
                f"(open times as {self.told_by} tells)",
                advice="download the spans again, or say which calendar the market has",
                examples=examples,
            )
        ]


def find(table: Table, calendar: Calendar | None = None, zone: str = "UTC") -> Holes:
    """The holes of one market's bars. `zone`: whose clocks its hours follow, where there is no calendar."""
    starts = np.unique(table.columns["start"][table.columns["start"] != MISSING])
    length = parse_interval(table.interval).length
    if len(starts) < 2:
        return Holes(len(starts), len(starts), [], "the data")
    if calendar is not None and not calendar.always_open:
        known = calendar.known
        if known is not None and known.start <= starts[0] and starts[-1] < known.end:
            return _by_sessions(starts, length, calendar)
    if calendar is not None and calendar.always_open:
        expected = np.arange(starts[0], starts[-1] + 1, length)
        return _compared(starts, expected, length, "the calendar")
    return _by_slots(starts, length, zone)


def _by_sessions(starts: Moments, length: int, calendar: Calendar) -> Holes:
    sessions = calendar.sessions(int(starts[0]), int(starts[-1]) + 1)
    told = f"the calendar {calendar.name}"
    if length >= DAY:
        # A day's bar may be named by its midnight, here or there.
        days = np.array([session.opens for session in sessions], dtype=np.int64) // DAY
        have = np.unique(np.r_[starts // DAY, (starts + 6 * HOUR) // DAY])
        absent = days[~np.isin(days, have)] * DAY
        return Holes(len(days) - len(absent), len(days), [(int(at), int(at) + DAY, 1) for at in absent], told)
    parts = [
        np.arange(session.opens - session.opens % length, session.closes, length, dtype=np.int64)
        for session in sessions
    ]
    expected = np.concatenate(parts) if parts else starts[:0]
    expected = expected[(expected >= starts[0]) & (expected <= starts[-1])]
    return _compared(starts, expected, length, told)


def _by_slots(starts: Moments, length: int, zone: str) -> Holes:
    """Without a calendar: slots that are usually empty are closed."""
    if length >= DAY:
        expected = np.arange(starts[0], starts[-1] + 1, length)
        days = (expected - _MONDAY) % WEEK // DAY
        open_days = np.isin(days, _often((starts - _MONDAY) % WEEK // DAY, len(expected) / 7))
        return _compared(starts, expected[open_days] if length == DAY else expected, length, "the data")
    expected = np.arange(starts[0], starts[-1] + 1, length, dtype=np.int64)
    slot = max(length, 60 * 10**9) if length < HOUR else length
    weeks = (int(starts[-1]) - int(starts[0])) / WEEK
    keys, own = _local(expected, zone), _local(starts, zone)
    if weeks >= 3:
        keys, own = (keys - _MONDAY) % WEEK // slot, (own - _MONDAY) % WEEK // slot
    else:
        keys, own = _day_slots(keys, slot), _day_slots(own, slot)
    have = _counts(own)
    usual = float(np.median(list(have.values())))
    often = [key for key, count in have.items() if count >= OPEN_SHARE * usual]
    # Of what came by once nobody can say that it is usually empty.
    often += [key for key, count in _counts(keys).items() if count <= slot // length]
    return _compared(starts, expected[np.isin(keys, often)], length, "the data")


def _local(moments: Moments, zone: str) -> Moments:
    """What the clocks of a zone show, as if it were UTC."""
    if zone in ("", "UTC"):
        return moments
    stamps = pa.array(moments).cast(pa.timestamp("ns", zone))
    return np.asarray(pc.local_timestamp(stamps).cast(pa.int64()).to_numpy())


def _day_slots(moments: Moments, slot: int) -> Moments:
    """The slot of the day; of Saturdays and Sundays others."""
    weekend = ((moments - _MONDAY) % WEEK // DAY >= 5).astype(np.int64)
    return moments % DAY // slot + weekend * (DAY // slot)


def _counts(keys: Moments) -> dict[int, int]:
    values, counts = np.unique(keys, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _often(keys: Moments, most: float) -> list[int]:
    return [key for key, count in _counts(keys).items() if count >= OPEN_SHARE * most]


def _compared(starts: Moments, expected: Moments, length: int, told_by: str) -> Holes:
    absent = expected[~np.isin(expected, starts)]
    places = np.searchsorted(expected, absent)
    edges = np.flatnonzero(np.diff(places) != 1) + 1
    spans = [(int(run[0]), int(run[-1]) + length, len(run)) for run in np.split(absent, edges) if len(run)]
    spans.sort(key=lambda span: -span[2])
    return Holes(len(expected) - len(absent), len(expected), spans, told_by)


# -- time zone -----------------------------------------------------------------------------------------------


def zone_suspicion(table: Table, calendar: Calendar | None, *, zoned: bool) -> str:
    """Why the times look like those of another zone; empty if they do not."""
    there = table.columns["start"] != MISSING
    starts = table.columns["start"][there]
    length = parse_interval(table.interval).length
    if len(starts) < 50 or length >= DAY:
        return ""
    if calendar is not None and not calendar.always_open:
        volume = np.nan_to_num(table.columns["volume"][there])
        return _outside_sessions(starts, volume if volume.sum() > 0 else np.ones(len(starts)), calendar)
    if zoned:
        return ""
    return _same_all_year(starts)


def _outside_sessions(starts: Moments, weights: NDArray[np.float64], calendar: Calendar) -> str:
    known = calendar.known
    if known is None or starts[0] < known.start + DAY or starts[-1] > known.end - DAY:
        return ""
    sessions = calendar.sessions(int(starts[0]) - DAY, int(starts[-1]) + DAY)
    opens = np.array([session.opens for session in sessions], dtype=np.int64)
    closes = np.array([session.closes for session in sessions], dtype=np.int64)
    shares = {hours: _covered(starts + hours * HOUR, weights, opens, closes) for hours in _SHIFTS}
    best = max(shares, key=lambda hours: (shares[hours], -abs(hours)))
    if shares[best] < shares[0] + _MUCH:
        return ""
    return (
        f"{shares[0]:.0%} of the volume is in sessions of {calendar.name}, and {shares[best]:.0%} if {best:+d} h were "
        "added: the times look like those of another zone"
    )


def _covered(moments: Moments, weights: NDArray[np.float64], opens: Moments, closes: Moments) -> float:
    """The share of the volume (without one: of the bars) that is in sessions."""
    place = np.searchsorted(opens, moments, "right") - 1
    inside = (place >= 0) & (moments < closes[np.maximum(place, 0)])
    return float((weights * inside).sum() / weights.sum())


def _same_all_year(starts: Moments) -> str:
    """A market that closes every night opens at another hour of UTC in summer; of local time at the same."""
    days = starts // DAY
    new = np.flatnonzero(np.r_[True, np.diff(days) > 0])
    gaps = np.diff(starts)[np.maximum(new[1:] - 1, 0)] if len(new) > 1 else starts[:0]
    if len(gaps) < 4 or np.median(gaps) < 4 * HOUR:
        return ""
    opening = starts[new] % DAY // (HOUR // 2)
    month = starts[new].astype("datetime64[ns]").astype("datetime64[M]").astype(int) % 12 + 1
    summer, winter = opening[np.isin(month, (6, 7, 8))], opening[np.isin(month, (12, 1, 2))]
    if len(summer) >= 20 and len(winter) >= 20 and np.median(summer) == np.median(winter):
        at = int(np.median(summer)) * 30
        return (
            f"the times name no zone, the market closes every night, and it opens at {at // 60:02d}:{at % 60:02d} in "
            "summer and winter: these look like local times, and not like UTC"
        )
    return ""


def _text(ts: int) -> str:
    return f"{np.datetime64(ts, 'ns').astype('datetime64[s]')}Z"
