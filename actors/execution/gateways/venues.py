"""The venues that an account can trade at: where they are, and who speaks their language."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from actors.execution.gateways import binance, kalshi
from actors.execution.gateways.binance import BinanceVenue
from actors.execution.gateways.findings import Venue
from actors.execution.gateways.kalshi import KalshiVenue
from actors.execution.gateways.settings import GatewaySettings
from protocols.gateways import NativeKinds
from protocols.venues import binance_signing, kalshi_signing
from protocols.venues.binance_orders import STREAM_PATH

LIMITS: Final[dict[str, tuple[tuple[str, float, float], ...]]] = {
    "kalshi": KalshiVenue.LIMITS,
    "binance": BinanceVenue.LIMITS,
}
"""Of an account at each venue, where no feed shares them: (bucket, tokens, tokens a second)."""
_URLS: Final = {"kalshi": kalshi.URLS, "binance": binance.URLS}


def urls_of(settings: GatewaySettings, rest_url: str = "", url: str = "") -> tuple[str, str]:
    """(REST address, WebSocket address), of the settings or of who is told. Raises ValueError where there is none."""
    if settings.url:
        return settings.rest_url, settings.url
    if rest_url:
        # Binance's account speaks at another path than its market data do.
        return rest_url, f"ws://{urlsplit(url).netloc}{STREAM_PATH}" if settings.venue == "binance" else url
    found = _URLS[settings.venue].get(settings.environment)
    if found is None:
        raise ValueError(f"{settings.venue} has no {settings.environment} environment of its own: set url and rest_url")
    return found


def open_venue(settings: GatewaySettings, rest_url: str, key_id: str, secret: bytes) -> Venue:
    """The venue's codec with the account's key. Raises ValueError for a key that is none."""
    if settings.venue == "binance":
        return BinanceVenue(settings, binance_signing.Signer(key_id, secret))
    return KalshiVenue(settings, rest_url, kalshi_signing.Signer(key_id, secret))


def native_kinds(venue: str) -> NativeKinds:
    """What a venue takes by itself. Raises KeyError for an unknown one."""
    return {"kalshi": KalshiVenue.native, "binance": BinanceVenue.native}[venue]
