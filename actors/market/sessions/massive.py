"""One feed's conversation with Massive (formerly Polygon): trades, best prices and bars of US stocks. No books.

The venue says `connected`, takes the key, says `auth_success`, and takes subscriptions from then on; it confirms each.
An account has one connection: a second one evicts the first with `max_connections`, so who is evicted stays away for a
while instead of evicting back. There is no replay of what was missed: minute bars are fetched over REST after a
reconnect, trades and quotes are lost. A minute without trades has no bar, so silence of a symbol is no fault.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Final, Literal

from actors.market.session_core import (
    BARS,
    DEFAULT_OPTIONS,
    SECOND,
    TICKERS,
    TRADES,
    Credentials,
    Event,
    SessionCore,
    SessionOptions,
)
from protocols.market import DELAYED, BookStale
from protocols.venues import massive
from protocols.venues.errors import VenueError
from protocols.venues.rest import RestCall

MINUTE: Final = 60 * SECOND
EVICTED_S: Final = 60.0
"""How long to stay away after the first eviction; it doubles, up to `EVICTED_MOST_S`."""
EVICTED_MOST_S: Final = 900.0
REFUSED_S: Final = 60.0
"""How long to stay away after a key was refused."""
_STEADY_NS: Final = 600 * SECOND
_CHUNK: Final = 200
_ATTEMPTS: Final = 3
_RECENT: Final = 512

Phase = Literal["opening", "authenticating", "live"]


class MassiveSession(SessionCore):
    """Massive's stock feed. Raises ValueError for intervals of bars that the venue does not send."""

    VENUE: ClassVar[str] = "massive"
    SUFFIX: ClassVar[str] = ".MASSIVE"
    URL: ClassVar[str] = "wss://socket.massive.com/stocks"
    REST_URL: ClassVar[str] = "https://api.massive.com"
    REST: ClassVar[str] = "actors.market.rest.massive:MassiveRest"
    CHANNELS: ClassVar[tuple[str, ...]] = (TRADES, TICKERS, BARS)
    OFFERED: ClassVar[frozenset[str]] = frozenset({TRADES, TICKERS, BARS})
    NEEDS_KEY: ClassVar[bool] = True
    COMMANDS_PER_S: ClassVar[float] = 10.0
    # The free plan's five calls a minute.
    BUDGETS: ClassVar[tuple[tuple[str, float, float], ...]] = (("rest", 5.0, 5.0 / 60.0), ("connect", 5.0, 0.2))

    def __init__(
        self,
        feed: str,
        markets: Sequence[str] = (),
        channels: Sequence[str] | None = None,
        options: SessionOptions = DEFAULT_OPTIONS,
        credentials: Credentials | None = None,
    ) -> None:
        super().__init__(feed, markets, channels, options, credentials)
        self.bars = options.bars or ("1m",)
        if unknown := set(self.bars) - set(massive.BAR_CHANNELS):
            raise ValueError(f"Massive sends bars of {', '.join(massive.BAR_CHANNELS)}, not {', '.join(unknown)}")
        letters = {TRADES: [massive.TRADE_CHANNEL], TICKERS: [massive.QUOTE_CHANNEL]}
        letters[BARS] = [massive.BAR_CHANNELS[interval] for interval in self.bars]
        self._letters = tuple(letter for channel in self.channels for letter in letters[channel])
        self._phase: Phase = "opening"
        self._deadline = 0
        self._attempts = 0
        self._confirmed: set[str] = set()
        self._asked: set[str] = set()
        self._seen: dict[str, deque[int]] = {}
        self._quoted: dict[str, int] = {}
        # Both live longer than a connection: the end of each market's last bar, and what came of connecting.
        self._bar_end: dict[tuple[str, str], int] = {}
        self._backfill_from: dict[str, int] = {}
        self._first_live: dict[str, int] = {}
        self._evictions = 0
        self._since = 0

    @classmethod
    def marks_at(cls, url: str) -> frozenset[str]:
        """`delayed` on the hosts that are 15 minutes late."""
        host = url.partition("://")[2].partition("/")[0].partition(":")[0]
        return frozenset({DELAYED}) if host in massive.DELAYED_HOSTS else frozenset()

    def sign(self, call: RestCall, ts: int) -> tuple[tuple[str, str], ...]:
        """The key as a bearer token."""
        return (("authorization", f"Bearer {self._key()}"),)

    def recorded(self, command: bytes) -> bytes:
        """Without the key."""
        return massive.auth("***") if command == massive.auth(self._key()) else command

    def _key(self) -> str:
        if self.credentials is None:
            raise ValueError("Massive wants a key")
        return self.credentials.secret.decode("ascii", "replace").strip()

    # -- what is current -------------------------------------------------------------------------------

    def live_markets(self) -> set[str]:
        """Markets whose subscriptions are all confirmed. Whether anything is traded there is another question."""
        if self._phase != "live":
            return set()
        return {market for market in self.markets - self.rejected if self._confirmed.issuperset(self._params(market))}

    def stale_markets(self) -> set[str]:
        """Markets that are asked for, and not confirmed."""
        return set(self.markets - self.rejected) - self.live_markets()

    # -- frames ----------------------------------------------------------------------------------------

    def receive(self, raw: bytes | str, ts_recv: int, now: int) -> list[Event]:
        """Statuses, trades, best prices and bars, in the order of the frame. Raises WireError."""
        self._begin(ts_recv, now)
        self.tally.frames += 1
        events, unknown = massive.decode(raw)
        self.tally.malformed += unknown
        for event in events:
            try:
                self._take(event)
            except ValueError as error:
                self.tally.malformed += 1
                self._incident("malformed", str(error))
        return self._events

    def _take(self, event: massive.Event) -> None:
        if isinstance(event, massive.StatusEvent):
            self.counts["status"] += 1
            self._status(event)
            return
        market = self.market_of(event.sym)
        if market not in self.markets:
            if not self.options.listening:
                return  # unfollowed, and still on its way
            self.markets |= {market}
        if isinstance(event, massive.TradeEvent):
            self._trade(event, market)
        elif isinstance(event, massive.QuoteEvent):
            self._quote(event, market)
        else:
            self._bar(event, market)

    def _trade(self, event: massive.TradeEvent, market: str) -> None:
        self.counts["trade"] += 1
        # The numbers of a ticker are unique and rise with holes: a doubled frame shows, a lost one does not.
        seen = self._seen.setdefault(market, deque(maxlen=_RECENT))
        if event.q:
            if event.q in seen:
                self.tally.repeated += 1
                return
            seen.append(event.q)
        session = f"{self.session}/{event.sym}"
        trade = massive.trade(event, market, session, self._ts, self.faults, self.marks)
        if trade is not None:
            self._events.append(trade)

    def _quote(self, event: massive.QuoteEvent, market: str) -> None:
        self.counts["quote"] += 1
        if event.q and event.q <= self._quoted.get(market, 0):
            self.tally.repeated += 1
            return
        self._quoted[market] = event.q
        session = f"{self.session}/{event.sym}"
        self._events.append(massive.ticker(event, market, session, self._ts, self.faults, self.marks))

    def _bar(self, event: massive.SecondEvent | massive.MinuteEvent, market: str) -> None:
        self.counts["bar"] += 1
        bar = massive.bar(event, market, self._ts, self.faults, self.marks)
        if bar is None:
            return
        if bar.start < self._bar_end.get((market, bar.interval), 0):
            self.tally.repeated += 1
            return
        if bar.interval == "1m":
            self._first_live.setdefault(market, bar.start)
        self._bar_end[market, bar.interval] = bar.end
        self._events.append(bar)

    # -- statuses --------------------------------------------------------------------------------------

    def _status(self, event: massive.StatusEvent) -> None:
        if event.status == "connected":
            if self._phase == "opening" and not self.options.listening:
                self._authenticate()
        elif event.status == "auth_success":
            self._admitted()
        elif event.status == "auth_failed":
            self._give_up(f"auth_failed: {event.message}", REFUSED_S)
        elif event.status == "max_connections":
            hold = min(EVICTED_MOST_S, EVICTED_S * 2.0 ** min(self._evictions, 10))
            self._evictions += 1
            self._give_up(f"max_connections: {event.message}", hold)
        elif event.status == "success":
            self._confirm(event.message)
        else:
            self._incident("error", f"{event.status}: {event.message}")
            self._refuse(event.message)

    def _authenticate(self) -> None:
        try:
            command = massive.auth(self._key())
        except ValueError as error:
            self._give_up(str(error), REFUSED_S)
            return
        self._phase = "authenticating"
        self._deadline = self._now + self.recovery_ns
        self._commands.append(command)

    def _admitted(self) -> None:
        self._phase = "live"
        self._attempts = 0
        if self.options.listening:
            return
        self._subscribe(sorted(self.markets - self.rejected))
        for market, start in sorted(self._backfill_from.items()):
            if market in self.markets:
                self._fetch(market, start)

    def _give_up(self, reason: str, hold_s: float) -> None:
        self._incident("error", reason)
        self.broken = reason
        self.hold_s = hold_s

    def _confirm(self, message: str) -> None:
        verb, _, param = message.partition(": ")
        if verb == "subscribed to":
            self._confirmed.add(param)
            if not self.options.listening:
                self._asked.discard(param)
        elif verb == "unsubscribed to":
            self._confirmed.discard(param)

    def _refuse(self, message: str) -> None:
        """A refusal names the subscription that it is about, or is about none."""
        named = {param for param in self._asked if param in message.replace(",", " ").split()}
        for market in sorted(self.markets - self.rejected):
            if named.intersection(self._params(market)):
                self.rejected.add(market)
                self._asked.difference_update(self._params(market))

    # -- commands --------------------------------------------------------------------------------------

    def _params(self, market: str) -> list[str]:
        symbol = self.symbol_of(market)
        return [f"{letter}.{symbol}" for letter in self._letters]

    def _subscribe(self, markets: Iterable[str]) -> None:
        params = [param for market in markets for param in self._params(market)]
        self._asked.update(params)
        self._deadline = self._now + self.recovery_ns
        self._commands.extend(massive.subscribe(chunk) for chunk in _chunks(params))

    def _subscribe_all(self) -> None:
        # Not before the venue has said `connected` and taken the key.
        self._phase = "opening"
        self._attempts = 0
        self.hold_s = 0.0
        self._since = self._now
        self._deadline = self._now + self.recovery_ns
        if "1m" in self.bars and BARS in self.channels:
            for (market, interval), end in self._bar_end.items():
                if interval == "1m":
                    self._backfill_from.setdefault(market, end)

    def follow(self, markets: Iterable[str], ts: int, now: int) -> list[Event]:
        """Subscribe to more markets, now or as soon as there is a connection that takes it."""
        self._begin(ts, now)
        added = frozenset(markets) - self.markets
        self.markets |= added
        self.rejected -= added
        if self._phase == "live" and not self.options.listening:
            self._subscribe(sorted(added))
        return self._events

    def unfollow(self, markets: Iterable[str], ts: int, now: int) -> list[Event]:
        """Unsubscribe. What is on its way is left out."""
        self._begin(ts, now)
        gone = frozenset(markets) & self.markets
        self.markets -= gone
        params = [param for market in sorted(gone) for param in self._params(market)]
        self._asked.difference_update(params)
        self._confirmed.difference_update(params)
        if self._phase == "live" and not self.options.listening:
            self._commands.extend(massive.unsubscribe(chunk) for chunk in _chunks(params))
        self._events.extend(BookStale(market, self.feed, "unfollowed", ts) for market in sorted(gone))
        return self._events

    def request_snapshot(self, market: str, now: int) -> None:
        """There are no books."""

    def silent(self, now: int) -> None:
        """Outside the hours nothing comes at all. Subscribing again is answered, and changes nothing."""
        self._now = now
        if self._phase == "live" and self._confirmed and not self.options.listening:
            self._commands.append(massive.subscribe([min(self._confirmed)]))

    def tick(self, ts: int, now: int) -> list[Event]:
        """A venue that does not answer is asked again, and at last left."""
        self._begin(ts, now)
        if self.options.listening or not self.session:
            return self._events
        if self._phase == "live" and now - self._since >= _STEADY_NS:
            self._evictions = 0
        if now < self._deadline:
            return self._events
        if self._phase != "live":
            self.broken = f"no answer while {self._phase}"
        elif self._asked:
            self._attempts += 1
            self._incident("overdue", f"{len(self._asked)} subscriptions are not confirmed")
            if self._attempts >= _ATTEMPTS:
                self.broken = "subscriptions are not confirmed"
            else:
                self._deadline = now + self.recovery_ns
                self._commands.extend(massive.subscribe(chunk) for chunk in _chunks(sorted(self._asked)))
        return self._events

    # -- bars that were missed -------------------------------------------------------------------------

    def _fetch(self, market: str, start: int) -> None:
        ms = massive.MILLISECOND
        self._calls.append(
            massive.aggregates_call(
                self.symbol_of(market), "1m", start // ms, self._ts // ms, purpose="poll", market=market
            )
        )

    def answered(self, call: RestCall, status: int, body: bytes, ts_recv: int, now: int) -> list[Event]:
        """The minute bars between the last one of the old connection and the first one of this."""
        self._begin(ts_recv, now)
        start = self._backfill_from.pop(call.market, None)
        if start is None:
            return self._events
        try:
            rows = massive.read_aggregates(status, body).results
        except VenueError as error:
            self._incident("error", f"{call.market}: {error}")
            return self._events
        # A minute that is still open comes with the feed; so does what has come already.
        end = min(self._first_live.get(call.market, ts_recv), ts_recv) - MINUTE
        for row in rows:
            begin = row.t * massive.MILLISECOND
            if not start <= begin <= end:
                continue
            try:
                bar = massive.aggregate_bar(
                    row, call.market, "1m", begin + MINUTE, ts_recv, self.faults, self._rest_marks()
                )
            except ValueError as error:
                self.tally.malformed += 1
                self._incident("malformed", str(error))
                continue
            if bar is not None:
                self._events.append(bar)
                self._bar_end[call.market, "1m"] = max(self._bar_end.get((call.market, "1m"), 0), bar.end)
        return self._events

    def failed(self, call: RestCall, reason: str, ts: int, now: int) -> list[Event]:
        """No answer: the bars stay missing until the next connection asks again."""
        self._begin(ts, now)
        self._incident("error", f"bars of {call.market} that were missed: {reason}")
        return self._events

    def _rest_marks(self) -> tuple[str, ...]:
        return tuple(sorted({*self.marks, *self.options.rest_marks}))

    def _forget(self) -> None:
        super()._forget()
        self._phase = "opening"
        self._confirmed.clear()
        self._asked.clear()
        self._seen.clear()
        self._quoted.clear()
        self._first_live.clear()


def _chunks(params: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(params), _CHUNK):
        yield params[start : start + _CHUNK]
