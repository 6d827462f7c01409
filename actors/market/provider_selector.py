"""The actor that gives each symbol's quotes and bars, from the first of its providers that can be trusted now.

It hears the quotes of books, the tickers of venues and how feeds are, and judges its providers every second. Bars come
from those that were heard, where they are all there, and else over REST, from one provider after the other. A symbol
with a simulated provider has those that were heard alone: no real history goes before a market that is made up.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import trio

from actors.market.calendars import calendar_of
from actors.market.history import CALENDARS, closed_until, length_of
from actors.market.history_client import HistoryClient, rest_of
from actors.market.instrument_master import InstrumentSource
from actors.market.provider_settings import ProviderSettings, ProviderSource
from actors.market.providers import ProviderChain, Source
from actors.market.rest_client import CallFailed
from actors.market.session_core import Credentials
from actors.market.venues import VENUES, session_class
from protocols.budget import NORMAL
from protocols.control import ExitReason, Lagged, Message, Probe, ProbeReport, Refused, Unknown
from protocols.market import DELAYED, STALE, Bar, BookStale, FeedStatus, ListMarkets, Quote, Ticker
from protocols.paths import MARKET
from protocols.providers import (
    Freshness,
    GetProvidedBars,
    GetProvidedQuote,
    GetProviders,
    ProvidedBars,
    ProvidedQuote,
    ProviderList,
    ProviderSwitched,
    SymbolProviders,
)
from protocols.venues.errors import VenueError
from runtime import Actor, Mailbox, Overflow, receive

SECOND: Final = 1_000_000_000
MOST_BARS: Final = 10_000
"""Bars of one answer."""
KEPT_BARS: Final = 2_000
"""Bars that are remembered of each provider and interval."""
_INDEX: Final = f"{MARKET}/index"
_ASK_S: Final = 2.0
_LATE_BARS: Final = 120 * SECOND
"""By how much the last bar may be late before it is stale: a venue makes a bar when its minute is over."""


class _Look(Message, frozen=True, gc=False, tag="providers_look"):
    """Time to judge the providers."""


class _BarsTried(Message, frozen=True, gc=False, tag="providers_bars_tried"):
    symbol: str
    market: str
    trouble: str


class _Found(msgspec.Struct, frozen=True):
    """Bars of one provider, and whether there are more."""

    bars: tuple[Bar, ...]
    more: bool


class ProviderSelector(Actor):
    """Answers `GetProvidedQuote`, `GetProvidedBars`, `GetProviders`; publishes `ProviderSwitched`.

    `symbols`: fields of `ProviderSettings`; `feeds`: of `InstrumentSource`.
    """

    mailbox = Mailbox(capacity=4096, overflow=Overflow.CONFLATE)

    def __init__(self, symbols: Sequence[Mapping[str, Any]], feeds: Sequence[Mapping[str, Any]] = ()) -> None:
        self.settings = {each.symbol: each for each in (msgspec.convert(raw, ProviderSettings) for raw in symbols)}
        self.feeds = tuple(msgspec.convert(feed, InstrumentSource) for feed in feeds)
        self.feed_of = {market: feed for feed in self.feeds for market in feed.markets}
        self.chains: dict[str, ProviderChain] = {}
        self.switches = 0
        self._symbols_of: dict[str, list[str]] = {}
        self._bars: dict[tuple[str, str, str], deque[Bar]] = {}
        self._clients: dict[str, HistoryClient] = {}

    def on_start(self) -> None:
        """Hear what is said of the providers' markets."""
        now = self.clock.monotonic()
        for symbol, settings in self.settings.items():
            sources = [self._source(each) for each in settings.sources]
            self.chains[symbol] = ProviderChain(
                symbol, sources, now, failures=settings.failures, open_s=settings.open_s, trials=settings.trials
            )
            for source in sources:
                self._symbols_of.setdefault(source.market, []).append(symbol)
        for market in self._symbols_of:
            for kind in (Quote, Ticker, Bar, BookStale):
                self.subscribe(kind, market)
        self.subscribe(FeedStatus)
        self.every(1.0, _Look())

    async def on_continue(self) -> None:
        """Take what is known already: a book that stands still says nothing for a while."""
        try:
            known = await self.lookup(_INDEX).ask(ListMarkets(), timeout=_ASK_S)
        except (Refused, Unknown):
            return
        for status in known.feeds:
            self.feed(status)
        for summary in known.markets:
            if summary.quote is not None and summary.market in self._symbols_of:
                self.price(summary.quote)

    async def on_stop(self, reason: ExitReason) -> None:
        """End the connections."""
        for client in self._clients.values():
            await client.aclose()

    def _source(self, source: ProviderSource) -> Source:
        feed = self.feed_of.get(source.market)
        venue = source.venue or (feed.venue if feed is not None else _venue_of(source.market))
        return Source(
            market=source.market,
            feed=feed.feed if feed is not None else "",
            venue=venue,
            max_age=round(source.max_age_s * SECOND),
        )

    # -- what is heard ---------------------------------------------------------------------------------

    @receive
    def price(self, message: Quote | Ticker) -> None:
        """A provider's value."""
        for symbol in self._symbols_of.get(message.market, ()):
            self.chains[symbol].providers[message.market].take(message)

    @receive
    def book_stale(self, message: BookStale) -> None:
        """A provider's book is not to be trusted: the next one is at once."""
        for symbol in self._symbols_of.get(message.market, ()):
            self.chains[symbol].providers[message.market].book_stale(message.reason)
            self._judge(self.chains[symbol])

    @receive
    def feed(self, message: FeedStatus) -> None:
        """A feed has come up or gone down."""
        for chain in self.chains.values():
            named = [each for each in chain.providers.values() if each.source.feed == message.feed]
            for provider in named:
                provider.feed_is(message.state)
            if named:
                self._judge(chain)

    @receive
    def bar(self, message: Bar) -> None:
        """A provider's bar, made here or by the venue. Of one start the last counts."""
        kept = self._bars.setdefault((message.market, message.interval, message.source), deque(maxlen=KEPT_BARS))
        if kept and message.start <= kept[-1].start:
            if message.start == kept[-1].start:
                kept[-1] = message
            return
        kept.append(message)

    @receive
    def lagged(self, message: Lagged) -> None:
        """Bars may be missing among those that were heard."""
        self._bars.clear()

    @receive
    def look(self, message: _Look) -> None:
        """Judge all providers."""
        for chain in self.chains.values():
            self._judge(chain)

    def _judge(self, chain: ProviderChain) -> None:
        chain.look(self.clock.monotonic(), self.clock.now())
        self._choose(chain)

    def _choose(self, chain: ProviderChain) -> None:
        ts = self.clock.now()
        switched = chain.choose(ts)
        if switched is not None:
            old, new, reason = switched
            self.switches += 1
            self.publish(ProviderSwitched(chain.symbol, old, new, reason, ts))
            self.logger.info("provider switched", symbol=chain.symbol, old=old, new=new, why=reason)

    # -- what is asked ---------------------------------------------------------------------------------

    @receive
    def quote(self, request: GetProvidedQuote) -> ProvidedQuote:
        """The best prices of a symbol now."""
        chain = self._chain(request.symbol)
        self._choose(chain)
        found = chain.quote(self.clock.now())
        if found is None:
            raise Refused("unavailable", f"no provider of {request.symbol!r} has said anything yet")
        return found

    @receive
    def providers(self, request: GetProviders) -> ProviderList:
        """How the providers are."""
        chains = [self._chain(request.symbol)] if request.symbol else [self.chains[key] for key in sorted(self.chains)]
        ts = self.clock.now()
        return ProviderList(
            tuple(
                SymbolProviders(
                    symbol=chain.symbol,
                    chosen=chain.chosen,
                    providers=tuple(provider.state(ts) for provider in chain.providers.values()),
                )
                for chain in chains
            )
        )

    @receive
    def bars(self, request: GetProvidedBars) -> None:
        """Bars of a symbol; the answer comes when a provider has given them."""
        chain = self._chain(request.symbol)
        try:
            length_of(request.interval)
        except ValueError as error:
            raise Refused("invalid", str(error), "interval") from None
        if request.start >= request.end:
            raise Refused("invalid", "the span is empty", "end")
        self.answer_later(self._find_bars, chain, request)

    @receive
    def bars_tried(self, message: _BarsTried) -> None:
        """How a provider of bars did."""
        provider = self.chains[message.symbol].providers[message.market]
        provider.bars_tried(self.clock.monotonic(), message.trouble)

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """Degraded while a symbol has no provider that can be believed."""
        lost = sorted(symbol for symbol, chain in self.chains.items() if not chain.chosen)
        return ProbeReport(
            status="degraded" if lost else "ok",
            detail=f"no provider of {', '.join(lost)}" if lost else "",
            figures=(("symbols", len(self.chains)), ("switches", self.switches)),
        )

    def _chain(self, symbol: str) -> ProviderChain:
        try:
            return self.chains[symbol]
        except KeyError:
            raise Refused("not_found", f"there are no providers of {symbol!r}", "symbol") from None

    # -- bars ------------------------------------------------------------------------------------------

    async def _find_bars(self, chain: ProviderChain, request: GetProvidedBars) -> ProvidedBars:
        passed_over: list[tuple[str, str]] = []
        empty: ProvidedBars | None = None
        now = self.clock.now()
        made_up = any(feed.simulated for market in chain.providers if (feed := self.feed_of.get(market)) is not None)
        for market, provider in chain.providers.items():
            until = closed_until("bars", request.interval, provider.source.venue, min(request.end, now))
            found = self._heard_so_far(market, request) if made_up else self._heard(market, request, until)
            if found is None:
                if made_up:
                    passed_over.append((market, "a simulated symbol has the bars alone that were heard"))
                    continue
                if not provider.bars_admitted(self.clock.monotonic()):
                    passed_over.append((market, f"failed lately: {provider.bars_detail}"))
                    continue
                trouble = ""
                try:
                    with trio.fail_after(self.settings[chain.symbol].bars_timeout_s):
                        found = await self._fetch(provider.source, request)
                except ValueError as error:
                    # It does not offer them: no failure.
                    passed_over.append((market, str(error)))
                    continue
                except trio.TooSlowError:
                    trouble = "took too long"
                except (VenueError, CallFailed, OSError) as error:
                    trouble = f"{type(error).__name__}: {error}"
                await self.ref.send(_BarsTried(chain.symbol, market, trouble), timeout=_ASK_S)
                if found is None:
                    passed_over.append((market, trouble))
                    continue
            provided = await self._provided(chain.symbol, provider.source, request, found, until, passed_over)
            if found.bars:
                return provided
            empty = empty or provided
            passed_over.append((market, "has no bars of then"))
        if empty is not None:
            return empty
        why = "; ".join(f"{market}: {reason}" for market, reason in passed_over)
        raise Refused("unavailable", f"no provider gives these bars: {why}")

    def _heard(self, market: str, request: GetProvidedBars, until: int) -> _Found | None:
        """The bars that were heard, if every one of the span is among them; the venue's own before those made here."""
        for source in ("venue", "trades", "quotes"):
            kept = self._bars.get((market, request.interval, source))
            if kept and kept[0].start <= request.start and (found := _whole(kept, request, until)) is not None:
                return found
        return None

    def _heard_so_far(self, market: str, request: GetProvidedBars) -> _Found | None:
        """The bars of the span that were heard, few as they may be: there are no others."""
        for source in ("venue", "trades", "quotes"):
            if found := _within(self._bars.get((market, request.interval, source), ()), request):
                return _Found(found[:MOST_BARS], len(found) > MOST_BARS)
        return None

    async def _fetch(self, source: Source, request: GetProvidedBars) -> _Found:
        """Ask over REST. Raises ValueError where the provider has no such bars, and what the client raises."""
        client = self._clients.get(source.market) or await self._client(source)
        call = client.rest.history("bars", source.market, request.interval, request.start, request.end)
        bars: dict[int, Bar] = {}
        while True:
            page = await client.ask(call, client.rest.read_history)
            bars |= {bar.start: bar for bar in page.bars if request.start <= bar.start < request.end}
            if page.next is None or len(bars) > MOST_BARS:
                break
            call = page.next
        found = tuple(bar for _, bar in sorted(bars.items()))
        return _Found(found[:MOST_BARS], len(found) > MOST_BARS)

    async def _client(self, source: Source) -> HistoryClient:
        feed = self.feed_of.get(source.market) or next(
            (each for each in self.feeds if each.venue == source.venue), InstrumentSource(venue=source.venue)
        )
        credentials = None
        if feed.key_file:
            secret = await self.offload(Path(feed.key_file).read_bytes, timeout=5.0)
            credentials = Credentials(feed.key_id, secret)
        budget = self.lookup(feed.budget) if feed.budget else None
        rest = rest_of(source.venue, credentials)
        client = HistoryClient(rest, feed.rest_url, self.clock, budget, tries=1, priority=NORMAL)
        return self._clients.setdefault(source.market, client)

    async def _provided(
        self,
        symbol: str,
        source: Source,
        request: GetProvidedBars,
        found: _Found,
        until: int,
        passed_over: Sequence[tuple[str, str]],
    ) -> ProvidedBars:
        expected = until
        if CALENDARS.get(source.venue):
            expected = await self.offload(_expected, source.venue, until, timeout=_ASK_S * 5)
        last = found.bars[-1] if found.bars else None
        freshness: Freshness = "live"
        if not found.more and (last is None or STALE in last.marks or last.end + _LATE_BARS < expected):
            freshness = "stale"
        elif last is not None and DELAYED in last.marks:
            freshness = "delayed"
        return ProvidedBars(
            symbol=symbol,
            provider=source.market,
            interval=request.interval,
            freshness=freshness,
            age=None if last is None else self.clock.now() - last.end,
            bars=found.bars,
            more=found.more,
            passed_over=tuple(passed_over),
        )


