"""Downloads what is missing of a history, part by part; stopped anywhere, it goes on where it was.

A page is on the disk before the next one is asked for. A part whose pages are all there is sorted, freed of what came
twice, searched for holes, and written whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from actors.market.history import Hole, Manifest, Part, Span, bar_holes, closed_until, parts_of, trade_holes
from actors.market.history_client import HistoryClient
from actors.market.history_files import History, HistoryError, PageFile, call_after
from actors.market.venue_rest import HistoryPage
from protocols.market import Bar, Funding, Trade
from protocols.venues.errors import VenueError
from protocols.venues.rest import RestCall

MOST_TRADES: Final = 200_000
"""Trades of one part; where more come, the part ends with what has come."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a download is. `done` and `spans`: parts that are whole, and all that are to come; `rows`: new ones."""

    market: str
    span: Span
    done: int
    spans: int
    rows: int
    calls: int


class Download:
    """One history. `told` hears of each page. The clients' errors come through: what came before them is kept."""

    def __init__(
        self,
        client: HistoryClient,
        history: History,
        told: Callable[[Progress], object] = lambda progress: None,
        most_trades: int = MOST_TRADES,
    ) -> None:
        self.client = client
        self.history = history
        self.rows = 0
        self._told = told
        self._most_trades = most_trades
        self._done = 0
        self._spans = 0

    async def run(self, wanted: Span) -> Manifest:
        """Get what is missing of `wanted`, up to what can be whole by now; what is there then.

        Raises VenueError, CallFailed, ValueError for what the venue does not offer, and HistoryError.
        """
        now = self.client.clock.now()
        history = self.history
        end = min(wanted.end, closed_until(history.kind, history.interval, history.venue, now))
        with history.locked():
            manifest = history.manifest()
            todo = self._plan(manifest, Span(wanted.start, end)) if end > wanted.start else []
            self._spans = len(todo)
            while todo:
                span = todo.pop(0)
                manifest, rest = await self._part(manifest, span)
                self._done += 1
                if rest is not None:
                    self._spans += 1
                    todo.insert(0, rest)
        return manifest

    def _plan(self, manifest: Manifest, wanted: Span) -> list[Span]:
        """What to get, in order. Parts that were begun keep their borders, so that their pages fit."""
        history = self.history
        begun = history.begun()
        plan: list[Span] = []
        for span in manifest.missing(wanted):
            inside = [each for each in begun if span.start <= each.start and each.end <= span.end]
            between = Manifest(
                venue=history.venue,
                market=history.market,
                kind=history.kind,
                parts=tuple(Part(file="", start=s, end=e, rows=0, first=None, last=None) for s, e in inside),
            )
            for each in between.missing(span):
                plan += parts_of(each, history.kind, history.interval, history.venue)
            plan += inside
        for each in begun:
            if each not in plan and not manifest.missing(each):
                history.pages(each).remove()
        return sorted(plan)

    async def _part(self, manifest: Manifest, span: Span) -> tuple[Manifest, Span | None]:
        """Get one part and keep it; what is left of its span where the part had to end before."""
        file = self.history.pages(span)
        pages = file.read()
        resumed = bool(pages)
        call = call_after(pages) if resumed else self._first(span)
        while call is not None:
            self._tell(span, pages)
            try:
                page = await self.client.ask(call, self.client.rest.read_history)
            except VenueError:
                if not resumed:
                    raise
                # The place where an earlier run stopped may be one that the venue knows no more.
                file.remove()
                pages, call, resumed = [], self._first(span), False
                continue
            resumed = False
            if page.next == call:
                raise HistoryError(f"the venue's pages do not advance: {call.target}")
            file.append(page)
            pages.append(page)
            call = page.next
            if call is not None and sum(len(each.trades) for each in pages) >= self._most_trades:
                shorter = cut(span, pages)
                if shorter is not None:
                    kept, rest = shorter
                    return self._keep(manifest, kept, pages, file), rest
        return self._keep(manifest, span, pages, file), None

    def _first(self, span: Span) -> RestCall:
        history = self.history
        return self.client.rest.history(history.kind, history.market, history.interval, span.start, span.end)

    def _tell(self, span: Span, pages: Sequence[HistoryPage]) -> None:
        rows = self.rows + sum(len(page.bars) + len(page.trades) + len(page.funding) for page in pages)
        self._told(
            Progress(
                market=self.history.market,
                span=span,
                done=self._done,
                spans=self._spans,
                rows=rows,
                calls=self.client.calls,
            )
        )

    def _keep(self, manifest: Manifest, span: Span, pages: Sequence[HistoryPage], file: PageFile) -> Manifest:
        history, now = self.history, self.client.clock.now()
        holes: tuple[Hole, ...] = ()
        quiet = 0
        if history.kind == "bars":
            bars = bars_of(pages, span, now)
            times = [bar.start for bar in bars]
            marks = {mark for bar in bars for mark in bar.marks}
            holes, quiet = bar_holes(times, span, history.venue, history.interval)
            name, size, lost = history.write_bars(span, bars, now)
        elif history.kind == "trades":
            trades = trades_of(pages, span)
            times = [trade.ts_event for trade in trades]
            marks = {mark for trade in trades for mark in trade.marks}
            holes = trade_holes([(trade.ts_event, trade.trade_id) for trade in trades], history.venue)
            name, size, lost = history.write_trades(span, trades, now)
        else:
            funding = funding_of(pages, span)
            times = [each.ts_event for each in funding]
            marks = {mark for each in funding for mark in each.marks}
            name, size, lost = history.write_funding(span, funding, now)
        part = Part(
            file=name,
            start=span.start,
            end=span.end,
            rows=len(times),
            first=times[0] if times else None,
            last=times[-1] if times else None,
            holes=holes,
            quiet=quiet,
            cut=lost,
            calls=len(pages),
            bytes=size,
            retrieved_at=now,
        )
        manifest = manifest.with_part(part)
        manifest = msgspec.structs.replace(manifest, marks=tuple(sorted(marks.union(manifest.marks))))
        history.keep(manifest)
        file.remove()
        self.rows += len(times)
        return manifest


