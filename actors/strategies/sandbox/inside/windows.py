"""The bars that a strategy may look back at: one window for each symbol and timeframe.

A window is only ever added to, one bar at a time, when that bar is the strategy's to see. What user code gets are
tables over copies of the newest `lookback` bars, each column made when it is first read: a view of the window itself
would show what lies around it through `.base`. A table that is read late shows the bars of the moment it was made for.

A row is packed as `<q7dq`: timestamp, open, high, low, close, volume, trades, vwap, end.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from actors.strategies.sandbox.wire import BarInput
from actors.strategies.sdk.bars import COLUMNS, Bars, Frames

ROW: Final = struct.Struct("<q7dq")
FIELDS: Final = 9
FIRST_ROWS: Final = 128

_ORDER: Final = ("timestamp", "open", "high", "low", "close", "volume", "trades", "vwap", "end")
_PLACES: Final = {name: place for place, name in enumerate(_ORDER)}
_TIMES: Final = frozenset({"timestamp", "end"})


class WindowBars(Bars):
    """Bars of a window from row `first` to row `stop`; a column is copied when it is first read."""

    __slots__ = ("_first", "_stop", "_table")

    def __init__(self, symbol: str, timeframe: str, table: NDArray[np.float64], first: int, stop: int) -> None:
        self.symbol = symbol
        self.timeframe = timeframe
        self._table = table
        self._first = first
        self._stop = stop

    def __getattr__(self, name: str) -> Any:
        # Reached only while the slot of a column is empty.
        place = _PLACES.get(name)
        if place is None:
            raise AttributeError(f"Bars has no attribute {name!r}: its columns are {', '.join(COLUMNS)}")
        column: Any = self._table[self._first : self._stop, place].copy()
        if name in _TIMES:
            column = column.view(np.int64)
        setattr(self, name, column)
        return column

    def __len__(self) -> int:
        return self._stop - self._first


class WindowFrames(Frames):
    """The tables of one call; the same as Frames, made with less ado."""

    def __init__(self, by_timeframe: Mapping[str, Mapping[str, Bars]], first: Mapping[str, Bars]) -> None:
        dict.__init__(self, first)
        self._by_timeframe = by_timeframe


class Window:
    """The newest bars of one symbol and timeframe, at least `lookback` of them once there were as many."""

    __slots__ = ("_raw", "_rows", "_table", "count", "lookback", "newest", "symbol", "timeframe")

    def __init__(self, symbol: str, timeframe: str, lookback: int) -> None:
        self.symbol = symbol
        self.timeframe = timeframe
        self.lookback = lookback
        self.clear()

    def clear(self) -> None:
        """Forget all bars. Tables that were given out keep theirs."""
        self.count = 0
        self.newest = -(2**63)
        """The newest bar's start."""
        self._allocate(FIRST_ROWS)

    def append(self, bar: BarInput) -> None:
        """Add a bar."""
        count = self.count
        if count == self._rows:
            count = self._grow()
        ROW.pack_into(
            self._raw, count * ROW.size, bar.start, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trades,
            bar.vwap, bar.end,
        )  # fmt: skip
        self.count = count + 1
        self.newest = bar.start

    def bars(self, most: int | None = None) -> Bars:
        """A table of the newest bars: `lookback` of them, or fewer where fewer are asked for or known."""
        count = self.count
        most = self.lookback if most is None else min(most, self.lookback)
        return WindowBars(self.symbol, self.timeframe, self._table, count - most if count > most else 0, count)

    def _allocate(self, rows: int) -> None:
        self._raw = bytearray(rows * ROW.size)
        self._table = np.frombuffer(self._raw, dtype=np.float64).reshape(rows, FIELDS)
        self._rows = rows

    def _grow(self) -> int:
        # A new buffer, never the old one moved: a table that has not been read yet still refers to its rows there.
        kept = min(self.count, self.lookback)
        old = memoryview(self._raw)[(self.count - kept) * ROW.size : self.count * ROW.size]
        self._allocate(max(FIRST_ROWS, 2 * kept))
        self._raw[: len(old)] = old
        return kept


