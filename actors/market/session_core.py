"""What every venue's session has in common: a state machine between a connection and the books. No I/O, no clock.

    shell                                        core
    a connection is there        connected()     commands to subscribe
    a frame came                 receive()       events: book updates, trades, what went wrong
    a REST answer came           answered()      events: snapshots joined with what was buffered
    nothing came                 silent(), tick()
    a book lost its way          request_snapshot()
    a user wants more markets    follow(), unfollow()

After every call the shell publishes the events, sends `take_commands()`, calls `take_calls()` over REST, and ends the
connection if `broken` says why. With `listening` there is nobody to talk to (a replay): the core learns from the
frames what was subscribed, and asks for nothing.

Times named `now` are monotonic nanoseconds; `ts` and `ts_recv` are wall time in nanoseconds since the Unix epoch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

import msgspec

from protocols.instruments import Instrument
from protocols.market import (
    Bar,
    BookStale,
    BookUpdate,
    FeedState,
    Funding,
    Liquidation,
    MarketStatus,
    Ticker,
    Trade,
)
from protocols.nanos import NumberFaults
from protocols.venues.rest import RestCall

SECOND: Final = 1_000_000_000
BOOK: Final = "book"
TRADES: Final = "trades"
TICKERS: Final = "ticker"
BARS: Final = "bars"
LIFECYCLE: Final = "lifecycle"
FUNDING: Final = "funding"
LIQUIDATIONS: Final = "liquidations"


class Incident(msgspec.Struct, frozen=True, gc=False):
    """Something that an operator wants to find later. `kind` is one of the words of `feed_events.kind`."""

    kind: str
    session: str
    detail: str


Event = BookUpdate | Trade | Ticker | Bar | Funding | Liquidation | MarketStatus | Instrument | BookStale | Incident


class Tally(msgspec.Struct, gc=False):
    """Totals over all connections.

    `updates`: book updates handed on. `dropped`: deltas of books that were not current. `gaps` and `lost`: holes in a
    sequence, and the numbers missing in them. `repeated`: frames that had come before, and were left out.
    `recoveries`: snapshots asked for. `checked` and `mismatched`: checksums.
    """

    frames: int = 0
    updates: int = 0
    dropped: int = 0
    gaps: int = 0
    lost: int = 0
    repeated: int = 0
    recoveries: int = 0
    resubscribed: int = 0
    malformed: int = 0
    checked: int = 0
    mismatched: int = 0


class Credentials(msgspec.Struct, frozen=True):
    """An account's key. `secret`: a PEM, or the venue's secret text. Its repr shows nothing of it."""

    key_id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Credentials({self.key_id!r}, ***)"


class SessionOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a feed may choose. Each venue takes what it knows and says ValueError to what it cannot do."""

    recovery_s: float = 5.0
    """How long the venue may take to answer a request for a snapshot."""
    depth: int | None = None
    """Levels a side; None: the venue's whole book, or the most it offers."""
    bars: tuple[str, ...] = ()
    """Intervals of the venue's own bars, with the channel `bars`."""
    use_yes_price: bool = True
    """Kalshi: NO levels come on the YES scale."""
    listening: bool = False
    """A replay: there is nobody to ask."""
    rest_marks: tuple[str, ...] = ()
    """Marks of what comes over REST alone, such as `delayed`."""


DEFAULT_OPTIONS: Final = SessionOptions()


