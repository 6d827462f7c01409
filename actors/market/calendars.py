"""When an exchange is open: sessions, the next opening, and where days begin and end. All times in nanoseconds, UTC.

Over `exchange_calendars`, which takes half a second to import and builds a calendar in some hundred milliseconds: an
actor calls this on a thread. Nothing is imported before the first call.

    calendar = Calendar("XNYS")
    calendar.sessions(start, end)        ((day, opens, closes), …) of the sessions that overlap [start, end)
    calendar.session_at(ts)              the session that is open then, or None
    calendar.day_of(ts)                  [start, end) of the daily bar that a time belongs to

The empty name is a market that never closes; its days are those of UTC.
"""

from __future__ import annotations

import functools
import importlib
import warnings
from bisect import bisect_left, bisect_right
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple

NANO: Final = 1_000_000_000
DAY: Final = 86_400 * NANO
ALWAYS: Final = ""
_FIRST: Final = "1990-01-01"
# How far ahead holidays are known; beyond, a calendar is a guess.
_AHEAD: Final = timedelta(days=365)


class Session(NamedTuple):
    """One session: its date, and [opens, closes) in nanoseconds. `closes` is early on a half day."""

    day: str
    opens: int
    closes: int


class Bounds(NamedTuple):
    """[start, end) of a day, in nanoseconds."""

    start: int
    end: int


class Calendar:
    """The calendar of one exchange by its MIC ("XNYS"), or of a market that is always open ("").

    Known from 1990, or as far back as the library goes, to a year from `today` (None: the day of the first use).
    Raises ValueError for an unknown name, and for times outside of what is known.
    """

    def __init__(self, name: str = ALWAYS, today: date | None = None) -> None:
        self.name = name
        self._sessions: tuple[Session, ...] = ()
        self._opens: tuple[int, ...] = ()
        self._closes: tuple[int, ...] = ()
        self.known: Bounds | None = None
        if name == ALWAYS:
            return
        last = (today or datetime.now(UTC).date()) + _AHEAD
        self._sessions = _load(name, _FIRST, last.isoformat())
        self._opens = tuple(session.opens for session in self._sessions)
        self._closes = tuple(session.closes for session in self._sessions)
        self.known = Bounds(self._opens[0] // DAY * DAY, self._closes[-1])

    @property
    def always_open(self) -> bool:
        """Whether there are no sessions because it never closes."""
        return self.name == ALWAYS

    def sessions(self, start: int, end: int) -> tuple[Session, ...]:
        """The sessions that overlap [start, end), in order; of a market that never closes, the days of UTC."""
        if self.always_open:
            return tuple(
                Session(_date(at).isoformat(), at, at + DAY) for at in range(start // DAY * DAY, max(end, start), DAY)
            )
        self._check(start)
        first, stop = _after(self._closes, start), _from(self._opens, end)
        return self._sessions[first:stop]

    def session_at(self, ts: int) -> Session | None:
        """The session that is open at `ts`."""
        found = self.sessions(ts, ts + 1)
        return found[0] if found else None

    def is_open(self, ts: int) -> bool:
        """Whether it is open at `ts`: at the opening it is, at the close it is not."""
        return self.always_open or self.session_at(ts) is not None

    def next_open(self, ts: int) -> int:
        """The first opening at or after `ts`; of a market that never closes, `ts` itself."""
        if self.always_open:
            return ts
        self._check(ts)
        return self._opens[_from(self._opens, ts)]

    def next_close(self, ts: int) -> int | None:
        """The first close after `ts`; None where it never closes."""
        if self.always_open:
            return None
        self._check(ts)
        return self._closes[_after(self._closes, ts)]

    def day_of(self, ts: int) -> Bounds:
        """Where the daily bar of `ts` begins and ends.

        A time within a session belongs to it; one outside of every session belongs to the next one, since whatever
        is traded then is settled with that day. The bounds are those of the session itself.
        """
        if self.always_open:
            start = ts // DAY * DAY
            return Bounds(start, start + DAY)
        self._check(ts)
        session = self._sessions[_after(self._closes, ts)]
        return Bounds(session.opens, session.closes)

    def _check(self, ts: int) -> None:
        assert self.known is not None
        if not self.known.start <= ts < self.known.end:
            first, last = self._sessions[0].day, self._sessions[-1].day
            raise ValueError(f"the calendar {self.name} is known from {first} to {last}, not on {_date(ts)}")


@functools.lru_cache(maxsize=32)
def calendar_of(name: str) -> Calendar:
    """The calendar of a name, built once. Slow the first time. Raises ValueError for an unknown name."""
    return Calendar(name)


@functools.lru_cache(maxsize=32)
def _load(name: str, first: str, last: str) -> tuple[Session, ...]:
    library: Any = importlib.import_module("exchange_calendars")
    with warnings.catch_warnings():
        # Its own affair with pandas.
        warnings.simplefilter("ignore")
        try:
            calendar = library.get_calendar(name, start=first, end=last)
        except library.errors.InvalidCalendarName:
            raise ValueError(f"there is no exchange calendar {name!r}") from None
        except ValueError:
            # Of some exchanges the library knows holidays (those of the moon) for fewer years.
            calendar = library.get_calendar(name)
    schedule = calendar.schedule
    opens = schedule["open"].to_numpy("datetime64[ns]").astype("int64").tolist()
    closes = schedule["close"].to_numpy("datetime64[ns]").astype("int64").tolist()
    days = [day.date().isoformat() for day in schedule.index]
    return tuple(Session(day, opened, closed) for day, opened, closed in zip(days, opens, closes, strict=True))


def _after(moments: tuple[int, ...], ts: int) -> int:
    """The index of the first moment after `ts`."""
    return bisect_right(moments, ts)


def _from(moments: tuple[int, ...], ts: int) -> int:
    """The index of the first moment at or after `ts`."""
    return bisect_left(moments, ts)


def _date(ts: int) -> date:
    return datetime.fromtimestamp(ts // NANO, UTC).date()
