"""An account that trades at a venue: the same actor, with a gateway behind its engine.

Before it takes any input it has told the gateway what may be at the venue, has booked the fills that it missed, and has
held the venue's account against its own. What does not agree lets it reduce only, until a person has said what is
right (`AlignWithVenue`). An intent is in the journal before the gateway hears of it.
"""

from __future__ import annotations

from typing import Final

import trio

from actors.execution.account_news import AccountNews
from actors.execution.account_settings import AccountSpec
from actors.execution.engine import Engine
from actors.execution.engine_orders import ToVenue
from actors.execution.inputs import AlignCash, AlignPosition, SetTrading
from actors.execution.reconciliation import OVERLAP_NS, Difference, adopted, differences, missed_fills
from protocols.control import Message, Refused, Request, Terminated, Unknown
from protocols.execution import AlignWithVenue, DifferenceShown, GetReconciliation, ReconciliationView, gateway_actor
from protocols.gateways import (
    AdoptOrders,
    CancelMany,
    QueryOrder,
    Reconcile,
    SendAmend,
    SendOrder,
    UseInstruments,
    VenueState,
)
from protocols.orders import (
    VenueAccepted,
    VenueAmended,
    VenueCancelled,
    VenueFilled,
    VenueRefusedChange,
    VenueRejected,
    VenueTriggered,
    VenueUnknown,
)
from runtime import receive

RECONCILE_S: Final = 30.0
RETRY_S: Final = 0.5
SEND_S: Final = 30.0
MOST_WAITING: Final = 10_000
REASON: Final = "the venue's account differs"


class Compared(Message, frozen=True, gc=False, tag="account_compared"):
    """What the venue said; None: it did not answer."""

    state: VenueState | None


class CompareNow(Message, frozen=True, gc=False, tag="account_compare_now"):
    """It is time to compare."""


class _Aligned(Request[ReconciliationView], frozen=True, gc=False, tag="account_aligned"):
    """The venue has said how things are, and a person that it is right."""

    reference: str
    state: VenueState


