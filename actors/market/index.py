"""The actor that knows which markets there are, and answers for all feeds together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from protocols.control import Lagged, Probe, ProbeReport, Refused, Terminated
from protocols.market import (
    ClaimMarkets,
    FeedMarkets,
    FeedStatus,
    GetFeedMarkets,
    ListMarkets,
    MarketList,
    MarketPhase,
    MarketStatus,
    MarketSummary,
    Quote,
    ReleaseMarkets,
)
from protocols.paths import MARKET, feed_book, feed_session
from runtime import Actor, Done, Mailbox, Overflow, receive

_PROBE_S = 1.0


class MarketIndex(Actor):
    """Lists markets with their last quotes. `feeds`: the markets of each feed by its name; `owners`: who keeps a
    market's book (else it is shown with the first feed that has it).

    A view: it may be behind, and takes only the latest quote of each market.
    """

    mailbox = Mailbox(capacity=4096, overflow=Overflow.CONFLATE)

    def __init__(self, feeds: Mapping[str, Sequence[str]], owners: Mapping[str, str] | None = None) -> None:
        self.markets_of = {name: set(markets) for name, markets in feeds.items()}
        self.owners = dict(owners or {})
        self.quotes: dict[str, Quote] = {}
        self.phases: dict[str, MarketPhase] = {}
        self.statuses: dict[str, FeedStatus] = {}

    def on_start(self) -> None:
        """Subscribe to everything that is said of markets and feeds."""
        for kind in (Quote, MarketStatus, FeedStatus):
            self.subscribe(kind)
        for name in self.markets_of:
            self.watch(self.lookup(f"{MARKET}/{name}"))

    @receive
    def quote(self, message: Quote) -> None:
        """Keep the last one."""
        self.quotes[message.market] = message

    @receive
    def status(self, message: MarketStatus) -> None:
        """Keep the phase."""
        self.phases[message.market] = message.phase

    @receive
    def feed(self, message: FeedStatus) -> None:
        """Keep how the feed is."""
        self.statuses[message.feed] = message

    @receive
    def feed_ended(self, message: Terminated) -> None:
        """A feed whose supervisor has given up says nothing any more."""
        name = message.path.removeprefix(f"{MARKET}/")
        if message.final and message.incarnation.count > 0:
            self.statuses[name] = FeedStatus(name, "down", "", "its supervisor gave up", self.clock.now())

    @receive
    def lagged(self, message: Lagged) -> None:
        """Views may lose."""

    @receive
    def markets(self, request: ListMarkets) -> MarketList:
        """What is known now."""
        shown = self._shown()
        if request.market and request.market not in shown:
            raise Refused("not_found", f"no feed has a market {request.market!r}", "market")
        names = (request.market,) if request.market else sorted(shown)
        return MarketList(
            markets=tuple(self._summary(name, shown[name]) for name in names),
            feeds=tuple(self.statuses[name] for name in sorted(self.statuses)),
        )

    @receive
    def claim(self, request: ClaimMarkets) -> FeedMarkets:
        """A feed follows more markets."""
        if request.books:
            for market in request.markets:
                owner = self.owners.get(market, request.feed)
                if owner != request.feed:
                    raise Refused("conflict", f"the market {market!r} is in the feed {owner!r}", "markets")
            self.owners.update(dict.fromkeys(request.markets, request.feed))
        self.markets_of.setdefault(request.feed, set()).update(request.markets)
        return self._of(request.feed)

    @receive
    def release(self, request: ReleaseMarkets) -> FeedMarkets:
        """A feed follows less."""
        known = self.markets_of.get(request.feed, set())
        for market in request.markets:
            known.discard(market)
            if self.owners.get(market) == request.feed:
                del self.owners[market]
                self.quotes.pop(market, None)
                self.phases.pop(market, None)
        return self._of(request.feed)

    @receive
    def of_feed(self, request: GetFeedMarkets) -> FeedMarkets:
        """The markets of one feed."""
        return FeedMarkets(request.feed, self._names(request.feed))

    def _of(self, feed: str) -> FeedMarkets:
        markets = FeedMarkets(feed, self._names(feed))
        self.publish(markets)
        return markets

    def _names(self, feed: str) -> tuple[str, ...]:
        # Of one that is divided: the markets of all its shards.
        own = (markets for name, markets in self.markets_of.items() if name == feed or name.startswith(f"{feed}/"))
        return tuple(sorted(set().union(*own)))

    def _shown(self) -> dict[str, str]:
        """The feed with which each market is shown: the one that keeps its book, if any does."""
        first: dict[str, str] = {}
        for name, markets in self.markets_of.items():
            for market in markets:
                first.setdefault(market, name)
        return first | self.owners

    @receive
    def probe(self, request: Probe) -> None:
        """Ask all feeds; meanwhile a feed may claim markets."""
        self.answer_later(self._report)

    async def _report(self) -> ProbeReport:
        """How all feeds are: the worst of them, and ready when every one is."""
        reports: dict[str, ProbeReport] = {}
        for name in self.markets_of:
            outcome = await self.lookup(feed_session(name)).outcome(Probe(), _PROBE_S)
            reports[name] = (
                outcome.value
                if isinstance(outcome, Done)
                else ProbeReport("failed", f"does not answer: {outcome}", ready=False)
            )
        order = ("ok", "degraded", "failed")
        worst = max((order.index(report.status) for report in reports.values()), default=0)
        figures: list[tuple[str, str | int | float | bool | None]] = [("markets", len(self._shown()))]
        for name, report in reports.items():
            figures += [(f"{name}: {key}", value) for key, value in report.figures]
        details = [f"{name}: {report.detail}" for name, report in reports.items() if report.status != "ok"]
        return ProbeReport(
            status=("ok", "degraded", "failed")[worst],
            detail="; ".join(details),
            ready=all(report.ready for report in reports.values()),
            figures=tuple(figures),
        )

    def _summary(self, market: str, feed: str) -> MarketSummary:
        quote = self.quotes.get(market)
        status = self.statuses.get(feed)
        marks = quote.marks if quote is not None else () if status is None else status.marks
        return MarketSummary(market, feed, feed_book(feed, market), self.phases.get(market, "active"), quote, marks)
