"""Which of a symbol's providers to believe: an ordered list, each behind a circuit breaker. No I/O, no clock.

A provider is left for the next one as soon as its feed is down, its book is stale or its value is too old; its breaker
opens then. When the breaker's wait is over it is tried again (half-open): it has to be well at several looks in a row
before it is used again, so that one that comes and goes does not make values jump between providers.

`now` is monotonic, `ts` wall time, both in nanoseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from protocols.market import DELAYED, STALE, FeedState, Quote, Ticker
from protocols.providers import Freshness, ProvidedQuote, ProviderState
from runtime.breaker import BreakerSettings, CircuitBreaker, CircuitOpen, Count, State

SECOND: Final = 1_000_000_000
NO_VALUE: Final = "has said nothing yet"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One provider. `feed` empty: it is judged by its values alone. `max_age` in nanoseconds."""

    market: str
    feed: str = ""
    venue: str = ""
    max_age: int = 60 * SECOND


class Price(msgspec.Struct, frozen=True, gc=False):
    """The last that a provider said of its best prices."""

    bid: int | None
    bid_size: int | None
    ask: int | None
    ask_size: int | None
    last: int | None
    ts_event: int
    ts_recv: int
    marks: tuple[str, ...]

    @classmethod
    def of(cls, message: Quote | Ticker) -> Price:
        """Of a book's quote, or of what a venue says of itself."""
        last = message.last if isinstance(message, Ticker) else None
        return cls(
            message.bid,
            message.bid_size,
            message.ask,
            message.ask_size,
            last,
            message.ts_event,
            message.ts_recv,
            message.marks,
        )

    @property
    def empty(self) -> bool:
        """Whether there is no price in it."""
        return self.bid is None and self.ask is None and self.last is None


class Provider:
    """One provider of one symbol: its last values, what is wrong with it, and its two breakers."""

    def __init__(self, source: Source, quotes: BreakerSettings, bars: BreakerSettings, now: int) -> None:
        self.source = source
        self.quotes = CircuitBreaker(source.market, quotes, now)
        self.bars = CircuitBreaker(f"{source.market} bars", bars, now)
        self.bars_detail = ""
        self._book: Price | None = None
        self._ticker: Price | None = None
        self._feed: FeedState = "live"
        self._stale = ""

    def take(self, message: Quote | Ticker) -> None:
        """It has said something."""
        if isinstance(message, Quote):
            self._book = Price.of(message)
            self._stale = ""
        else:
            self._ticker = Price.of(message)

    def book_stale(self, reason: str) -> None:
        """Its book is not to be trusted until the next quote."""
        self._stale = reason
        self._ticker = (
            None
            if self._ticker is None
            else msgspec.structs.replace(self._ticker, marks=tuple(sorted({*self._ticker.marks, STALE})))
        )

    def feed_is(self, state: FeedState) -> None:
        """How its feed is."""
        self._feed = state

    def price(self, ts: int) -> Price | None:
        """Its last value: of its book, unless that is no good and what the venue says of itself is."""
        if self._book is None or (self._ticker is not None and self._fault_of(self._book, ts, book=True)):
            if self._ticker is None or (self._book is not None and self._fault_of(self._ticker, ts, book=False)):
                return self._book
            return self._ticker
        return self._book

    def fault(self, ts: int) -> str:
        """What is wrong with it now; empty: nothing."""
        if self._feed in ("down", "ended"):
            return f"its feed is {self._feed}"
        price = self.price(ts)
        if price is None:
            return NO_VALUE
        return self._fault_of(price, ts, book=price is self._book)

    def _fault_of(self, price: Price, ts: int, *, book: bool) -> str:
        if book and self._stale:
            return f"its book is stale: {self._stale}"
        if STALE in price.marks:
            return "its value is stale"
        if price.empty:
            return "there is no price"
        age = ts - price.ts_recv
        if age > self.source.max_age:
            return f"its value is {age / SECOND:.1f} s old"
        return ""

    def look(self, now: int, ts: int) -> None:
        """Judge it: a breaker opens at a fault, and one that is half-open takes this look for a trial."""
        fault = self.fault(ts)
        if self.quotes.state is State.CLOSED:
            if fault and fault != NO_VALUE:
                self.quotes.trip(now)
            return
        try:
            permit = self.quotes.acquire(now)
        except CircuitOpen:
            return
        if fault:
            permit.failure(now)
        else:
            permit.success(now)

    def freshness(self, ts: int) -> Freshness:
        """Of its last value."""
        price = self.price(ts)
        if price is None or self.fault(ts):
            return "stale"
        return "delayed" if DELAYED in price.marks else "live"

    def bars_admitted(self, now: int) -> bool:
        """Whether it may be asked for bars."""
        return self.bars.snapshot(now).retry_after == 0.0

    def bars_tried(self, now: int, trouble: str) -> None:
        """How asking it for bars went."""
        self.bars_detail = trouble
        try:
            permit = self.bars.acquire(now)
        except CircuitOpen:
            return
        if trouble:
            permit.failure(now)
        else:
            permit.success(now)

    def state(self, ts: int) -> ProviderState:
        """How it is, for people."""
        price = self.price(ts)
        detail = "; ".join(filter(None, (self.fault(ts), self.bars_detail and f"bars: {self.bars_detail}")))
        return ProviderState(
            provider=self.source.market,
            feed=self.source.feed,
            quotes=self.quotes.state.value,
            bars=self.bars.state.value,
            freshness=self.freshness(ts),
            age=None if price is None else ts - price.ts_recv,
            detail=detail,
        )


