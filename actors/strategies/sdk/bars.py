"""What a strategy is given: bars as tables of numpy columns, one bar, a quote, a trade.

Times are nanoseconds since the epoch, UTC; `at` of a value is the same as a datetime. Prices and sizes are floats. NaN
stands for a figure that the source does not have (the volume of bars made of quotes, a side without a price).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

COLUMNS: Final = ("timestamp", "open", "high", "low", "close", "volume", "trades", "vwap", "end")
"""The columns of `Bars`, in the order of a `Bar`'s fields behind `symbol` and `timeframe`."""

_SECOND: Final = 1_000_000_000


def time_of(ts: int) -> datetime:
    """Nanoseconds since the epoch as a datetime, UTC; digits below a microsecond are cut."""
    seconds, rest = divmod(ts, _SECOND)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)


class Bar(NamedTuple):
    """A complete bar [timestamp, end). `trades` counts them, `vwap` is their volume-weighted mean price."""

    symbol: str
    timeframe: str
    timestamp: int
    """Its start, ns."""
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: float
    vwap: float
    end: int

    @property
    def at(self) -> datetime:
        """Its start."""
        return time_of(self.timestamp)


class Quote(NamedTuple):
    """The best prices of a symbol and the sizes there. NaN: none on that side."""

    symbol: str
    bid: float
    bid_size: float
    ask: float
    ask_size: float
    timestamp: int

    @property
    def mid(self) -> float:
        """The middle of the two prices; NaN where a side has none."""
        return (self.bid + self.ask) / 2.0

    @property
    def spread(self) -> float:
        """Ask less bid; NaN where a side has none."""
        return self.ask - self.bid

    @property
    def at(self) -> datetime:
        """Its time."""
        return time_of(self.timestamp)


class Trade(NamedTuple):
    """A public trade. `taker`: "buy", "sell", or "" where the venue does not say."""

    symbol: str
    price: float
    size: float
    taker: str
    timestamp: int

    @property
    def at(self) -> datetime:
        """Its time."""
        return time_of(self.timestamp)


