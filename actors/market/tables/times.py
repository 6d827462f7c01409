"""Columns of times as nanoseconds since the Unix epoch, whole columns at a time.

    iso          2024-01-31 09:30:00[.123456789][Z | +01:00 | UTC], also 2024/01/31
    dmy, mdy     31/01/2024 09:30, 01/31/2024 09:30 (31.01.2024 is always dmy); which of them the days above 12 tell
    compact      20240131, 20240131 093000, 20240131T093000
    s ms us ns   a number since the epoch

A time that names no zone is of the zone that is told. Where a file can be read in two ways it is refused, and the error
names both.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from actors.market.tables.decimals import MISSING, texts_of
from actors.market.tables.faults import REPEATED_HOUR, Faults, TableError
from actors.market.tables.options import TimeForm
from protocols.nanos import INT64_MAX

UNITS: Final[dict[str, int]] = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_EXAMPLE: Final = "one such as 2024-01-31 09:30:00"
_NUMBER: Final = r"^[+-]?[0-9]+(?:\.[0-9]*)?$"
_TURNED: Final = r"^([0-9]{1,2})([./-])([0-9]{1,2})[./-]([0-9]{4})(?:[ T,]+(.*))?$"
_COMPACT: Final = r"^([0-9]{4})([0-9]{2})([0-9]{2})(?:[ T]?([0-9]{2}):?([0-9]{2})(?::?([0-9]{2}))?)?$"
_DAY: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLEAN: Final = _DAY + r"(?:[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?$"
_ZONED: Final = r"(?:Z|[+-][0-9]{2}:?[0-9]{2})$"
# A number of days since 1973 in each unit lies between these.
_BOUNDS: Final[tuple[tuple[TimeForm, int, int], ...]] = (
    ("s", 10**8, 10**11),
    ("ms", 10**11, 10**14),
    ("us", 10**14, 10**17),
    ("ns", 10**17, 10**19),
)


class Ambiguous(TableError):
    """The times can be read in two ways: `choices` (of `FORMS`) names them."""

    def __init__(self, field: str, choices: tuple[TimeForm, ...], text: str) -> None:
        shown = " or ".join(choices)
        message = f"expected times that can be read in one way, or to be told the form ({shown}), got {text[:50]!r}"
        super().__init__(field, message)
        self.choices = choices


def form_of(column: Any, field: str = "time") -> TimeForm:
    """The form that all of a column's times have. Raises TableError, Ambiguous."""
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return "iso"
    texts = pc.drop_null(texts_of(column))
    if not len(texts):
        raise TableError(field, f"expected {_EXAMPLE}, got nothing")
    first = texts[0].as_py()
    if _all(texts, _NUMBER):
        return _number_form(texts, field)
    if _all(texts, _COMPACT):
        return "compact"
    if not _all(texts, _TURNED):
        return "iso"
    if "." in first[:3]:
        return "dmy"
    parts = pc.extract_regex(texts, r"^(?P<one>[0-9]{1,2})[./-](?P<two>[0-9]{1,2})")
    one, two = (int(pc.max(pc.cast(pc.struct_field(parts, name), pa.int64())).as_py()) for name in ("one", "two"))
    if one > 12 and two > 12:
        raise TableError(field, f"expected days before months or months before days, got both, as {first[:50]!r}")
    if one <= 12 and two <= 12:
        raise Ambiguous(field, ("dmy", "mdy"), first)
    return "dmy" if one > 12 else "mdy"


def _number_form(texts: Any, field: str) -> TimeForm:
    first = texts[0].as_py()
    if _all(texts, r"^(?:19|20)[0-9]{6}$"):
        return "compact"
    if _all(texts, r"^(?:19|20)[0-9]{12}$"):
        return "compact"
    if _all(texts, r"^(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])[0-3][0-9][0-2][0-9][0-5][0-9]$"):
        raise Ambiguous(field, ("compact", "ms"), first)
    figures = np.abs(pc.cast(texts, pa.float64()).to_numpy(zero_copy_only=False))
    figures = figures[figures > 0]
    found = {unit for unit, low, high in _BOUNDS if ((figures >= low) & (figures < high)).any()}
    if len(found) > 1 or (len(figures) and figures.min() < _BOUNDS[0][1]):
        shown = " and ".join(sorted(found)) or "none of s, ms, us, ns"
        raise TableError(field, f"expected numbers of one unit since the epoch (s, ms, us or ns), got {shown}")
    return next(iter(found), "s")


