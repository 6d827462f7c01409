"""Columns of decimal text as integers of 10⁻⁹, never through a float; whole columns at a time."""

from __future__ import annotations

from decimal import ROUND_DOWN, Context, Decimal, InvalidOperation
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from actors.market.tables.faults import CLAMPED, CUT, DROPPED, Faults, TableError
from actors.market.tables.schema import VOLUME_DIGITS
from protocols.nanos import INT64_MAX

MISSING: Final = -(2**63)
NOTHING: Final = pa.array(["", "nan", "NaN", "NAN", "null", "NULL", "NA", "N/A", "n/a", "None", "none", "-"])
"""What files write where there is nothing."""
_NANOS: Final = 9
_READ: Final = pa.decimal128(38, 18)
_KEPT: Final = pa.decimal128(38, _NANOS)
_VOLUME: Final = pa.decimal128(*VOLUME_DIGITS)
# What Arrow's decimals take whole; the rest (exponents, longer runs of digits) is looked at one by one.
_PLAIN: Final = r"^[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})$"
_FINER: Final = r"\.[0-9]{9}[0-9]*[1-9]"
_FINER_VOLUME: Final = r"\.[0-9]{12}[0-9]*[1-9]"
_DIGITS: Final = Context(prec=90)
_MOST_EXPONENT: Final = 60
_EXACT: Final = 2**53
_TINY: Final = Decimal(1).scaleb(-25)


def texts_of(column: Any) -> Any:
    """A column as trimmed text, null where it says that there is nothing. Of floats the shortest digits."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    if not pa.types.is_string(column.type):
        column = pc.cast(column, pa.string())
    column = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.is_in(column, NOTHING), None, column)


def nanos(column: Any, field: str, faults: Faults, first_row: int = 1, *, size: bool = False) -> NDArray[np.int64]:
    """Nanos of text, numbers or decimals; MISSING where there is nothing.

    Digits past 10⁻⁹ are truncated, a price out of range is MISSING, a `size` clamped: each is counted.
    Raises TableError for what is no number; `first_row` is the number of the first one.
    """
    texts = texts_of(column)
    decimals, others = _decimals(texts, _READ, field, first_row)
    faults[CUT] += _count(pc.match_substring_regex(texts, _FINER))
    kept = pc.cast(decimals, _KEPT, safe=False)
    low, high = _halves(kept)
    values = low.copy()
    outside = high != (low >> 63)
    for row, number in others.items():
        scaled = number.scaleb(_NANOS, _DIGITS)
        whole = int(scaled.to_integral_value(ROUND_DOWN))
        # The digits of an exponent's number are no match of the pattern above.
        faults[CUT] += whole != scaled and not _is_finer(texts[row].as_py())
        outside[row] = abs(whole) > INT64_MAX
        values[row] = 0 if outside[row] else whole
        high[row] = -1 if whole < 0 else 0
    empty = pc.is_null(texts).to_numpy(zero_copy_only=False)
    outside &= ~empty
    if outside.any():
        faults[CLAMPED if size else DROPPED] += int(outside.sum())
        values[outside] = np.where(high[outside] < 0, -INT64_MAX, INT64_MAX) if size else MISSING
    values[empty] = MISSING
    return values


def volumes(column: Any, field: str, faults: Faults, first_row: int = 1) -> Any:
    """A column as decimal128(38, 12), null where there is nothing; digits past 10⁻¹² are truncated and counted.

    Raises TableError for what is no number, or beyond 26 digits before the point.
    """
    texts = texts_of(column)
    decimals, others = _decimals(texts, _READ, field, first_row)
    faults[CUT] += _count(pc.match_substring_regex(texts, _FINER_VOLUME))
    kept = pc.cast(decimals, _VOLUME, safe=False)
    if others:
        values = kept.to_pylist()
        step = Decimal(1).scaleb(-VOLUME_DIGITS[1])
        for row, number in others.items():
            if abs(number) >= Decimal(10) ** (VOLUME_DIGITS[0] - VOLUME_DIGITS[1]):
                raise TableError(field, f"expected a number below 10^26, got {texts[row].as_py()!r}", first_row + row)
            values[row] = number.quantize(step, ROUND_DOWN, _DIGITS)
        kept = pa.array(values, _VOLUME)
    return kept


def integers(column: Any, field: str, first_row: int = 1) -> NDArray[np.int64]:
    """Whole numbers, MISSING where there is nothing. Raises TableError for others."""
    texts = texts_of(column)
    whole = pc.replace_substring_regex(texts, r"\.0*$", "")
    wrong = _first(pc.invert(pc.match_substring_regex(whole, r"^[+-]?[0-9]{1,18}$")))
    if wrong is not None:
        raise TableError(field, f"expected a whole number, got {texts[wrong].as_py()[:50]!r}", first_row + wrong)
    numbers = pc.cast(pc.replace_substring_regex(whole, r"^\+", ""), pa.int64())
    return np.asarray(pc.fill_null(numbers, MISSING).to_numpy(zero_copy_only=False), dtype=np.int64).copy()


def floats(column: Any) -> NDArray[np.float64]:
    """A column of `volumes` as the nearest float64, NaN where there is nothing."""
    low, high = _halves(column)
    millionths, rest = np.divmod(low, 10**6)
    # The quotient of two whole numbers that floats hold exactly is rounded once; Arrow's own cast rounds twice.
    coarse = (rest == 0) & (high == low >> 63) & (np.abs(millionths) < _EXACT)
    fine = (high == low >> 63) & (np.abs(low) < _EXACT)
    found = np.where(coarse, millionths / 10**6, low / 10**12)
    others = np.flatnonzero(~(coarse | fine))
    if len(others):
        found[others] = pc.cast(pc.cast(column.take(pa.array(others)), pa.string()), pa.float64()).fill_null(0)
    found[pc.is_null(column).to_numpy(zero_copy_only=False)] = np.nan
    return found


def _decimals(texts: Any, kind: Any, field: str, first_row: int) -> tuple[Any, dict[int, Decimal]]:
    """The plain numbers as decimals; the others, null there, by row."""
    plain = pc.match_substring_regex(texts, _PLAIN)
    others: dict[int, Decimal] = {}
    if _count(pc.invert(plain)):
        for row in pc.indices_nonzero(pc.fill_null(pc.invert(plain), False)).to_pylist():
            text = texts[row].as_py()
            try:
                number = Decimal(text) if "_" not in text else Decimal("nan")
            except InvalidOperation:
                number = Decimal("nan")
            if not number.is_finite() or (number and number.adjusted() > _MOST_EXPONENT):
                raise TableError(field, f"expected a number, got {text[:50]!r}", first_row + row)
            # What is far below 10⁻⁹ is cut to nothing whatever its digits are.
            others[row] = number if not number or abs(number) > _TINY else _TINY
        texts = pc.if_else(plain, texts, None)
    return pc.cast(texts, kind), others


def _halves(decimals: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The low and high 64 bits of decimals; of nulls anything."""
    if not len(decimals):
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing.copy()
    raw = np.frombuffer(decimals.buffers()[1], dtype="<i8")
    pairs = raw[2 * decimals.offset : 2 * (decimals.offset + len(decimals))].reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1].copy()


def _is_finer(text: str) -> bool:
    return bool(pc.match_substring_regex(pa.scalar(text), _FINER).as_py())


def _count(mask: Any) -> int:
    return int(pc.sum(mask).as_py() or 0)


def _first(mask: Any) -> int | None:
    place = pc.index(pc.fill_null(mask, False), True).as_py()
    return None if place < 0 else int(place)
