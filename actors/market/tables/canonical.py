"""A file of market data as batches of our own columns (`schema.py`), with nothing lost in silence.

file = TableFile(Path("bars.csv.gz"), zone="America/New_York")
file.kind, file.interval, file.mapping
for batch in file.batches(): ...          Arrow record batches, in the order of the file
file.faults                               what could not be kept, counted
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from actors.market.bars_intervals import UNITS as LENGTHS
from actors.market.bars_intervals import parse_interval
from actors.market.tables.decimals import MISSING, integers, nanos, texts_of, volumes
from actors.market.tables.faults import Faults, TableError
from actors.market.tables.mapping import mapped
from actors.market.tables.options import ReadOptions, TimeForm
from actors.market.tables.schema import COLUMNS, TIME_COLUMN, Form, Kind
from actors.market.tables.sources import Source, simple, source_of
from actors.market.tables.times import Ambiguous, form_of, nanoseconds

SNAPSHOT: Final = 1
PEEKED: Final = 10_000
"""Rows of which the interval of bars is told."""
_BIDS: Final = pa.array(["bid", "b", "bids", "buy", "yes", "1"])
_ASKS: Final = pa.array(["ask", "a", "asks", "offer", "sell", "no", "-1"])
_BUYS: Final = pa.array(["buy", "b", "buyer", "yes", "yestaker", "bid", "1"])
_SELLS: Final = pa.array(["sell", "s", "seller", "no", "notaker", "ask", "-1"])
_NEITHER: Final = pa.array(["0"])
_TRUE: Final = pa.array(["true", "1", "yes", "t"])
_INTEGER_BARS: Final = frozenset({"market", "interval", "start", "end", "retrieved_at"})


class TableFile:
    """A CSV or parquet file as one of our kinds of table. Raises TableError for what it is not."""

    def __init__(self, path: Path, options: ReadOptions | None = None) -> None:
        self.path = path
        self.options = options = options or ReadOptions()
        self.source: Source = source_of(path, options.columns)
        self.own = bool(self.source.metadata)
        self.faults: Faults = Counter()
        first = self._first()
        sides = self._sides(first)
        kind = options.kind or self.source.metadata.get("kind")
        self.mapping = mapped(self.source.names, kind, options.mapping, sides)
        self.kind: Kind = self.mapping.kind
        self.has_markets = "market" in self.mapping.columns
        self.nanos = self.own or set(self.source.names) >= _INTEGER_BARS
        self.zoned: bool | None = None
        """Whether its times name a zone or count from the epoch; None: there are none."""
        self.forms: dict[str, TimeForm] = {} if first is None else self._forms(first)
        self.interval = ""
        if self.kind == "bars":
            self.interval = self._interval()

    def batches(self) -> Iterator[Any]:
        """Record batches of our columns, those that the file has. Raises TableError that names the row."""
        columns = tuple(dict.fromkeys((*self.mapping.columns.values(), *filter(None, (self.mapping.hour,)))))
        row = 1
        shift = parse_interval(self.interval).length if self._named_by_end() and self.interval else 0
        for batch in self.source.batches(columns):
            made = self._batch(batch, row, shift)
            row += batch.num_rows
            if made.num_rows:
                yield made

    # -- telling what it is ------------------------------------------------------------------------------

    def _first(self) -> Any:
        batches = self.source.batches()
        found = next(batches, None)
        batches.close()
        return found

    def _sides(self, first: Any) -> frozenset[str]:
        name = next((name for name in self.source.names if simple(name) == "side"), None)
        if name is None or first is None:
            return frozenset()
        with _readable(name):
            values = pc.unique(texts_of(first.column(first.schema.get_field_index(name)).slice(0, PEEKED)))
        return frozenset(value for value in values.to_pylist() if value)

    def _forms(self, first: Any) -> dict[str, TimeForm]:
        found: dict[str, TimeForm] = {}
        for field, form in COLUMNS[self.kind].items():
            if form != "time" or field not in self.mapping.columns:
                continue
            if self.own:
                found[field] = "ns"
            elif self.options.time_form:
                found[field] = self.options.time_form  # type: ignore[assignment]
            else:
                found[field] = self._form(self._time_text(first, field), field)
        main = found.get(TIME_COLUMN[self.kind]) or next(iter(found.values()), "iso")
        self.zoned = main in ("s", "ms", "us", "ns") or self._names_zone(first)
        return found

    def _form(self, column: Any, field: str) -> TimeForm:
        shown = "time" if field == "start" else field
        if len(column) == column.null_count:
            return "iso"
        try:
            with _readable(shown):
                return form_of(column, shown)
        except Ambiguous as error:
            if "dmy" not in error.choices:
                raise
        # The first piece has no day above the twelfth: the rest may.
        names = tuple(filter(None, (self.mapping.columns[field], self.mapping.hour)))
        ambiguous: TableError | None = None
        for batch in self.source.batches(names):
            try:
                return form_of(self._time_text(batch, field), shown)
            except Ambiguous as error:
                ambiguous = error
        assert ambiguous is not None
        raise ambiguous

    def _names_zone(self, first: Any) -> bool:
        field = next((name for name in (TIME_COLUMN[self.kind], "ts_recv") if name in self.mapping.columns), None)
        if field is None:
            return False
        column = self._time_text(first, field)
        if pa.types.is_timestamp(column.type):
            return column.type.tz is not None
        if not pa.types.is_string(column.type):
            return False
        zoned = pc.match_substring_regex(column, r":[0-9.]+ ?(?:Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2})$")
        return bool(pc.any(zoned).as_py())

    def _interval(self) -> str:
        told = self.source.metadata.get("interval", "") or self.options.interval
        if not told and {"interval", "market"} <= set(self.source.names) and self.nanos:
            first = self._first()
            told = texts_of(first.column(first.schema.get_field_index("interval")))[0].as_py()
        if told:
            try:
                interval = parse_interval(told)
            except ValueError as error:
                raise TableError("interval", str(error)) from None
            if interval.kind != "time":
                raise TableError("interval", f"expected an interval of time, got {told!r}")
            # Bars that are closer than what was told are finer bars: whoever asked can put them together.
            step = 0 if self.own else self._step()
            if not step or step % interval.length == 0:
                return interval.name
            if interval.length % step:
                expected = f"expected a multiple of {interval_name(step)}, which most bars are apart"
                raise TableError("interval", f"{expected}, got {interval.name}")
            return interval_name(step)
        step = self._step()
        if not step and not (self.has_markets and self.options.market):
            raise TableError("interval", "expected two bars, or to be told the interval")
        return interval_name(step) if step else ""

    def _step(self) -> int:
        """The nanoseconds that most bars of the first market are apart, put in order; 0 where there is one alone."""
        batches = self.source.batches()
        try:
            for batch in batches:
                starts = self._times(batch.slice(0, PEEKED), "start", 1, Counter())
                if self.has_markets and len(starts):
                    markets = texts_of(self._column(batch, "market").slice(0, PEEKED))
                    wanted = self.options.market or markets[0]
                    same = pc.fill_null(pc.equal(markets, wanted), False).to_numpy(zero_copy_only=False)
                    starts = starts[same.astype(bool)]
                steps = np.diff(np.sort(starts[starts != MISSING]))
                steps = steps[steps > 0]
                if len(steps):
                    values, counts = np.unique(steps, return_counts=True)
                    return int(values[np.argmax(counts)])
        finally:
            batches.close()
        return 0

    def _named_by_end(self) -> bool:
        return self.kind == "bars" and self.options.named_by == "end" and not self.own

    # -- columns -----------------------------------------------------------------------------------------

    def _batch(self, batch: Any, row: int, shift: int) -> Any:
        arrays: dict[str, Any] = {}
        for field, form in COLUMNS[self.kind].items():
            if field not in self.mapping.columns:
                continue
            if form == "time":
                times = self._times(batch, field, row)
                if shift:
                    times[times != MISSING] -= shift
                arrays[field] = _array(times)
            else:
                with _readable(field):
                    arrays[field] = self._made(self._column(batch, field), field, form, row)
        made = pa.record_batch(arrays)
        if self.has_markets and self.options.market:
            made = made.filter(pc.equal(pc.cast(made["market"], pa.string()), self.options.market))
        return made

    def _made(self, column: Any, field: str, form: Form, row: int) -> Any:
        integral = self.nanos and pa.types.is_integer(column.type)
        if form in ("price", "size"):
            if integral:
                return pc.cast(column, pa.int64())
            size = form == "size"
            return _array(nanos(self._pointed(column), field, self.faults, row, size=size))
        if form == "volume":
            return volumes(self._pointed(column), field, self.faults, row)
        if form == "integer":
            return _array(integers(column, field, row))
        if form == "text":
            return pc.cast(pc.fill_null(texts_of(column), ""), pa.string())
        return _coded(column, field, form, row)

    def _column(self, batch: Any, field: str) -> Any:
        return batch.column(batch.schema.get_field_index(self.mapping.columns[field]))

    def _pointed(self, column: Any) -> Any:
        if self.options.decimal == "." or not pa.types.is_string(column.type):
            return column
        return pc.replace_substring(column, ",", ".")

    def _time_text(self, batch: Any, field: str) -> Any:
        column = self._column(batch, field)
        if isinstance(column.type, pa.DictionaryType):
            column = column.dictionary_decode()
        if not self.mapping.hour or field != TIME_COLUMN[self.kind]:
            return column
        hour = batch.column(batch.schema.get_field_index(self.mapping.hour))
        return pc.binary_join_element_wise(texts_of(column), texts_of(hour), " ")

    def _times(self, batch: Any, field: str, row: int, faults: Faults | None = None) -> NDArray[np.int64]:
        shown = "time" if field == "start" else field
        form = self.forms.get(field, "iso")
        faults = self.faults if faults is None else faults
        with _readable(shown):
            return nanoseconds(self._time_text(batch, field), form, self.options.zone, shown, faults, row)


@contextmanager
def _readable(field: str) -> Iterator[None]:
    """What Arrow cannot make of a column is a fault of the file."""
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        what = str(error).partition("\n")[0][:200]
        raise TableError(field, f"expected a column that can be read, got: {what}") from None


def interval_name(length: int) -> str:
    """The name of an interval of so many nanoseconds: "1m", "4h". Raises TableError where it has none."""
    for unit in ("w", "d", "h", "m", "s", "ms"):
        if length % LENGTHS[unit] == 0 and (unit != "w" or length == LENGTHS["w"]):
            return f"{length // LENGTHS[unit]}{unit}"
    raise TableError("interval", f"expected bars a number of milliseconds apart, got {length / 10**6} ms")


def _array(values: NDArray[np.int64]) -> Any:
    return pa.array(values, mask=values == MISSING)


def _coded(column: Any, field: str, form: Form, row: int) -> Any:
    """Sides and flags as small integers."""
    if form == "flag" and pa.types.is_integer(column.type):
        return pc.cast(column, pa.uint8())
    if form in ("side", "taker") and column.type == pa.int8():
        return column
    if pa.types.is_boolean(column.type):
        column = pc.cast(column, pa.string())
    words = pc.replace_substring_regex(pc.utf8_lower(texts_of(column)), "[^a-z0-9-]", "")
    if form == "flag" and pc.all(pc.match_substring_regex(words, "^[0-9]{1,3}$"), min_count=0).as_py():
        return pc.fill_null(pc.cast(words, pa.uint8()), 0)
    if form == "flag":
        return pc.cast(pc.fill_null(pc.is_in(words, _TRUE), False), pa.uint8())
    plus, minus = (_BIDS, _ASKS) if form == "side" else (_BUYS, _SELLS)
    codes = pc.subtract(pc.cast(pc.is_in(words, plus), pa.int8()), pc.cast(pc.is_in(words, minus), pa.int8()))
    unknown = pc.and_(pc.equal(codes, 0), pc.invert(pc.is_in(words, _NEITHER)))
    unknown = pc.and_(unknown, pc.is_valid(words))
    wrong = pc.index(unknown, True).as_py()
    if wrong >= 0:
        expected = "bid or ask" if form == "side" else "buy or sell"
        raise TableError(field, f"expected {expected}, got {texts_of(column)[wrong].as_py()[:50]!r}", row + wrong)
    return pc.fill_null(codes, 0)
