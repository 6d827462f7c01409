"""Round trips: from flat to flat, of each deployment's own positions. A flip ends one and begins the next.

Prices in nanos, money in nanos of the market's currency. `seen` is told at which prices a trade could have been left;
the worst and best unrealised profit are worked out only when the quantity changes, as in between they lie at the
lowest and the highest of those prices.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from actors.execution.accounts.positions import Position, Positions
from actors.execution.accounts.rounding import UNIT, money, rounded, share
from actors.execution.accounts.trips import Cause, Trip
from actors.execution.accounts.valuation import Marks
from protocols.nanos import NANO
from protocols.orders import PositionSide


class ClosedTrade(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A closed trade: from flat to flat.

    `size` is the largest quantity held. Prices are means weighted by size, rounded to a nano. `pnl` is after fees and
    funding. `return_` is `pnl` over what was paid at entry (the absolute notional), in nanos of a share; None where
    that is 0. `mae`, `mfe`: the worst and best unrealised profit on the way; None where no price was seen. `open`: it
    is not closed: the data ended, or (`replaces`) the settlement that had closed it was reversed.
    """

    trade_id: int
    """1, 2, 3 … of the account's, as they were told; 0: it is not told of, it is open yet."""
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
    replaces: int = 0
    """The `trade_id` that is not true any more: its settlement was reversed. 0: none."""


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
        self,
        part: Position,
        held: int,
        quantity: int,
        notional: int,
        profit: int,
        ts: int,
        cause: Cause,
        fee: int = 0,
        fee_currency: str = "",
    ) -> None:
        """`part`, which held `held`, has taken a trade in. A flip's fee is shared by size."""
        if held == 0 or (held > 0) == (quantity > 0):
            self._enter(part, quantity, notional, ts, cause).pay(fee, fee_currency, part.currency)
            return
        flipped = part.quantity != 0 and (part.quantity > 0) == (quantity > 0)
        # What opens of a flip has exactly the new position's cost; what closes has the rest.
        closing, value = (-held, notional - part.cost) if flipped else (quantity, notional)
        closing_fee = share(fee, closing, quantity) if flipped else fee
        trip = self._open[part.market][(part.deployment_id, part.side)]
        trip.fold(part.multiplier)
        trip.exited += closing
        trip.exit_notional += value
        trip.realized += profit
        trip.pay(closing_fee, fee_currency, part.currency)
        if flipped or part.quantity == 0:
            self._close(part, trip, ts, cause)
        else:
            trip.now(part)
        if flipped:
            entered = self._enter(part, quantity + held, part.cost, ts, cause)
            entered.pay(fee - closing_fee, fee_currency, part.currency)

    def funded(self, part: Position, amount: int) -> None:
        """The open trip of `part` has paid funding."""
        trip = self._trip(part)
        if trip is not None:
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

    def held(self, part: Position) -> list[Any] | None:
        """The state of the open trip of `part`, for `reopen`."""
        trip = self._trip(part)
        return None if trip is None else trip.state()

    def reopen(self, part: Position, closed: int, state: list[Any], ts: int) -> None:
        """The trip that a settlement had closed as trade `closed` goes on, and its closing is called back."""
        trip = Trip.of(state)
        trip.replaces = self.recall(part, closed, state, ts)
        self._open.setdefault(part.market, {})[(part.deployment_id, part.side)] = trip

    def recall(self, part: Position, closed: int, state: list[Any], ts: int) -> int:
        """Tell of trade `closed`, which a settlement had closed, that it is not closed; the number of that."""
        trip = Trip.of(state)
        trip.replaces = closed
        price = mean(trip.entry_notional, trip.entered, part.multiplier)
        self._tell(part, trip, ts, price, Cause("settlement_reversed"), unfinished=True)
        return self.count

    def open_trades(self, positions: Positions, marks: Marks, ts: int) -> tuple[ClosedTrade, ...]:
        """The open trips as if they were left at the marks; those without a price are left out."""
        found = []
        for market, trips in self._open.items():
            for (deployment_id, side), trip in trips.items():
                part = positions.part(deployment_id, market, side)
                mark = marks.get(market)
                price = None if mark is None else mark.exit(trip.quantity)
                if part is None or price is None:
                    continue
                ending = Trip.of(trip.state())
                ending.fold(part.multiplier)
                value = money(price, -part.quantity, part.multiplier)
                ending.exited -= part.quantity
                ending.exit_notional += value
                left = mean(ending.exit_notional, ending.exited, part.multiplier)
                profit = ending.realized - value - part.cost
                found.append(_finished(0, part, ending, ts, left, profit, Cause("end_of_data"), unfinished=True))
        return tuple(found)

    def take(self) -> list[ClosedTrade]:
        """The closed trades since the last call."""
        taken, self._new = self._new, []
        return taken

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        opened = [
            (market, deployment_id, side, trip.state())
            for market, trips in self._open.items()
            for (deployment_id, side), trip in trips.items()
        ]
        new = [_wide(msgspec.structs.asdict(each)) for each in self._new]
        return {"count": self.count, "open": opened, "new": new}

    def load(self, state: dict[str, Any]) -> None:
        """Become what `state` gave."""
        self.count = state["count"]
        self._open = {}
        for market, deployment_id, side, trip in state["open"]:
            self._open.setdefault(market, {})[(deployment_id, side)] = Trip.of(trip)
        self._new = [msgspec.convert(each, ClosedTrade, strict=False) for each in state["new"]]

    def _trip(self, part: Position) -> Trip | None:
        trips = self._open.get(part.market)
        return None if trips is None else trips.get((part.deployment_id, part.side))

    def _enter(self, part: Position, quantity: int, notional: int, ts: int, cause: Cause) -> Trip:
        trips = self._open.get(part.market)
        if trips is None:
            trips = self._open[part.market] = {}
        key = (part.deployment_id, part.side)
        trip = trips.get(key)
        if trip is None:
            trip = trips[key] = Trip(ts, cause)
        else:
            trip.fold(part.multiplier)
        trip.entered += quantity
        trip.entry_notional += notional
        trip.now(part)
        return trip

    def _close(self, part: Position, trip: Trip, ts: int, cause: Cause) -> None:
        trips = self._open[part.market]
        del trips[(part.deployment_id, part.side)]
        if not trips:
            del self._open[part.market]
        if trip.exited:
            price = mean(trip.exit_notional, trip.exited, part.multiplier)
        else:
            # All of it went into fees in kind.
            price = mean(trip.entry_notional, trip.entered, part.multiplier)
        self._tell(part, trip, ts, price, cause)

    def _tell(self, part: Position, trip: Trip, ts: int, price: int, cause: Cause, *, unfinished: bool = False) -> None:
        self.count += 1
        self._new.append(_finished(self.count, part, trip, ts, price, trip.realized, cause, unfinished=unfinished))


