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

from actors.execution.accounts.ledger import Entry
from actors.execution.accounts.round_trips import ClosedTrade
from actors.execution.blotter import BlotterState, Working
from actors.execution.deployments import Declined, Deployment, DeploymentSettings, DeploymentState
from actors.execution.engine_orders import OrderDesk, ToVenue
from actors.execution.engine_state import DAY_NS, NEVER, EngineSettings, EquitySample
from actors.execution.flattening import Flattening
from actors.execution.inputs import (
    Deploy,
    Deposit,
    EngineInput,
    Flatten,
    MoveDeployment,
    Restarted,
    SetLimits,
    SetTrading,
    SettleMarket,
    TakeSignal,
    Tick,
)
from actors.execution.sizing_orders import size_of
from protocols.instruments import Instrument
from protocols.market import Bar, BookStale, BookUpdate, Funding, MarketStatus, Quote, Trade
from protocols.nanos import NANO
from protocols.orders import (
    AmendOrder,
    CancelOrder,
    CancelOrders,
    Fill,
    NewOrder,
    OrderEvent,
    Side,
    SubmitOrders,
)
from protocols.signals import Signal, UpdateSignal

MOST_ROUNDS: Final = 10_000
"""Own things handled at one moment before something is wrong."""


class EngineStuck(RuntimeError):
    """Orders make orders without end at one moment."""


