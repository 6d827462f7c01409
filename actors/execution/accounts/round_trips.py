"""Round trips: from flat to flat, of each deployment's own positions. A flip ends one and begins the next.

Prices in nanos, money in nanos of the market's currency. `seen` is told at which prices a trade could have been left;
the worst and best unrealised profit are worked out only when the quantity changes, as in between they lie at the
lowest and the highest of those prices.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from actors.execution.accounts.positions import Position
from actors.execution.accounts.rounding import UNIT, money, rounded, share
from actors.execution.accounts.valuation import Marks
from protocols.nanos import NANO
from protocols.orders import NewOrder, PositionSide


class ClosedTrade(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A closed trade: from flat to flat.

    `size` is the largest quantity held. Prices are means weighted by size, rounded to a nano. `pnl` is after fees and
    funding. `return_` is `pnl` over what was paid at entry (the absolute notional), in nanos of a share; None where that
    is 0. `mae`, `mfe`: the worst and best unrealised profit on the way; None where no price was seen. `open`: it is not
    closed: the data ended, or (with a `trade_id` that was closed before) its settlement was reversed.
    """

    trade_id: int
    """1, 2, 3 … of the account; kept when a settlement is reversed and its trade closed again."""
    market: str
    side: Literal["long", "short"]
    size: int
    entry_ts: int
    entry_price: int
    entry_cost: int
    exit_ts: int
    exit_price: int
    pnl: int
    return_: int | None
    fees: int
    funding: int
    currency: str
    other_fees: tuple[tuple[str, int], ...] = ()
    """Fees in other currencies, which `fees` and `pnl` leave out."""
    mae: int | None = None
    mfe: int | None = None
    exit_reason: str = ""
    deployment_id: str = ""
    signal_id: str = ""
    decision_id: str = ""
    client_order_id: str = ""
    """Of the order that opened it."""
    exit_client_order_id: str = ""
    open: bool = False


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
        "trade_id",
    )

    def __init__(self, trade_id: int, ts: int, cause: Cause) -> None:
        self.trade_id = trade_id
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

    def now(self, part: Position) -> None:
        """Its position has changed."""
        self.quantity, self.cost = part.quantity, part.cost
        self.largest = max(self.largest, abs(part.quantity))

    def state(self) -> list[Any]:
        """For a snapshot."""
        numbers = [_text(getattr(self, name)) for name in _NUMBERS]
        fees = [(currency, str(amount)) for currency, amount in self.other_fees.items()]
        return [self.trade_id, self.entry_ts, msgspec.structs.astuple(self.cause), numbers, fees]

    @classmethod
    def of(cls, state: list[Any]) -> Trip:
        """What `state` came from."""
        trade_id, ts, cause, numbers, fees = state
        trip = cls(trade_id, ts, Cause(*cause))
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

Key = tuple[str, PositionSide]
"""Deployment and side."""


class RoundTrips:
    """The round trips of all deployments of an account."""

    __slots__ = ("_new", "_open", "count")

    def __init__(self) -> None:
        self.count = 0
        self._open: dict[str, dict[Key, Trip]] = {}
        self._new: list[ClosedTrade] = []

    def seen(self, market: str, low: int, high: int) -> None:
        """Prices at which trades of the market could have been left."""
        trips = self._open.get(market)
        if not trips:
            return
        for trip in trips.values():
            if trip.low is None or low < trip.low:
                trip.low = low
            if trip.high is None or high > trip.high:
                trip.high = high

    def traded(
        self, part: Position, held: int, quantity: int, notional: int, profit: int, ts: int, cause: Cause
    ) -> None:
        """`part` has taken a trade in; it held `held` before."""
        if held == 0 or (held > 0) == (quantity > 0):
            self._enter(part, quantity, notional, ts, cause)
            return
        # What closes of a flip: the rest of the notional is what the new position cost.
        flipped = part.quantity != 0 and (part.quantity > 0) == (quantity > 0)
        closing = -held if flipped else quantity
        closing_notional = notional - part.cost if flipped else notional
        trip = self._open[part.market][(part.deployment_id, part.side)]
        trip.fold(part.multiplier)
        trip.exited += closing
        trip.exit_notional += closing_notional
        trip.realized += profit
        if part.quantity == 0 or flipped:
            self._close(part, trip, ts, cause)
        else:
            trip.now(part)
        if flipped:
            self._enter(part, quantity + held, part.cost, ts, cause)

    def paid(self, part: Position, amount: int, currency: str, kind: Literal["fees", "funding"]) -> None:
        """A fee or a funding of the open trip of `part`."""
        trip = self._trip(part)
        if trip is None or not amount:
            return
        if currency != part.currency:
            trip.other_fees[currency] = trip.other_fees.get(currency, 0) + amount
        elif kind == "fees":
            trip.fees += amount
        else:
            trip.funding += amount

    def shrunk(self, part: Position, profit: int, value: int, ts: int, cause: Cause) -> None:
        """A fee was taken in kind: the position is smaller, and `value` is what the fee was worth."""
        trip = self._trip(part)
        if trip is None:
            return
        trip.fold(part.multiplier)
        trip.realized += profit
        trip.fees += value
        if part.quantity:
            trip.now(part)
        else:
            self._close(part, trip, ts, cause)

    def trip(self, part: Position) -> list[Any] | None:
        """The state of the open trip of `part`."""
        trip = self._trip(part)
        return None if trip is None else trip.state()

    def reopen(self, part: Position, state: list[Any], ts: int) -> None:
        """The trip that a settlement had closed goes on: its closing is called back."""
        trip = Trip.of(state)
        trip.now(part)
        self._open.setdefault(part.market, {})[(part.deployment_id, part.side)] = trip
        price = _mean(trip.entry_notional, trip.entered, part.multiplier)
        self._new.append(_trade(part, trip, ts, price, trip.realized, Cause("settlement_reversed"), is_open=True))

    def open_trades(
        self, parts: dict[tuple[str, str, PositionSide], Position], marks: Marks, ts: int
    ) -> list[ClosedTrade]:
        """The open trips as if they were left at the marks."""
        raise NotImplementedError

    def take(self) -> list[ClosedTrade]:
        """The closed trades since the last call."""
        taken, self._new = self._new, []
        return taken
