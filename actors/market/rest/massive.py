"""Massive over REST: bars of any span, and what a ticker is.

Bars of a day are those of a calendar day in New York, as the venue cuts them: they start at its midnight.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

import msgspec

from actors.market.session_core import Credentials
from actors.market.sessions.massive import MassiveSession
from actors.market.venue_rest import HistoryKind, HistoryPage
from protocols.instruments import Instrument, PriceRange
from protocols.market import Bar
from protocols.nanos import INT64_MAX, NANO, NumberFaults
from protocols.venues import massive
from protocols.venues.errors import VenueError
from protocols.venues.rest import RestCall

NEW_YORK: Final = ZoneInfo("America/New_York")
NYSE: Final = "XNYS"
"""The calendar of all exchanges for US stocks: they keep the same days and hours."""
US_STOCK_PRICES: Final = (
    PriceRange(0, NANO - 100_000, 100_000),
    PriceRange(NANO, INT64_MAX // NANO * NANO, 10_000_000),
)
"""Steps of quotes of US stocks: $0.0001 below a dollar, $0.01 from there on (Regulation NMS, rule 612)."""
_TICKERS_PATH: Final = "/v3/reference/tickers"
_LIST: Final = "instruments"


class MassiveRest:
    """Instruments and bars. Trades of the past need a plan of their own and are not offered."""

    VENUE: ClassVar[str] = "massive"
    REST_URL: ClassVar[str] = MassiveSession.REST_URL
    BUDGETS: ClassVar[tuple[tuple[str, float, float], ...]] = MassiveSession.BUDGETS
    KINDS: ClassVar[frozenset[HistoryKind]] = frozenset({"bars"})
    INTERVALS: ClassVar[tuple[str, ...]] = tuple(massive.TIMESPANS)

    def __init__(self, credentials: Credentials | None = None) -> None:
        self.credentials = credentials
        self.faults = NumberFaults()

    def headers(self, call: RestCall, ts: int) -> tuple[tuple[str, str], ...]:
        """The key as a bearer token. Raises ValueError without one."""
        if self.credentials is None:
            raise ValueError("Massive wants a key")
        return (("authorization", f"Bearer {self.credentials.secret.decode('ascii', 'replace').strip()}"),)

    # -- instruments -------------------------------------------------------------------------------------

    def instruments(self, markets: Sequence[str] = ()) -> RestCall:
        """The first ticker of `markets`, or the first page of all US stocks."""
        if not markets:
            query = (("market", "stocks"), ("active", "true"), ("limit", "1000"))
            return RestCall(purpose=_LIST, path=_TICKERS_PATH, query=query, signed=True)
        return self._ticker([MassiveSession.symbol_of(market) for market in markets])

    def _ticker(self, symbols: Sequence[str]) -> RestCall:
        # The list takes one ticker; the ones that are still to be asked for travel with the call.
        return RestCall(
            purpose=" ".join([_LIST, *symbols[1:]]),
            path=_TICKERS_PATH,
            query=(("ticker", symbols[0]), ("market", "stocks"), ("limit", "1000")),
            signed=True,
        )

    def read_instruments(
        self, call: RestCall, status: int, body: bytes, ts: int
    ) -> tuple[tuple[Instrument, ...], RestCall | None]:
        """Tickers of one page. Raises VenueError."""
        answer = massive.read_tickers(status, body)
        found = tuple(self._instrument(row, ts) for row in answer.results)
        if answer.next_url:
            return found, _follow(call, answer.next_url)
        left = call.purpose.split()[1:]
        return found, self._ticker(left) if left else None

    def _instrument(self, row: massive.TickerRow, ts: int) -> Instrument:
        return Instrument(
            market=MassiveSession.market_of(row.ticker),
            symbol=row.ticker,
            venue=self.VENUE,
            kind="equity",
            currency=row.currency_name.upper(),
            price_ranges=US_STOCK_PRICES,
            lot=NANO,
            base=row.ticker,
            calendar=NYSE,
            status="open" if row.active else "closed",
            title=row.name,
            valid_from=ts,
            source=f"GET {_TICKERS_PATH}",
        )

    # -- history -----------------------------------------------------------------------------------------

    def history(self, kind: HistoryKind, market: str, interval: str, start: int, end: int) -> RestCall:
        """Bars that start in [start, end). Raises ValueError."""
        if kind != "bars":
            raise ValueError(f"Massive offers bars, not {kind}")
        ms = massive.MILLISECOND
        first = start // ms
        if interval == "1d":
            # The venue takes the day of a time in UTC for one in New York, which begins hours later.
            first -= timedelta(days=1) // timedelta(milliseconds=1)
        return massive.aggregates_call(
            MassiveSession.symbol_of(market),
            interval,
            first,
            (end - 1) // ms,
            purpose=f"{interval} {start} {end}",
            market=market,
        )

    def read_history(self, call: RestCall, status: int, body: bytes, ts: int) -> HistoryPage:
        """One page of bars. Raises VenueError."""
        answer = massive.read_aggregates(status, body)
        interval, first, last = call.purpose.split()
        bars: list[Bar] = []
        for row in answer.results:
            begin = row.t * massive.MILLISECOND
            if not int(first) <= begin < int(last):
                continue
            try:
                bar = massive.aggregate_bar(row, call.market, interval, bar_end(begin, interval), ts, self.faults)
            except ValueError as error:
                raise VenueError(status, "unreadable", str(error)) from None
            if bar is not None:
                bars.append(bar)
        return HistoryPage(bars=tuple(bars), next=_follow(call, answer.next_url) if answer.next_url else None)


def bar_end(start: int, interval: str) -> int:
    """The end of a bar of New York: of a day, the next midnight there, which may be 23 or 25 hours on."""
    if interval == "1d":
        return next_midnight(start)
    amount, unit = int(interval[:-1]), interval[-1]
    return start + amount * {"m": 60, "h": 3600}[unit] * NANO


def next_midnight(start: int) -> int:
    """Nanoseconds of the midnight in New York after `start`."""
    day = datetime.fromtimestamp(start // NANO, UTC).astimezone(NEW_YORK).date() + timedelta(days=1)
    return int(datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).timestamp()) * NANO


def _follow(call: RestCall, url: str) -> RestCall:
    """The call for the next page. The venue names its host in full; ours may be another one."""
    parts = urlsplit(url)
    query = tuple((name, value) for name, value in parse_qsl(parts.query) if name.lower() != "apikey")
    return msgspec.structs.replace(call, path=parts.path, query=query)
