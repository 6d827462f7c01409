"""Rows of market data as columns: what backtests, statistics and validation read.

Prices and sizes are int64 nanos (10⁻⁹), times int64 nanoseconds since the Unix epoch, UTC. What is missing in an int64
column is `MISSING`. Every kind has a column `ts`: the moment at which a row can be known, never going back (the end of
a bar; the time of receipt, and where there is none the running maximum of the venue's time).

    kind     columns
    bars     ts, start, end, open, high, low, close; volume (float64 units, NaN: missing; exact digits by `texts`);
             trades, vwap (int64, MISSING)
    quotes   ts, ts_event, ts_recv, bid, bid_size, ask, ask_size, seq (a side that is empty: price MISSING, size 0)
    trades   ts, ts_event, ts_recv, price, size, taker (int8: 1 buy, -1 sell, 0 not told), seq
    l2       ts, ts_event, ts_recv, seq, side (int8: 1 bid, -1 ask, 0 no level: an empty book), price, size,
             flags (uint8: SNAPSHOT, LAST, SIGNED)

Rows of one l2 message stand together; the last one has the flag LAST. Of a message with SNAPSHOT all rows have it: they
are the whole book. Sizes are absolute unless SIGNED. All have `market`, int32 places in `Table.markets`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.market.tables.schema import Kind as Kind

MISSING: Final = -(2**63)
SNAPSHOT: Final = 1
LAST: Final = 2
SIGNED: Final = 4
Column = NDArray[Any]


class Table(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Columns of one kind, each of the same length, in the order of `ts`.

    `market` is empty where there are several (`markets`); `of` gives those of one. `interval` ("1m") is that of bars.
    `dropped`: rows of the file that are not here, by reason. `source` is the Arrow table behind it, for exact digits.
    """

    kind: Kind
    market: str
    markets: tuple[str, ...]
    interval: str
    columns: dict[str, Column]
    content_hash: str
    name: str
    marks: tuple[str, ...] = ()
    currency: str = ""
    dropped: dict[str, int] = {}
    source: Any = None
    rows_of_source: Column | None = None
    """The rows of `source` that these are; None: all, in order."""

    def __len__(self) -> int:
        return len(self.columns["ts"])

    def of(self, market: str) -> Table:
        """The rows of one market. Raises KeyError for one that is not here."""
        if market not in self.markets:
            raise KeyError(f"market: expected one of {', '.join(self.markets)}, got {market!r}")
        if len(self.markets) == 1:
            return self
        found = self.take(np.flatnonzero(self.columns["market"] == self.markets.index(market)))
        columns = found.columns | {"market": np.zeros(len(found), dtype=np.int32)}
        return msgspec.structs.replace(found, market=market, markets=(market,), columns=columns)

    def between(self, since: int | None, until: int | None) -> Table:
        """The rows with `since` <= ts < `until`, without a copy."""
        ts = self.columns["ts"]
        first = 0 if since is None else int(np.searchsorted(ts, since, "left"))
        stop = len(ts) if until is None else int(np.searchsorted(ts, until, "left"))
        rows = np.arange(first, stop) if self.rows_of_source is None else self.rows_of_source[first:stop]
        columns = {name: column[first:stop] for name, column in self.columns.items()}
        return msgspec.structs.replace(self, columns=columns, rows_of_source=rows)

    def take(self, rows: Column) -> Table:
        """These rows, by their places."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        of_source = rows if self.rows_of_source is None else self.rows_of_source[rows]
        return msgspec.structs.replace(self, columns=columns, rows_of_source=of_source)

    def texts(self, column: str, first: int = 0, stop: int | None = None) -> list[str]:
        """The exact decimal digits of `volume` in these rows; empty where it is missing."""
        stop = len(self) if stop is None else stop
        if self.source is None or column not in self.source.column_names:
            return [""] * max(0, stop - first)
        if self.rows_of_source is None:
            found: Sequence[Any] = self.source[column].slice(first, stop - first).to_pylist()
        else:
            found = self.source[column].take(self.rows_of_source[first:stop]).to_pylist()
        return ["" if value is None else plain(str(value)) for value in found]


def plain(digits: str) -> str:
    """Decimal digits without an exponent and without zeros at the end."""
    if "E" in digits or "e" in digits:
        from decimal import Decimal

        digits = f"{Decimal(digits):f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits
