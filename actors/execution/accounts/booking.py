"""How trades become postings: the ledger, the positions and the round trips of an account, changed together."""

from __future__ import annotations

from typing import Any

from actors.execution.accounts.ledger import AccountName, Ledger, Posting
from actors.execution.accounts.positions import Position, Positions, booking_of
from actors.execution.accounts.round_trips import RoundTrips
from actors.execution.accounts.rounding import money
from actors.execution.accounts.settings import AccountSettings
from actors.execution.accounts.trips import Cause
from protocols.instruments import Instrument
from protocols.nanos import NANO
from protocols.orders import PositionSide


class Books:
    """The books of one account. `open`: its open positions; `net`: signed quantity by market, where it is not 0."""

    __slots__ = ("instruments", "ledger", "net", "open", "positions", "settings", "trips")

    def __init__(self, settings: AccountSettings) -> None:
        self.settings = settings
        self.ledger = Ledger()
        self.positions = Positions(hedging=settings.position_mode == "hedging")
        self.trips = RoundTrips()
        self.instruments: dict[str, Instrument] = {}
        self.open: dict[tuple[str, PositionSide], Position] = {}
        self.net: dict[str, int] = {}

    def define(self, instrument: Instrument) -> None:
        """Take a definition. Raises ValueError for one that an open position does not fit."""
        market = instrument.market
        for position in self.positions.of(market):
            # Parts of a flat position may be open, against one another.
            same = [position, *self.positions.parts(market, position.side)]
            held = any(each.quantity for each in same)
            _fits(position, instrument, self.settings, held=held)
            if not held:
                for each in same:
                    each.multiplier = instrument.multiplier
        self.instruments[market] = instrument

    def instrument(self, market: str) -> Instrument:
        """The definition. Raises ValueError where there is none."""
        found = self.instruments.get(market)
        if found is None:
            raise ValueError(f"market: expected one that is defined, got {market!r}")
        return found

    def whole(self, market: str, side: PositionSide) -> Position:
        """The account's position, made where there is none."""
        position = self.positions.at(market, side)
        if position is not None:
            return position
        instrument = self.instrument(market)
        settings = self.settings
        currency = instrument.currency
        return self.positions.ensure(
            Position(
                market,
                currency,
                booking_of(instrument, settings.kind),
                multiplier=instrument.multiplier,
                step=settings.step(currency),
                rule=settings.rule(currency),
                side=side,
            )
        )

    def trade(
        self, postings: list[Posting], position: Position, quantity: int, notional: int, profit_to: AccountName
    ) -> int:
        """Take a trade into the account's position, with its postings; returns the profit that it took."""
        held, cost = position.quantity, position.cost
        profit = position.trade(quantity, notional)
        currency = position.currency
        change = position.cost - cost
        if position.booking == "margin":
            postings.append(Posting("cash", currency, profit))
            postings.append(Posting("position", currency, change))
            postings.append(Posting("financing", currency, -change))
        else:
            postings.append(Posting("cash", currency, -notional))
            postings.append(Posting("position", currency, change))
            if position.booking == "prediction" and (held < 0 or position.quantity < 0):
                bound = collateral(position, position.quantity) - collateral(position, held)
                postings.append(Posting("cash", currency, -bound))
                postings.append(Posting("collateral", currency, bound))
        postings.append(Posting(profit_to, currency, -profit))
        self._follow(position, quantity)
        return profit

    def trade_part(
        self,
        whole: Position,
        deployment_id: str,
        quantity: int,
        notional: int,
        ts: int,
        cause: Cause,
        fee: int = 0,
        fee_currency: str = "",
    ) -> Position:
        """Take a trade into a deployment's part, and its round trip."""
        part = self.positions.ensure_part(whole, deployment_id)
        held = part.quantity
        profit = part.trade(quantity, notional)
        self.trips.traded(part, held, quantity, notional, profit, ts, cause, fee, fee_currency)
        return part

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        return {
            "ledger": self.ledger.state(),
            "positions": self.positions.state(),
            "trips": self.trips.state(),
            "open": list(self.open),
            "net": list(self.net),
        }

    def load(self, state: dict[str, Any], instruments: list[Instrument]) -> None:
        """Become what `state` gave, with these definitions."""
        self.ledger.load(state["ledger"])
        self.positions.load(state["positions"])
        self.trips.load(state["trips"])
        self.instruments = {each.market: each for each in instruments}
        self.open = {}
        # In the order in which they were, as who reads them may act in it.
        self.net = dict.fromkeys(state["net"], 0)
        for market, side in state["open"]:
            position = self.positions.at(market, side)
            assert position is not None
            self._follow(position, position.quantity)

    def proof(self) -> None:
        """Check that positions and ledger say the same. Raises ValueError where they do not.

        Positions cost what the ledger says, financing and collateral match them, profits are those of the positions,
        parts add up to the account's, and whoever is flat has cost nothing.
        """
        sums: dict[tuple[str, str], int] = {}

        def add(account: str, currency: str, amount: int) -> None:
            sums[account, currency] = sums.get((account, currency), 0) + amount

        for position in self.positions:
            currency = position.currency
            add("position", currency, position.cost)
            add("taken", currency, -position.realized)
            if position.booking == "margin":
                add("financing", currency, -position.cost)
            if position.booking == "prediction":
                add("collateral", currency, collateral(position, position.quantity))
            self._prove_parts(position)
        booked: dict[tuple[str, str], int] = {}
        for (account, currency), amount in self.ledger.balances().items():
            name = "taken" if account in ("realised", "settlement") else account
            if name in ("position", "financing", "collateral", "taken"):
                booked[name, currency] = booked.get((name, currency), 0) + amount
        for key in sums.keys() | booked.keys():
            if sums.get(key, 0) != booked.get(key, 0):
                raise ValueError(f"{' '.join(key)}: expected {sums.get(key, 0)} by positions, got {booked.get(key, 0)}")

    def _prove_parts(self, position: Position) -> None:
        parts = self.positions.parts(position.market, position.side)
        quantity = sum(part.quantity for part in parts)
        paid = sum(part.cost - part.realized for part in parts)
        where = f"{position.market} {position.side}".strip()
        if quantity != position.quantity:
            raise ValueError(f"parts of {where}: expected a quantity of {position.quantity}, got {quantity}")
        if paid != position.cost - position.realized:
            raise ValueError(f"parts of {where}: expected to have paid {position.cost - position.realized}, got {paid}")
        for each in (position, *parts):
            if each.quantity == 0 and each.cost != 0:
                raise ValueError(f"flat {where} of {each.deployment_id!r}: expected to cost 0, got {each.cost}")

    def _follow(self, position: Position, quantity: int) -> None:
        key = (position.market, position.side)
        if position.quantity:
            self.open[key] = position
        else:
            self.open.pop(key, None)
        net = self.net.get(position.market, 0) + quantity
        if net:
            self.net[position.market] = net
        else:
            self.net.pop(position.market, None)


def collateral(position: Position, quantity: int) -> int:
    """What a holding of `quantity` binds: the payout of every contract that is short."""
    if quantity >= 0:
        return 0
    return money(NANO, -quantity, position.multiplier, position.step, position.rule)


def _fits(position: Position, instrument: Instrument, settings: AccountSettings, *, held: bool) -> None:
    """Its profit has a currency even where nothing is held; the multiplier may change then."""
    multiplier = position.multiplier if held else instrument.multiplier
    expected = (position.currency, position.booking, multiplier)
    got = (instrument.currency, booking_of(instrument, settings.kind), instrument.multiplier)
    if expected != got:
        raise ValueError(
            f"instrument {instrument.market}: expected currency, booking and multiplier of its position, {expected},"
            f" got {got}"
        )
