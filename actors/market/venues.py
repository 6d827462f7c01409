"""The venues that a feed can name. A new one is a codec in `protocols/venues/`, a session class and a line here."""

from __future__ import annotations

import importlib
from typing import Final, cast

from actors.market.session_core import SessionCore

VENUES: Final[dict[str, str]] = {
    "kalshi": "actors.market.sessions.kalshi:KalshiSession",
    "binance": "actors.market.sessions.binance:BinanceSpotSession",
    "binance-usdm": "actors.market.sessions.binance:BinanceUsdmSession",
    "binance-coinm": "actors.market.sessions.binance:BinanceCoinmSession",
    "coinbase": "actors.market.sessions.coinbase:CoinbaseSession",
    "kraken": "actors.market.sessions.kraken:KrakenSession",
    "kraken-v1": "actors.market.sessions.kraken_v1:KrakenV1Session",
    "massive": "actors.market.sessions.massive:MassiveSession",
    "alphavantage": "actors.market.sessions.alphavantage:AlphaVantageSession",
}


def session_class(venue: str) -> type[SessionCore]:
    """The session of a venue. Imported only when a feed names it. Raises ValueError for an unknown one."""
    try:
        module, _, name = VENUES[venue].partition(":")
    except KeyError:
        raise ValueError(f"expected a venue out of {', '.join(sorted(VENUES))}, got {venue!r}") from None
    return cast("type[SessionCore]", getattr(importlib.import_module(module), name))