def nanoseconds(
    column: Any, form: TimeForm, zone: str, field: str, faults: Faults, first_row: int = 1
) -> NDArray[np.int64]:
    """Nanoseconds since the epoch, UTC; MISSING where there is nothing.

    Raises TableError for a text that is no time of this form, or a local time that the clocks left out.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_date(column.type):
        column = pc.cast(column, pa.timestamp("ns"))
    if pa.types.is_timestamp(column.type):
        stamps = pc.cast(column, pa.timestamp("ns", column.type.tz))
        return _raw(stamps if column.type.tz else _placed(stamps, zone, field, faults))
    texts = texts_of(column)
    if form in UNITS:
        return _epoch(texts, UNITS[form], field, first_row)
    if form in ("dmy", "mdy"):
        _check(texts, _TURNED, field, first_row)
        order = r"\4-\3-\1 \5" if form == "dmy" else r"\4-\1-\3 \5"
        texts = pc.replace_substring_regex(texts, _TURNED, order)
    elif form == "compact":
        _check(texts, _COMPACT, field, first_row)
        texts = pc.replace_substring_regex(texts, _COMPACT, r"\1-\2-\3 \4:\5:\6")
        texts = pc.replace_substring_regex(texts, ":+$", "")
    return _iso(texts, zone, field, faults, first_row)


def _iso(texts: Any, zone: str, field: str, faults: Faults, first_row: int) -> NDArray[np.int64]:
    given = texts
    spellings = (
        ()
        if _all(pc.drop_null(texts), _CLEAN)
        else (
            (r"^([0-9]{4})/([0-9]{1,2})/([0-9]{1,2})", r"\1-\2-\3"),
            (r"-([0-9])(-|[ T]|$)", r"-0\1\2"),
            (r"-([0-9])(-|[ T]|$)", r"-0\1\2"),
            (r"([ T])([0-9]:)", r"\10\2"),
            (r" ?(?:UTC|GMT)$", "Z"),
            (r"[ ]+(Z|[+-][0-9]{2}:?[0-9]{2})$", r"\1"),
            (r"([0-9]),([0-9]+)", r"\1.\2"),
            (r"(\.[0-9]{9})[0-9]+", r"\1"),
            (r"[ T]*$", ""),
        )
    )
    for pattern, replacement in spellings:
        texts = pc.replace_substring_regex(texts, pattern, replacement)
    # Behind the time of day: a date alone ends in digits behind a dash, too.
    zoned = pc.match_substring_regex(texts, r":[0-9.]+" + _ZONED)
    count = int(pc.sum(zoned).as_py() or 0)
    whole = len(texts) - texts.null_count
    if count not in (0, whole):
        wrong = _first(pc.invert(zoned))
        raise TableError(field, "expected a zone in all times or in none, got both", first_row + (wrong or 0))
    try:
        if count:
            return _raw(pc.cast(texts, pa.timestamp("ns", "UTC")))
        local = pc.cast(texts, pa.timestamp("ns"))
    except pa.ArrowInvalid:
        raise _unreadable(texts, given, pa.timestamp("ns", "UTC" if count else None), field, first_row) from None
    return _raw(_placed(local, zone, field, faults))


def _unreadable(texts: Any, given: Any, kind: Any, field: str, first_row: int) -> TableError:
    """Which text Arrow has stumbled over, found by halves."""
    low, high = 0, len(texts)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            pc.cast(texts.slice(low, middle - low), kind)
        except pa.ArrowInvalid:
            high = middle
        else:
            low = middle
    return TableError(field, f"expected {_EXAMPLE}, got {given[low].as_py()[:50]!r}", first_row + low)


def _placed(local: Any, zone: str, field: str, faults: Faults) -> Any:
    """Local times in UTC."""
    if zone in ("", "UTC"):
        return local
    try:
        early = pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="earliest")
        late = pc.assume_timezone(local, zone, ambiguous="latest", nonexistent="latest")
    except (pa.ArrowInvalid, pa.ArrowException) as error:
        raise TableError("zone", f"expected a zone such as America/New_York, got {zone!r} ({error})") from None
    differs = pc.not_equal(early, late)
    if int(pc.sum(differs).as_py() or 0):
        try:
            pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="raise")
        except pa.ArrowInvalid as error:
            what = str(error).partition(" is in a gap")[0]
            raise TableError(field, f"expected times that the clocks of {zone} showed, got: {what}") from None
        faults[REPEATED_HOUR] += int(pc.sum(differs).as_py())
    return early


def _epoch(texts: Any, unit: int, field: str, first_row: int) -> NDArray[np.int64]:
    _check(texts, _NUMBER, field, first_row)
    empty = pc.is_null(texts).to_numpy(zero_copy_only=False)
    if _all(pc.drop_null(texts), r"^[+-]?(?:[0-9]{1,18}|[0-8][0-9]{18})$"):
        whole = pc.cast(pc.replace_substring_regex(texts, r"^\+", ""), pa.int64())
        numbers = np.asarray(pc.fill_null(whole, 0).to_numpy(zero_copy_only=False), dtype=np.int64)
        outside = np.abs(numbers) > INT64_MAX // unit
        values = numbers * unit
    else:
        exact = [0 if text is None else int(Decimal(text) * unit) for text in texts.to_pylist()]
        outside = np.array([abs(value) > INT64_MAX for value in exact])
        values = np.array([0 if out else value for value, out in zip(exact, outside, strict=True)], np.int64)
    if outside.any():
        wrong = int(np.flatnonzero(outside)[0])
        raise TableError(
            field, f"expected a time from 1678 to 2261, got {texts[wrong].as_py()[:50]!r}", first_row + wrong
        )
    values[empty] = MISSING
    return values


def _raw(stamps: Any) -> NDArray[np.int64]:
    whole = pc.fill_null(pc.cast(stamps, pa.int64()), MISSING)
    return np.asarray(whole.to_numpy(zero_copy_only=False), dtype=np.int64).copy()


def _check(texts: Any, pattern: str, field: str, first_row: int) -> None:
    wrong = _first(pc.invert(pc.match_substring_regex(texts, pattern)))
    if wrong is not None:
        raise TableError(field, f"expected {_EXAMPLE}, got {texts[wrong].as_py()[:50]!r}", first_row + wrong)


def _all(texts: Any, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(texts, pattern), min_count=0).as_py())


def _first(mask: Any) -> int | None:
    place = pc.index(pc.fill_null(mask, False), True).as_py()
    return None if place < 0 else int(place)
