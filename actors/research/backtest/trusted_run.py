"""A trusted strategy over a stream, in process: the loops that have to be lean.

What is decided for many messages is decided once for a batch; what happens seldom (a signal, a sample) is behind one
comparison of two integers.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from actors.market.book import Book
from actors.research.backtest.bar_making import BarMaker
from actors.research.backtest.coasting import Coast, may_coast
from actors.research.backtest.session import Session
from actors.research.backtest.sources import Batch, expanded
from actors.research.backtest.stream_view import StreamView
from actors.strategies.composing import Composer, Marks
from actors.strategies.strategy import Draft, Strategy, handles
from protocols.market import Bar, BookStale, BookUpdate, Quote, Trade


class TrustedRun:
    """Feeds engine and strategy."""

    def __init__(
        self, session: Session, view: StreamView, strategy: Strategy[Any], composer: Composer, maker: BarMaker
    ) -> None:
        self.session = session
        self.view = view
        self.strategy = strategy
        self.composer = composer
        self.maker = maker
        self.events = self.bars = 0
        kind = type(strategy)
        self._quotes_wanted = handles(kind, "on_quote")
        self._trades_wanted = handles(kind, "on_trade")
        self._bars_wanted = bool(strategy.intervals) and handles(kind, "on_bar")
        self._marks = Marks()
        self._seen: tuple[str, ...] | None = None
        self._known: tuple[str, ...] = ()
        self._acted = -1
        """When the strategy's last signal acts: its orders may wait for the open of the next bar."""
        self._one_market = len(view.markets) == 1
        self._books: dict[str, Book] = {}
        """Of updates that come without their quotes, where the engine's own book is not asked for them."""

    def feed(self, batch: Batch) -> None:
        """The next messages."""
        if not batch.ts:
            return
        session = self.session
        if not session.begun:
            session.begin(batch.ts[0], self.view.markets)
        self.events += len(batch.ts)
        simple = len(session.defined) >= len(self.view.markets) > 0 and not self.view.wanted
        if batch.kind == "quotes" and simple and not (self.view.books or self._bars_wanted):
            self._quotes(batch)
        elif batch.kind == "books" and simple and len(self.view.markets) == 1 and not self._bars_wanted:
            self._one_book(batch)
        elif batch.kind == "bars" and simple and not self.view.books and len(self.view.markets) == 1:
            self._one_market_of_bars(batch)
        else:
            self._mixed(expanded(batch, self._books))
        session.last = batch.ts[-1]
        session.recorder.drain()

    def _quotes(self, batch: Batch) -> None:
        session = self.session
        wake, take, told = session.wake, session.engine.quote, self.strategy.on_quote
        self._note(batch.messages[0].marks)
        if not self._quotes_wanted:
            for ts, quote in zip(batch.ts, batch.messages, strict=True):
                if ts > wake:
                    wake = session.before(ts)
                take(quote, ts)
            return
        # While nothing works the market alone needs to know; the engine looks at the account when the session wakes.
        alone = session.engine.venue.market_of(batch.messages[0].market).quote if self._one_market else None
        quiet = False
        for ts, quote in zip(batch.ts, batch.messages, strict=True):
            if ts > wake:
                wake = session.before(ts)
                quiet = False
            if quiet and alone is not None:
                alone(quote, ts)
            else:
                take(quote, ts)
                quiet = session.rests_until() is not None
            if drafts := told(quote):
                wake = self._drafted(drafts, quote, ts)
                quiet = False

    def _one_book(self, batch: Batch) -> None:
        """Updates of one book: the engine's own says which quotes they make."""
        session, first = self.session, batch.messages[0]
        wake, take, told = session.wake, session.engine.book, self.strategy.on_quote
        market = session.engine.venue.market_of(first.market)
        alone, gaps = market.book, market.gaps
        quiet = False
        self._note(first.marks)
        for ts, update in zip(batch.ts, batch.messages, strict=True):
            if ts > wake:
                wake = session.before(ts)
                quiet = False
            if quiet:
                quote = alone(update, ts)
            else:
                quote = take(update, ts)
                quiet = session.rests_until() is not None
            if quote is not None:
                if drafts := told(quote):
                    wake = self._drafted(drafts, quote, ts)
                    quiet = False
            elif market.gaps != gaps:
                gaps = market.gaps
                reason = market.levels.stale
                stale = market.levels.mark_stale(reason)
                session.engine.handle(BookStale(update.market, update.session, reason, ts), ts)
                if stale is not None:
                    self._tell_quote(stale, ts)
                    self._note(first.marks)
                wake, quiet = session.wake, False

    def _one_market_of_bars(self, batch: Batch) -> None:
        session, first = self.session, batch.messages[0]
        engine = session.engine
        matched = self.view.matches_bar(first)
        alone = self._bars_wanted and self.strategy.intervals == (first.interval,)
        instrument = engine.instruments[first.market]
        coasts = matched and alone and may_coast(session.spec, instrument.kind) and session.by_bars
        self.bars += len(batch.ts)
        self._note(first.marks)
        told, bars, times = self.strategy.on_bar, batch.messages, batch.ts
        place, count = 0, len(times)
        while place < count:
            ts, bar = times[place], bars[place]
            if ts > session.wake:
                session.before(ts)
            if matched:
                engine.bar(bar, ts)
            place += 1
            if alone:
                if drafts := told(bar):
                    self._drafted(drafts, bar, ts)
                    self._acted = ts + session.latency
                elif coasts and bar.start >= self._acted and (until := session.rests_until()) is not None:
                    place = self._coast(bars, times, place, until, instrument.multiplier)
            elif self._bars_wanted:
                self._tell_bars(self.maker.bar(bar), ts)

    def _coast(self, bars: list[Bar], times: list[int], place: int, until: int, multiplier: int) -> int:
        """Tell the strategy of bars from `place` on, and the engine only of the last; returns the place behind it."""
        session, told = self.session, self.strategy.on_bar
        engine, begin = session.engine, place
        if place >= len(times):
            return place
        session.before(times[place])
        last = bars[place - 1]
        coast = Coast(engine, last.market, last.close, multiplier)
        low, high = coast.bounds
        drafts: Sequence[Draft] = ()
        end = bisect_right(times, until, place)
        while place < end and low < (bar := bars[place]).close < high:
            place += 1
            if drafts := told(bar):
                break
        if place == begin:
            session.coasted(times[place - 1])
            return place
        coast.record(engine, session.recorder, bars[begin : place - 1], session.trade_from)
        bar, ts = bars[place - 1], times[place - 1]
        engine.bar(bar, ts)
        session.coasted(ts)
        if drafts:
            self._drafted(drafts, bar, ts)
            self._acted = ts + session.latency
        return place

    def _mixed(self, batch: Batch) -> None:
        session, view = self.session, self.view
        engine, defined, books = session.engine, session.defined, view.books
        wake = session.wake
        for ts, message in zip(batch.ts, batch.messages, strict=True):
            if ts > wake:
                wake = session.before(ts)
            market = message.market
            if market not in defined:
                if not view.takes(market):
                    continue
                session.define(market, ts)
            kind = type(message)
            if kind is BookUpdate:
                books.add(market)
                engine.book(message, ts)
            elif kind is Quote:
                if market not in books:
                    engine.quote(message, ts)
                self._tell_quote(message, ts)
                wake = session.wake
            elif kind is Trade:
                engine.trade(message, ts)
                self._tell_trade(message, ts)
                wake = session.wake
            elif kind is Bar:
                self.bars += 1
                if view.matches_bar(message):
                    engine.bar(message, ts)
                if self._bars_wanted:
                    self._tell_bars(self.maker.bar(message), ts)
                    wake = session.wake
            else:
                engine.handle(message, ts)

    def _tell_quote(self, quote: Quote, ts: int) -> None:
        self._note(quote.marks)
        if self._quotes_wanted and (drafts := self.strategy.on_quote(quote)):
            self._drafted(drafts, quote, ts)
        if self._bars_wanted and self.maker.takes_quotes(quote.market):
            self._tell_bars(self.maker.quote(quote), ts)

    def _tell_trade(self, trade: Trade, ts: int) -> None:
        if self._trades_wanted:
            self._note(trade.marks)
            if drafts := self.strategy.on_trade(trade):
                self._drafted(drafts, trade, ts)
        if self._bars_wanted and trade.market not in self.maker.given:
            self._tell_bars(self.maker.trade(trade), ts)

    def _tell_bars(self, bars: Sequence[Bar], ts: int) -> None:
        for bar in bars:
            self._note(bar.marks)
            if drafts := self.strategy.on_bar(bar):
                self._drafted(drafts, bar, ts)

    def _note(self, marks: tuple[str, ...]) -> None:
        if marks is not self._seen:
            self._seen = marks
            self._known = self._marks.of(marks)

    def _drafted(self, drafts: Sequence[Draft], cause: Quote | Trade | Bar, ts: int) -> int:
        session, now = self.session, ts + self.session.latency
        for draft in drafts:
            session.act(self.composer.signal(draft, cause, self._known, now), now)
        return session.wake
