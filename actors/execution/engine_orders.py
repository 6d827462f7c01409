"""Orders in an engine: what is let through to the venue, and what the venue's reports do."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from actors.execution.blotter import Working
from actors.execution.engine_state import EngineSettings, EngineState
from actors.execution.held import HeldOrders
from actors.execution.risk.limits import Denial
from actors.execution.risk.self_trade import Resting, resolve
from actors.execution.venue_form import as_venue_takes
from protocols.nanos import decimal_text
from protocols.orders import (
    AmendOrder,
    Fill,
    NewOrder,
    OrderState,
    VenueAccepted,
    VenueAmended,
    VenueCancelled,
    VenueFilled,
    VenueRefusedChange,
    VenueRejected,
    VenueReport,
    VenueTriggered,
    VenueUnknown,
)

EXPIRED = frozenset({"expired", "day"})
"""Codes of VenueCancelled that mean the order's own time was over."""


class ToVenue(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A command for an external venue's gateway. `what` "query": ask what became of the order."""

    what: str
    order: NewOrder
    venue_order_id: str = ""
    size: int | None = None
    price: int | None = None
    stop_price: int | None = None
    urgent: bool = False


class OrderDesk(EngineState):
    """Takes commands and reports; knows no strategies."""

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        self.external = settings.venue == "external"
        self.held = HeldOrders(settings.native.kinds if self.external else None)
        self.outgoing: list[ToVenue] = []
        """What the gateway has to send; external venues only."""
        self.strays: list[VenueReport] = []
        """Reports of orders that are not known here."""
        self.senders: dict[str, tuple[int, int]] = {}
        """The newest incarnation that each path has ordered with."""

    # -- commands ----------------------------------------------------------------------------------------------

    def submit(self, orders: Iterable[NewOrder], ts: int) -> None:
        """Judge orders and send those that pass. One that is known already is a repeat and does nothing."""
        refused: set[str] = set()
        for asked in orders:
            order, name = asked, asked.client_order_id
            if name in self.blotter:
                continue
            if order.parent and (order.parent in refused or order.parent not in self.blotter.open):
                denial: Denial | None = Denial(
                    code="parent", reason=f"its parent {order.parent} is not open", field="parent"
                )
            else:
                order, denial = self._judged(order, ts)
            if denial is not None:
                refused.add(name)
                self.blotter.add(order, "denied", "denied", ts, denial.code, denial.reason)
            else:
                self._send(order, ts)
            if (working := self.blotter.get(name)) is not None:
                working.asked = asked

    def _judged(self, order: NewOrder, ts: int) -> tuple[NewOrder, Denial | None]:
        if denial := self._fenced(order) or self._tainted(order):
            return order, denial
        if order.reduce_only and not order.parent:
            held = self.reducible(order)
            if held <= 0:
                return order, Denial(code="reduce_only", reason="there is nothing to reduce", field="size", limit="0")
            if order.size > held:
                order = msgspec.structs.replace(order, size=held)
        if denial := self.gate.check(order, self, ts):
            return order, denial
        return self._without_self_trade(order, ts)

    def _fenced(self, order: NewOrder) -> Denial | None:
        if not order.sender:
            return None
        path, _, life = order.sender.rpartition("@")
        epoch, _, count = life.partition(".")
        try:
            incarnation = (int(epoch), int(count))
        except ValueError:
            return Denial(code="sender", reason=f"expected path@epoch.count, got {order.sender!r}", field="sender")
        newest = self.senders.get(path)
        if newest is not None and incarnation < newest:
            return Denial(
                code="stale_incarnation",
                reason=f"{path} lives as {newest[0]}.{newest[1]} now",
                field="sender",
                limit=f"{newest[0]}.{newest[1]}",
                value=life,
            )
        self.senders[path] = incarnation
        return None

    def _tainted(self, order: NewOrder) -> Denial | None:
        strange = [mark for mark in order.marks if mark not in self.settings.accepts_marks]
        if not strange:
            return None
        return Denial(
            code="taint",
            reason=f"it comes from data that is {', '.join(strange)}",
            field="marks",
            limit=",".join(self.settings.accepts_marks),
            value=",".join(order.marks),
        )

    def _held(self, order: NewOrder) -> int:
        """How much of the position that is there a resting order would reduce."""
        if order.position_side:
            return abs(self.account.position(order.market, order.position_side).quantity)
        position = self.position(order.market, order.deployment_id)
        return max(0, -position if order.side == "buy" else position)

    def _without_self_trade(self, order: NewOrder, ts: int) -> tuple[NewOrder, Denial | None]:
        resting = [
            Resting(
                client_order_id=each.order.client_order_id,
                deployment_id=each.order.deployment_id,
                side=each.order.side,
                price=each.order.price,
                leaves=each.leaves,
            )
            for each in self.blotter
            if each.order.market == order.market
            and each.order.side != order.side
            and each.order.deployment_id != order.deployment_id
            and each.state in ("accepted", "partially_filled", "submitted")
            and each.order.kind in ("limit", "stop_limit")
        ]
        if not resting:
            return order, None
        verdict = resolve(self.settings.self_trade, order, resting, self.reference_price(order.market, order.side))
        for name in verdict.cancel:
            self.cancel(name, ts, "self_trade")
        for name, leaves in verdict.decrease:
            working = self.blotter.open[name]
            self.amend(AmendOrder(name, size=working.filled + leaves), ts)
        if verdict.size is not None:
            order = msgspec.structs.replace(order, size=verdict.size)
        return order, verdict.denial

    def _send(self, order: NewOrder, ts: int) -> None:
        if self.external:
            if self.held.holds(order):
                self.blotter.add(order, "held", "held", ts)
                self.held.add(order, self.blotter, ts)
                return
            form = self._in_form(order, ts)
            if isinstance(form, Denial):
                self.blotter.add(order, "denied", "denied", ts, form.code, form.reason)
                return
            if order.oco:
                self.held.watch(order)
            working = self.blotter.add(order, "submitted", "submitted", ts)
            working.at_venue = True
            self.outgoing.append(ToVenue(what="submit", order=form, urgent=order.reduce_only))
            return
        if order.parent:
            self.blotter.add(order, "held", "held", ts)
        else:
            self.blotter.add(order, "submitted", "submitted", ts)
        self.venue.submit(order, ts)

    def _in_form(self, order: NewOrder, ts: int) -> NewOrder | Denial:
        instrument = self.instruments[order.market]
        reference = self.reference_price(order.market, order.side)
        return as_venue_takes(order, self.settings.native, instrument, reference, ts)

    def cancel(self, client_order_id: str, ts: int, code: str = "user") -> str:
        """Cancel one order; "" if that is under way, else why not."""
        working = self.blotter.open.get(client_order_id)
        if working is None:
            return "it has ended" if client_order_id in self.blotter else "it is not known"
        if working.pending == "cancel":
            return ""
        if self.external and client_order_id in self.held:
            self.held.forget(client_order_id)
            self.blotter.move(working, "cancelled", "cancelled", ts, code, "")
            self._cancel_children(client_order_id, ts)
            return ""
        working.pending = "cancel"
        self.blotter.move(working, working.state, "pending_cancel", ts)
        if self.external:
            self.outgoing.append(
                ToVenue(what="cancel", order=working.order, venue_order_id=working.venue_order_id, urgent=True)
            )
        else:
            self.venue.cancel(client_order_id, ts)
        return ""

    def cancel_many(self, market: str, deployment_id: str, ts: int) -> int:
        """Cancel all open orders of a market, of a deployment, of both, or of the account; how many."""
        chosen = [
            working.order.client_order_id
            for working in self.blotter
            if (not market or working.order.market == market)
            and (not deployment_id or working.order.deployment_id == deployment_id)
        ]
        for name in chosen:
            self.cancel(name, ts)
        return len(chosen)

    def amend(self, command: AmendOrder, ts: int) -> str:
        """Change an open order; "" if that is under way, else why not. Less size is always allowed; more is judged."""
        working = self.blotter.open.get(command.client_order_id)
        if working is None:
            return "it has ended" if command.client_order_id in self.blotter else "it is not known"
        changed = msgspec.structs.replace(
            working.order,
            size=working.order.size if command.size is None else command.size,
            price=working.order.price if command.price is None else command.price,
            stop_price=working.order.stop_price if command.stop_price is None else command.stop_price,
            sender=command.sender or working.order.sender,
        )
        why = ""
        if working.pending:
            why = f"a {working.pending} is under way"
        elif changed.size <= working.filled:
            filled, size = decimal_text(working.filled), decimal_text(changed.size)
            why = f"size: expected above the {filled} that are filled, got {size}"
        elif (denial := self._fenced(changed)) or (denial := self._amend_denied(working, changed, ts)):
            why = f"{denial.code}: {denial.reason}"
        if why:
            self.blotter.move(working, working.state, "amend_rejected", ts, "amend", why)
            return why
        if self.external and command.client_order_id in self.held:
            working.order = changed
            self.held.change(changed)
            self.blotter.move(working, working.state, "amended", ts)
            return ""
        working.pending = "amend"
        self.blotter.move(working, working.state, "pending_amend", ts)
        if self.external:
            self.outgoing.append(
                ToVenue(
                    what="amend",
                    order=working.order,
                    venue_order_id=working.venue_order_id,
                    size=command.size,
                    price=command.price,
                    stop_price=command.stop_price,
                )
            )
        else:
            self.venue.amend(command.client_order_id, command.size, command.price, command.stop_price, ts)
        return ""

    def _amend_denied(self, working: Working, changed: NewOrder, ts: int) -> Denial | None:
        """The gate judges what the order would be, without the order as it is."""
        name = working.order.client_order_id
        del self.blotter.open[name]
        try:
            size = changed.size - working.filled
            display = None if changed.display is None else min(changed.display, size)
            left = msgspec.structs.replace(changed, size=size, display=display)
            return self.gate.check(left, self, ts)
        finally:
            self.blotter.open[name] = working

    # -- reports -----------------------------------------------------------------------------------------------

    def report(self, said: VenueReport, ts: int) -> None:
        """Apply what the venue says."""
        working = self.blotter.get(said.client_order_id)
        if working is None:
            self.strays.append(said)
            return
        if isinstance(said, VenueFilled):
            self._filled(working, said, ts)
        elif isinstance(said, VenueAccepted):
            self._accepted(working, said, ts)
        elif isinstance(said, VenueCancelled):
            self._gone(working, "expired" if said.code in EXPIRED else "cancelled", said.code, said.reason, ts)
        elif isinstance(said, VenueRejected):
            if not working.final:
                self._gone(working, "rejected", said.code, said.reason, ts)
                self.gate.on_reject(said.code, ts)
        elif isinstance(said, VenueAmended):
            self._amended(working, said, ts)
        elif isinstance(said, VenueTriggered):
            if not working.final:
                working.triggered = True
                self.blotter.move(working, working.state, "triggered", ts)
        elif isinstance(said, VenueRefusedChange):
            if not working.final:
                working.pending = ""
                kind = "cancel_rejected" if said.what == "cancel" else "amend_rejected"
                self.blotter.move(working, working.state, kind, ts, said.code, said.reason)  # type: ignore[arg-type]
        else:
            self._unknown(working, said, ts)

    def _accepted(self, working: Working, said: VenueAccepted, ts: int) -> None:
        working.venue_order_id = said.venue_order_id or working.venue_order_id
        working.queue_ahead = said.queue_ahead
        if working.final:
            return
        state: OrderState = "partially_filled" if working.filled else "accepted"
        self.blotter.move(working, state, "accepted", ts)

    def _amended(self, working: Working, said: VenueAmended, ts: int) -> None:
        if working.final:
            return
        working.pending = ""
        working.queue_ahead = said.queue_ahead
        working.order = msgspec.structs.replace(
            working.order, size=said.size, price=said.price, stop_price=said.stop_price
        )
        self.blotter.move(working, working.state, "amended", ts)

    def _unknown(self, working: Working, said: VenueUnknown, ts: int) -> None:
        if working.final:
            return
        if said.what == "submit" and working.state == "submitted":
            self.blotter.move(working, "unknown", "unknown", ts, "unknown", said.reason)
        else:
            working.reason_code, working.reason = "unknown", f"{said.what}: {said.reason}"

    def _gone(self, working: Working, state: OrderState, code: str, why: str, ts: int) -> None:
        if working.final:
            return
        kind = "expired" if state == "expired" else "rejected" if state == "rejected" else "cancelled"
        self.blotter.move(working, state, kind, ts, code, why)  # type: ignore[arg-type]
        if self.external:
            self._cancel_children(working.order.client_order_id, ts)

    def _cancel_children(self, parent: str, ts: int) -> None:
        working = self.blotter.get(parent)
        if working is not None and working.filled:
            return  # what was filled is protected by them
        for name in self.held.children(parent):
            self.held.forget(name)
            child = self.blotter.open.get(name)
            if child is not None:
                self.blotter.move(child, "cancelled", "cancelled", ts, "parent", f"its parent {parent} is gone")

    def _filled(self, working: Working, said: VenueFilled, ts: int) -> None:
        if said.venue_order_id:
            working.venue_order_id = said.venue_order_id
        fill = self.account.fill(said, working.order, ts)
        if fill is None:
            return  # a repeat
        self.blotter.fill(working, fill, ts)
        self.gate.on_fill(fill, ts)
        self.booked(working, fill, ts)
        if self.external:
            released, gone = self.held.on_fill(working, self.blotter, ts)
            for order in released:
                self._release(order, ts)
            for name in gone:
                self.cancel(name, ts, "oco")
        self._shrink_reduce_only(working.order.market, ts)

    def _release(self, order: NewOrder, ts: int) -> None:
        """A held order is due: it goes to the venue as what it has become."""
        working = self.blotter.open.get(order.client_order_id)
        if working is None:
            return
        working.order = msgspec.structs.replace(working.order, size=order.size)
        working.triggered = working.triggered or working.order.kind != order.kind
        form = self._in_form(order, ts)
        if isinstance(form, Denial):
            self.blotter.move(working, "denied", "denied", ts, form.code, form.reason)
            return
        working.at_venue = True
        self.blotter.move(working, "submitted", "submitted", ts)
        self.outgoing.append(ToVenue(what="submit", order=form, urgent=order.reduce_only))

    def _shrink_reduce_only(self, market: str, ts: int) -> None:
        """Reduce-only orders of which nothing is left to reduce are cancelled."""
        for working in list(self.blotter):
            order = working.order
            if (
                order.reduce_only
                and not order.oco
                and order.market == market
                and working.pending != "cancel"
                and working.state not in ("held", "submitted", "unknown")
                and self._held(order) <= 0
            ):
                self.cancel(order.client_order_id, ts, "reduce_only")

    # -- what an engine adds -----------------------------------------------------------------------------------

    def booked(self, working: Working, fill: Fill, ts: int) -> None:
        """A fill is in the account."""
