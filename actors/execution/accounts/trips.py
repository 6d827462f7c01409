"""One round trip under way: what came in, what went out, and between which prices it went."""

from __future__ import annotations

from typing import Any

import msgspec

from actors.execution.accounts.positions import Position
from actors.execution.accounts.rounding import money
from protocols.orders import NewOrder


class Cause(msgspec.Struct, frozen=True, gc=False):
    """Which order, or what else, made a trade."""

    reason: str
    client_order_id: str = ""
    signal_id: str = ""
    decision_id: str = ""

    @classmethod
    def of(cls, order: NewOrder) -> Cause:
        """An order."""
        return cls(order.source, order.client_order_id, order.signal_id, order.decision_id)


class Trip:
    """A round trip under way. `quantity` and `cost` are those of its position since the last change."""

    __slots__ = (
        "cause",
        "cost",
        "entered",
        "entry_notional",
        "entry_ts",
        "exit_notional",
        "exited",
        "fees",
        "funding",
        "high",
        "largest",
        "low",
        "mae",
        "mfe",
        "other_fees",
        "quantity",
        "realized",
        "replaces",
    )

    def __init__(self, ts: int, cause: Cause) -> None:
        self.replaces = 0
        self.entry_ts = ts
        self.cause = cause
        self.quantity = 0
        self.cost = 0
        self.largest = 0
        self.entered = 0
        self.entry_notional = 0
        self.exited = 0
        self.exit_notional = 0
        self.realized = 0
        self.fees = 0
        self.funding = 0
        self.other_fees: dict[str, int] = {}
        self.low: int | None = None
        self.high: int | None = None
        self.mae: int | None = None
        self.mfe: int | None = None

    def fold(self, multiplier: int) -> None:
        """Work out the excursions over the prices seen since the last change."""
        if self.low is None or self.high is None:
            return
        for price in (self.low, self.high):
            profit = money(price, self.quantity, multiplier) - self.cost
            self.mae = profit if self.mae is None else min(self.mae, profit)
            self.mfe = profit if self.mfe is None else max(self.mfe, profit)
        self.low = self.high = None

    def pay(self, fee: int, currency: str, own: str) -> None:
        """A fee; in another currency than the market's it is kept apart."""
        if currency == own:
            self.fees += fee
        elif fee:
            self.other_fees[currency] = self.other_fees.get(currency, 0) + fee

    def now(self, part: Position) -> None:
        """Its position has changed."""
        self.quantity, self.cost = part.quantity, part.cost
        self.largest = max(self.largest, abs(part.quantity))

    def state(self) -> list[Any]:
        """For a snapshot."""
        numbers = [_text(getattr(self, name)) for name in _NUMBERS]
        fees = [(currency, str(amount)) for currency, amount in self.other_fees.items()]
        return [self.replaces, self.entry_ts, msgspec.structs.astuple(self.cause), numbers, fees]

    @classmethod
    def of(cls, state: list[Any]) -> Trip:
        """What `state` came from."""
        replaces, ts, cause, numbers, fees = state
        trip = cls(ts, Cause(*cause))
        trip.replaces = replaces
        for name, text in zip(_NUMBERS, numbers, strict=True):
            setattr(trip, name, None if text is None else int(text))
        trip.other_fees = {currency: int(amount) for currency, amount in fees}
        return trip


_NUMBERS = (
    "quantity",
    "cost",
    "largest",
    "entered",
    "entry_notional",
    "exited",
    "exit_notional",
    "realized",
    "fees",
    "funding",
    "low",
    "high",
    "mae",
    "mfe",
)


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)