def mean(notional: int, quantity: int, multiplier: int) -> int:
    """The price at which `quantity` comes to `notional`, rounded to a nano."""
    units = quantity * multiplier
    return rounded(notional * UNIT if units > 0 else -notional * UNIT, abs(units), "half_even")


def _finished(
    number: int,
    part: Position,
    trip: Trip,
    ts: int,
    exit_price: int,
    profit: int,
    cause: Cause,
    *,
    unfinished: bool = False,
) -> ClosedTrade:
    pnl = profit - trip.fees - trip.funding
    cost = abs(trip.entry_notional)
    return ClosedTrade(
        trade_id=number,
        market=part.market,
        side="long" if trip.entered > 0 else "short",
        size=trip.largest,
        entry_ts=trip.entry_ts,
        entry_price=mean(trip.entry_notional, trip.entered, part.multiplier),
        entry_cost=cost,
        exit_ts=ts,
        exit_price=exit_price,
        pnl=pnl,
        return_=rounded(pnl * NANO, cost, "half_even") if cost else None,
        fees=trip.fees,
        funding=trip.funding,
        currency=part.currency,
        other_fees=tuple(sorted(trip.other_fees.items())),
        mae=trip.mae,
        mfe=trip.mfe,
        exit_reason=cause.reason,
        deployment_id=part.deployment_id,
        signal_id=trip.cause.signal_id,
        decision_id=trip.cause.decision_id,
        client_order_id=trip.cause.client_order_id,
        exit_client_order_id=cause.client_order_id,
        open=unfinished,
        replaces=trip.replaces,
    )


def _wide(fields: dict[str, Any]) -> dict[str, Any]:
    """Integers as text, as money outgrows 64 bits in msgpack."""
    return {
        name: str(value)
        if type(value) is int
        else [(key, str(fee)) for key, fee in value]
        if name == "other_fees"
        else value
        for name, value in fields.items()
    }
