"""Bars that came with a request: checked, put in order of time, and fed to the builder of features. A core."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

import msgspec

from actors.decisions.features.checking import FeatureError, Words, number
from actors.decisions.features.market import MarketFeatures
from protocols.market import MARKS, SYNTHETIC

MOST_CANDLES: Final = 600
"""More than that would hold the event loop for over 10 ms."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = ((1e11, 1_000_000_000), (1e14, 1_000_000), (1e17, 1_000))
"""A number below the first is a time in seconds, below the second in milliseconds, the third in microseconds."""


class Told(msgspec.Struct, frozen=True):
    """What candles say: raw fields by feature, the log returns of their closes, the last close and its bar's end.

    `ts_end` is 0 where no candle has a timestamp.
    """

    raw: dict[str, float] = {}
    returns: tuple[float, ...] = ()
    close: float | None = None
    ts_end: int = 0
    marks: tuple[str, ...] = ()


def from_candles(value: object, ts: int, field: str) -> Told:
    """What complete candles say at `ts` (ns; 0: all are complete), the oldest first.

    A candle is an object of `open`, `high`, `low`, `close` and, if known, `volume` and `timestamp`: its start, as a
    number of seconds (or milli-, micro-, nanoseconds) since the epoch, or as ISO 8601 text. One that ends after `ts`
    is left out: no model was trained on half a bar. All have a timestamp or none has. Raises FeatureError.
    """
    rows = _rows(value, field)
    starts = _starts(rows, field)
    length = min((later - earlier for earlier, later in pairwise(starts)), default=0)
    builder, marks, closes = MarketFeatures(), set[str](), list[float]()
    ts_end = 0
    for place, row in enumerate(rows):
        end = starts[place] + length if starts else place + 1
        if starts and ts and end > ts:
            break
        where = f"{field}[{place}]"
        volume = row.get("volume")
        prices = [number(f"{where}.{name}", row.get(name)) for name in ("open", "high", "low", "close")]
        known = None if volume is None else number(f"{where}.volume", volume)
        try:
            builder.bar(prices[0], prices[1], prices[2], prices[3], known, end)
        except FeatureError as error:
            place_of = where if error.field == "bar" else f"{where}.{error.field}"
            raise FeatureError(place_of, error.expected, error.given) from None
        closes.append(prices[3])
        marks |= _marks(row)
        ts_end = end if starts else 0
    return _told(builder, closes, ts_end, marks)


def from_closes(value: object, field: str) -> Told:
    """What closes alone say, the oldest first: nothing of ranges, volumes or days. Raises FeatureError."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) > MOST_CANDLES:
        raise FeatureError(field, f"a list of up to {MOST_CANDLES} numbers", _size(value))
    closes = [number(f"{field}[{place}]", each, -1e15, 1e15) for place, each in enumerate(value)]
    builder = MarketFeatures()
    for place, close in enumerate(closes):
        builder.bar(close, close, close, close, None, place + 1)
    told = _told(builder, closes, 0, set())
    return msgspec.structs.replace(
        told, raw={name: raw for name, raw in told.raw.items() if name not in ("atr", "adx")}
    )


def time_of(value: object, field: str) -> int:
    """A time as ns since the epoch, from a number or ISO 8601 text (UTC where it does not say). Raises FeatureError."""
    if isinstance(value, str):
        try:
            told = datetime.fromisoformat(value)
        except ValueError:
            raise FeatureError(field, "a number, or ISO 8601 text", value) from None
        since = (told if told.tzinfo else told.replace(tzinfo=UTC)) - _EPOCH
        return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000
    found = number(field, value, 0.0, 9.2e18)
    unit = next((unit for below, unit in _UNITS if found < below), 1)
    return value * unit if isinstance(value, int) else round(found * unit)


def _told(builder: MarketFeatures, closes: list[float], ts_end: int, marks: set[str]) -> Told:
    if not closes:
        return Told()
    returns = tuple(
        math.log(later / earlier) for earlier, later in pairwise(closes) if earlier > 0 and later > 0
    )  # fmt: skip
    raw = builder.raw(max(ts_end, len(closes)))
    return Told(raw, returns, closes[-1], ts_end, tuple(sorted(marks)))


def _rows(value: object, field: str) -> list[Mapping[str, object]]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) > MOST_CANDLES:
        raise FeatureError(field, f"a list of up to {MOST_CANDLES} candles", _size(value))
    rows: list[Mapping[str, object]] = []
    for place, row in enumerate(value):
        if not isinstance(row, Mapping):
            raise FeatureError(f"{field}[{place}]", "an object", row)
        rows.append(row)
    return rows


def _starts(rows: Sequence[Mapping[str, object]], field: str) -> list[int]:
    """The start of every candle, or nothing where none has one."""
    told = [row.get("timestamp") for row in rows]
    if all(each is None for each in told):
        return []
    starts = [time_of(each, f"{field}[{place}].timestamp") for place, each in enumerate(told)]
    for place, (earlier, later) in enumerate(pairwise(starts), 1):
        if later <= earlier:
            raise FeatureError(f"{field}[{place}].timestamp", "a later one than before it", told[place])
    return starts


def _marks(row: Mapping[str, object]) -> set[str]:
    told = row.get("marks")
    found = {each for each in told if each in MARKS} if isinstance(told, list | tuple) else set()
    return found | {SYNTHETIC} if row.get("synthetic") is True else found


def _size(value: object) -> object:
    return Words(f"a list of {len(value)}") if isinstance(value, list | tuple) else value
