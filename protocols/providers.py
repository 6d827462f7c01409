"""What is said of symbols that several venues quote: the value of the first provider that can be trusted now.

A symbol is a name of ours ("AAPL"); its providers are markets of feeds ("AAPL.MASSIVE", "AAPL.ALPHAVANTAGE") in the
order in which they are preferred. `freshness` says of every value what it is: `live`; `delayed`, where the provider is
late by contract; `stale`, where no provider has a current one and this is the last that is known. `age` is in
nanoseconds since the value came. Prices and sizes in nanos.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from protocols.control import Message, Request
from protocols.market import Bar
from protocols.paths import MARKET

PROVIDERS: Final = f"{MARKET}/providers"
"""Where the requests below are answered."""

Freshness = Literal["live", "delayed", "stale"]


class ProvidedQuote(Message, frozen=True, gc=False, tag="provided_quote", kw_only=True):
    """The best prices of a symbol. `provider` is the market they are of. `passed_over`: why not one before it.

    None where the provider does not say; a provider may know a last price alone.
    """

    symbol: str
    provider: str
    feed: str
    freshness: Freshness
    age: int
    bid: int | None
    bid_size: int | None
    ask: int | None
    ask_size: int | None
    last: int | None
    ts_event: int
    ts_recv: int
    marks: tuple[str, ...] = ()
    passed_over: tuple[tuple[str, str], ...] = ()


class GetProvidedQuote(Request[ProvidedQuote], frozen=True, gc=False, tag="get_provided_quote"):
    """Asks for the best prices of a symbol now.

    Refused `not_found` for a symbol without providers, `unavailable` where none of them has said anything yet.
    """

    symbol: str


class ProvidedBars(Message, frozen=True, gc=False, tag="provided_bars", kw_only=True):
    """Bars of one provider, oldest first. `age`: of the last one's end; None without bars. `more`: there were further
    ones behind the last.

    `freshness` is `stale` where the bars end before they should: at the end that was asked for, or at the last
    opening hour before it.
    """

    symbol: str
    provider: str
    interval: str
    freshness: Freshness
    age: int | None
    bars: tuple[Bar, ...]
    more: bool = False
    passed_over: tuple[tuple[str, str], ...] = ()


class GetProvidedBars(Request[ProvidedBars], frozen=True, gc=False, tag="get_provided_bars"):
    """Asks for the bars that start in [start, end), nanoseconds.

    Refused `not_found` for a symbol without providers, `invalid` for a span that is none, `unavailable` where no
    provider answers.
    """

    symbol: str
    interval: str
    start: int
    end: int


class ProviderState(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One provider of a symbol. `quotes` and `bars`: its breakers, closed | open | half_open. `age` None: no value."""

    provider: str
    feed: str
    quotes: str
    bars: str
    freshness: Freshness
    age: int | None
    detail: str


class SymbolProviders(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A symbol's providers in their order, and which of them gives its quotes; "" where none does."""

    symbol: str
    chosen: str
    providers: tuple[ProviderState, ...]


class ProviderList(Message, frozen=True, gc=False, tag="provider_list"):
    """All symbols, sorted."""

    symbols: tuple[SymbolProviders, ...]


class GetProviders(Request[ProviderList], frozen=True, gc=False, tag="get_providers"):
    """Asks how the providers of a symbol are; of all, if empty. Refused `not_found`."""

    symbol: str = ""


class ProviderSwitched(Message, frozen=True, gc=False, tag="provider_switched"):
    """A symbol's quotes now come from another provider ("" : from none). `reason`: what is wrong with the old one."""

    symbol: str
    old: str
    new: str
    reason: str
    ts: int

    def topic_key(self) -> str:
        """The symbol."""
        return self.symbol
