"""Alpha Vantage over REST: bars of past months. It has no list of its symbols with what they are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import ClassVar, Final
from zoneinfo import ZoneInfo

from actors.market.session_core import Credentials
from actors.market.sessions.alphavantage import AlphaVantageSession
from actors.market.venue_rest import HistoryKind, HistoryPage
from protocols.instruments import Instrument
from protocols.nanos import NANO, NumberFaults
from protocols.venues import alphavantage
from protocols.venues.errors import VenueError
from protocols.venues.rest import RestCall

NEW_YORK: Final = ZoneInfo("America/New_York")


class AlphaVantageRest:
    """Bars, a month with each call. The venue defines no instruments."""

    VENUE: ClassVar[str] = "alphavantage"
    REST_URL: ClassVar[str] = AlphaVantageSession.REST_URL
    BUDGETS: ClassVar[tuple[tuple[str, float, float], ...]] = AlphaVantageSession.BUDGETS
    KINDS: ClassVar[frozenset[HistoryKind]] = frozenset({"bars"})
    INTERVALS: ClassVar[tuple[str, ...]] = tuple(alphavantage.INTERVALS)

    def __init__(self, credentials: Credentials | None = None) -> None:
        self.credentials = credentials
        self.faults = NumberFaults()

    def headers(self, call: RestCall, ts: int) -> tuple[tuple[str, str], ...]:
        """Nothing: the key is in the query (`keyed`)."""
        return ()

    def keyed(self, call: RestCall) -> RestCall:
        """The call with the key in its query. Raises ValueError without one."""
        if self.credentials is None:
            raise ValueError("Alpha Vantage wants a key")
        return alphavantage.with_key(call, self.credentials.secret.decode("ascii", "replace").strip())

    def instruments(self, markets: Sequence[str] = ()) -> RestCall:
        """Raises ValueError: the venue does not say what its symbols are."""
        raise ValueError("Alpha Vantage does not define instruments")

    def read_instruments(
        self, call: RestCall, status: int, body: bytes, ts: int
    ) -> tuple[tuple[Instrument, ...], RestCall | None]:
        """Raises ValueError, as `instruments`."""
        raise ValueError("Alpha Vantage does not define instruments")

    def history(self, kind: HistoryKind, market: str, interval: str, start: int, end: int) -> RestCall:
        """Bars that start in [start, end): the first month of them in New York. Raises ValueError."""
        if kind != "bars":
            raise ValueError(f"Alpha Vantage offers bars, not {kind}")
        day = datetime.fromtimestamp(start // NANO, UTC).astimezone(NEW_YORK).date()
        return self._month(market, interval, day.replace(day=1), start, end)

    def _month(self, market: str, interval: str, month: date, start: int, end: int) -> RestCall:
        return alphavantage.bars_call(
            AlphaVantageSession.symbol_of(market),
            market,
            interval,
            month=f"{month:%Y-%m}",
            purpose=f"{month:%Y-%m-%d} {start} {end}",
        )

    def read_history(self, call: RestCall, status: int, body: bytes, ts: int) -> HistoryPage:
        """The bars of one month, or all days. Raises VenueError."""
        first, start, end = call.purpose.split()
        interval = alphavantage.interval_of(call)
        try:
            bars = alphavantage.read_bars(status, body, call.market, interval, ts, self.faults)
        except VenueError as error:
            if not _no_such_month(error, interval):
                raise
            bars = []
        following = None
        if interval != "1d":
            month = _next_month(date.fromisoformat(first))
            if _midnight(month) < int(end):
                following = self._month(call.market, interval, month, int(start), int(end))
        return HistoryPage(bars=tuple(bar for bar in bars if int(start) <= bar.start < int(end)), next=following)


def _no_such_month(error: VenueError, interval: str) -> bool:
    # A month before the symbol was listed, or without any trade, is answered like a bad call.
    return error.code == alphavantage.BAD_CALL and interval != "1d" and "apikey" not in error.message.lower()


def _next_month(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).timestamp()) * NANO
