"""`[bridges]`: services outside the node that decisions call."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec

from runtime.settings import LocalPath

SECTION: Final = "bridges"
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
_URLS: Final = ("trading_url", "data_url", "threshold_url")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[bridges]`: services outside the node that decisions call. A bridge runs where its URL is set."""

    trading_url: str = ""
    """The trading service, `http://host:port`; empty: none."""
    data_url: str = ""
    """The data aggregator; empty: none."""
    threshold_url: str = ""
    """The adaptive threshold service; empty: none."""
    trading_token_file: LocalPath = ""
    """A file with the bearer token of the trading service; empty: it wants none."""
    data_token_file: LocalPath = ""
    """A file with the bearer token of the data aggregator."""
    threshold_token_file: LocalPath = ""
    """A file with the bearer token of the threshold service."""
    deadline_s: Annotated[float, msgspec.Meta(gt=0, le=25)] = 10.0
    """How long a call may take with all of its retries; who asks over HTTP waits no longer than 30 seconds."""
    connect_s: Seconds = 3.0
    """How long making a connection may take."""
    retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = 3
    """How often a call that may be repeated is made again."""
    retry_first_s: Seconds = 0.2
    """The longest wait before the first retry; it doubles each time, and the wait is a random part of it."""
    retry_most_s: Seconds = 2.0
    """The longest wait before any retry."""
    breaker_failures: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 5
    """So many failures in a row open the breaker."""
    breaker_open_s: Seconds = 60.0
    """How long the breaker stays open before one request may try."""
    max_concurrent: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 8
    """Requests to one upstream at a time; others wait, within their deadline."""
    max_waiting: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 256
    """Calls to one upstream that may be open at a time, those that wait included."""
    market_cache_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 300.0
    """How long a window of a market is not asked for again; 0: never kept."""
    aggregate_cache_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 600.0
    """How long aggregated data is not asked for again; 0: never kept."""
    cache_entries: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1000
    """Answers that are kept at most."""

    def __post_init__(self) -> None:
        for name in _URLS:
            if url := getattr(self, name):
                _check(name, url)


def _check(name: str, url: str) -> None:
    """Raise ValueError for what is no base URL, without showing it: it may hold a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"{name}: expected http://host:port or https://…, got what cannot be read as a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(f"{name}: expected http://host:port or https://…")
    if "@" in parts.netloc:
        raise ValueError(f"{name}: expected no user and no password in it: put a token into `{_token_of(name)}`")
    if parts.query or parts.fragment or any(not each.isprintable() or each == " " for each in url):
        raise ValueError(f"{name}: expected a base URL, without query, fragment and spaces")


def _token_of(name: str) -> str:
    return f"{name.removesuffix('_url')}_token_file"
