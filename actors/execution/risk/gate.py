"""The gate that every order passes: the account's limits, then those of its deployment. The first that fails answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.execution.risk.breaker import BreakerSettings
from actors.execution.risk.limits import AccountKind, Denial, RiskLimits, Trading
from actors.execution.risk.protections import ClosedTrade, Lock, ProtectionSettings
from actors.execution.risk.view import RiskView
from protocols.orders import Fill, NewOrder


class RiskGate:
    """The gate of one account."""

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
        raise NotImplementedError

    def define(
        self, deployment_id: str, limits: RiskLimits, protections: Sequence[ProtectionSettings] | None = None
    ) -> None:
        """Limits of a deployment (empty id: of the account) from now on; `protections` None: as they were."""
        raise NotImplementedError

    def forget(self, deployment_id: str) -> None:
        """The deployment has ended."""
        raise NotImplementedError

    def check(self, order: NewOrder, view: RiskView, ts: int) -> Denial | None:
        """None: it may go, and counts as sent. An amendment is checked as the order that it would become."""
        raise NotImplementedError

    def check_all(self, orders: Sequence[NewOrder], view: RiskView, ts: int) -> tuple[Denial | None, ...]:
        """Judged together: each one with those before it; a denied parent denies its children."""
        raise NotImplementedError

    def on_fill(self, fill: Fill, ts: int) -> None:
        """A fill was booked."""
        raise NotImplementedError

    def on_round_trip(self, trade: ClosedTrade, ts: int) -> None:
        """A position became flat or flipped."""
        raise NotImplementedError

    def on_equity(self, equity: int, ts: int) -> None:
        """The account's equity, at moments that the engine chooses (a fill, a bar, a second)."""
        raise NotImplementedError

    def on_reject(self, code: str, ts: int) -> None:
        """A venue rejected an order."""
        raise NotImplementedError

    def locks(self, ts: int) -> tuple[Lock, ...]:
        """The locks that hold now."""
        raise NotImplementedError

    def trip(self, reason: str, ts: int) -> None:
        """Open the breaker by hand; only `reset` closes it."""
        raise NotImplementedError

    def reset(self, ts: int) -> None:
        """Close the breaker by hand."""
        raise NotImplementedError

    def set_trading(self, state: Trading, reason: str = "", deployment_id: str = "") -> None:
        """`halted` is the kill switch: only flatten and liquidation pass. `reducing`: what reduces, too."""
        raise NotImplementedError

    def snapshot(self) -> bytes:
        """Rates, locks, breaker and trading state."""
        raise NotImplementedError

    def restore(self, data: bytes) -> None:
        """Go on from a snapshot; limits are not in it."""
        raise NotImplementedError
