"""What a venue offers over REST beside its stream: its instruments and its history. No I/O here.

Who sends the calls (`actors/market/rest_client.py`) takes their cost from the venue's budget first, and hands the
answers back. A page names the call for the next one, so a download can stop and go on anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Protocol

import msgspec

from actors.market.session_core import Credentials
from protocols.instruments import Instrument
from protocols.market import Bar, Funding, Trade
from protocols.venues.rest import RestCall

HistoryKind = Literal["bars", "trades", "funding"]


class HistoryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Part of a history, oldest first; `next` is None at its end."""

    bars: tuple[Bar, ...] = ()
    trades: tuple[Trade, ...] = ()
    funding: tuple[Funding, ...] = ()
    next: RestCall | None = None


class VenueRest(Protocol):
    """The REST side of a venue. Every `read_…` raises VenueError for an error, whatever its HTTP status."""

    VENUE: ClassVar[str]
    REST_URL: ClassVar[str]
    BUDGETS: ClassVar[tuple[tuple[str, float, float], ...]]
    KINDS: ClassVar[frozenset[HistoryKind]]
    INTERVALS: ClassVar[tuple[str, ...]]
    """Intervals of its bars, in our words: "1m", "1h", "1d"."""

    def __init__(self, credentials: Credentials | None = None) -> None: ...

    def headers(self, call: RestCall, ts: int) -> tuple[tuple[str, str], ...]:
        """Headers of a call at wall time `ts`: its key or signature."""

    def instruments(self, markets: Sequence[str] = ()) -> RestCall:
        """The first call for these markets' definitions, or for all."""

    def read_instruments(
        self, call: RestCall, status: int, body: bytes, ts: int
    ) -> tuple[tuple[Instrument, ...], RestCall | None]:
        """Definitions, and the call for more."""

    def history(self, kind: HistoryKind, market: str, interval: str, start: int, end: int) -> RestCall:
        """The first call for [start, end) in nanoseconds; `interval` for bars only. Raises ValueError."""

    def read_history(self, call: RestCall, status: int, body: bytes, ts: int) -> HistoryPage:
        """One page."""
