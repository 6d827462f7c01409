"""`time`, `datetime`, `calendar`, `logging` and `warnings` of strategies: their clock is that of the input at hand."""

from __future__ import annotations

import calendar
import datetime as real
import logging
import sys
import time
import warnings
from typing import Any, Final

from actors.strategies.sandbox.inside import guarded
from actors.strategies.sandbox.inside.clock import CLOCK
from actors.strategies.sandbox.inside.facade import Facade, facade_of

_SECOND: Final = 1_000_000_000


class _LikeDate(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, real.date)

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(kind, real.date)


class _LikeDatetime(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, real.datetime)

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(kind, real.datetime)


class Date(real.date, metaclass=_LikeDate):
    """datetime.date whose today is the strategy's."""

    @classmethod
    def today(cls) -> Any:
        """The date of the strategy's clock, UTC."""
        return cls.fromtimestamp(CLOCK.now // _SECOND)


class Datetime(real.datetime, metaclass=_LikeDatetime):
    """datetime.datetime whose now is the strategy's."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        """The time of the strategy's clock: in `tz`, or UTC without saying so."""
        now = cls.fromtimestamp(CLOCK.now // _SECOND, real.UTC).replace(microsecond=CLOCK.now % _SECOND // 1000)
        return now.replace(tzinfo=None) if tz is None else now.astimezone(tz)

    @classmethod
    def utcnow(cls) -> Any:
        """The time of the strategy's clock, UTC without saying so."""
        return cls.now()

    @classmethod
    def today(cls) -> Any:
        """The time of the strategy's clock, UTC without saying so."""
        return cls.now()


for _kind, _name in ((Date, "date"), (Datetime, "datetime")):
    _kind.__name__ = _kind.__qualname__ = _name
    _kind.__module__ = "datetime"

# The bounds of the real classes are instances of those, whose `now` is the machine's.
Date.min, Date.max = (Date(each.year, each.month, each.day) for each in (real.date.min, real.date.max))
Datetime.min, Datetime.max = (
    Datetime.combine(each.date(), each.time()) for each in (real.datetime.min, real.datetime.max)
)


def _seconds() -> float:
    return CLOCK.now / _SECOND


def _nanoseconds() -> int:
    return CLOCK.now


def _struct(seconds: float | None = None) -> time.struct_time:
    return time.gmtime(_seconds() if seconds is None else seconds)


def _strftime(form: str, moment: Any = None) -> str:
    return time.strftime(form, _struct() if moment is None else moment)


class Logger:
    """What `logging.getLogger` gives: lines of the strategy's log."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.level = logging.NOTSET

    def setLevel(self, level: int) -> None:  # noqa: N802 - the standard library's name
        """Leave out what is below a level."""
        self.level = level

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802
        """Whether a line of this level is taken."""
        return level >= self.level

    def log(self, level: int, message: object, *values: Any, **_: Any) -> None:
        """Add a line."""
        if level < self.level:
            return
        text = str(message)
        if values:
            text %= values[0] if len(values) == 1 and isinstance(values[0], dict) else values
        name = next((name for least, name in _LEVELS if level >= least), "debug")
        journal: Any = sys.stdout
        journal.log(name, text)

    def debug(self, message: object, *values: Any, **named: Any) -> None:
        """Add a line."""
        self.log(logging.DEBUG, message, *values, **named)

    def info(self, message: object, *values: Any, **named: Any) -> None:
        """Add a line."""
        self.log(logging.INFO, message, *values, **named)

    def warning(self, message: object, *values: Any, **named: Any) -> None:
        """Add a line."""
        self.log(logging.WARNING, message, *values, **named)

    def error(self, message: object, *values: Any, **named: Any) -> None:
        """Add a line."""
        self.log(logging.ERROR, message, *values, **named)

    exception = critical = error


_LEVELS: Final = ((logging.ERROR, "error"), (logging.WARNING, "warning"), (logging.INFO, "info"))
_LOGGERS: Final[dict[str, Logger]] = {}


def _logger(name: str = "root") -> Logger:
    return _LOGGERS.setdefault(name, Logger(name))


def _nothing(*_: Any, **__: Any) -> None:
    """Where lines go is not the strategy's to say."""


def time_facades() -> dict[str, Facade]:
    """The facades by module."""
    root = _logger()
    return {
        "datetime": facade_of(real, "datetime", instead={"date": Date, "datetime": Datetime}),
        "calendar": facade_of(
            calendar, "calendar", without=("different_locale", "LocaleTextCalendar", "LocaleHTMLCalendar", "main")
        ),
        "time": Facade(
            "time",
            {
                "time": _seconds,
                "monotonic": _seconds,
                "perf_counter": _seconds,
                "time_ns": _nanoseconds,
                "monotonic_ns": _nanoseconds,
                "perf_counter_ns": _nanoseconds,
                "gmtime": _struct,
                "localtime": _struct,
                "mktime": calendar.timegm,
                "strftime": _strftime,
                "strptime": time.strptime,
                "struct_time": time.struct_time,
            },
        ),
        "logging": Facade(
            "logging",
            {
                "getLogger": _logger,
                "Logger": Logger,
                "basicConfig": _nothing,
                **{
                    name: getattr(root, name) for name in ("debug", "info", "warning", "error", "exception", "critical")
                },
                **{
                    name: getattr(logging, name) for name in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "NOTSET")
                },
            },
        ),
        "warnings": facade_of(
            warnings,
            "warnings",
            only=("warn", "filterwarnings", "simplefilter", "resetwarnings"),
            instead={"catch_warnings": guarded.catch_warnings},
        ),
    }
