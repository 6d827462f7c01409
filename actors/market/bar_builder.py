"""The actor that makes bars out of trades and quotes, and keeps the newest bars and trades for whoever asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
import trio

from actors.market.bars_intervals import MS, DayBounds, Interval, parse_interval
from actors.market.bars_kept import KeptBars, KeptTrades
from actors.market.bars_market import EventClock, MarketBars, Sources, event_time
from actors.market.calendars import ALWAYS, Calendar, calendar_of
from protocols.control import Lagged, Message, Probe, ProbeReport, Refused
from protocols.instruments import Instrument
from protocols.market import Bar, BookStale, FeedMarkets, FeedStatus, MarketStatus, Quote, Trade
from protocols.market_data import BARS, BarList, BuildBars, GetBars, GetTrades, TradeList
from runtime import Actor, ChildSpec, Mailbox, Overflow, receive

TICK_S: Final = 0.25
_CALENDAR_S: Final = 60.0
_OVER: Final = frozenset({"closed", "determined", "settled"})


class BarSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[bars]`: the bars that are built of every market that is followed."""

    intervals: tuple[str, ...] = ("1m", "5m", "1h", "1d")
    """Of time (`1s`, `5m`, `4h`, `1d`), of trades (`100t`) or of volume (`50v`). Empty: none."""
    source: Literal["trades", "quotes", "both"] = "trades"
    """What they are made of; of quotes the middle of bid and ask, without volume."""
    grace_ms: Annotated[int, msgspec.Meta(ge=0, le=3_600_000)] = 1000
    """How long after its end a bar waits for trades that are late."""
    kept: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1000
    """Bars kept in memory of each market, interval and source; older ones are in the database."""
    kept_trades: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 500
    """Trades kept in memory of each market."""

    def __post_init__(self) -> None:
        for name in self.intervals:
            parse_interval(name)
        if len(set(self.intervals)) < len(self.intervals):
            raise ValueError(f"an interval is named twice: {', '.join(self.intervals)}")


def specs(settings: BarSettings) -> list[ChildSpec]:
    """The bar builder, to stand in `/market` before the feeds."""
    arguments = msgspec.structs.asdict(settings)
    return [ChildSpec(name=BARS.rpartition("/")[2], actor="actors.market.bar_builder:BarBuilder", arguments=arguments)]


class _Tick(Message, frozen=True, gc=False, tag="bars_tick"):
    """Time has passed."""


class _CalendarLoaded(Message, frozen=True, gc=False, tag="bars_calendar_loaded"):
    """A calendar is there, or (None) there is none of that name."""

    name: str
    calendar: Any


