"""One account's engine: orders, matching, fees, latency, the account and its risk behind one row of inputs.

    engine.handle(item, ts); engine.advance(ts); events = engine.take_events()

Live topics drive it in paper trading, a recording in a backtest, a journal after a crash: the same inputs at the same
times give the same orders, fills and ledger. With an external venue its gateway's reports are inputs, and
`take_outgoing` is what the gateway has to send.

Order of things at one moment: the engine's own that were due before, the market message, then what is due at that
moment. What came of it is told when the venue's answer has arrived (response latency), and only then booked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from actors.execution.accounts.equity_curve import EquitySample
from actors.execution.accounts.ledger import Entry
from actors.execution.accounts.round_trips import ClosedTrade
from actors.execution.blotter import BlotterState, Working
from actors.execution.deployments import Decided, Declined, Deployment, DeploymentMemory, DeploymentSettings
from actors.execution.engine_orders import OrderDesk, ToVenue
from actors.execution.engine_state import NEVER, EngineSettings
from actors.execution.flattening import Flattening
from actors.execution.inputs import (
    AlignCash,
    AlignPosition,
    Deploy,
    Deposit,
    EngineInput,
    Flatten,
    MoveDeployment,
    Opened,
    Restarted,
    SenderEnded,
    SetBreaker,
    SetLimits,
    SettleMarket,
    SetTrading,
    SkipSignals,
    TakeSignal,
    Tick,
    Unlock,
)
from actors.execution.risk.limits import Denial
from actors.execution.risk.protections import ClosedTrade as RiskTrade
from actors.execution.risk.protections import exit_of
from actors.execution.sizing_orders import size_of
from actors.execution.volatility import Volatility
from protocols.instruments import Instrument
from protocols.market import Bar, BookStale, BookUpdate, Funding, MarketPhase, MarketStatus, Quote, Trade
from protocols.nanos import NANO, exact_nanos
from protocols.orders import (
    AmendOrder,
    CancelOrder,
    CancelOrders,
    Fill,
    NewOrder,
    OrderEvent,
    PositionSide,
    Side,
    SubmitOrders,
    VenueFilled,
    Why,
)
from protocols.signals import Signal, UpdateSignal

EXTERNAL: Final = "external"
"""Whose positions are that a venue held before we did."""
MOST_RETURNS: Final = 1000
MOST_TRANSFERS: Final = 10_000
MOST_ROUNDS: Final = 10_000
"""Own things handled at one moment before something is wrong."""
SETTLED: Final = frozenset({Quote, Trade, BookUpdate, Bar})
"""Inputs whose handlers look themselves whether anything can follow: most of what comes leads to nothing."""


class EngineStuck(RuntimeError):
    """Orders make orders without end at one moment."""


class Verdict(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a deployment made of a signal: its orders, or why none."""

    number: int
    """1, 2, 3 … of the account's."""
    deployment_id: str
    signal_id: str
    seq: int
    """The signal's place in the hub's stream; 0: it did not come from there."""
    ts: int
    orders: tuple[str, ...] = ()
    code: str = ""
    reason: str = ""


class _Open(msgspec.Struct, array_like=True):
    """A signal's order waits for the price of the next bar."""

    deployment_id: str
    body: bytes
    """The signal as JSON."""
    ts: int
    market: str
    seq: int


class _State(msgspec.Struct, array_like=True):
    now: int
    blotter: BlotterState
    account: bytes
    venue: bytes
    gate: bytes
    held: bytes
    flattening: bytes
    trading: Any
    trading_reason: str
    sample_at: int
    signal_seq: int
    inputs: int
    instruments: list[Instrument]
    deployments: list[tuple[DeploymentSettings, DeploymentMemory]]
    waiting: list[_Open]
    bar_markets: list[str]
    phases: dict[str, MarketPhase]
    senders: dict[str, tuple[int, int]]
    moves: dict[str, Any]
    opened: list[tuple[str, str, int]]
    seen_marks: list[str]
    verdicts: int
    samples: int
    last_fill: int
    transfers: list[str] = []


class Engine(OrderDesk):
    """One account. Every input has a time; times never go back (an older one counts as now)."""

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        self.inputs = self.verdicts_made = self.samples_taken = 0
        """How many inputs were handled: the number of the last one."""
        self.signal_seq = 0
        """The place of the last signal that was taken, in the hub's stream."""
        self.flattening = Flattening()
        self.transfers: dict[str, None] = {}
        """References of money that came or went, the newest ones: a repeat moves nothing."""
        self.last_fill = self.last_change = 0
        """The venue's time of the newest fill; our time of the last change of a position or of money."""
        self.problems: list[str] = []
        """Inputs that could not be done, in words, until somebody takes them."""
        self.verdicts: list[Verdict] = []
        self.updates: list[UpdateSignal] = []
        self.trades: list[ClosedTrade] = []
        self._sample_at = 0
        self._next = NEVER
        self._waiting: list[_Open] = []
        self.bar_markets: set[str] = set()
        self._handlers: dict[type, Callable[[Any, int], object]] = {
            Quote: self.quote,
            Trade: self.trade,
            BookUpdate: self.book,
            Bar: self.bar,
            BookStale: self.market_event,
            MarketStatus: self.market_event,
            Instrument: self._define,
            Funding: self._fund,
            SubmitOrders: self._submit_orders,
            CancelOrder: lambda item, ts: self.cancel(item.client_order_id, ts),
            CancelOrders: lambda item, ts: self.cancel_many(item.market, item.deployment_id, ts),
            AmendOrder: self.amend,
            Opened: self._open,
            Deposit: self._deposit,
            Deploy: self._deploy,
            MoveDeployment: self._move_deployment,
            TakeSignal: self._take_signal,
            SkipSignals: self._skip_signals,
            Flatten: self._flatten,
            SetTrading: self._set_trading,
            SetLimits: self._set_limits,
            SettleMarket: self._settle_market,
            SetBreaker: self._set_breaker,
            Unlock: self._unlock,
            AlignCash: self._align_cash,
            AlignPosition: self._align_position,
            Restarted: self._restarted,
            SenderEnded: self._sender_ended,
            Tick: lambda item, ts: self.advance(ts),
        }

    # -- inputs and time ---------------------------------------------------------------------------------------

    def handle(self, item: EngineInput, ts: int) -> None:
        """The next input, at `ts` (ns). Raises EngineStuck where orders make orders without end."""
        self.inputs += 1
        kind = type(item)
        handler = self._handlers.get(kind)
        if handler is None:  # a venue's report
            self._reach(ts)
            self.report(item, self.now)  # type: ignore[arg-type]
        else:
            handler(item, ts)
            if kind in SETTLED:
                return
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
        moved = self._close_trades(ts) or moved
        if ts >= self._sample_at:
            self._sample(ts)
        return moved

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
        if self.blotter.open or ts >= self._sample_at:
            self.settle(ts)

    def trade(self, trade: Trade, ts: int) -> None:
        """A public trade. As `quote`."""
        if self._next < ts:
            self.advance(ts - 1)
        if ts > self.now:
            self.now = ts
        self.venue.trade(trade, ts)
        if self.blotter.open or ts >= self._sample_at:
            self.settle(ts)

    def book(self, update: BookUpdate, ts: int) -> Quote | None:
        """A venue message of a market's book, whole. As `quote`; the new best prices, if they moved."""
        if self._next < ts:
            self.advance(ts - 1)
        if ts > self.now:
            self.now = ts
        quote = self.venue.book(update, ts)
        if self.blotter.open or ts >= self._sample_at:
            self.settle(ts)
        return quote

    def bar(self, bar: Bar, ts: int) -> None:
        """A complete bar. Orders that wait for its open are sized with it first."""
        if self._next < ts:
            self.advance(ts - 1)
        if ts > self.now:
            self.now = ts
        if self._waiting:
            self._size_waiting(bar)
        self.bar_markets.add(bar.market)
        self.venue.bar(bar, ts)
        if self.account.net_position(bar.market):
            self.account.seen(bar.market, bar.low, bar.high)
        if self.blotter.open or ts >= self._sample_at:
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

    def _define(self, instrument: Instrument, ts: int) -> None:
        self._reach(ts)
        try:
            self.account.define(instrument)
        except ValueError as error:  # it does not fit what is held: what was agreed stays
            self.problems.append(str(error))
            return
        self.instruments[instrument.market] = instrument
        self.venue.define(instrument)

    def _fund(self, funding: Funding, ts: int) -> None:
        self._reach(ts)
        self.account.funding(funding, ts)
        self._plan()

    def _settle_market(self, item: SettleMarket, ts: int) -> None:
        self._reach(ts)
        try:
            if item.value is None:
                self.account.unsettle(item.market, item.reference, self.now)
            else:
                self.account.settle(item.market, item.value, self.now, reference=item.reference)
        except ValueError as error:
            self.problems.append(str(error))

    def _align_cash(self, item: AlignCash, ts: int) -> None:
        self._reach(ts)
        own = item.currency or self.settings.account.currency
        bases = {each.base: market for market, each in self.instruments.items() if each.kind == "spot"}
        held = self.account.net_position(bases[own]) if own in bases else 0
        difference = item.total - held - self.account.cash(own)
        if difference:
            self.account.adjust(difference, self.now, currency=own, reference=item.reference)
        self._sample_at = 0

    def _align_position(self, item: AlignPosition, ts: int) -> None:
        """Booked as a fill of an order of the venue's, at what it could be left at; money is aligned after it."""
        self._reach(ts)
        missing = item.quantity - self.account.net_position(item.market)
        mark = self.marks.get(item.market)
        price = None if mark is None else mark.exit(item.quantity or -missing)
        if not missing or price is None:
            return
        name = f"align-{item.market}-{item.reference}"
        side: Side = "buy" if missing > 0 else "sell"
        order = NewOrder(
            client_order_id=name,
            market=item.market,
            side=side,
            kind="market",
            size=abs(missing),
            source="external",
            deployment_id=EXTERNAL,
        )
        if name in self.blotter:
            return
        self.blotter.add(order, "accepted", "accepted", self.now)
        self.report(
            VenueFilled(
                client_order_id=name,
                fill_id=name,
                market=item.market,
                side=side,
                price=price,
                size=abs(missing),
                liquidity="taker",
                fee=0,
                fee_currency=self.settings.account.currency,
                ts=self.now,
                why=Why(model="aligned", note=item.reference),
            ),
            self.now,
        )

    def _restarted(self, item: Restarted, ts: int) -> None:
        self._reach(ts)
        for market in self.instruments:
            self.venue.market(BookStale(market=market, feed="", reason="restarted", ts=self.now), self.now)

    def _sender_ended(self, item: SenderEnded, ts: int) -> None:
        self._reach(ts)
        newest = self.senders.get(item.path, (0, 0))
        self.senders[item.path] = max(newest, (item.epoch, item.count + 1))

    # -- money and limits --------------------------------------------------------------------------------------

    def _open(self, item: Opened, ts: int) -> None:
        self._reach(ts)
        self.account.open(self.now)

    def _deposit(self, item: Deposit, ts: int) -> None:
        self._reach(ts)
        if item.reference and item.reference in self.transfers:
            return
        try:
            self.account.deposit(item.amount, self.now, currency=item.currency, reference=item.reference)
        except ValueError as error:
            self.problems.append(str(error))
            return
        self.transfers[item.reference] = None
        if len(self.transfers) > MOST_TRANSFERS:
            del self.transfers[next(iter(self.transfers))]
        if item.currency in ("", self.settings.account.currency):
            self.gate.on_transfer(item.amount, self.now)
            for deployment in self.deployments.values():
                deployment.flow(item.amount)
        self._sample_at = 0

    def _set_limits(self, item: SetLimits, ts: int) -> None:
        self._reach(ts)
        self.gate.define(item.deployment_id, item.limits)

    def _set_trading(self, item: SetTrading, ts: int) -> None:
        self._reach(ts)
        self.trading, self.trading_reason = item.state, item.reason
        self.gate.set_trading(item.state, item.reason)
        if item.state == "active":
            self.flattening.forget()

    def _set_breaker(self, item: SetBreaker, ts: int) -> None:
        self._reach(ts)
        if item.open:
            self.gate.trip(item.reason, self.now)
        else:
            self.gate.reset(self.now)

    def _unlock(self, item: Unlock, ts: int) -> None:
        self._reach(ts)
        self.gate.unlock(item.market or "*", item.deployment_id)

    def _flatten(self, item: Flatten, ts: int) -> None:
        self._reach(ts)
        if item.deployment_id:
            if (deployment := self.deployments.get(item.deployment_id)) is not None:
                deployment.state, deployment.reason = "stopped", item.reason
                self.gate.set_trading("halted", item.reason, item.deployment_id)
        else:
            self.trading, self.trading_reason = "halted", item.reason
            self.gate.set_trading("halted", item.reason)
        self.flattening.begin(item, self, self.now)

    def _sample(self, ts: int) -> None:
        step = self.settings.sample_s * NANO
        self._sample_at = (ts // step + 1) * step
        for market, mark in self.marks.items():
            price = mark.mid()
            if price is not None:
                self.moves.setdefault(market, Volatility()).add(price, ts)
        before = self.account.curve.day_start
        sample = self.account.sample(ts)
        if sample is None:
            return
        self.gate.on_equity(sample.equity, ts)
        for deployment in self.deployments.values():
            self._sample_deployment(deployment, sample.day_start != before)
        if self.account.margin_call() and not self.flattening.active:
            self.flattening.begin(Flatten(reason="margin call", close=True), self, ts, liquidates=True)

    def _sample_deployment(self, deployment: Deployment, new_day: bool) -> None:
        if deployment.capital is None:
            equity = self.account.equity()
            if equity is not None:
                deployment.capital = equity * round(deployment.settings.capital_share * NANO) // NANO
        value = self.equity(deployment.id)
        if value is None:
            return
        if new_day or deployment.day_start is None:
            deployment.day_start = value
        if deployment.peak is None or value > deployment.peak:
            deployment.peak = value

    # -- deployments and signals -------------------------------------------------------------------------------

    def _deploy(self, item: Deploy, ts: int) -> None:
        self._reach(ts)
        known = self.deployments.get(item.settings.deployment_id)
        self.deployments[item.settings.deployment_id] = deployment = Deployment(item.settings)
        if known is not None:
            deployment.take_over(known)
        self.gate.define(item.settings.deployment_id, item.settings.limits)
        self._sample_deployment(deployment, False)

    def _move_deployment(self, item: MoveDeployment, ts: int) -> None:
        self._reach(ts)
        deployment = self.deployments.get(item.deployment_id)
        if deployment is not None:
            deployment.state, deployment.reason = item.state, item.reason
            self.gate.set_trading("active" if item.state == "active" else "reducing", item.reason, item.deployment_id)

    def _take_signal(self, item: TakeSignal, ts: int) -> None:
        self._reach(ts)
        if item.seq:
            if item.seq <= self.signal_seq:
                return  # the stream was read again
            self.signal_seq = item.seq
        signal = item.signal()
        decided = {each.deployment_id: each for each in item.decided}
        for deployment in self.takers(signal):
            self.signal(deployment.id, signal, self.now, item.seq, decided.get(deployment.id))

    def takers(self, signal: Signal) -> list[Deployment]:
        """The deployments that a signal is meant for."""
        if signal.deployment_id is not None:
            meant = self.deployments.get(signal.deployment_id)
            return [] if meant is None else [meant]
        return [each for each in self.deployments.values() if each.settings.strategy_id == signal.strategy_id]

    def _skip_signals(self, item: SkipSignals, ts: int) -> None:
        self._reach(ts)
        self.signal_seq = max(self.signal_seq, item.seq)

    def signal(self, deployment_id: str, signal: Signal, ts: int, seq: int = 0, decided: Decided | None = None) -> None:
        """A deployment acts on a signal, at `ts`. What it makes of it is in `take_verdicts`."""
        deployment = self.deployments[deployment_id]
        deployment.signals += 1
        if deployment.decides(signal):
            try:
                signal = deployment.decided(signal, decided, ts)
            except Declined as declined:
                deployment.declined += 1
                self._judge(deployment, signal, seq, ts, code=declined.code, reason=declined.reason)
                return
        if deployment.settings.sized_at == "open" and signal.symbol in self.bar_markets:
            self._waiting.append(_Open(deployment_id, msgspec.json.encode(signal), ts, signal.symbol, seq))
            return
        self._act(deployment, signal, ts, seq)

    def _act(self, deployment: Deployment, signal: Signal, ts: int, seq: int = 0) -> None:
        instrument = self.instruments.get(signal.symbol)
        if instrument is None:
            deployment.declined += 1
            unknown = f"nothing is known of {signal.symbol}"
            self._judge(deployment, signal, seq, ts, code="instrument_unknown", reason=unknown)
            return
        try:
            hedging = self.settings.account.position_mode == "hedging"
            if hedging:
                long = self.position(signal.symbol, position_side="long")
                short = self.position(signal.symbol, position_side="short")
                goes_long = signal.action in ("BUY", "CLOSE_LONG") or (signal.action == "CLOSE_ALL" and long)
                leg: PositionSide = "long" if goes_long else "short"
                own = long if goes_long else short
            else:
                own, leg = self.account.deployment_position(deployment.id, signal.symbol), ""
            coming, entering = self.coming(signal.symbol, deployment.id, leg, source="signal")
            orders = deployment.orders_for(signal, instrument, own + coming, self, ts, hedging, entering)
        except Declined as declined:
            deployment.declined += 1
            self._judge(deployment, signal, seq, ts, code=declined.code, reason=declined.reason)
            return
        self._send_signal(deployment, signal, orders, ts, seq)

    def _send_signal(
        self, deployment: Deployment, signal: Signal, orders: tuple[NewOrder, ...], ts: int, seq: int
    ) -> None:
        self.submit(orders, ts)
        self._judge(deployment, signal, seq, ts, orders=tuple(order.client_order_id for order in orders))
        deployment.orders += len(orders)
        self._plan_soon(ts)

    def _judge(self, deployment: Deployment, signal: Signal, seq: int, ts: int, **said: Any) -> None:
        self.verdicts_made += 1
        self.verdicts.append(
            Verdict(
                number=self.verdicts_made,
                deployment_id=deployment.id,
                signal_id=signal.signal_id,
                seq=seq,
                ts=ts,
                **said,
            )
        )

    def _plan_soon(self, ts: int) -> None:
        """Something may be due at once: the next input, or `advance`, will see to it."""
        if ts < self._next:
            self._next = ts

    def size_of(self, deployment: Deployment, signal: Signal, instrument: Instrument, side: Side) -> int:
        """See `deployments.SizingView`."""
        return size_of(self, deployment, signal, instrument, side)

    def _size_waiting(self, bar: Bar) -> None:
        """Signals that are sized at the open of the next bar: the price is known now, and the orders fill at it."""
        mine = [each for each in self._waiting if each.market == bar.market and each.ts <= bar.start]
        if not mine:
            return
        self._waiting = [each for each in self._waiting if each not in mine]
        self.marks[bar.market].last = bar.open
        for each in mine:
            if (deployment := self.deployments.get(each.deployment_id)) is not None:
                self._act(deployment, msgspec.json.decode(each.body, type=Signal), each.ts, each.seq)

    def _submit_orders(self, item: SubmitOrders, ts: int) -> None:
        self._reach(ts)
        self.submit(item.orders, self.now)

    # -- what becomes of orders --------------------------------------------------------------------------------

    def booked(self, working: Working, fill: Fill, ts: int) -> None:
        """A fill is in the account: its deployment counts it, and the hub is to be told of its signal."""
        order = working.order
        self.seen_marks.update(order.marks)
        self.last_fill = max(self.last_fill, fill.ts_event)
        self.last_change = ts
        self._note_opened("", order.market, self.account.net_position(order.market), ts)
        deployment = self.deployments.get(order.deployment_id)
        if deployment is not None:
            own = self.account.deployment_position(order.deployment_id, order.market)
            self._note_opened(order.deployment_id, order.market, own, ts)
            deployment.fills += 1
        if deployment is not None and working.filled == fill.size and not order.reduce_only:
            deployment.entered[order.market] = deployment.entered.get(order.market, 0) + 1
        if deployment is not None and not self.account.deployment_position(order.deployment_id, order.market):
            deployment.entered.pop(order.market, None)
        if order.signal_id and order.source == "signal":
            self._update(working, fill, ts)

    def _note_opened(self, deployment_id: str, market: str, quantity: int, ts: int) -> None:
        if quantity:
            self.opened.setdefault((deployment_id, market), ts)
        else:
            self.opened.pop((deployment_id, market), None)

    def _update(self, working: Working, fill: Fill, ts: int) -> None:
        order = working.order
        self.updates.append(
            UpdateSignal(
                signal_id=order.signal_id,
                status="executed",
                deployment_id=order.deployment_id or None,
                decision_id=order.decision_id or None,
                client_order_id=order.client_order_id,
                executed_quantity=working.filled,
                execution_price=None if not working.filled else working.cost // working.filled,
                ts_executed=fill.ts_event,
                pnl=exact_nanos(fill.realized) if order.reduce_only else None,
                currency=fill.currency,
                slippage=fill.why.slippage / NANO,
                fill_rate=working.filled / order.size,
            )
        )

    def _close_trades(self, ts: int) -> bool:
        """Round trips that have ended: risk learns from them, and their deployments count them."""
        trades = self.account.take_trades()
        for trade in trades:
            self.trades.append(trade)
            if trade.open:
                continue
            self.gate.on_round_trip(
                RiskTrade(
                    market=trade.market,
                    side=trade.side,
                    ts_closed=trade.exit_ts,
                    profit=trade.pnl,
                    stake=abs(trade.entry_cost),
                    exit=self._exit_of(trade),
                    deployment_id=trade.deployment_id,
                ),
                ts,
            )
            deployment = self.deployments.get(trade.deployment_id)
            if deployment is not None:
                deployment.trades += 1
                deployment.wins += trade.pnl > 0
                if trade.return_ is not None:
                    deployment.returns.append(trade.return_ / NANO)
                    del deployment.returns[:-MOST_RETURNS]
        return bool(trades)

    def _exit_of(self, trade: ClosedTrade) -> str:
        closer = self.blotter.get(trade.exit_client_order_id)
        return trade.exit_reason if closer is None else exit_of(closer.order)

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
        lists = (self.verdicts, self.updates, self.trades, self.outgoing)
        return self.blotter.told or any(lists) or self.account.entered

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
        return msgspec.msgpack.encode(
            _State(
                self.now,
                self.blotter.state(),
                self.account.snapshot(),
                self.venue.snapshot(),
                self.gate.snapshot(),
                self.held.snapshot(),
                self.flattening.snapshot(),
                self.trading,
                self.trading_reason,
                self._sample_at,
                self.signal_seq,
                self.inputs,
                list(self.instruments.values()),
                [(each.settings, each.memory()) for each in self.deployments.values()],
                self._waiting,
                sorted(self.bar_markets),
                self.phases,
                self.senders,
                {market: moves.state() for market, moves in self.moves.items()},
                [(*key, ts) for key, ts in self.opened.items()],
                sorted(self.seen_marks),
                self.verdicts_made,
                self.samples_taken,
                self.last_fill,
                list(self.transfers),
            )
        )

    def restore(self, data: bytes) -> None:
        """Go on from a snapshot, in an engine that was made with the same settings. Raises msgspec.ValidationError."""
        state = msgspec.msgpack.decode(data, type=_State)
        self.now = state.now
        for instrument in state.instruments:
            self.instruments[instrument.market] = instrument
            self.venue.define(instrument)
            self.account.define(instrument)
        self.blotter.restore(state.blotter)
        self.account.restore(state.account)
        self.venue.restore(state.venue)
        for settings, memory in state.deployments:
            self.deployments[settings.deployment_id] = Deployment(settings, memory)
            self.gate.define(settings.deployment_id, settings.limits)
        self.gate.restore(state.gate)
        self.held.restore(state.held)
        self.transfers = dict.fromkeys(state.transfers)
        self.flattening.restore(state.flattening)
        self.trading, self.trading_reason = state.trading, state.trading_reason
        self._sample_at, self.signal_seq, self.inputs = state.sample_at, state.signal_seq, state.inputs
        self._waiting, self.phases, self.senders = state.waiting, state.phases, state.senders
        for market, moves in state.moves.items():
            self.moves[market] = Volatility()
            self.moves[market].load(moves)
        self.bar_markets = set(state.bar_markets)
        self.opened = {(deployment, market): ts for deployment, market, ts in state.opened}
        self.seen_marks = set(state.seen_marks)
        self.verdicts_made, self.samples_taken, self.last_fill = state.verdicts, state.samples, state.last_fill
        self._plan()