class ProviderChain:
    """The providers of one symbol, in their order. Raises ValueError for none, or the same market twice.

    `failures`: of bars in a row that open a breaker; `open_s`: for how long it stays open; `trials`: looks, or answers,
    in a row that close it again.
    """

    def __init__(
        self,
        symbol: str,
        sources: Sequence[Source],
        now: int,
        *,
        failures: int = 3,
        open_s: float = 15.0,
        trials: int = 3,
    ) -> None:
        if not sources or len({source.market for source in sources}) < len(sources):
            raise ValueError(f"{symbol} needs providers, each of them once")
        quotes = BreakerSettings(
            window=Count(1), minimum_calls=trials, open_s=open_s, half_open_calls=trials, failure_rate=1 / trials
        )
        bars = BreakerSettings(
            window=Count(failures), minimum_calls=failures, open_s=open_s, half_open_calls=1, failure_rate=1.0
        )
        self.symbol = symbol
        self.providers = {source.market: Provider(source, quotes, bars, now) for source in sources}
        self.chosen = ""

    def look(self, now: int, ts: int) -> None:
        """Judge all of them: to be called once a second, and when something has happened to one."""
        for provider in self.providers.values():
            provider.look(now, ts)

    def quote(self, ts: int) -> ProvidedQuote | None:
        """The value of the chosen one, or the youngest of all, as stale; None: there is none at all."""
        passed_over: list[tuple[str, str]] = []
        best: Provider | None = None
        for provider in self.providers.values():
            if provider.source.market == self.chosen:
                best = provider
                break
            passed_over.append((provider.source.market, provider.fault(ts) or "it is on trial again"))
        if best is None:
            known = [
                (price.ts_recv, -place, provider)
                for place, provider in enumerate(self.providers.values())
                if (price := provider.price(ts)) is not None and not price.empty
            ]
            if not known:
                return None
            best = max(known, key=lambda each: each[:2])[2]
        return self._provided(best, ts, tuple(passed_over))

    def choose(self, ts: int) -> tuple[str, str, str] | None:
        """Choose the first that can be believed; (old, new, what is wrong with the old one) where that is another."""
        old = self.chosen
        self.chosen = next(
            (
                provider.source.market
                for provider in self.providers.values()
                if provider.quotes.state is State.CLOSED and not provider.fault(ts)
            ),
            "",
        )
        if self.chosen == old:
            return None
        reason = self.providers[old].fault(ts) if old else ""
        return old, self.chosen, reason

    def _provided(self, provider: Provider, ts: int, passed_over: tuple[tuple[str, str], ...]) -> ProvidedQuote:
        price = provider.price(ts)
        assert price is not None
        freshness: Freshness = "stale" if provider.source.market != self.chosen else provider.freshness(ts)
        marks = {*price.marks, STALE} if freshness == "stale" else {*price.marks}
        return ProvidedQuote(
            symbol=self.symbol,
            provider=provider.source.market,
            feed=provider.source.feed,
            freshness=freshness,
            age=ts - price.ts_recv,
            bid=price.bid,
            bid_size=price.bid_size,
            ask=price.ask,
            ask_size=price.ask_size,
            last=price.last,
            ts_event=price.ts_event,
            ts_recv=price.ts_recv,
            marks=tuple(sorted(marks)),
            passed_over=passed_over,
        )
