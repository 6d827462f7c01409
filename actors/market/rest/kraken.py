"""Kraken over REST: pairs, the last 720 bars, and trades of all time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from actors.market.session_core import Credentials
from actors.market.sessions.kraken_books import KrakenBooks
from actors.market.venue_rest import HistoryKind, HistoryPage
from protocols.instruments import Instrument
from protocols.nanos import NumberFaults
from protocols.venues import kraken_rest as wire
from protocols.venues.errors import VenueError
from protocols.venues.kraken import INTERVALS
from protocols.venues.rest import RestCall

MOST_TRADES: Final = 1000
"""Of one answer."""


class KrakenRest:
    """Instruments, bars and trades of Kraken's spot markets. All of it is public: a key is not used."""

    VENUE: ClassVar[str] = "kraken"
    REST_URL: ClassVar[str] = KrakenBooks.REST_URL
    BUDGETS: ClassVar[tuple[tuple[str, float, float], ...]] = (("rest", 1.0, 1.0),)
    KINDS: ClassVar[frozenset[HistoryKind]] = frozenset({"bars", "trades"})
    INTERVALS: ClassVar[tuple[str, ...]] = tuple(INTERVALS)

    def __init__(self, credentials: Credentials | None = None) -> None:
        self.faults = NumberFaults()

    def headers(self, call: RestCall, ts: int) -> tuple[tuple[str, str], ...]:
        """None: nothing here is signed."""
        return ()

    # -- instruments -------------------------------------------------------------------------------------

    def instruments(self, markets: Sequence[str] = ()) -> RestCall:
        """These pairs, or all."""
        named = ",".join(KrakenBooks.symbol_of(market) for market in markets)
        return RestCall(purpose="pairs", path="/0/public/AssetPairs", query=(("pair", named),) if named else ())

    def read_instruments(
        self, call: RestCall, status: int, body: bytes, ts: int
    ) -> tuple[tuple[Instrument, ...], RestCall | None]:
        """All of them; pairs that the WebSocket does not have are left out. Raises VenueError."""
        pairs = wire.read_pairs(status, body)
        try:
            found = tuple(
                wire.instrument(pair, KrakenBooks.market_of(pair.symbol), ts, f"GET {call.path}")
                for pair in pairs.values()
                if pair.symbol
            )
        except ValueError as error:
            raise VenueError(status, "unreadable", str(error)) from None
        return found, None

    # -- history -----------------------------------------------------------------------------------------

    def history(self, kind: HistoryKind, market: str, interval: str, start: int, end: int) -> RestCall:
        """Bars that start, or trades that happened, in [start, end). Raises ValueError.

        Of bars the venue keeps the last 720 of each interval; what is older is missing in the answer.
        """
        symbol = KrakenBooks.symbol_of(market)
        if kind == "bars":
            if interval not in INTERVALS:
                raise ValueError(f"Kraken has bars of {', '.join(INTERVALS)}, not {interval!r}")
            # Later than `since`, in seconds.
            since = max(0, start // 1_000_000_000 - 1)
            return RestCall(
                purpose=f"bars {interval} {start} {end}",
                path="/0/public/OHLC",
                query=(("pair", symbol), ("interval", str(INTERVALS[interval])), ("since", str(since))),
                market=market,
            )
        if kind == "trades":
            return _trades(market, start, end, max(0, start - 1), 0)
        raise ValueError(f"Kraken offers bars and trades, not {kind}")

    def read_history(self, call: RestCall, status: int, body: bytes, ts: int) -> HistoryPage:
        """One page. Raises VenueError."""
        kind, *words = call.purpose.split()
        try:
            if kind == "bars":
                interval, start, end = words
                return self._read_bars(call, interval, int(start), int(end), status, body, ts)
            start, end, newest = words
            return self._read_trades(call, int(start), int(end), int(newest), status, body, ts)
        except ValueError as error:
            raise VenueError(status, "unreadable", str(error)) from None

    def _read_bars(
        self, call: RestCall, interval: str, start: int, end: int, status: int, body: bytes, ts: int
    ) -> HistoryPage:
        rows = wire.read_candles(status, body)
        found = [wire.bar(row, call.market, interval, ts, self.faults) for row in rows]
        return HistoryPage(
            bars=tuple(bar for bar in found if bar is not None and start <= bar.start < end and bar.end <= ts)
        )

    def _read_trades(
        self, call: RestCall, start: int, end: int, newest: int, status: int, body: bytes, ts: int
    ) -> HistoryPage:
        rows, last = wire.read_trades(status, body)
        # Pages may share the trades of their border.
        fresh = [row for row in rows if row[-1] > newest]
        found = [wire.trade(row, call.market, ts, self.faults) for row in fresh]
        trades = tuple(trade for trade in found if trade is not None and start <= trade.ts_event < end)
        following = None
        if fresh and last < end:
            following = _trades(call.market, start, end, last, max(row[-1] for row in fresh))
        return HistoryPage(trades=trades, next=following)


def _trades(market: str, start: int, end: int, since: int, newest: int) -> RestCall:
    """`newest`: the highest id that was read already."""
    return RestCall(
        purpose=f"trades {start} {end} {newest}",
        path="/0/public/Trades",
        query=(("pair", KrakenBooks.symbol_of(market)), ("since", str(since)), ("count", str(MOST_TRADES))),
        market=market,
    )