class Bars:
    """Bars of one symbol and timeframe, the oldest first: columns of one length.

    `timestamp` (the start) and `end` are int64 nanoseconds, all others float64. A column is read as an attribute or
    by its name, a bar by its place:

        bars.close[-1]      bars["close"][-1]      bars[-1].close      bars.last.close
        bars.tail(20).high.max()                   for bar in bars: ...

    The columns are for reading: whether a table shows what was written into another one is not said.
    """

    __slots__ = (
        "close",
        "end",
        "high",
        "low",
        "open",
        "symbol",
        "timeframe",
        "timestamp",
        "trades",
        "volume",
        "vwap",
    )

    def __init__(
        self,
        symbol: str,
        timeframe: str,
        timestamp: Times,
        open: Floats,
        high: Floats,
        low: Floats,
        close: Floats,
        volume: Floats,
        trades: Floats,
        vwap: Floats,
        end: Times,
    ) -> None:
        """Takes the arrays as they are; `from_columns` checks and converts."""
        self.symbol = symbol
        self.timeframe = timeframe
        self.timestamp = timestamp
        self.open = open
        self.high = high
        self.low = low
        self.close = close
        self.volume = volume
        self.trades = trades
        self.vwap = vwap
        self.end = end

    @classmethod
    def from_columns(cls, symbol: str, timeframe: str, columns: Mapping[str, ArrayLike]) -> Bars:
        """Bars out of columns by name. `trades` and `vwap` may be missing: NaN.

        Raises ValueError for a column that is missing or unknown, and for lengths that differ.
        """
        if unknown := sorted(set(columns) - set(COLUMNS)):
            raise ValueError(f"{unknown[0]}: expected the columns {', '.join(COLUMNS)}")
        found: dict[str, Any] = {}
        for name in COLUMNS:
            if name in columns:
                found[name] = np.asarray(columns[name], dtype=np.int64 if name in ("timestamp", "end") else np.float64)
            elif name not in ("trades", "vwap"):
                raise ValueError(f"{name}: this column is missing")
        count = len(found["timestamp"])
        for name in ("trades", "vwap"):
            found.setdefault(name, np.full(count, np.nan))
        for name, column in found.items():
            if column.shape != (count,):
                raise ValueError(f"{name}: expected {count} values in one dimension, got the shape {column.shape}")
        return cls(symbol, timeframe, **found)

    def __len__(self) -> int:
        return len(self.timestamp)

    @overload
    def __getitem__(self, key: str) -> Floats: ...
    @overload
    def __getitem__(self, key: int) -> Bar: ...
    @overload
    def __getitem__(self, key: slice) -> Bars: ...
    def __getitem__(self, key: str | int | slice) -> Floats | Bar | Bars:
        """A column by its name (KeyError), a bar by its place (IndexError), or the bars of a slice."""
        if isinstance(key, str):
            if key not in COLUMNS:
                raise KeyError(f"{key!r}: expected a column: {', '.join(COLUMNS)}")
            column: Floats = getattr(self, key)
            return column
        if isinstance(key, slice):
            return Bars(self.symbol, self.timeframe, *(getattr(self, name)[key] for name in COLUMNS))
        if not -len(self) <= key < len(self):
            raise IndexError(f"bar {key} of {len(self)}: {self!r}")
        return Bar(self.symbol, self.timeframe, *(getattr(self, name)[key].item() for name in COLUMNS))

    def __iter__(self) -> Iterator[Bar]:
        lists = [getattr(self, name).tolist() for name in COLUMNS]
        for row in zip(*lists, strict=True):
            yield Bar(self.symbol, self.timeframe, *row)

    def __contains__(self, name: object) -> bool:
        """Whether it is the name of a column."""
        return name in COLUMNS

    def __repr__(self) -> str:
        return f"<Bars {self.symbol} {self.timeframe}: {len(self)}>"

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return COLUMNS

    @property
    def last(self) -> Bar:
        """The newest bar. Raises IndexError where there is none yet."""
        return self[-1]

    def tail(self, count: int) -> Bars:
        """The newest `count` bars, or as many as there are. Raises ValueError for a negative count."""
        if count < 0:
            raise ValueError(f"count: expected at least 0, got {count}")
        return self[max(len(self) - count, 0) :]

    def to_pandas(self) -> pd.DataFrame:
        """The columns as a DataFrame with the bars' starts (UTC) as its index.

        Raises RuntimeError where pandas is not prepared: a sandboxed strategy can import nothing that its worker
        did not.
        """
        pandas = sys.modules.get("pandas")
        if pandas is None:
            raise RuntimeError("pandas is not prepared here; the columns are numpy arrays")
        values = {name: getattr(self, name) for name in COLUMNS if name not in ("timestamp", "end")}
        frame: pd.DataFrame = pandas.DataFrame(values)
        frame.index = pandas.to_datetime(self.timestamp, unit="ns", utc=True)
        return frame


class Frames(dict[str, Bars]):
    """What `generate_signal(data, parameters)` gets as `data`: symbol -> Bars, of each symbol's first timeframe.

    `data.timeframe("5m")[symbol]` are the bars of another timeframe of the run.
    """

    def __init__(self, by_timeframe: Mapping[str, Mapping[str, Bars]], first: Mapping[str, Bars] | None = None) -> None:
        """`by_timeframe`: timeframe -> symbol -> Bars. `first`: what stands under the symbols (default: the first)."""
        super().__init__(next(iter(by_timeframe.values()), {}) if first is None else first)
        self._by_timeframe = by_timeframe

    @property
    def timeframes(self) -> tuple[str, ...]:
        """All timeframes of the run."""
        return tuple(self._by_timeframe)

    def timeframe(self, name: str) -> Mapping[str, Bars]:
        """The symbols' bars of this timeframe. Raises KeyError for one that the run does not have."""
        found = self._by_timeframe.get(name)
        if found is None:
            raise KeyError(f"{name!r}: this run has the timeframes {', '.join(self._by_timeframe)}")
        return found