class SessionCore(ABC):
    """One feed's conversation with its venue.

    `markets` are ours (`market_of` makes them of the venue's symbols). What is asked for and refused is in `rejected`.
    """

    VENUE: ClassVar[str]
    """Its word in a configuration."""
    SUFFIX: ClassVar[str] = ""
    """What its markets end with, as symbols of several venues would be the same: `BTCUSDT` + `.BINANCE`."""
    URL: ClassVar[str] = ""
    """Where its WebSocket is; empty: it has none and is polled (`POLLED`)."""
    REST_URL: ClassVar[str] = ""
    REST: ClassVar[str] = ""
    """Import path of its `VenueRest`: instruments and history; empty: it offers none."""
    CHANNELS: ClassVar[tuple[str, ...]] = (BOOK, TRADES)
    """What is subscribed where the feed does not say."""
    OFFERED: ClassVar[frozenset[str]] = frozenset({BOOK, TRADES})
    """All that can be subscribed."""
    LARGE: ClassVar[str] = ""
    """Import path ("module:function") of what decodes its large frames in another process; empty: a thread does."""
    POLLED: ClassVar[bool] = False
    NEEDS_KEY: ClassVar[bool] = False
    CONNECTION_S: ClassVar[float | None] = None
    """How long the venue lets a connection live; the shell makes a new one before."""
    COMMANDS_PER_S: ClassVar[float] = 100.0
    """How many commands the venue takes on one connection."""
    BUDGETS: ClassVar[tuple[tuple[str, float, float], ...]] = ()
    """The venue's token buckets: (name, tokens, tokens a second). REST calls take from `rest`, connects from
    `connect`."""

    def __init__(
        self,
        feed: str,
        markets: Sequence[str] = (),
        channels: Sequence[str] | None = None,
        options: SessionOptions = DEFAULT_OPTIONS,
        credentials: Credentials | None = None,
    ) -> None:
        self.feed = feed
        self.markets: frozenset[str] = frozenset(markets)
        self.channels = tuple(self.CHANNELS if channels is None else channels)
        self.options = options
        self.credentials = credentials
        if unknown := set(self.channels) - self.OFFERED:
            offered = ", ".join(sorted(self.OFFERED))
            raise ValueError(f"{self.VENUE} offers the channels {offered}, not {', '.join(sorted(unknown))}")
        self.session = ""
        self.marks: tuple[str, ...] = ()
        self.broken = ""
        self.hold_s = 0.0
        """After the end of this connection: the least time before the next one."""
        self.retry_s: float | None = None
        """Set by the shell before `answered`: how long the venue asks to wait, None where it does not say."""
        self.rejected: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.tally = Tally()
        self.faults = NumberFaults()
        self.recovery_ns = round(options.recovery_s * SECOND)
        self._commands: list[bytes] = []
        self._calls: list[RestCall] = []
        # Of the call that is running.
        self._ts = 0
        self._now = 0
        self._events: list[Event] = []

    # -- names ---------------------------------------------------------------------------------------------

    @classmethod
    def market_of(cls, symbol: str) -> str:
        """Our name of the venue's symbol. A slash, which no path can hold, becomes a dash."""
        return symbol.replace("/", "-") + cls.SUFFIX

    @classmethod
    def symbol_of(cls, market: str) -> str:
        """The venue's symbol of our name."""
        return market.removesuffix(cls.SUFFIX)

    @classmethod
    def canonical(cls, name: str) -> str:
        """Our name of what a user wrote, the venue's symbol or ours."""
        return name if cls.SUFFIX and name.endswith(cls.SUFFIX) else cls.market_of(name)

    # -- the connection ------------------------------------------------------------------------------------

    def use(self, credentials: Credentials) -> None:
        """The account's key, which is read when the feed connects. Raises ValueError where it is none."""
        self.credentials = credentials

    def handshake(self, ts: int) -> tuple[tuple[str, str], ...]:
        """Headers of the opening request at wall time `ts` (already corrected by the offset to the venue)."""
        return ()

    def sign(self, call: RestCall, ts: int) -> tuple[tuple[str, str], ...]:
        """Headers of a REST call. Raises ValueError where it needs a key and there is none."""
        if call.signed:
            raise ValueError(f"{self.VENUE}: {call.purpose} needs a key")
        return ()

    def keyed(self, call: RestCall) -> RestCall:
        """The call as it is sent: some venues want the key in the query. Never recorded, never logged."""
        return call

    def recorded(self, command: bytes) -> bytes:
        """The command as a recording may keep it: without a key, where it carries one."""
        return command

    @classmethod
    def marks_at(cls, url: str) -> frozenset[str]:
        """Marks of all that comes from this address, such as `delayed`."""
        return frozenset()

    def connected(self, session: str, marks: Iterable[str], ts: int, now: int) -> None:
        """A new connection: forget everything of the last one and subscribe. `session` must be new."""
        self._forget()
        self.session = session
        self.marks = tuple(sorted(set(marks)))
        self._begin(ts, now)
        self._subscribe_all()

    def disconnected(self, reason: str, ts: int) -> list[Event]:
        """The connection has ended: every book that was current is stale."""
        self._begin(ts, self._now)
        for market in sorted(self.live_markets()):
            self._events.append(BookStale(market, self.feed, reason, ts))
        self._forget()
        return self._events

    def take_commands(self) -> list[bytes]:
        """Commands to send now, in order. They are given once."""
        commands, self._commands = self._commands, []
        return commands

    def take_calls(self) -> list[RestCall]:
        """REST calls to make now, in order. They are given once."""
        calls, self._calls = self._calls, []
        return calls

    @property
    def needs_attention(self) -> bool:
        """Whether there are commands or calls to send, or the connection is broken."""
        return bool(self._commands or self._calls or self.broken)

    @property
    def state(self) -> FeedState:
        """`down` without a connection, `recovering` while any book that was asked for is not current."""
        if not self.session:
            return "down"
        return "recovering" if self.stale_markets() else "live"

    # -- for each venue ------------------------------------------------------------------------------------

    @abstractmethod
    def live_markets(self) -> set[str]:
        """Markets whose book is current, as far as the connection can tell."""

    @abstractmethod
    def stale_markets(self) -> set[str]:
        """Markets whose book was asked for (or seen, when listening) and is not current."""

    @abstractmethod
    def receive(self, raw: bytes | str, ts_recv: int, now: int) -> list[Event]:
        """What one frame says.

        Raises WireError for what is no frame: the connection cannot be trusted then.
        """

    def receive_decoded(self, packed: bytes, ts_recv: int, now: int) -> list[Event]:
        """What a frame says that `LARGE` has decoded elsewhere. Raises WireError as `receive`."""
        raise RuntimeError(f"{self.VENUE} has its frames decoded nowhere else")

    def answered(self, call: RestCall, status: int, body: bytes, ts_recv: int, now: int) -> list[Event]:
        """What a REST answer says. Errors are answers, too (`status`); never raises for what the venue sent."""
        raise RuntimeError(f"{self.VENUE} makes no REST calls")

    def failed(self, call: RestCall, reason: str, ts: int, now: int) -> list[Event]:
        """A call had no answer: no connection, no time. Plan to make it again."""
        raise RuntimeError(f"{self.VENUE} makes no REST calls")

    @abstractmethod
    def request_snapshot(self, market: str, now: int) -> None:
        """A book keeper has lost its way: drop what comes for this market and get a snapshot."""

    @abstractmethod
    def silent(self, now: int) -> None:
        """Nothing came for a while: ask for a sign of life. A WebSocket ping proves only the socket."""

    @abstractmethod
    def tick(self, ts: int, now: int) -> list[Event]:
        """Judge what is overdue. Called a few times in `recovery_s`."""

    @abstractmethod
    def follow(self, markets: Iterable[str], ts: int, now: int) -> list[Event]:
        """Follow these markets, too; connected or not."""

    @abstractmethod
    def unfollow(self, markets: Iterable[str], ts: int, now: int) -> list[Event]:
        """Follow these markets no more: their books are stale (`unfollowed`)."""

    @abstractmethod
    def _subscribe_all(self) -> None:
        """Queue the commands and calls that a new connection needs for the full current set."""

    @abstractmethod
    def _forget(self) -> None:
        """Forget the connection. Overrides call this one."""
        self.session = ""
        self.broken = ""
        self._commands.clear()
        self._calls.clear()

    # -- small parts ---------------------------------------------------------------------------------------

    def _begin(self, ts: int, now: int) -> None:
        self._ts = ts
        self._now = now
        self._events = []

    def _incident(self, kind: str, detail: str, session: str = "") -> None:
        self._events.append(Incident(kind, session or self.session, detail))
