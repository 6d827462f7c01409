"""One account's engine: orders, matching, fees, latency, the account and its risk behind one row of inputs.

    engine.handle(item, ts); engine.advance(ts); events = engine.take_events()

Live topics drive it in paper trading, a recording in a backtest, a journal after a crash: the same inputs at the same
times give the same orders, fills and ledger. With an external venue its gateway's reports are inputs, and
`take_outgoing` is what the gateway has to send.

Order of things at one moment: the engine's own that were due before, the market message, then what is due at that
moment. What came of it is told when the venue's answer has arrived (response latency), and only then booked.

Here is time, what is said of markets, and what came of it. What an engine holds is in `engine_state`, orders in
`engine_orders`, all other inputs in `engine_inputs`, signals in `engine_signals`, what follows from fills in
`engine_fills`, equity in `engine_sampling`, snapshots in `engine_snapshot`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from actors.execution.accounts.equity_curve import EquitySample
from actors.execution.accounts.ledger import Entry
from actors.execution.accounts.round_trips import ClosedTrade
from actors.execution.blotter import Working
from actors.execution.deployments import Deployment
from actors.execution.engine_fills import close_trades, count_fill
from actors.execution.engine_inputs import HANDLERS
from actors.execution.engine_orders import OrderDesk, ToVenue
from actors.execution.engine_sampling import sample
from actors.execution.engine_signals import Verdict, Waiting, size_waiting
from actors.execution.engine_snapshot import restore, snapshot_of
from actors.execution.engine_state import NEVER, EngineSettings
from actors.execution.flattening import Flattening
from actors.execution.inputs import EngineInput, Tick
from actors.execution.risk.limits import Denial
from actors.execution.sizing_orders import size_of
from protocols.instruments import Instrument
from protocols.market import Bar, BookStale, BookUpdate, Funding, MarketStatus, Quote, Trade
from protocols.orders import Fill, NewOrder, OrderEvent, Side
from protocols.signals import Signal, UpdateSignal

MOST_ROUNDS: Final = 10_000
"""Own things handled at one moment before something is wrong."""


class EngineStuck(RuntimeError):
    """Orders make orders without end at one moment."""


class Engine(OrderDesk):
    """One account. Every input has a time; times never go back (an older one counts as now)."""

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        self.inputs = 0
        """How many inputs were handled: the number of the last one."""
        self.signal_seq = 0
        """The place of the last signal that was taken, in the hub's stream."""
        self.waiting: list[Waiting] = []
        """Signals whose orders are sized at the next bar."""
        self.bar_markets: set[str] = set()
        """Markets that bars came of."""
        self.flattening = Flattening()
        self.transfers: dict[str, None] = {}
        """References of money that came or went, the newest ones: a repeat moves nothing."""
        self.last_fill = self.last_change = 0
        """The venue's time of the newest fill; our time of the last change of a position."""
        self.problems: list[str] = []
        """Inputs that could not be done, in words, until somebody takes them."""
        self.verdicts: list[Verdict] = []
        self.updates: list[UpdateSignal] = []
        self.trades: list[ClosedTrade] = []
        self.verdicts_made = self.samples_taken = 0
        """How many there were: the number of the last one."""
        self.sample_at = 0
        """When to look at equity again, ns."""
        self._next = NEVER

    # -- inputs and time ---------------------------------------------------------------------------------------

    def handle(self, item: EngineInput, ts: int) -> None:
        """The next input, at `ts` (ns). Raises EngineStuck where orders make orders without end."""
        self.inputs += 1
        kind = type(item)
        price = _PRICES.get(kind)
        if price is not None:
            price(self, item, ts)
            return
        if (timed := _TIMED.get(kind)) is not None:
            timed(self, item, ts)
        else:
            self._reach(ts)
            if (handler := HANDLERS.get(kind)) is not None:
                handler(self, item)
            else:  # a venue's report
                self.report(item, self.now)  # type: ignore[arg-type]
        self.settle(self.now)

    def _reach(self, ts: int) -> None:
        """Do what was due before `ts`, and be there."""
        if self._next < ts:
            self.advance(ts - 1)
        if ts > self.now:
            self.now = ts

    def due(self) -> int | None:
        """When something of its own is due, ns; None: nothing is."""
        return None if self._next == NEVER else self._next

    def advance(self, ts: int) -> None:
        """Time goes on to `ts`: everything that is due until then happens, in order."""
        while self._next <= ts:
            moment = self._next
            if moment > self.now:
                self.now = moment
            self.settle(moment)
        if ts > self.now:
            self.now = ts

    def settle(self, ts: int) -> None:
        """Everything that is due at `ts` happens, what follows from it included; then the next moment is known."""
        for _ in range(MOST_ROUNDS):
            self.venue.advance(ts)
            reports = self.venue.take(ts)
            for said in reports:
                self.report(said, ts)
            moved = self._own(ts)
            if not reports and not moved:
                break
        else:
            raise EngineStuck(f"{self.account.settings.account_id}: more than {MOST_ROUNDS} rounds at {ts}")
        self._plan()

    def _own(self, ts: int) -> bool:
        """What the engine itself has to do at `ts`; whether there was anything."""
        moved = False
        if (due := self.account.due()) is not None and due <= ts:
            self.account.advance(ts)
            moved = True
        if self.external:
            for order in self.held.due(self.marks, self.blotter, ts):
                self._release(order, ts)
                moved = True
            for name in self.held.overdue(ts):
                self.cancel(name, ts, "expired")
                moved = True
        if self.flattening.active:
            moved = self.flattening.go_on(self, ts) or moved
        moved = close_trades(self, ts) or moved
        if ts >= self.sample_at:
            sample(self, ts)
        return moved

    def wake_at(self, ts: int) -> None:
        """Something may be due at `ts`: the next input, or `advance`, will see to it."""
        if ts < self._next:
            self._next = ts

    def _plan(self) -> None:
        moment = NEVER
        due = self.venue.due()
        if due is not None:
            moment = due
        if (due := self.account.due()) is not None:
            moment = min(moment, due)
        if self.external and (due := self.held.expires()) is not None:
            moment = min(moment, due)
        if self.flattening.active:
            moment = min(moment, self.flattening.deadline)
        self._next = moment

    # -- markets -----------------------------------------------------------------------------------------------

    def quote(self, quote: Quote, ts: int) -> None:
        """The best prices of a market that has no book here. For hot loops: without `handle`."""
        if self._next < ts:
            self.advance(ts - 1)
        if ts > self.now:
            self.now = ts
        self.venue.quote(quote, ts)
        if self.blotter.open or ts >= self.sample_at:
            self.settle(ts)

    def trade(self, trade: Trade, ts: int) -> None:
        """A public trade. As `quote`."""
        if self._next < ts:
            self.advance(ts - 1)
        if ts > self.now:
            self.now = ts
        self.venue.trade(trade, ts)
        if self.blotter.open or ts >= self.sample_at:
            self.settle(ts)

    def book(self, update: BookUpdate, ts: int) -> Quote | None:
        """A venue message of a market's book, whole. As `quote`; the new best prices, if they moved."""
        if self._next < ts:
            self.advance(ts - 1)
        if ts > self.now:
            self.now = ts
        quote = self.venue.book(update, ts)
        if self.blotter.open or ts >= self.sample_at:
            self.settle(ts)
        return quote

    def bar(self, bar: Bar, ts: int) -> None:
        """A complete bar. Orders that wait for its open are sized with it first."""
        if self._next < ts:
            self.advance(ts - 1)
        if ts > self.now:
            self.now = ts
        if self.waiting:
            size_waiting(self, bar)
        self.bar_markets.add(bar.market)
        self.venue.bar(bar, ts)
        if self.account.net_position(bar.market):
            self.account.seen(bar.market, bar.low, bar.high)
        if self.blotter.open or ts >= self.sample_at:
            self.settle(ts)

    def market_event(self, message: BookStale | MarketStatus, ts: int) -> None:
        """A book is not current, or a market's phase has changed; a settled market pays."""
        self._reach(ts)
        self.venue.market(message, ts)
        if isinstance(message, MarketStatus):
            self.phases[message.market] = message.phase
            if message.phase == "settled" and message.settlement is not None:
                self.settle(ts)  # its open orders are cancelled first
                reference = f"{message.market}:{message.ts_event}"
                self.account.settle(message.market, message.settlement, self.now, reference=reference)
        self.settle(ts)

    def funding(self, funding: Funding, ts: int) -> None:
        """A payment between those who are long and those who are short."""
        self._reach(ts)
        self.account.funding(funding, ts)

    # -- what orders ask ---------------------------------------------------------------------------------------

    def booked(self, working: Working, fill: Fill, ts: int) -> None:
        """See OrderDesk."""
        count_fill(self, working, fill, ts)

    def size_of(self, deployment: Deployment, signal: Signal, instrument: Instrument, side: Side) -> int:
        """See `deployments.SizingView`."""
        return size_of(self, deployment, signal, instrument, side)

    def would_deny(self, order: NewOrder, ts: int) -> Denial | None:
        """Why an order would be denied now; None: it would pass. Nothing is counted."""
        return self._tainted(order) or self.gate.judge(order, self, ts)

    # -- what came of it ---------------------------------------------------------------------------------------

    def take_events(self) -> list[OrderEvent]:
        """Order events since the last time, in order."""
        return self.blotter.take()

    def take_entries(self) -> list[Entry]:
        """Ledger entries since the last time."""
        return self.account.take_entries()

    def take_trades(self) -> list[ClosedTrade]:
        """Closed trades since the last time."""
        found, self.trades = self.trades, []
        return found

    def has_news(self) -> bool:
        """Whether there is anything that somebody waits for; samples of equity alone are not."""
        told = self.blotter.told or self.verdicts or self.updates or self.trades or self.outgoing
        return bool(told) or self.account.entered

    def take_verdicts(self) -> list[Verdict]:
        """What deployments made of signals since the last time."""
        found, self.verdicts = self.verdicts, []
        return found

    def take_updates(self) -> list[UpdateSignal]:
        """What the hub is to be told of signals."""
        found, self.updates = self.updates, []
        return found

    def take_samples(self) -> list[tuple[int, EquitySample]]:
        """Equity since the last time, each with its number, 1, 2, 3 …"""
        found = self.account.curve.take_samples()
        first = self.samples_taken + 1
        self.samples_taken += len(found)
        return list(enumerate(found, first))

    def take_outgoing(self) -> list[ToVenue]:
        """What the gateway has to send, in order; external venues only."""
        found, self.outgoing = self.outgoing, []
        return found

    # -- snapshots ---------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """Everything, to go on from exactly here (`restore`). What was not taken yet is not in it: take it first."""
        return snapshot_of(self)

    def restore(self, data: bytes) -> None:
        """Go on from a snapshot, in an engine that was made with the same settings. Raises msgspec.ValidationError."""
        restore(self, data)
        self._plan()


_PRICES: Final[dict[type, Callable[[Engine, Any, int], object]]] = {
    Quote: Engine.quote,
    Trade: Engine.trade,
    BookUpdate: Engine.book,
    Bar: Engine.bar,
}
"""Most of what comes. These look themselves whether anything can follow, for most of it leads to nothing."""

_TIMED: Final[dict[type, Callable[[Engine, Any, int], object]]] = {
    BookStale: Engine.market_event,
    MarketStatus: Engine.market_event,
    Funding: Engine.funding,
    Tick: lambda engine, item, ts: engine.advance(ts),
}
"""These take the time as it is given: it goes on within them."""
