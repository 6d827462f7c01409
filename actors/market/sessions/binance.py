"""Binance spot, USD-M futures and COIN-M futures: three venues that share a protocol and not its rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from actors.market.session_core import (
    BARS,
    BOOK,
    DEFAULT_OPTIONS,
    FUNDING,
    LIQUIDATIONS,
    TICKERS,
    TRADES,
    Credentials,
    SessionOptions,
)
from actors.market.sessions.binance_books import DepthBook, FuturesBook, SpotBook
from actors.market.sessions.binance_core import BinanceSession
from actors.market.sessions.binance_streams import INTERVALS
from protocols.venues import binance_commands

PUBLIC: Final = frozenset({BOOK, TRADES, TICKERS})
"""What USD-M serves at `/public`: all that its matching engine says at once. The rest it serves at `/market`."""


class BinanceSpotSession(BinanceSession):
    """Spot."""

    VENUE = "binance"
    SUFFIX = ".BINANCE"
    URL = "wss://stream.binance.com:9443/stream"
    REST_URL = "https://api.binance.com"
    REST = "actors.market.rest.binance:BinanceSpotRest"
    OFFERED = frozenset({BOOK, TRADES, TICKERS, BARS})
    # Request weight 6,000 a minute and 300 connects in five minutes, each for one address; 50 unfilled orders in ten
    # seconds for one account, wherever the venue's ten seconds begin.
    BUDGETS = (("rest", 6000.0, 100.0), ("connect", 300.0, 1.0), ("write", 25.0, 2.4))
    DEPTH_PATH = "/api/v3/depth"
    DEPTH_WEIGHTS: ClassVar[tuple[tuple[int, int], ...]] = ((100, 5), (500, 25), (1000, 50), (5000, 250))

    def new_book(self, market: str, prefix: str) -> DepthBook:
        """Ids without a hole."""
        return SpotBook(market, prefix)

    def _levels(self, exact: int, most: int) -> int:
        return exact


class _FuturesSession(BinanceSession):
    OFFERED = frozenset({BOOK, TRADES, TICKERS, BARS, FUNDING, LIQUIDATIONS})
    # Request weight 2,400 a minute.
    BUDGETS = (("rest", 2400.0, 40.0), ("connect", 300.0, 1.0))
    # Futures take these limits alone.
    DEPTH_WEIGHTS: ClassVar[tuple[tuple[int, int], ...]] = (
        (5, 2),
        (10, 2),
        (20, 2),
        (50, 2),
        (100, 5),
        (500, 10),
        (1000, 20),
    )

    @classmethod
    def intervals(cls) -> tuple[str, ...]:
        """Futures have no bars of a second."""
        return INTERVALS[1:]

    def new_book(self, market: str, prefix: str) -> DepthBook:
        """Events that name their predecessor."""
        return FuturesBook(market, prefix)


class BinanceUsdmSession(_FuturesSession):
    """USD-M futures.

    Since 2026-04-23 the venue serves streams at two addresses and says nothing to those asked for at the wrong one:
    `/public` has book, trades and ticker, `/market` bars, funding and liquidations. A feed is one connection, so it
    takes channels of one address.
    """

    VENUE = "binance-usdm"
    SUFFIX = ".BINANCE-USDM"
    URL = "wss://fstream.binance.com/public/stream"
    MARKET_URL: ClassVar[str] = "wss://fstream.binance.com/market/stream"
    REST_URL = "https://fapi.binance.com"
    REST = "actors.market.rest.binance:BinanceUsdmRest"
    DEPTH_PATH = "/fapi/v1/depth"

    def __init__(
        self,
        feed: str,
        markets: Sequence[str] = (),
        channels: Sequence[str] | None = None,
        options: SessionOptions = DEFAULT_OPTIONS,
        credentials: Credentials | None = None,
    ) -> None:
        super().__init__(feed, markets, channels, options, credentials)
        elsewhere = set(self.channels) - PUBLIC
        if not elsewhere or options.listening:
            return
        if here := set(self.channels) & PUBLIC:
            raise ValueError(
                f"{self.VENUE} serves {', '.join(sorted(here))} and {', '.join(sorted(elsewhere))} at two addresses: "
                "make a feed of each"
            )
        # One class, two addresses: whoever connects reads that of the instance.
        self.URL = self.MARKET_URL  # type: ignore[misc]


class BinanceCoinmSession(_FuturesSession):
    """COIN-M futures: prices in dollars, sizes in contracts of so many dollars (`Instrument.multiplier`)."""

    VENUE = "binance-coinm"
    SUFFIX = ".BINANCE-COINM"
    URL = "wss://dstream.binance.com/stream"
    REST_URL = "https://dapi.binance.com"
    REST = "actors.market.rest.binance:BinanceCoinmRest"
    DEPTH_PATH = "/dapi/v1/depth"
    QUOTED = False

    @classmethod
    def trade_stream(cls, symbol: str) -> str:
        """Its pages name aggregate trades alone."""
        return binance_commands.aggregate_trade_stream(symbol)