class VenueLink(AccountNews):
    """The part of an account's actor that a gateway stands behind; without one it does nothing."""

    spec: AccountSpec
    state: str
    differences: tuple[Difference, ...] = ()
    compared: int = 0
    comparing: bool = False

    @property
    def external(self) -> bool:
        """Whether a venue makes the fills."""
        return self.spec.engine.venue == "external"

    async def reconcile_first(self) -> None:
        """Before the first input of a life: nothing is traded until the venue has said how things are."""
        if not self.external:
            return
        self.state = "reconciling"
        self._to_gateway, commands = trio.open_memory_channel[Message](MOST_WAITING)
        self.spawn(self._tell_gateway, commands, name="gateway")
        fresh = not self.engine.inputs
        self.watch(self.lookup(gateway_actor(self.name)))
        self._introduce()
        state = await self._venue_state()
        for fill in missed_fills(self.engine, state):
            self.take(fill)
        if fresh:
            self._begin_with(state)
        self._judge(state)
        self.every(self.spec.reconcile_s, CompareNow())

    def _begin_with(self, state: VenueState) -> None:
        """A first life takes the venue's money for its capital; positions are a person's to confirm."""
        for balance in state.balances:
            self.take(AlignCash(balance.currency, balance.total, f"opening {state.as_of}"))

    def _introduce(self) -> None:
        """What a gateway that has just started has to know."""
        self._to_gateway.send_nowait(UseInstruments(tuple(self.engine.instruments.values())))
        self._to_gateway.send_nowait(AdoptOrders(adopted(self.engine, {})))

    async def _venue_state(self) -> VenueState:
        """Ask until the venue has answered."""
        while True:
            try:
                return await self.lookup(gateway_actor(self.name)).ask(self._question(), RECONCILE_S)
            except (Refused, Unknown) as error:
                self.logger.info("the venue has not said how the account is", account=self.name, why=str(error))
                await trio.sleep(RETRY_S)

    def _question(self) -> Reconcile:
        engine = self.engine
        since = max(0, engine.last_fill - OVERLAP_NS)
        return Reconcile(since, tuple(engine.instruments), engine.blotter.named(since - OVERLAP_NS))

    def _judge(self, state: VenueState) -> None:
        """Note what does not agree; money and positions that differ stop everything but reducing."""
        self.differences = differences(self.engine, state, spot=self.spec.spot)
        self.compared = self.clock.now()
        serious = [each for each in self.differences if each.kind in ("position", "cash")]
        if serious and self.engine.trading == "active":
            what = "; ".join(f"{each.kind} {each.what}: {each.ours} here, {each.theirs} there" for each in serious[:3])
            self.logger.error("the venue's account differs", account=self.name, what=what)
            self.take(SetTrading("reducing", f"{REASON}: {what}"))
        elif not serious and self.engine.trading == "reducing" and self.engine.trading_reason.startswith(REASON):
            self.take(SetTrading("active", "the venue's account agrees again"))

    # -- out -------------------------------------------------------------------------------------------------------

    def send_out(self, engine: Engine) -> None:
        """The gateway gets commands in the order in which the engine made them; they are in the journal by now."""
        for command in engine.take_outgoing():
            self._to_gateway.send_nowait(_message(command, engine))

    async def _tell_gateway(self, commands: trio.MemoryReceiveChannel[Message]) -> None:
        ref = self.lookup(gateway_actor(self.name))
        async for message in commands:
            while True:
                try:
                    await ref.send(message, SEND_S)
                except (Refused, Unknown) as error:
                    # A gateway that starts anew is told of all orders again; this one was not sent by anybody.
                    self.logger.warning("the gateway does not take a command", account=self.name, why=str(error))
                    await trio.sleep(RETRY_S)
                else:
                    break

    # -- in --------------------------------------------------------------------------------------------------------

    @receive
    def report(
        self,
        message: VenueAccepted
        | VenueRejected
        | VenueTriggered
        | VenueFilled
        | VenueCancelled
        | VenueAmended
        | VenueRefusedChange
        | VenueUnknown,
    ) -> None:
        """What the venue says of an order."""
        self.take(message)

    @receive
    def terminated(self, message: Terminated) -> None:
        """The gateway has ended: its next life is told what may be at the venue. Of runs, see `AccountNews`."""
        super().terminated(message)
        if self.external and message.path == gateway_actor(self.name):
            self._introduce()
            self.ref.tell(CompareNow())

    @receive
    def compare_now(self, message: CompareNow) -> None:
        """Ask the venue, once at a time: each takes its part of the account's rate limit."""
        if not self.comparing:
            self.comparing = True
            self.spawn(self._compare, name="compare")

    async def _compare(self) -> None:
        try:
            state = await self.lookup(gateway_actor(self.name)).ask(self._question(), RECONCILE_S)
        except (Refused, Unknown) as error:
            self.logger.info("the venue has not said how the account is", account=self.name, why=str(error))
            state = None
        self.ref.tell(Compared(state))

    @receive
    def compare(self, message: Compared) -> None:
        """Book what was missed. A difference counts when nothing is under way that would explain it."""
        self.comparing = False
        if message.state is None:
            return
        for fill in missed_fills(self.engine, message.state):
            self.take(fill)
        if self.engine.last_change < message.state.as_of - OVERLAP_NS // 30:
            self._judge(message.state)

    @receive
    def align(self, request: AlignWithVenue) -> None:
        """A person says that the venue is right."""
        if not self.external:
            raise Refused("not_supported", f"{self.name} has no venue but ours")
        self.answer_later(self._align, request)

    async def _align(self, request: AlignWithVenue) -> ReconciliationView:
        state = await self.lookup(gateway_actor(self.name)).ask(self._question(), RECONCILE_S)
        return await self.ref.ask(_Aligned(request.reference, state), RECONCILE_S)

    @receive
    def aligned(self, request: _Aligned) -> ReconciliationView:
        """Take over the venue's money and positions."""
        state = request.state
        for fill in missed_fills(self.engine, state):
            self.take(fill)
        if not self.spec.spot:
            theirs = {each.market: each.quantity for each in state.positions}
            for market in sorted({*theirs, *self.engine.account.net_positions()}):
                self.take(AlignPosition(market, theirs.get(market, 0), request.reference))
        for balance in state.balances:
            self.take(AlignCash(balance.currency, balance.total, request.reference))
        self._judge(state)
        return self._shown()

    @receive
    def reconciliation(self, request: GetReconciliation) -> ReconciliationView:
        """What the last comparison found."""
        return self._shown()

    def _shown(self) -> ReconciliationView:
        return ReconciliationView(
            account=self.name,
            compared=self.compared,
            differences=tuple(
                DifferenceShown(each.kind, each.what, each.ours, each.theirs) for each in self.differences
            ),
        )


def _message(command: ToVenue, engine: Engine) -> Message:
    name = command.order.client_order_id
    if command.what == "submit":
        return SendOrder(command.order, engine.instruments.get(command.order.market))
    if command.what == "cancel":
        return CancelMany((name,))
    if command.what == "amend":
        return SendAmend(name, command.size, command.price)
    return QueryOrder(name)
