"""The newest bars and trades of each market, in memory, for whoever asks."""

from __future__ import annotations

from collections import deque

from protocols.market import Bar, Trade
from protocols.market_data import BarList, BarSource, TradeList

_PREFERRED: tuple[BarSource, ...] = ("venue", "trades", "quotes")


class KeptBars:
    """At most `kept` bars of each market, interval and source, by start."""

    def __init__(self, kept: int) -> None:
        self.kept = kept
        self._bars: dict[tuple[str, str, BarSource], deque[Bar]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._bars.values()))

    def keep(self, bar: Bar) -> None:
        """Keep a bar; one with the same start replaces the last one, an older one is not kept."""
        bars = self._bars.setdefault((bar.market, bar.interval, bar.source), deque(maxlen=self.kept))
        while bars and bars[-1].start == bar.start:
            bars.pop()
        if not bars or bar.start > bars[-1].start:
            bars.append(bar)

    def find(self, market: str, interval: str, start: int, end: int, limit: int, source: BarSource | None) -> BarList:
        """The newest `limit` bars with start in [start, end), `end` 0: no end. No `source`: the best there is."""
        for each in _PREFERRED if source is None else (source,):
            bars = self._bars.get((market, interval, each))
            if bars:
                fits = [bar for bar in bars if start <= bar.start and (not end or bar.start < end)]
                return BarList(market, interval, each, tuple(fits[-limit:]), bars[0].start)
        return BarList(market, interval, source, (), None)

    def forget(self, market: str) -> None:
        """Keep nothing of this market any more."""
        for key in [key for key in self._bars if key[0] == market]:
            del self._bars[key]


class KeptTrades:
    """The last trades of one market, and whether one has come before: a new connection may repeat the last ones."""

    __slots__ = ("_ids", "_trades")

    def __init__(self, kept: int) -> None:
        self._trades: deque[Trade] = deque(maxlen=kept)
        self._ids: set[str] = set()

    def __len__(self) -> int:
        return len(self._trades)

    def keep(self, trade: Trade) -> bool:
        """False, with nothing kept, for a trade that is here already."""
        trades, ids = self._trades, self._ids
        if trade.trade_id:
            if trade.trade_id in ids:
                return False
            ids.add(trade.trade_id)
        if len(trades) == trades.maxlen:
            ids.discard(trades[0].trade_id)
        trades.append(trade)
        return True

    def find(self, market: str, limit: int, since: int) -> TradeList:
        """The newest `limit` trades received at or after `since`."""
        trades = self._trades
        if not trades:
            return TradeList(market, (), None)
        fits = [trade for trade in trades if trade.ts_recv >= since]
        return TradeList(market, tuple(fits[-limit:]), trades[0].ts_recv)