def _whole(kept: Sequence[Bar], request: GetProvidedBars, until: int) -> _Found | None:
    """The bars of the span; None where one is missing."""
    bars = _within(kept, request)
    length = length_of(request.interval)
    if not bars or bars[0].start >= request.start + length or bars[-1].end < until:
        return None
    if any(after.start != before.end for before, after in pairwise(bars)):
        return None
    return _Found(bars[:MOST_BARS], len(bars) > MOST_BARS)


def _within(kept: Sequence[Bar], request: GetProvidedBars) -> tuple[Bar, ...]:
    place = bisect_left(kept, request.start, key=_start)
    return tuple(bar for bar in islice(kept, place, None) if bar.start < request.end)


def _start(bar: Bar) -> int:
    return bar.start


def _expected(venue: str, until: int) -> int:
    """When the last bar before `until` ends, of an exchange with hours: then, or at the last close before."""
    calendar = calendar_of(CALENDARS[venue])
    if calendar.is_open(until - 1):
        return until
    week = 10 * 86_400 * SECOND
    before = [session for session in calendar.sessions(until - week, until) if session.closes <= until]
    return before[-1].closes if before else 0


def _venue_of(market: str) -> str:
    """The venue whose suffix a market's name has; Kalshi's have none."""
    for venue in VENUES:
        suffix = session_class(venue).SUFFIX
        if suffix and market.endswith(suffix):
            return venue
    return "kalshi"