class Verdict(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a deployment made of a signal: its orders, or why none."""

    deployment_id: str
    signal_id: str
    seq: int
    ts: int
    orders: tuple[str, ...] = ()
    code: str = ""
    reason: str = ""


class _Open(msgspec.Struct, array_like=True):
    """A signal's order waits for the price of the next bar."""

    deployment_id: str
    signal: Signal
    ts: int


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
    day: int
    day_start: int | None
    peak: int | None
    sample_at: int
    signal_seq: int
    inputs: int
    instruments: list[Instrument]
    deployments: list[tuple[DeploymentSettings, DeploymentState, str, dict[str, int]]]
    waiting: list[_Open]
    funding: dict[str, Funding]
    senders: dict[str, tuple[int, int]]
    feed_orders: int


class Engine(OrderDesk):
    """One account. Every input has a time; times never go back (an older one counts as now)."""

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        self.inputs = 0
        """How many inputs were handled: the number of the last one."""
        self.signal_seq = 0
        """The place of the last signal that was taken, in the hub's stream."""
        self.flattening = Flattening()
        self.verdicts: list[Verdict] = []
        self.updates: list[UpdateSignal] = []
        self.samples: list[EquitySample] = []
        self._sample_at = 0
        self._next = NEVER
        self._waiting: list[_Open] = []
        self._funding: dict[str, Funding] = {}
        self._handlers: dict[type, Callable[[Any, int], None]] = {
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
            Deposit: self._deposit,
            Deploy: self._deploy,
            MoveDeployment: self._move_deployment,
            TakeSignal: self._take_signal,
            Flatten: self._flatten,
            SetTrading: self._set_trading,
            SetLimits: self._set_limits,
            SettleMarket: self._settle_market,
            Restarted: self._restarted,
            Tick: lambda item, ts: None,
        }

    # -- inputs and time ---------------------------------------------------------------------------------------

    def handle(self, item: EngineInput, ts: int) -> None:
        """The next input, at `ts` (ns). Raises EngineStuck where orders make orders without end."""
        self.inputs += 1
        handler = self._handlers.get(type(item))
        if handler is None:  # a venue's report
            self._reach(ts)
            self.report(item, self.now)  # type: ignore[arg-type]
        else:
            handler(item, ts)
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
        for market, funding in list(self._funding.items()):
            if funding.next_ts <= ts:
                del self._funding[market]
                self.account.funding(funding, funding.next_ts)
                moved = True
        if self.external:
            for order in self.held.due(self.marks, self.blotter, ts):
                self._release(order, ts)
                moved = True
        if self.flattening.active:
            moved = self.flattening.go_on(self, ts) or moved
        if ts >= self._sample_at:
            self._sample(ts)
        return moved

    def _plan(self) -> None:
        moment = NEVER
        due = self.venue.due()
        if due is not None:
            moment = due
        for funding in self._funding.values():
            moment = min(moment, funding.next_ts)
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

    def book(self, update: BookUpdate, ts: int) -> None:
        """A venue message of a market's book, whole. As `quote`."""
        if self._next < ts:
            self.advance(ts - 1)
        if ts > self.now:
            self.now = ts
        self.venue.book(update, ts)
        if self.blotter.open or ts >= self._sample_at:
            self.settle(ts)

    def bar(self, bar: Bar, ts: int) -> None:
        """A complete bar. Orders that wait for its open are sized with it first."""
        if self._next < ts:
            self.advance(ts - 1)
        if ts > self.now:
            self.now = ts
        if self._waiting:
            self._size_waiting(bar)
        self.venue.bar(bar, ts)
        if self.account.holds(bar.market):
            self.account.seen(bar.market, bar.low, bar.high)
        if self.blotter.open or ts >= self._sample_at:
            self.settle(ts)

    def market_event(self, message: BookStale | MarketStatus, ts: int) -> None:
        """A book is not current, or a market's phase has changed; a settled market pays."""
        self._reach(ts)
        self.venue.market(message, ts)
        if isinstance(message, MarketStatus) and message.phase == "settled" and message.settlement is not None:
            self._settle(message.market, message.settlement, ts, f"{message.session}:{message.ts_event}")
        self.settle(ts)

    def _define(self, instrument: Instrument, ts: int) -> None:
        self._reach(ts)
        self.instruments[instrument.market] = instrument
        self.venue.define(instrument)
        self.account.define(instrument)

    def _fund(self, funding: Funding, ts: int) -> None:
        self._reach(ts)
        if self.account.holds(funding.market) or funding.next_ts > ts:
            self._funding[funding.market] = funding
        self._plan()

    def _settle(self, market: str, value: int, ts: int, reference: str) -> None:
        before = self.account.settlement(market)
        if before == value:
            return
        if before is not None:
            self.account.unsettle(market, ts, reference=reference)
        self.account.settle(market, value, ts, reference=reference)

    def _settle_market(self, item: SettleMarket, ts: int) -> None:
        self._reach(ts)
        if item.value is not None:
            self._settle(item.market, item.value, self.now, item.reference)
        elif self.account.settlement(item.market) is not None:
            self.account.unsettle(item.market, self.now, reference=item.reference)

    def _restarted(self, item: Restarted, ts: int) -> None:
        self._reach(ts)
        for market in self.instruments:
            self.venue.market(BookStale(market=market, feed="", reason="restarted", ts=self.now), self.now)

    # -- money and limits --------------------------------------------------------------------------------------

    def _deposit(self, item: Deposit, ts: int) -> None:
        self._reach(ts)
        self.account.deposit(item.amount, self.now, currency=item.currency, reference=item.reference)
        self._sample_at = 0

    def _set_limits(self, item: SetLimits, ts: int) -> None:
        self._reach(ts)
        self.gate.set_limits(item.limits, item.deployment_id)

    def _set_trading(self, item: SetTrading, ts: int) -> None:
        self._reach(ts)
        self.trading, self.trading_reason = item.state, item.reason
        self.gate.set_trading(item.state, item.reason)
        if item.state == "active":
            self.flattening.forget()

    def _flatten(self, item: Flatten, ts: int) -> None:
        self._reach(ts)
        if item.deployment_id:
            if (deployment := self.deployments.get(item.deployment_id)) is not None:
                deployment.state, deployment.reason = "stopped", item.reason
        else:
            self.trading, self.trading_reason = "halted", item.reason
            self.gate.set_trading("halted", item.reason)
        self.flattening.begin(item, self, self.now)

    def _sample(self, ts: int) -> None:
        step = self.settings.sample_s * NANO
        self._sample_at = (ts // step + 1) * step
        equity = self.account.equity()
        if equity is not None:
            if (day := ts // DAY_NS) != self.day:
                self.day, self.day_start = day, equity
            if self.peak is None or equity > self.peak:
                self.peak = equity
            self.gate.on_equity(equity, ts)
            if self.account.margin_call() and not self.flattening.active:
                self.flattening.begin(Flatten(reason="margin call", close=True), self, ts)
        self.samples.append(EquitySample(ts, equity, self.account.cash()))

    # -- deployments and signals -------------------------------------------------------------------------------

    def _deploy(self, item: Deploy, ts: int) -> None:
        self._reach(ts)
        known = self.deployments.get(item.settings.deployment_id)
        self.deployments[item.settings.deployment_id] = deployment = Deployment(item.settings)
        if known is not None:
            deployment.entered = known.entered
        self.gate.set_limits(item.settings.limits, item.settings.deployment_id)

    def _move_deployment(self, item: MoveDeployment, ts: int) -> None:
        self._reach(ts)
        deployment = self.deployments.get(item.deployment_id)
        if deployment is not None:
            deployment.state, deployment.reason = item.state, item.reason

    def _take_signal(self, item: TakeSignal, ts: int) -> None:
        self._reach(ts)
        if item.seq:
            if item.seq <= self.signal_seq:
                return  # the stream was read again
            self.signal_seq = item.seq
        for deployment in self.deployments.values():
            meant = item.signal.deployment_id
            if meant == deployment.id or (meant is None and deployment.settings.strategy_id == item.signal.strategy_id):
                self.signal(deployment.id, item.signal, self.now, item.seq)

    def signal(self, deployment_id: str, signal: Signal, ts: int, seq: int = 0) -> None:
        """A deployment acts on a signal, at `ts`. What it makes of it is in `take_verdicts`."""
        deployment = self.deployments[deployment_id]
        deployment.signals += 1
        if deployment.settings.sized_at == "open" and self.venue.is_of_bars(signal.symbol):
            self._waiting.append(_Open(deployment_id, signal, ts))
            return
        self._act(deployment, signal, ts, seq)

    def _act(self, deployment: Deployment, signal: Signal, ts: int, seq: int = 0) -> None:
        try:
            instrument = self.instruments.get(signal.symbol)
            if instrument is None:
                raise Declined("instrument_unknown", f"nothing is known of {signal.symbol}")
            hedging = self.settings.account.position_mode == "hedging"
            if hedging:
                long = self.account.side_position(signal.symbol, "long")
                short = self.account.side_position(signal.symbol, "short")
                own = long if signal.action in ("BUY", "CLOSE_LONG") or not short else -abs(short)
            else:
                own = self.account.deployment_position(deployment.id, signal.symbol)
            orders = deployment.orders_for(signal, instrument, own, self, ts, hedging)
        except Declined as declined:
            deployment.declined += 1
            self.verdicts.append(
                Verdict(
                    deployment_id=deployment.id,
                    signal_id=signal.signal_id,
                    seq=seq,
                    ts=ts,
                    code=declined.code,
                    reason=declined.reason,
                )
            )
            return
        self._send_signal(deployment, signal, orders, ts, seq)

    def _send_signal(
        self, deployment: Deployment, signal: Signal, orders: tuple[NewOrder, ...], ts: int, seq: int
    ) -> None:
        self.submit(orders, ts)
        self.verdicts.append(
            Verdict(
                deployment_id=deployment.id,
                signal_id=signal.signal_id,
                seq=seq,
                ts=ts,
                orders=tuple(order.client_order_id for order in orders),
            )
        )
        self._plan_soon(ts)

    def _plan_soon(self, ts: int) -> None:
        """Something may be due at once: the next input, or `advance`, will see to it."""
        if ts < self._next:
            self._next = ts

    def size_of(self, deployment: Deployment, signal: Signal, instrument: Instrument, side: Side) -> int:
        """See `deployments.SizingView`."""
        return size_of(self, deployment, signal, instrument, side)

    def _size_waiting(self, bar: Bar) -> None:
        """Signals that are sized at the open of the next bar: the price is known now, and the orders fill at it."""
        mine = [each for each in self._waiting if each.signal.symbol == bar.market and each.ts <= bar.start]
        if not mine:
            return
        self._waiting = [each for each in self._waiting if each not in mine]
        self.venue.opens(bar)
        for each in mine:
            if (deployment := self.deployments.get(each.deployment_id)) is not None:
                self._act(deployment, each.signal, each.ts)

    def _submit_orders(self, item: SubmitOrders, ts: int) -> None:
        self._reach(ts)
        self.submit(item.orders, self.now)

    # -- what becomes of orders --------------------------------------------------------------------------------

    def booked(self, working: Working, fill: Fill, ts: int) -> None:
        """A fill is in the account: its deployment counts it, and the hub is to be told of its signal."""
        order = working.order
        deployment = self.deployments.get(order.deployment_id)
        if deployment is not None and working.filled == fill.size and not order.reduce_only:
            deployment.entered[order.market] = deployment.entered.get(order.market, 0) + 1
        if deployment is not None and not self.account.deployment_position(order.deployment_id, order.market):
            deployment.entered.pop(order.market, None)
        if order.signal_id and order.source == "signal":
            self._update(working, fill, ts)

    def _update(self, working: Working, fill: Fill, ts: int) -> None:
        order = working.order
        realized = fill.realized
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
                pnl=int(realized) if order.reduce_only and realized.lstrip("-").isdigit() else None,
                currency=fill.currency,
                slippage=fill.why.slippage / NANO,
                fill_rate=working.filled / order.size,
            )
        )

    # -- what came of it ---------------------------------------------------------------------------------------

    def take_events(self) -> list[OrderEvent]:
        """Order events since the last time, in order."""
        return self.blotter.take()

    def take_entries(self) -> list[Entry]:
        """Ledger entries since the last time."""
        return self.account.take_entries()

    def take_trades(self) -> list[ClosedTrade]:
        """Closed trades since the last time."""
        return self.account.take_trades()

    def take_verdicts(self) -> list[Verdict]:
        """What deployments made of signals since the last time."""
        found, self.verdicts = self.verdicts, []
        return found

    def take_updates(self) -> list[UpdateSignal]:
        """What the hub is to be told of signals."""
        found, self.updates = self.updates, []
        return found

    def take_samples(self) -> list[EquitySample]:
        """Equity since the last time."""
        found, self.samples = self.samples, []
        return found

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
                self.day,
                self.day_start,
                self.peak,
                self._sample_at,
                self.signal_seq,
                self.inputs,
                list(self.instruments.values()),
                [(each.settings, each.state, each.reason, each.entered) for each in self.deployments.values()],
                self._waiting,
                self._funding,
                self.senders,
                0,
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
        for settings, where, reason, entered in state.deployments:
            deployment = self.deployments[settings.deployment_id] = Deployment(settings, where)
            deployment.reason, deployment.entered = reason, entered
            self.gate.set_limits(settings.limits, settings.deployment_id)
        self.gate.restore(state.gate)
        self.held.restore(state.held)
        self.flattening.restore(state.flattening)
        self.trading, self.trading_reason = state.trading, state.trading_reason
        self.day, self.day_start, self.peak = state.day, state.day_start, state.peak
        self._sample_at, self.signal_seq, self.inputs = state.sample_at, state.signal_seq, state.inputs
        self._waiting, self._funding, self.senders = state.waiting, state.funding, state.senders
        self._plan()