class Windows:
    """All windows of a strategy, in the order of the run's markets."""

    def __init__(self, markets: Iterable[tuple[str, str]], lookback: int) -> None:
        self.lookback = lookback
        self.first: dict[str, Window] = {}
        """Each symbol's window of its first timeframe."""
        self.by_timeframe: dict[str, dict[str, Window]] = {}
        self.prices: dict[str, float] = {}
        """What each symbol cost last."""
        self._all: dict[tuple[str, str], Window] = {}
        for symbol, timeframe in markets:
            self._add(symbol, timeframe)

    def append(self, bar: BarInput) -> None:
        """Add a bar to its window."""
        window = self._all.get((bar.symbol, bar.timeframe))
        if window is None:
            window = self._add(bar.symbol, bar.timeframe)
        window.append(bar)
        self.prices[bar.symbol] = bar.close

    def look_back(self, lookback: int) -> None:
        """Show this many bars from now on."""
        self.lookback = lookback
        for window in self._all.values():
            window.lookback = lookback

    def fill(self, bars: Iterable[BarInput]) -> None:
        """Add bars from before, oldest first; those that a window already has, or is past, are left out."""
        for bar in bars:
            window = self._all.get((bar.symbol, bar.timeframe)) or self._add(bar.symbol, bar.timeframe)
            if bar.start > window.newest:
                window.append(bar)
                self.prices[bar.symbol] = bar.close

    def clear(self, symbol: str) -> None:
        """Forget the bars of a symbol: inputs were lost, and a window spans no gap."""
        self.prices.pop(symbol, None)
        for windows in self.by_timeframe.values():
            if symbol in windows:
                windows[symbol].clear()

    def symbols(self) -> tuple[str, ...]:
        """In the order of the run."""
        return tuple(self.first)

    def timeframes(self, symbol: str) -> tuple[str, ...]:
        """Of a symbol, in the order of the run. Raises KeyError for a symbol that the run does not have."""
        if symbol not in self.first:
            raise KeyError(f"{symbol!r}: this run has the symbols {', '.join(self.first)}")
        return tuple(name for name, windows in self.by_timeframe.items() if symbol in windows)

    def bars(self, symbol: str, timeframe: str) -> Bars:
        """A table of a window. Raises KeyError for one that the run does not have."""
        window = self._all.get((symbol, timeframe))
        if window is None:
            known = ", ".join(self.timeframes(symbol))
            raise KeyError(f"{timeframe!r}: this run has {symbol} in the timeframes {known}")
        return window.bars()

    def price(self, symbol: str) -> float | None:
        """What the newest input says that the symbol costs: a close, a trade, the middle of a quote."""
        if symbol not in self.first:
            raise KeyError(f"{symbol!r}: this run has the symbols {', '.join(self.first)}")
        return self.prices.get(symbol)

    def frames(self) -> Frames | None:
        """The tables of all symbols that have a bar; None where none has."""
        if len(self._all) == 1:
            for window in self._all.values():
                if not window.count:
                    return None
                only = {window.symbol: window.bars()}
                return WindowFrames({window.timeframe: only}, only)
        first = {symbol: window.bars() for symbol, window in self.first.items() if window.count}
        if not first:
            return None
        if len(self.by_timeframe) == 1:
            return WindowFrames(dict.fromkeys(self.by_timeframe, first), first)
        tables = {
            timeframe: {
                symbol: first[symbol] if window is self.first[symbol] else window.bars()
                for symbol, window in windows.items()
                if window.count
            }
            for timeframe, windows in self.by_timeframe.items()
        }
        return WindowFrames(tables, first)

    def _add(self, symbol: str, timeframe: str) -> Window:
        window = self._all[symbol, timeframe] = Window(symbol, timeframe, self.lookback)
        self.first.setdefault(symbol, window)
        self.by_timeframe.setdefault(timeframe, {})[symbol] = window
        return window
