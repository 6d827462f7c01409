"""The actor of an account: one row of inputs, the engine behind it, and what came of it told to those who wait for it.

Each input is numbered and journaled before anything that came of it leaves (`journal.py`). A new life takes the newest
snapshot, replays the journal behind it, and is then exactly where the old one was; what waits meanwhile is handled
after. It crashes rather than go on with a doubt: its supervisor starts it again, from what is on disk.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec

from actors.execution.account_settings import (
    AccountSpec,
    Due,
    Flush,
    FollowMarket,
    ReadOn,
    ShowDeployment,
)
from actors.execution.account_views import account_view, chosen, deploy_run, deployment_view, flatten_view
from actors.execution.accounts.rows import ExecutionSnapshotRow
from actors.execution.deployments import DeploymentSettings
from actors.execution.engine import Engine
from actors.execution.inputs import (
    Deploy,
    Deposit,
    EngineInput,
    Flatten,
    MoveDeployment,
    Opened,
    Restarted,
    SetBreaker,
    SetLimits,
    SetTrading,
    SkipSignals,
    Tick,
    Unlock,
    decode,
)
from actors.execution.journal import InputJournal, journal_stream, snapshot_stream
from actors.execution.journal_reading import journal_rows, last_snapshot, outcome_is_there
from actors.execution.market_following import NotFollowed, instruments_of
from actors.execution.risk.limits import RiskLimits
from actors.execution.risk_views import market_shown, risk_shown, sized
from actors.execution.signal_reading import SignalReading
from protocols.control import ExitReason, Refused, Unknown
from protocols.deployments import Denied, OrdersTaken, PlaceOrders
from protocols.execution import (
    AccountView,
    ApplyDeployment,
    ChangeLimits,
    CheckOrder,
    DeploymentView,
    FiguresOf,
    FlattenAccount,
    FlattenView,
    GetAccount,
    GetFlatten,
    GetMarket,
    GetOrders,
    GetRisk,
    MarketShown,
    MoneyIn,
    OrderByHand,
    OrderChecked,
    OrderList,
    PositionSized,
    RiskShown,
    SizePosition,
    SwitchBreaker,
    SwitchTrading,
    TakeLocksAway,
)
from protocols.nanos import decimal_text
from protocols.orders import AmendOrder, CancelOrder, NewOrder, OrderCommand, SubmitOrders
from protocols.paths import HUB, QUERIES
from protocols.signals import ReadSignals, SignalStored
from runtime import Mailbox, receive

MANUAL: Final = "manual"
OF_A_RUN: Final = ("market", "side", "deployment_id", "parent")
"""What a repeat of a strategy's order has in common with it: a run that began anew may say another price and size, and
its order stands as it was said first."""
OF_A_PERSON: Final = tuple(
    each for each in NewOrder.__struct_fields__ if each not in ("signal_id", "decision_id", "source", "sender", "marks")
)
"""The same for a person, who believes that what was said last stands: everything that was said."""
HUB_S: Final = 10.0


class TradingAccount(SignalReading):
    """An account. `account`: the fields of AccountSpec."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=65_536)
    stash_capacity: ClassVar[int] = 10_000

    def __init__(self, account: dict[str, Any]) -> None:
        self.spec = msgspec.convert(account, AccountSpec)
        self.name = self.spec.engine.account.account_id
        self.own_instruments = instruments_of(self.spec.instruments)
        self.engine = Engine(self.spec.engine)
        self.state = "recovering"
        self.recovered = 0
        self.recovery_ms = 0.0
        self.alarm: int | None = None
        self.reading = self.read_again = False
        self.snapshot_at = 0

    # -- a life begins -----------------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Be there; recovery takes longer."""
        self.begin_following()
        self.begin_news()

    async def on_continue(self) -> None:
        """Recover, then listen. What arrives meanwhile waits."""
        await self._recover()
        await self.reconcile_first()
        self.state = "trading"
        if not self.engine.inputs:
            self.take(Opened())
        else:
            self.take(Restarted(self.incarnation.epoch))
        for market in {*self.spec.markets, *self.engine.instruments}:
            self.follow(market)
        for deployment in self.engine.deployments.values():
            for market in deployment.settings.markets:
                self.follow(market)
            if deployment.state == "active":
                self.bind(deployment)
        self.subscribe(SignalStored)
        self.ref.tell(ReadOn())
        self._plan()

    async def _recover(self) -> None:
        log = self.log
        began = self.clock.monotonic()
        last = log.last_seq(journal_stream(self.name))
        seq = number = 0
        if last:
            queries = self.lookup(QUERIES)
            snapshot = await last_snapshot(queries, self.name)
            if await outcome_is_there(queries, log.directory, self.rows.next_outcome()):
                self.rows.told = self.rows.next_outcome()
            if snapshot is not None and self._restored(snapshot.payload):
                seq = snapshot.journal_seq
            async for rows in journal_rows(queries, log.directory, self.name, seq, last):
                for row in rows:
                    for item in decode(row.payload):
                        self.engine.handle(item.item, item.ts)
                    self.recovered += row.count
                    self.keep()
            number = self.engine.inputs
        self.journal = InputJournal(self.name, log.append, last, number)
        self.keep()
        # Lives that are short must not add up to a long replay.
        self.snapshot_at = number - self.recovered + self.spec.snapshot_inputs
        self.recovery_ms = (self.clock.monotonic() - began) / 1e6
        if self.recovered:
            self.logger.info("recovered", inputs=self.recovered, ms=round(self.recovery_ms))

    def _restored(self, payload: bytes) -> bool:
        """Whether a snapshot could be taken up. One that another version has written is no loss: the journal is all."""
        try:
            self.engine.restore(payload)
        except (msgspec.ValidationError, ValueError, KeyError) as error:
            self.logger.warning(
                "a snapshot is of another version: the journal is replayed from its start", why=str(error)
            )
            self.engine = Engine(self.spec.engine)
            return False
        return True

    def on_stop(self, reason: ExitReason) -> None:
        """Leave nothing unwritten, and a snapshot for the next life."""
        if self.state == "recovering":
            return
        self.journal.flush()
        self._snapshot()

    # -- inputs ------------------------------------------------------------------------------------------------

    def take(self, item: EngineInput) -> None:
        """The next input: numbered, handled, journaled with what it led to, and that told."""
        ts = max(self.clock.now(), self.engine.now)
        self.journal.add(item, ts)
        self.engine.handle(item, ts)
        if self.engine.problems:
            self.logger.warning("an input was not done", kind=type(item).__name__, why=self.engine.problems[-1])
            self.engine.problems.clear()
        if self.has_news():
            self.journal.flush()
            self.tell_news()
        elif self.journal.waiting == 1:
            self.after(self.spec.flush_s, Flush())
        if self.engine.inputs >= self.snapshot_at:
            self.journal.flush()
            self._snapshot()
        self._plan()

    @receive
    def flush(self, message: Flush) -> None:
        """Write what waits."""
        self.journal.flush()

    def _snapshot(self) -> None:
        stream = snapshot_stream(self.name)
        self.log.append(
            ExecutionSnapshotRow(
                stream=stream,
                seq=self.log.last_seq(stream) + 1,
                ts=self.engine.now,
                journal_seq=self.journal.seq,
                payload=self.engine.snapshot(),
            )
        )
        self.snapshot_at = self.engine.inputs + self.spec.snapshot_inputs

    def _plan(self) -> None:
        due = self.engine.due()
        if due is not None and (self.alarm is None or due < self.alarm):
            self.alarm = due
            self.spawn(self._wake, due, name="alarm")

    async def _wake(self, moment: int) -> None:
        await self.clock.sleep_until(moment)
        self.ref.tell(Due(moment))

    @receive
    def due(self, message: Due) -> None:
        """Time has passed for the engine."""
        if self.alarm is not None and message.moment >= self.alarm:
            self.alarm = None
        due = self.engine.due()
        if due is not None and due <= max(self.clock.now(), self.engine.now):
            self.take(Tick())
        else:
            self._plan()

    # -- orders ------------------------------------------------------------------------------------------------

    @receive
    def place(self, request: PlaceOrders) -> OrdersTaken:
        """Commands of a deployed run."""
        deployment = self.engine.deployments.get(request.deployment_id)
        if deployment is None:
            raise Refused("not_found", f"{self.name} has no deployment {request.deployment_id}", "deployment_id")
        if deployment.state != "active" and any(isinstance(each, SubmitOrders) for each in request.commands):
            raise Refused("not_active", f"{deployment.id} is {deployment.state}: {deployment.reason}", "deployment_id")
        return self._commands(request.deployment_id, request.commands)

    @receive
    def by_hand(self, request: OrderByHand) -> OrdersTaken:
        """Commands of a person: orders of the deployment `manual`, each a signal of its own."""
        return self._commands("", tuple(by_hand(command) for command in request.commands))

    def _commands(self, deployment_id: str, commands: tuple[OrderCommand, ...]) -> OrdersTaken:
        denied: list[Denied] = []
        for index, command in enumerate(commands):
            why = self._strange(deployment_id, command)
            if why is not None:
                denied.append(Denied(index=index, client_order_id=why[0], code=why[1], reason=why[2]))
                continue
            self.take(command)
            denied += self._denied(index, command)
        self.journal.flush()
        return OrdersTaken(deployment_id, tuple(denied))

    def _strange(self, deployment_id: str, command: OrderCommand) -> tuple[str, str, str] | None:
        """Why a command is none: (order, code, reason)."""
        if isinstance(command, SubmitOrders):
            for order in command.orders:
                if deployment_id and order.deployment_id != deployment_id:
                    return order.client_order_id, "deployment", f"expected an order of {deployment_id}"
                known = self.engine.blotter.get(order.client_order_id)
                fields = OF_A_RUN if deployment_id else OF_A_PERSON
                if known is not None and (field := difference(known.asked, order, fields)):
                    return order.client_order_id, "id_taken", f"another order has this id: its {field} differs"
            return None
        if isinstance(command, CancelOrder | AmendOrder):
            name = command.client_order_id
            known = self.engine.blotter.get(name)
            if known is None:
                return name, "not_found", f"{name} is not known"
            if deployment_id and known.order.deployment_id != deployment_id:
                return name, "deployment", f"{name} is not of {deployment_id}"
            if known.final and not isinstance(command, CancelOrder):
                return name, "conflict", f"{name} is {known.state}"
            if known.final:
                return name, "conflict", f"{name} is {known.state}"
        return None

    def _denied(self, index: int, command: OrderCommand) -> list[Denied]:
        names = [order.client_order_id for order in command.orders] if isinstance(command, SubmitOrders) else []
        found = [(name, self.engine.blotter.get(name)) for name in names]
        return [
            Denied(index=index, client_order_id=name, code=working.reason_code, reason=working.reason, told=True)
            for name, working in found
            if working is not None and working.state == "denied"
        ]

    @receive
    def check(self, request: CheckOrder) -> OrderChecked:
        """Whether an order would pass; nothing is counted."""
        order = NewOrder(
            client_order_id="?",
            market=request.market,
            side=request.side,
            kind="market" if request.price is None else "limit",
            size=request.size,
            price=request.price,
            deployment_id=request.deployment_id,
        )
        denial = self.engine.would_deny(order, max(self.clock.now(), self.engine.now))
        reference = self.engine.reference_price(request.market, request.side)
        if denial is None:
            return OrderChecked(code="", reason="", reference_price=reference)
        return OrderChecked(code=denial.code, reason=denial.reason, reference_price=reference)

    # -- money, limits, the kill switch ------------------------------------------------------------------------

    @receive
    def money(self, request: MoneyIn) -> None:
        """Deposit or withdraw."""
        if self.spec.mode != "paper":
            raise Refused("not_supported", "money of a live account moves at its venue")
        free = self.engine.account.withdrawable(request.currency)
        if request.amount < 0 and -request.amount > free:
            text = f"expected at most {decimal_text(free)}, what is not bound, got {decimal_text(-request.amount)}"
            raise Refused("invalid", text, "amount")
        self.take(Deposit(request.amount, request.currency, request.reference))

    @receive
    def limits(self, request: ChangeLimits) -> None:
        """Other limits."""
        self._check_deployment(request.deployment_id)
        try:
            limits = msgspec.json.decode(request.limits, type=RiskLimits)
        except msgspec.ValidationError as error:
            raise Refused("invalid", str(error), "limits") from None
        self.take(SetLimits(limits, request.deployment_id))

    @receive
    def breaker(self, request: SwitchBreaker) -> None:
        """Open or close the breaker by hand."""
        self.take(SetBreaker(request.open, request.reason))

    @receive
    def locks(self, request: TakeLocksAway) -> None:
        """End locks of protections."""
        self._check_deployment(request.deployment_id)
        self.take(Unlock(request.market, request.deployment_id))

    @receive
    def trading(self, request: SwitchTrading) -> None:
        """Trade, reduce, or neither."""
        self.take(SetTrading(request.state, request.reason))

    @receive
    def flatten(self, request: FlattenAccount) -> FlattenView:
        """The kill switch."""
        self._check_deployment(request.deployment_id)
        self.take(Flatten(request.reason, request.close, request.deployment_id))
        return flatten_view(self.engine)

    @receive
    def flattened(self, request: GetFlatten) -> FlattenView:
        """How far it is."""
        return flatten_view(self.engine)

    # -- deployments -------------------------------------------------------------------------------------------

    def _check_deployment(self, deployment_id: str) -> None:
        if deployment_id and deployment_id not in self.engine.deployments:
            text = f"account {self.engine.account.settings.account_id} has no deployment {deployment_id!r}"
            raise Refused("not_found", text, "deployment_id")

    @receive
    async def apply(self, request: ApplyDeployment) -> None:
        """A deployment begins, changes, pauses or ends."""
        settings = msgspec.json.decode(request.settings, type=DeploymentSettings)
        known = self.engine.deployments.get(settings.deployment_id)
        if known is None and not self.engine.deployments:
            await self._begin_at_the_end()
        if known is None or known.settings != settings:
            self.take(Deploy(settings))
        deployment = self.engine.deployments[settings.deployment_id]
        if deployment.state != request.state:
            self.take(MoveDeployment(settings.deployment_id, request.state, request.reason))
        for market in settings.markets:
            self.follow(market)
        if request.state == "active":
            self.bind(deployment)
        else:
            self.unbind(deployment, request.reason or request.state)
        self.ref.tell(ReadOn())

    async def _begin_at_the_end(self) -> None:
        """Signals of before the first deployment are not meant for it."""
        try:
            page = await self.lookup(HUB).ask(ReadSignals(2**62, 1), HUB_S)
        except (Refused, Unknown) as error:
            raise Refused("unavailable", f"the hub does not answer: {error}") from None
        self.take(SkipSignals(page.last_seq))

    @receive
    def show_deployment(self, request: ShowDeployment) -> Any:
        """What a run of a deployment has to know."""
        deployment = self.engine.deployments.get(request.deployment_id)
        if deployment is None or deployment.state != "active":
            raise Refused("not_found", f"{self.name} has no active deployment {request.deployment_id}")
        return deploy_run(self.engine, deployment, self.path)

    @receive
    def follow_one(self, request: FollowMarket) -> None:
        """Follow a market; who asked is answered when it is there."""
        self.follow(request.market)
        self.answer_later(self.wait_for, request.market)

    # -- views -------------------------------------------------------------------------------------------------

    @receive
    def view(self, request: GetAccount) -> AccountView:
        """How the account stands."""
        missing = tuple(market for market, state in self.following.items() if state not in ("ready",))
        return account_view(
            self.engine,
            mode=self.spec.mode,
            state=self.state,
            name=self.spec.name,
            session=self.spec.session,
            missing=missing,
            recovered=self.recovered,
            recovery_ms=self.recovery_ms,
        )

    @receive
    def market(self, request: GetMarket) -> None:
        """A market, as soon as it is followed."""
        self.answer_later(self._market_shown, request.market)

    async def _market_shown(self, market: str) -> MarketShown:
        if self.following.get(market) != "ready":
            try:  # a name that nobody knows is not looked for on
                await self._found(market)
            except NotFollowed as failed:
                raise Refused(failed.code, failed.reason, "symbol") from None
            await self.ref.ask(FollowMarket(market), HUB_S)
        return market_shown(self.engine, market)

    @receive
    def risk(self, request: GetRisk) -> RiskShown:
        """What risk is measured by."""
        return risk_shown(self.engine)

    @receive
    def sized(self, request: SizePosition) -> PositionSized:
        """How much may be bought or sold."""
        return sized(self.engine, request)

    @receive
    def figures(self, request: FiguresOf) -> DeploymentView:
        """The figures of a deployment."""
        deployment = self.engine.deployments.get(request.deployment_id)
        if deployment is None:
            raise Refused("not_found", f"{self.name} has no deployment {request.deployment_id}", "deployment_id")
        return deployment_view(self.engine, deployment)

    @receive
    def orders(self, request: GetOrders) -> OrderList:
        """Orders that are remembered."""
        return OrderList(
            chosen(
                self.engine,
                client_order_id=request.client_order_id,
                market=request.market,
                deployment_id=request.deployment_id,
                ended=request.ended,
                limit=request.limit,
            )
        )


def difference(known: NewOrder, said: NewOrder, fields: tuple[str, ...]) -> str:
    """The first of the fields in which an order is no repeat of a known one, "" for a repeat."""
    return next((each for each in fields if getattr(known, each) != getattr(said, each)), "")


def by_hand(command: OrderCommand) -> OrderCommand:
    """A person's orders have a deployment and a signal, too: nothing else leads to an order."""
    if not isinstance(command, SubmitOrders):
        return command
    return SubmitOrders(
        tuple(
            order
            if order.deployment_id
            else msgspec.structs.replace(
                order,
                deployment_id=MANUAL,
                signal_id=order.signal_id or f"{MANUAL}-{order.parent or order.client_order_id}",
                source="manual" if order.source == "signal" else order.source,
            )
            for order in command.orders
        )
    )
