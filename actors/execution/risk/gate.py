"""The gate that every order passes: the order itself, then the account's limits, then those of its deployment.

The first that fails answers. In this order: kill switch, fields, market, marks, steps, something to reduce; then for
the account and the deployment each: shorts, breaker, locks, limits (`checks`). An order that passes counts as sent.
Cancels are no orders and never come here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from actors.execution.risk.breaker import BreakerSettings, RiskBreaker
from actors.execution.risk.case import Case
from actors.execution.risk.checks import Check, checks_of
from actors.execution.risk.form import FORM_CHECKS, fields, tradable
from actors.execution.risk.limits import AccountKind, Bounds, Denial, RiskLimits, Trading
from actors.execution.risk.order_rate import OrderRate
from actors.execution.risk.projection import as_open
from actors.execution.risk.protections import ClosedTrade, Lock, Protections, ProtectionSettings
from actors.execution.risk.view import OpenOrder, RiskView
from protocols.instruments import Instrument
from protocols.orders import Fill, NewOrder

ACCOUNT: Final = ""


class _Scope:
    """The limits of the account or of one deployment, compiled, with their state."""

    __slots__ = ("bounds", "checks", "limits", "protections", "rate", "reason", "trading")

    def __init__(self, limits: RiskLimits, protections: Sequence[ProtectionSettings], deployment_id: str) -> None:
        self.rate = OrderRate()
        self.protections = Protections(protections, deployment_id)
        self.trading: Trading = "active"
        self.reason = ""
        self.limits: RiskLimits
        self.bounds: Bounds
        self.checks: tuple[Check, ...]
        self.limit(limits, deployment_id)

    def limit(self, limits: RiskLimits, deployment_id: str) -> None:
        self.limits = limits
        self.bounds = Bounds.of(limits)
        self.checks = checks_of(self.bounds, deployment_id == ACCOUNT)

    @property
    def counts(self) -> bool:
        return self.bounds.max_orders_per_second is not None or self.bounds.max_orders_per_minute is not None


class _ScopeState(msgspec.Struct, frozen=True, array_like=True):
    deployment_id: str
    trading: Trading
    reason: str
    rate: tuple[int, ...]
    protections: bytes


class _State(msgspec.Struct, frozen=True, array_like=True):
    version: Literal[1]
    breaker: bytes
    scopes: tuple[_ScopeState, ...]


class RiskGate:
    """The gate of one account. `denied`: how many orders were, by code."""

    def __init__(
        self,
        limits: RiskLimits,
        per_deployment: Mapping[str, RiskLimits] | None = None,
        *,
        account_kind: AccountKind = "margin",
        breaker: BreakerSettings | None = None,
        protections: Sequence[ProtectionSettings] = (),
        deployment_protections: Mapping[str, Sequence[ProtectionSettings]] | None = None,
    ) -> None:
        self.account_kind = account_kind
        self.breaker = RiskBreaker(breaker)
        self.denied: dict[str, int] = {}
        self._scopes = {ACCOUNT: _Scope(limits, protections, ACCOUNT)}
        for deployment_id, own in (per_deployment or {}).items():
            self.define(deployment_id, own, (deployment_protections or {}).get(deployment_id, ()))

    def define(
        self, deployment_id: str, limits: RiskLimits, protections: Sequence[ProtectionSettings] | None = None
    ) -> None:
        """Limits of a deployment (empty id: of the account) from now on; `protections` None: as they were."""
        scope = self._scopes.get(deployment_id)
        if scope is None:
            self._scopes[deployment_id] = _Scope(limits, protections or (), deployment_id)
            return
        scope.limit(limits, deployment_id)
        if protections is not None:
            scope.protections.configure(protections)

    def forget(self, deployment_id: str) -> None:
        """The deployment has ended. The account's limits stay."""
        if deployment_id != ACCOUNT:
            self._scopes.pop(deployment_id, None)

    def limits(self, deployment_id: str = "") -> RiskLimits:
        """Those that hold. Raises KeyError for a deployment without."""
        return self._scopes[deployment_id].limits

    def check(self, order: NewOrder, view: RiskView, ts: int) -> Denial | None:
        """None: it may go, and counts as sent.

        An amendment is checked as the order that it would become: the same id, and as `size` what would be left.
        """
        return self._check(order, view, ts, ())

    def judge(self, order: NewOrder, view: RiskView, ts: int) -> Denial | None:
        """As `check`, of an order that nobody sends: nothing is counted."""
        return self._denial(order, view, ts, ())

    def check_all(self, orders: Sequence[NewOrder], view: RiskView, ts: int) -> tuple[Denial | None, ...]:
        """Judged together, answered in their order: each with those that passed before it; parents before children.

        parent_denied: what hangs on a denied order.
        """
        answers: dict[str, Denial | None] = {}
        passed: list[OpenOrder] = []
        waiting = list(orders)
        while waiting:
            ids = {order.client_order_id for order in waiting}
            ready = [order for order in waiting if order.parent not in ids]
            if not ready:
                for order in waiting:
                    answers[order.client_order_id] = Denial("invalid_order", "parent: expected no circle", "parent")
                break
            for order in ready:
                if answers.get(order.parent) is not None:
                    denial: Denial | None = Denial("parent_denied", f"{order.parent} was denied", "parent")
                else:
                    denial = self._check(order, view, ts, passed)
                answers[order.client_order_id] = denial
                if denial is None:
                    passed.append(as_open(order))
            waiting = [order for order in waiting if order.parent in ids]
        return tuple(answers[order.client_order_id] for order in orders)

    def on_fill(self, fill: Fill, ts: int) -> None:
        """A fill was booked. Nothing hangs on it yet: positions are the view's, closed trades come by themselves."""

    def on_round_trip(self, trade: ClosedTrade, ts: int) -> tuple[Lock, ...]:
        """A position became flat or flipped. The locks that follow."""
        new = self._scopes[ACCOUNT].protections.on_trade(trade, ts)
        own = self._scopes.get(trade.deployment_id) if trade.deployment_id else None
        return new if own is None else (*new, *own.protections.on_trade(trade, ts))

    def on_equity(self, equity: int, ts: int) -> None:
        """The account's equity, at moments that the engine chooses (a fill, a bar, a second)."""
        self.breaker.on_equity(equity, ts)

    def on_transfer(self, amount: int, ts: int) -> None:
        """A deposit, or a withdrawal if negative: neither profit nor loss."""
        self.breaker.on_transfer(amount)

    def on_reject(self, code: str, ts: int) -> None:
        """An order was rejected behind the gate."""
        self.breaker.on_reject(code, ts)

    def locks(self, ts: int) -> tuple[Lock, ...]:
        """The locks that hold now, of the account and of all deployments."""
        return tuple(lock for scope in self._scopes.values() for lock in scope.protections.locks(ts))

    def lock(self, lock: Lock) -> None:
        """Lock by hand. Raises KeyError for a deployment without limits of its own."""
        self._scopes[lock.deployment_id].protections.lock(lock)

    def unlock(self, market: str = "*", deployment_id: str = "") -> int:
        """Take locks of a market away ("*": all). How many there were; a deployment without limits has none."""
        scope = self._scopes.get(deployment_id)
        return 0 if scope is None else scope.protections.unlock(market)

    def trip(self, reason: str, ts: int) -> None:
        """Open the breaker by hand; only `reset` closes it."""
        self.breaker.trip(reason)

    def reset(self, ts: int) -> None:
        """Close the breaker by hand."""
        self.breaker.reset()

    def breaker_state(self, ts: int) -> Literal["closed", "open"]:
        """How the breaker is; why and until when: `breaker`."""
        return "open" if self.breaker.is_open(ts) else "closed"

    def set_trading(self, state: Trading, reason: str = "", deployment_id: str = "") -> None:
        """`halted` is the kill switch: only flatten and liquidation pass. `reducing`: what reduces, too.

        A deployment without limits of its own has none from now on, and this state.
        """
        scope = self._scopes.get(deployment_id)
        if scope is None:
            scope = self._scopes[deployment_id] = _Scope(RiskLimits(), (), deployment_id)
        scope.trading, scope.reason = state, reason

    def trading(self, deployment_id: str = "") -> tuple[Trading, str]:
        """The state and its reason."""
        scope = self._scopes.get(deployment_id)
        return ("active", "") if scope is None else (scope.trading, scope.reason)

    def snapshot(self) -> bytes:
        """Rates, locks, breaker and trading states, as msgpack."""
        scopes = tuple(
            _ScopeState(name, each.trading, each.reason, tuple(each.rate.moments), each.protections.snapshot())
            for name, each in sorted(self._scopes.items())
        )
        return msgspec.msgpack.encode(_State(1, self.breaker.snapshot(), scopes))

    def restore(self, data: bytes) -> None:
        """Go on from a snapshot; limits are not in it and stay as they are. Raises msgspec.ValidationError."""
        state = msgspec.msgpack.decode(data, type=_State)
        self.breaker.restore(state.breaker)
        for kept in state.scopes:
            self.set_trading(kept.trading, kept.reason, kept.deployment_id)
            scope = self._scopes[kept.deployment_id]
            scope.rate = OrderRate(kept.rate)
            scope.protections.restore(kept.protections)

    def _check(self, order: NewOrder, view: RiskView, ts: int, pending: Sequence[OpenOrder]) -> Denial | None:
        denial = self._denial(order, view, ts, pending)
        if denial is None:
            for scope in self._of(order):
                if scope.counts:
                    scope.rate.add(ts)
        else:
            self.denied[denial.code] = self.denied.get(denial.code, 0) + 1
            self.breaker.on_denial(denial.code, ts)
        return denial

    def _denial(self, order: NewOrder, view: RiskView, ts: int, pending: Sequence[OpenOrder]) -> Denial | None:
        instrument = view.instrument(order.market)
        if instrument is None:
            return Denial("instrument_unknown", f"{order.market} has no definition", "market", "", order.market)
        reference = view.reference_price(order.market, order.side)
        cases = [
            Case(
                order,
                view,
                ts,
                instrument=instrument,
                reference=reference,
                scope=name,
                bounds=self._scopes[name].bounds,
                rate=self._scopes[name].rate,
                account_kind=self.account_kind,
                pending=pending,
            )
            for name in dict.fromkeys((ACCOUNT, order.deployment_id))
            if name in self._scopes
        ]
        return (
            next((found for case in cases if (found := self._halted(case)) is not None), None)
            or self._malformed(cases[0], instrument)
            or self._nothing_to_reduce(cases[0])
            or next((found for case in cases if (found := self._limited(case)) is not None), None)
        )

    def _halted(self, case: Case) -> Denial | None:
        scope = self._scopes[case.scope]
        if scope.trading == "active" or case.exits:
            return None
        if scope.trading == "halted":
            return case.deny("kill_switch", scope.reason or "trading is halted", "trading", "active", "halted")
        if case.raises:
            return case.deny(
                "reducing_only", scope.reason or "only what reduces passes", "trading", "active", "reducing"
            )
        return None

    def _malformed(self, case: Case, instrument: Instrument) -> Denial | None:
        order = case.order
        found = fields(order) or tradable(order, instrument, case.view.is_open(order.market), case.ts)
        if found is not None:
            return found
        for scope in self._of(order):
            taints = sorted(set(order.marks) & set(scope.limits.refused_marks))
            if taints and not case.exits:
                reason = f"the order rests on data that is {' and '.join(taints)}"
                return case.deny("taint", reason, "marks", "", ", ".join(taints))
        for check in FORM_CHECKS:
            found = check(order, instrument, case.reference)
            if found is not None:
                return found
        return None

    def _nothing_to_reduce(self, case: Case) -> Denial | None:
        """reduce_only: there is no position on the other side. One that is held until its parent fills may wait."""
        order = case.order
        if not order.reduce_only or order.parent:
            return None
        if case.view.reducible(order) > 0:
            return None
        held = case.view.position(order.market, order.deployment_id, order.position_side)
        return case.deny(
            "reduce_only", f"there is nothing that a {order.side} would reduce", "reduce_only", "", str(held)
        )

    def _limited(self, case: Case) -> Denial | None:
        scope = self._scopes[case.scope]
        if case.raises:
            if case.scope == ACCOUNT and self.breaker.is_open(case.ts):
                return case.deny("breaker_open", self.breaker.reason, "breaker", "closed", "open")
            lock = scope.protections.held(
                case.order.market,
                "long" if case.order.side == "buy" else "short",
                case.order.deployment_id,
                case.ts,
            )
            if lock is not None:
                return case.deny("locked", lock.reason, "locks", str(lock.until), str(case.ts))
        for check in scope.checks:
            found = check(case)
            if found is not None:
                return found
        return None

    def _of(self, order: NewOrder) -> list[_Scope]:
        names = dict.fromkeys((ACCOUNT, order.deployment_id))
        return [self._scopes[name] for name in names if name in self._scopes]
