"""One feed of Alpha Vantage: it has no stream, so prices and bars are asked for, within what a plan allows.

The free plan allows 25 calls a day and one a second. The calls of a day are spread over it: each symbol in turn, one
call on its way at a time. What comes is late (the end of the day, or 15 minutes), and marked `delayed`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

from actors.market.session_core import (
    BARS,
    DEFAULT_OPTIONS,
    SECOND,
    TICKERS,
    Credentials,
    Event,
    SessionCore,
    SessionOptions,
)
from protocols.market import DELAYED, BookStale
from protocols.venues import alphavantage
from protocols.venues.alphavantage import BAD_CALL, PREMIUM, UNKNOWN_SYMBOL
from protocols.venues.errors import VenueError
from protocols.venues.rest import RestCall

CALLS_A_DAY: Final = 25
DAY_S: Final = 86_400.0
_RETRY_NS: Final = 5 * SECOND
_RETRY_MOST_NS: Final = 3600 * SECOND

# What is asked in turn: a market and, for bars, an interval.
Question = tuple[str, str]


class AlphaVantageSession(SessionCore):
    """Polled. `calls_a_day` of the class is the free plan's; `pace_ns` follows from it."""

    VENUE: ClassVar[str] = "alphavantage"
    SUFFIX: ClassVar[str] = ".ALPHAVANTAGE"
    REST_URL: ClassVar[str] = "https://www.alphavantage.co"
    REST: ClassVar[str] = "actors.market.rest.alphavantage:AlphaVantageRest"
    CHANNELS: ClassVar[tuple[str, ...]] = (TICKERS,)
    OFFERED: ClassVar[frozenset[str]] = frozenset({TICKERS, BARS})
    POLLED: ClassVar[bool] = True
    NEEDS_KEY: ClassVar[bool] = True
    COMMANDS_PER_S: ClassVar[float] = 1.0
    BUDGETS: ClassVar[tuple[tuple[str, float, float], ...]] = (
        ("rest", float(CALLS_A_DAY), CALLS_A_DAY / DAY_S),
        ("rest-pace", 1.0, 1.0),
        ("connect", 10.0, 1.0),
    )
    calls_a_day: ClassVar[int] = CALLS_A_DAY

    def __init__(
        self,
        feed: str,
        markets: Sequence[str] = (),
        channels: Sequence[str] | None = None,
        options: SessionOptions = DEFAULT_OPTIONS,
        credentials: Credentials | None = None,
    ) -> None:
        super().__init__(feed, markets, channels, options, credentials)
        self.bars = options.bars or ("5m",)
        if unknown := set(self.bars) - set(alphavantage.INTERVALS):
            raise ValueError(
                f"Alpha Vantage has bars of {', '.join(alphavantage.INTERVALS)}, not {', '.join(sorted(unknown))}"
            )
        self._questions: deque[Question] = deque()
        self._waiting: RestCall | None = None
        self._polls = 0
        self._not_before = 0
        self._failures = 0
        # Of this life: the calls of a day are spent, whatever happens to the connection.
        self._tokens = float(self.calls_a_day)
        self._filled = 0
        self._fresh: set[str] = set()
        self._trouble = ""
        self._bar_end: dict[Question, int] = {}

    def keyed(self, call: RestCall) -> RestCall:
        """With the key in its query. Raises ValueError without one."""
        if self.credentials is None:
            raise ValueError("Alpha Vantage wants a key")
        return alphavantage.with_key(call, self.credentials.secret.decode("ascii", "replace").strip())

    def sign(self, call: RestCall, ts: int) -> tuple[tuple[str, str], ...]:
        """Nothing: the key is in the query."""
        return ()

    # -- what is current -------------------------------------------------------------------------------

    def live_markets(self) -> set[str]:
        """Markets that have been answered since the venue last refused."""
        return (self._fresh & self.markets) - self.rejected

    def stale_markets(self) -> set[str]:
        """Markets that have not been answered yet, or not since the venue refused."""
        return set(self.markets - self.rejected - self._fresh)

    @property
    def pace_ns(self) -> int:
        """How long two calls are apart, once what was saved up is used."""
        return round(DAY_S / self.calls_a_day * SECOND)

    # -- the plan --------------------------------------------------------------------------------------

    def tick(self, ts: int, now: int) -> list[Event]:
        """Plan the next call if its time has come: one at a time, each question in turn."""
        self._begin(ts, now)
        if self.options.listening or not self.session or self._waiting is not None or now < self._not_before:
            return self._events
        self._refill(now)
        # The first round comes at once; what is saved up beyond it is for symbols that are followed later.
        if self._tokens < 1.0 or not self._questions:
            return self._events
        self._tokens -= 1.0
        self._ask(self._questions[0])
        self._questions.rotate(-1)
        everybody_asked = self._polls >= len(self._questions)
        self._not_before = now + (self.pace_ns if everybody_asked else SECOND)
        return self._events

    def _refill(self, now: int) -> None:
        if self._filled:
            gained = (now - self._filled) / SECOND * self.calls_a_day / DAY_S
            self._tokens = min(float(self.calls_a_day), self._tokens + gained)
        self._filled = now

    def _ask(self, question: Question) -> None:
        market, interval = question
        symbol = self.symbol_of(market)
        quote, bars = alphavantage.quote_call, alphavantage.bars_call
        call = bars(symbol, market, interval) if interval else quote(symbol, market)
        self._polls += 1
        self._waiting = call
        self._calls.append(call)

    # -- answers ---------------------------------------------------------------------------------------

    def receive(self, raw: bytes | str, ts_recv: int, now: int) -> list[Event]:
        """There is no stream, and so there are no frames."""
        self._begin(ts_recv, now)
        return self._events

    def answered(self, call: RestCall, status: int, body: bytes, ts_recv: int, now: int) -> list[Event]:
        """A price, bars, or the venue's refusal, which comes with HTTP 200."""
        self._begin(ts_recv, now)
        self.tally.frames += 1
        self._waiting = None
        if self.options.listening:
            self.markets |= {call.market}
        if call.market not in self.markets:
            return self._events
        try:
            self._read(call, status, body)
        except VenueError as error:
            self._refused(call, error)
        except ValueError as error:
            self.tally.malformed += 1
            self._incident("malformed", f"{call.market}: {error}")
        else:
            self._failures = 0
            self._trouble = ""
            self._fresh.add(call.market)
        return self._events

    def _read(self, call: RestCall, status: int, body: bytes) -> None:
        function = alphavantage.function_of(call)
        self.counts[function.lower()] += 1
        marks = tuple(sorted({*self.marks, *self.options.rest_marks, DELAYED}))
        if function == "GLOBAL_QUOTE":
            quote = alphavantage.read_quote(status, body)
            session = f"{self.session}/{quote.symbol}"
            ticker = alphavantage.ticker(quote, call.market, session, self.tally.frames, self._ts, self.faults, marks)
            self._events.append(ticker)
            return
        interval = alphavantage.interval_of(call)
        question = (call.market, interval)
        known = self._bar_end.get(question, 0)
        for bar in alphavantage.read_bars(status, body, call.market, interval, self._ts, self.faults, marks):
            # Each answer repeats the last hundred; one that is still open comes with a later answer.
            if bar.start >= known and bar.end <= self._ts:
                self._events.append(bar)
                self._bar_end[question] = bar.end

    def _refused(self, call: RestCall, error: VenueError) -> None:
        self._incident("error", f"{call.market}: {error}")
        if error.code == UNKNOWN_SYMBOL or (error.code == BAD_CALL and "apikey" not in error.message.lower()):
            self._reject(call.market)
        elif error.code == PREMIUM:
            self._drop((call.market, alphavantage.interval_of(call)))
        else:
            # The calls that were saved up are not there: somebody else has used the key.
            if error.code == alphavantage.DAY_SPENT:
                self._tokens = 0.0
            self._lost(error.code)
            self._later(round((error.retry_s or 60.0) * SECOND))

    def failed(self, call: RestCall, reason: str, ts: int, now: int) -> list[Event]:
        """No answer: what was known is stale, and is asked for again after a growing wait."""
        self._begin(ts, now)
        self._waiting = None
        self._incident("error", f"{call.market}: {reason}")
        self._lost("no answer")
        self._later(_RETRY_NS)
        return self._events

    def _later(self, first_ns: int) -> None:
        """Ask the same again after a wait that grows; not only when its turn comes, which may be in hours."""
        wait = min(max(first_ns, _RETRY_MOST_NS), first_ns * 2 ** min(self._failures, 20))
        self._failures += 1
        self._not_before = self._now + wait
        self._questions.rotate(1)

    def _lost(self, reason: str) -> None:
        self._trouble = reason
        for market in sorted(self.live_markets()):
            self._events.append(BookStale(market, self.feed, reason, self._ts))
        self._fresh.clear()

    def _reject(self, market: str) -> None:
        if market in self.live_markets():
            self._events.append(BookStale(market, self.feed, "rejected", self._ts))
        self.rejected.add(market)
        self._plan()

    def _drop(self, question: Question) -> None:
        """The plan does not have this: a market of which nothing can be asked is rejected."""
        self._questions = deque(each for each in self._questions if each != question)
        if not any(market == question[0] for market, _ in self._questions):
            self._reject(question[0])

    # -- markets ---------------------------------------------------------------------------------------

    def _plan(self) -> None:
        known = list(self._questions)
        wanted = [
            (market, interval)
            for market in sorted(self.markets - self.rejected)
            for interval in (
                *(("",) if TICKERS in self.channels else ()),
                *(self.bars if BARS in self.channels else ()),
            )
        ]
        # Whoever has waited longest stays first; who is new comes before all of them.
        new = [question for question in wanted if question not in known]
        self._questions = deque([*new, *(question for question in known if question in set(wanted))])

    def follow(self, markets: Iterable[str], ts: int, now: int) -> list[Event]:
        """Ask for these, too, and first."""
        self._begin(ts, now)
        added = frozenset(markets) - self.markets
        self.markets |= added
        self.rejected -= added
        self._plan()
        if added and not self._failures:
            self._polls = max(0, len(self._questions) - len(added))
            self._not_before = min(self._not_before, now + SECOND)
        return self._events

    def unfollow(self, markets: Iterable[str], ts: int, now: int) -> list[Event]:
        """Ask for these no more."""
        self._begin(ts, now)
        gone = frozenset(markets) & self.markets
        self.markets -= gone
        self._fresh -= gone
        self._plan()
        self._events.extend(BookStale(market, self.feed, "unfollowed", ts) for market in sorted(gone))
        return self._events

    def request_snapshot(self, market: str, now: int) -> None:
        """There are no books."""

    def silent(self, now: int) -> None:
        """Whoever is asked every hour is silent in between."""

    def _subscribe_all(self) -> None:
        self._questions.clear()
        self._plan()
        self._polls = 0

    def _forget(self) -> None:
        super()._forget()
        self._waiting = None
        self._fresh.clear()