def bars_of(pages: Sequence[HistoryPage], span: Span, now: int) -> list[Bar]:
    """The bars of the span that were closed by `now`, one for each start, oldest first; the later page counts."""
    found = {bar.start: bar for page in pages for bar in page.bars if span.start <= bar.start < span.end}
    return [bar for _, bar in sorted(found.items()) if bar.end <= now]


def trades_of(pages: Sequence[HistoryPage], span: Span) -> list[Trade]:
    """The trades of the span, each id once, oldest first; what has no id is kept."""
    found: dict[str, Trade] = {}
    nameless: list[Trade] = []
    for page in pages:
        for trade in page.trades:
            if not span.start <= trade.ts_event < span.end:
                continue
            if trade.trade_id:
                found[trade.trade_id] = trade
            else:
                nameless.append(trade)
    return sorted([*found.values(), *nameless], key=_order)


def funding_of(pages: Sequence[HistoryPage], span: Span) -> list[Funding]:
    """The funding rates of the span, one for each time, oldest first."""
    found = {each.ts_event: each for page in pages for each in page.funding if span.start <= each.ts_event < span.end}
    return [each for _, each in sorted(found.items())]


def _order(trade: Trade) -> tuple[int, int, str]:
    number = int(trade.trade_id) if trade.trade_id.isdecimal() else 0
    return trade.ts_event, number, trade.trade_id


def cut(span: Span, pages: Sequence[HistoryPage]) -> tuple[Span, Span] | None:
    """(what the pages cover for certain, what is left of the span); None where that cannot be told.

    Venues page forwards or backwards in time. Trades of the last moment that was reached may go on with the next page,
    and so are left with the rest.
    """
    reached = [(min(times), max(times)) for page in pages if (times := [trade.ts_event for trade in page.trades])]
    if not reached:
        return None
    if all(before[1] <= after[0] for before, after in pairwise(reached)):
        border = reached[-1][1]
        if span.start < border < span.end and len(reached) > 1:
            return Span(span.start, border), Span(border, span.end)
    elif all(before[0] >= after[1] for before, after in pairwise(reached)):
        border = reached[-1][0] + 1
        if span.start < border < span.end:
            return Span(border, span.end), Span(span.start, border)
    return None
