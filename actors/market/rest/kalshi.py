"""Kalshi over REST: definitions of markets, candlesticks, trades, and the search for markets that are worth following.

What settled long ago is in an archive of its own (`/historical/…`); where the live list has nothing, that is asked.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import ClassVar, Final, TypeVar, get_args
from urllib.parse import urlsplit

import msgspec

from actors.market.session_core import Credentials
from actors.market.venue_rest import HistoryKind, HistoryPage
from protocols.instruments import Instrument
from protocols.market import Bar, Trade
from protocols.nanos import NANO, NumberFaults, size_nanos
from protocols.venues import kalshi_catalogue as catalogue
from protocols.venues.errors import VenueError
from protocols.venues.kalshi_catalogue import CandlesticksPage, StatusFilter, TradesPage
from protocols.venues.kalshi_signing import Signer
from protocols.venues.rest import RestCall

COST: Final = 10
"""Tokens of a read (docs, "Rate limits"); the smallest account has 200 a second."""
PAGE: Final = 1000
"""The most markets or trades of one answer."""
MOST_CANDLESTICKS: Final = 4_000
"""Of one answer; the venue refuses more than 5,000."""
MOST_DISCOVERED: Final = 100
_TICKERS: Final = 100
_MINUTES: Final = {"1m": 1, "1h": 60, "1d": 1440}
_MILLISECOND: Final = 1_000_000
_LIST: Final = "instruments"
_LIVE: Final = "live"
_ARCHIVE: Final = "archive"
_ARCHIVE_TOO: Final = "archive-too"
"""The live list knew the market, and had nothing of the span."""
P = TypeVar("P")


class KalshiRest:
    """Instruments, bars and trades. Works without a key, too, though answers may then be 15 s old."""

    VENUE: ClassVar[str] = "kalshi"
    REST_URL: ClassVar[str] = "https://external-api.kalshi.com/trade-api/v2"
    BUDGETS: ClassVar[tuple[tuple[str, float, float], ...]] = (("rest", 200.0, 200.0),)
    KINDS: ClassVar[frozenset[HistoryKind]] = frozenset({"bars", "trades"})
    INTERVALS: ClassVar[tuple[str, ...]] = tuple(_MINUTES)

    def __init__(self, credentials: Credentials | None = None) -> None:
        self._signer = None if credentials is None else Signer(credentials.key_id, credentials.secret)
        self.faults = NumberFaults()

    def headers(self, call: RestCall, ts: int) -> tuple[tuple[str, str], ...]:
        """The signature over the path on the host, where there is a key."""
        if self._signer is None:
            return ()
        path = urlsplit(self.REST_URL).path + call.path
        return tuple(self._signer.headers(ts // _MILLISECOND, call.method, path))

    # -- instruments -------------------------------------------------------------------------------------

    def instruments(self, markets: Sequence[str] = ()) -> RestCall:
        """The first hundred of `markets`, or the first page of all that are open."""
        if markets:
            return self._named(tuple(markets))
        return _call(_LIST, "/markets", (("limit", str(PAGE)), ("status", "open")))

    def _named(self, markets: Sequence[str]) -> RestCall:
        # The ones that are still to be asked for travel with the call.
        purpose = " ".join([_LIST, *markets[_TICKERS:]])
        return _call(purpose, "/markets", (("limit", str(PAGE)), ("tickers", ",".join(markets[:_TICKERS]))))

    def read_instruments(
        self, call: RestCall, status: int, body: bytes, ts: int
    ) -> tuple[tuple[Instrument, ...], RestCall | None]:
        """Markets of one page. Raises VenueError."""
        page = _read(catalogue.markets_page, status, body)
        try:
            found = tuple(catalogue.instrument(row, ts, "GET /markets") for row in page.markets)
        except ValueError as error:
            raise VenueError(status, "unreadable", str(error)) from None
        if page.cursor:
            return found, _with(call, "cursor", page.cursor)
        left = call.purpose.split()[1:]
        return found, self._named(left) if left else None

    # -- history -----------------------------------------------------------------------------------------

    def history(self, kind: HistoryKind, market: str, interval: str, start: int, end: int) -> RestCall:
        """Bars that start, or trades that happened, in [start, end). Raises ValueError."""
        if kind == "bars":
            if interval not in _MINUTES:
                raise ValueError(f"Kalshi has bars of {', '.join(_MINUTES)}, not {interval!r}")
            return self._candlesticks(_LIVE, market, interval, start, end)
        if kind == "trades":
            return self._trades(_LIVE, market, start, end)
        raise ValueError(f"Kalshi offers bars and trades, not {kind}")

    def read_history(self, call: RestCall, status: int, body: bytes, ts: int) -> HistoryPage:
        """One page. Raises VenueError."""
        kind, where, interval, start, end = call.purpose.split()
        try:
            if kind == "bars":
                return self._read_candlesticks(call, where, interval, int(start), int(end), status, body, ts)
            return self._read_trades(call, where, int(start), int(end), status, body, ts)
        except ValueError as error:
            raise VenueError(status, "unreadable", str(error)) from None

    def _candlesticks(self, where: str, market: str, interval: str, start: int, end: int) -> RestCall:
        minutes = _MINUTES[interval]
        step = minutes * 60 * NANO
        # A candlestick is named by its end, and one that ends where the span begins is of before.
        first = (start // step + 1) * step
        last = min(end // step * step + step, first + (MOST_CANDLESTICKS - 1) * step)
        series = market.partition("-")[0]
        path = f"/series/{series}/markets/{market}/candlesticks"
        if where != _LIVE:
            path = f"/historical/markets/{market}/candlesticks"
        return _call(
            f"bars {where} {interval} {start} {end}",
            path,
            (
                ("start_ts", str(first // NANO)),
                ("end_ts", str(last // NANO)),
                ("period_interval", str(minutes)),
            ),
            market,
        )

    def _read_candlesticks(
        self, call: RestCall, where: str, interval: str, start: int, end: int, status: int, body: bytes, ts: int
    ) -> HistoryPage:
        minutes = _MINUTES[interval]
        if status == 404 and where == _LIVE:
            return HistoryPage(next=self._candlesticks(_ARCHIVE, call.market, interval, start, end))
        if status == 404 and where == _ARCHIVE_TOO:
            page = CandlesticksPage()
        else:
            page = _read(catalogue.candlesticks_page, status, body)
        if not page.candlesticks and where == _LIVE:
            return HistoryPage(next=self._candlesticks(_ARCHIVE_TOO, call.market, interval, start, end))
        found = [catalogue.bar(row, call.market, interval, minutes, ts, self.faults) for row in page.candlesticks]
        bars = tuple(sorted((bar for bar in found if bar and start <= bar.start < end), key=_start))
        reached = int(dict(call.query)["end_ts"]) * NANO
        following = None
        if reached < end:
            following = self._candlesticks(_LIVE, call.market, interval, reached, end)
        return HistoryPage(bars=bars, next=following)

    def _trades(self, where: str, market: str, start: int, end: int) -> RestCall:
        path = "/markets/trades" if where == _LIVE else "/historical/trades"
        # Seconds, and whether the ends are inclusive is not said: one more on each side, cut when read.
        query = (
            ("ticker", market),
            ("min_ts", str(start // NANO - 1)),
            ("max_ts", str(-(-end // NANO) + 1)),
            ("limit", str(PAGE)),
        )
        return _call(f"trades {where} - {start} {end}", path, query, market)

    def _read_trades(
        self, call: RestCall, where: str, start: int, end: int, status: int, body: bytes, ts: int
    ) -> HistoryPage:
        page = TradesPage() if status == 404 and where != _LIVE else _read(catalogue.trades_page, status, body)
        found = [catalogue.trade(row, ts, self.faults) for row in page.trades if row.ticker == call.market]
        trades = tuple(sorted((trade for trade in found if trade and start <= trade.ts_event < end), key=_ts_event))
        following = None
        if page.cursor:
            following = _with(call, "cursor", page.cursor)
        elif where == _LIVE:
            # The list ends where the archive begins, and nothing in it says whether that is within the span.
            following = self._trades(_ARCHIVE_TOO, call.market, start, end)
        return HistoryPage(trades=trades, next=following)


# -- discovery -----------------------------------------------------------------------------------------------


class DiscoveredMarket(msgspec.Struct, frozen=True, kw_only=True):
    """A market and how much is traded in it: contracts, in nanos, of the last 24 hours and of all time."""

    market: str
    title: str
    status: str
    volume_24h: int
    volume: int
    open_interest: int
    closes: str


class Discovery:
    """The most traded markets of all pages that were read; `most` of them are kept."""

    def __init__(self, most: int = MOST_DISCOVERED) -> None:
        self.read = 0
        self._most = most
        self._best: list[tuple[int, int, str, DiscoveredMarket]] = []

    def take(self, markets: Iterable[DiscoveredMarket]) -> None:
        """Consider these, too."""
        for found in markets:
            self.read += 1
            entry = (found.volume_24h, found.volume, found.market, found)
            if len(self._best) < self._most:
                heapq.heappush(self._best, entry)
            elif entry > self._best[0]:
                heapq.heapreplace(self._best, entry)

    def markets(self) -> tuple[DiscoveredMarket, ...]:
        """The most traded first: by the last 24 hours, then by all time."""
        return tuple(entry[-1] for entry in sorted(self._best, reverse=True))


def discovery_call(status: StatusFilter = "open", series: str = "", limit: int = PAGE) -> RestCall:
    """The first page of the markets with this status, combinations of markets left out.

    Raises ValueError for a status that the filter does not have; it is not the word that the markets then carry.
    """
    if status not in get_args(StatusFilter):
        raise ValueError(f"expected a status out of {', '.join(get_args(StatusFilter))}, got {status!r}")
    query: tuple[tuple[str, str], ...] = (("limit", str(limit)), ("status", status), ("mve_filter", "exclude"))
    if series:
        query = (*query, ("series_ticker", series))
    return _call("discovery", "/markets", query)


def read_discovery(call: RestCall, status: int, body: bytes) -> tuple[tuple[DiscoveredMarket, ...], RestCall | None]:
    """Markets of one page, and the call for the next. Raises VenueError."""
    page = _read(catalogue.markets_page, status, body)
    faults = NumberFaults()
    try:
        found = tuple(
            DiscoveredMarket(
                market=row.ticker,
                title=f"{row.title} {row.yes_sub_title}".strip(),
                status=row.status,
                volume_24h=size_nanos(row.volume_24h_fp or "0", faults),
                volume=size_nanos(row.volume_fp or "0", faults),
                open_interest=size_nanos(row.open_interest_fp or "0", faults),
                closes=row.close_time or "",
            )
            for row in page.markets
        )
    except ValueError as error:
        raise VenueError(status, "unreadable", str(error)) from None
    return found, _with(call, "cursor", page.cursor) if page.cursor else None


# -- small parts ---------------------------------------------------------------------------------------------


def _call(purpose: str, path: str, query: tuple[tuple[str, str], ...], market: str = "") -> RestCall:
    return RestCall(purpose=purpose, path=path, query=query, cost=COST, market=market)


def _with(call: RestCall, name: str, value: str) -> RestCall:
    query = (*(pair for pair in call.query if pair[0] != name), (name, value))
    return msgspec.structs.replace(call, query=query)


def _read(decoder: msgspec.json.Decoder[P], status: int, body: bytes) -> P:
    catalogue.refuse(status, body)
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise VenueError(status, "unreadable", str(error)) from None


def _start(bar: Bar) -> int:
    return bar.start


def _ts_event(trade: Trade) -> int:
    return trade.ts_event