class BarBuilder(Actor):
    """Builds bars of every market that trades; the arguments are those of `BarSettings`.

    What its mailbox had to leave out, a stale book and a feed that is down are losses: the bars that are open then
    carry the mark `stale`.
    """

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=65_536, overflow=Overflow.DROP_NEWEST)

    def __init__(
        self,
        intervals: Sequence[str] = ("1m", "5m", "1h", "1d"),
        source: Sources = "trades",
        grace_ms: int = 1000,
        kept: int = 1000,
        kept_trades: int = 500,
    ) -> None:
        self.intervals = tuple(parse_interval(name) for name in intervals)
        self.source: Sources = source
        self.grace = grace_ms * MS
        self.kept_trades = kept_trades
        self.bars = KeptBars(kept)
        self.trades: dict[str, KeptTrades] = {}
        self.markets: dict[str, MarketBars] = {}
        self.asked: dict[str, tuple[Interval, ...]] = {}
        """What somebody wants to have built of a market beyond `intervals`."""
        self.clocks: dict[str, EventClock] = {}
        self.session_of: dict[str, str] = {}
        self.feed_session: dict[str, str] = {}
        self.down: dict[str, frozenset[str]] = {}
        self.calendar_of: dict[str, str] = {}
        self.calendars: dict[str, Calendar | None] = {}
        self.built = 0
        self.repeated = 0
        self.lost = 0

    def on_start(self) -> None:
        """Subscribe to what bars are made of, and to what says that something is missing."""
        self.subscribe(Trade, lossless=True)
        if self.source != "trades":
            self.subscribe(Quote, lossless=True)
        for kind in (Bar, BookStale, MarketStatus, FeedStatus, FeedMarkets, Instrument):
            self.subscribe(kind, lossless=True)
        self.every(TICK_S, _Tick())

    # What bars are made of.

    @receive
    def trade(self, message: Trade) -> None:
        """Keep it, and let it fill and close bars. One that has come before is left out."""
        trades = self.trades.get(message.market)
        if trades is None:
            trades = self.trades[message.market] = KeptTrades(self.kept_trades)
        if not trades.keep(message):
            self.repeated += 1
            return
        self._hear(message.market, message.session, message.ts_event, message.ts_recv)
        if self.intervals or message.market in self.asked:
            self._publish(self._market(message.market).trade(message))

    @receive
    def quote(self, message: Quote) -> None:
        """Let its middle fill and close bars."""
        # A book's session is one of many of a connection; where there are trades they say which connection it is.
        session = message.session if self.source == "quotes" else self.session_of.get(message.market, message.session)
        self._hear(message.market, session, message.ts_event, message.ts_recv)
        self._publish(self._market(message.market).quote(message))

    @receive
    def bar(self, message: Bar) -> None:
        """Keep a venue's own bar. Those built here are kept already."""
        if message.source == "venue":
            self.bars.keep(message)

    @receive
    def tick(self, message: _Tick) -> None:
        """Close what is over."""
        mono, wall = self.clock.monotonic(), self.clock.now()
        now = {session: clock.now(mono) for session, clock in self.clocks.items()}
        for name, market in self.markets.items():
            closed = market.tick(now[self.session_of[name]], wall)
            if closed:
                self._publish(closed)
        for name in [name for name, market in self.markets.items() if market.idle]:
            self._forget(name)

    def _market(self, name: str) -> MarketBars:
        market = self.markets.get(name)
        if market is None:
            day = self._day(self.calendar_of.get(name, ALWAYS))
            intervals = (*self.intervals, *self.asked.get(name, ()))
            market = self.markets[name] = MarketBars(name, intervals, self.source, self.grace, day)
        return market

    def _hear(self, market: str, session: str, ts_event: int, ts_recv: int) -> None:
        clock = self.clocks.get(session)
        if clock is None:
            clock = self.clocks[session] = EventClock()
        if self.session_of.get(market) != session:
            self.session_of[market] = session
            self._forget_clocks()
        clock.hear(event_time(ts_event, ts_recv), ts_recv, self.clock.now(), self.clock.monotonic())

    def _forget(self, market: str) -> None:
        # It is over: what is asked of it from now on is in the database.
        del self.markets[market], self.session_of[market]
        self.trades.pop(market, None)
        self.bars.forget(market)

    def _forget_clocks(self) -> None:
        if len(self.clocks) > 2 * len(self.session_of) + 16:
            used = set(self.session_of.values())
            self.clocks = {session: clock for session, clock in self.clocks.items() if session in used}

    def _publish(self, closed: list[Bar]) -> None:
        for bar in closed:
            self.built += 1
            self.bars.keep(bar)
            self.publish(bar)

    # What says that something is missing, or that no more will come.

    @receive
    def lagged(self, message: Lagged) -> None:
        """The mailbox was full: what is open is not complete, of one market or of all."""
        self.lost += max(message.count, 1)
        self.logger.warning("bars lost messages", topic=message.topic, key=message.key, count=message.count)
        for name in [message.key] if message.key in self.markets else list(self.markets):
            self.markets[name].doubt(self._now(name))

    @receive
    def stale(self, message: BookStale) -> None:
        """Frames of this market were lost, and trades may have been among them."""
        market = self.markets.get(message.market)
        if market is not None:
            market.doubt(self._now(message.market))
            market.ended = market.ended or message.reason == "unfollowed"

    @receive
    def status(self, message: MarketStatus) -> None:
        """A market that is over has no empty bars."""
        market = self.markets.get(message.market)
        if market is not None:
            market.ended = message.phase in _OVER

    @receive
    def feed(self, message: FeedStatus) -> None:
        """While a feed is down, nothing is known of its markets."""
        if message.session:
            self.feed_session[message.feed] = message.session
        if message.state in ("live", "recovering"):
            for name in self.down.pop(message.feed, frozenset()) & self.markets.keys():
                self.markets[name].up(self._now(name))
        elif message.state in ("down", "connecting"):
            known = frozenset(self._of(message.feed))
            self.down[message.feed] = self.down.get(message.feed, frozenset()) | known
            for name in known:
                self.markets[name].down(self._now(name))

    @receive
    def followed(self, message: FeedMarkets) -> None:
        """A feed's markets have changed: one that it has left has no empty bars."""
        for name in self._of(message.feed):
            if name not in message.markets:
                self.markets[name].ended = True

    def _of(self, feed: str) -> list[str]:
        """Markets whose last trade came over the feed's connection."""
        session = self.feed_session.get(feed)
        if session is None:
            return []
        own = ((name, session_of) for name, session_of in self.session_of.items() if name in self.markets)
        return [name for name, session_of in own if f"{session_of}/".startswith(f"{session}/")]

    def _now(self, market: str) -> int:
        return self.clocks[self.session_of[market]].now(self.clock.monotonic())

    # Calendars.

    @receive
    def instrument(self, message: Instrument) -> None:
        """A market's daily bars follow its calendar, once that is loaded."""
        if message.calendar == self.calendar_of.get(message.market, ALWAYS):
            return
        self.calendar_of[message.market] = message.calendar
        if message.calendar not in self.calendars:
            self.calendars[message.calendar] = None
            self.spawn(self._load, message.calendar, name=f"calendar {message.calendar}")
        self._follow(message.market)

    async def _load(self, name: str) -> None:
        try:
            calendar = await self.offload(calendar_of, name, timeout=_CALENDAR_S)
        except (ValueError, trio.TooSlowError) as error:
            self.logger.warning("no calendar", calendar=name, error=str(error))
            return
        self.ref.tell(_CalendarLoaded(name, calendar))

    @receive
    def loaded(self, message: _CalendarLoaded) -> None:
        """Use it for the markets that wait for it."""
        self.calendars[message.name] = message.calendar
        for market, calendar in self.calendar_of.items():
            if calendar == message.name:
                self._follow(market)

    def _follow(self, market: str) -> None:
        day = self._day(self.calendar_of[market])
        if day is not None and market in self.markets:
            self.markets[market].follow(day)

    def _day(self, name: str) -> DayBounds | None:
        calendar = self.calendars.get(name)
        if calendar is None:
            return None
        always = Calendar()

        def day(ts: int) -> tuple[int, int]:
            try:
                return calendar.day_of(ts)
            except ValueError:  # before or behind what the calendar knows
                return always.day_of(ts)

        return day

    # Who asks.

    @receive
    def build(self, request: BuildBars) -> None:
        """Build bars of one more interval of a market."""
        try:
            interval = parse_interval(request.interval)
        except ValueError as error:
            raise Refused("invalid", str(error), "interval") from None
        asked = self.asked.get(request.market, ())
        if interval in (*self.intervals, *asked):
            return
        self.asked[request.market] = (*asked, interval)
        if request.market in self.markets:
            self.markets[request.market].build(interval, self._day(self.calendar_of.get(request.market, ALWAYS)))

    @receive
    def find_bars(self, request: GetBars) -> BarList:
        """Bars that are in memory."""
        return self.bars.find(
            request.market, request.interval, request.start, request.end, request.limit, request.source
        )

    @receive
    def find_trades(self, request: GetTrades) -> TradeList:
        """Trades that are in memory."""
        trades = self.trades.get(request.market)
        if trades is None:
            return TradeList(request.market, (), None)
        return trades.find(request.market, request.limit, request.since)

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """How much is built and kept, and what was lost."""
        late = sum(market.late for market in self.markets.values())
        return ProbeReport(
            "ok",
            figures=(
                ("markets", len(self.markets)),
                ("bars built", self.built),
                ("bars kept", len(self.bars)),
                ("trades kept", sum(map(len, self.trades.values()))),
                ("calendars", sum(each is not None for each in self.calendars.values())),
                ("late", late),
                ("repeated", self.repeated),
                ("lost", self.lost),
            ),
        )
