"""An account: what a venue's reports, funding and settlement do to its money and its positions.

Money in nanos of a currency, quantities and prices in nanos, times in nanoseconds. Every change is an entry in the
ledger that balances (`ledger`); positions, deployments' parts and rounding are described in `positions`. Nothing is
done for a market event: prices are read from `marks` when somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from actors.execution.accounts import margin, valuation
from actors.execution.accounts.booking import Books
from actors.execution.accounts.equity_curve import EquityCurve, EquitySample
from actors.execution.accounts.fills import book_fill
from actors.execution.accounts.funding import FundingSchedule
from actors.execution.accounts.ledger import Entry, EntryKind, Posting
from actors.execution.accounts.positions import Position, PositionView, booking_of
from actors.execution.accounts.round_trips import ClosedTrade
from actors.execution.accounts.settings import AccountSettings
from actors.execution.accounts.settlements import Settlements
from actors.execution.accounts.valuation import Marks, shown
from protocols.instruments import Instrument
from protocols.market import Funding
from protocols.nanos import NANO, decimal_text, exact_nanos
from protocols.orders import Fill, NewOrder, PositionSide, Side, VenueFilled


class Account:
    """One account. `marks` is read when a value is asked for, and may change under it at any time."""

    def __init__(self, settings: AccountSettings, marks: Marks) -> None:
        self.settings = settings
        self.marks = marks
        self.curve = EquityCurve(settings.time_zone)
        self.books = Books(settings)
        self._own = settings.currency
        self._funding = FundingSchedule()
        self._settlements = Settlements()
        self._seen_fills: dict[str, None] = {}
        self._fills = 0
        self._opened = False

    # -- what happens to it ------------------------------------------------------------------------------------

    def open(self, ts: int) -> None:
        """Book the initial capital of the settings, once."""
        if not self._opened:
            self._opened = True
            self._capital(exact_nanos(self.settings.initial_capital), ts, self._own, "deposit", "initial capital")

    def deposit(self, amount: int, ts: int, *, currency: str = "", reference: str = "") -> None:
        """Put money in; negative: take it out. Raises ValueError for more than there is at hand and not bound."""
        currency = currency or self._own
        if amount < 0:
            free = self.withdrawable(currency)
            if -amount > free:
                raise ValueError(
                    f"amount: expected at most {decimal_text(free)} {currency}, got {decimal_text(-amount)}"
                )
        self._capital(amount, ts, currency, "deposit" if amount >= 0 else "withdrawal", reference)

    def adjust(self, amount: int, ts: int, *, currency: str = "", reference: str) -> None:
        """Book a difference that reconciliation has found between the venue's cash and ours, whatever its sign."""
        self._capital(amount, ts, currency or self._own, "adjustment", reference)

    def convert(self, sold: int, currency: str, bought: int, into: str, ts: int, *, reference: str = "") -> None:
        """Exchange an amount of one currency for an amount of another, both above 0. Raises ValueError."""
        if sold <= 0 or bought <= 0 or currency == into:
            raise ValueError(
                f"convert: expected two amounts above 0 of two currencies, got {sold} {currency}, {bought} {into}"
            )
        legs = ((currency, -sold), (into, bought))
        postings = [
            posting
            for name, amount in legs
            for posting in (Posting("cash", name, amount), Posting("conversion", name, -amount))
        ]
        self.books.ledger.post(ts, "conversion", reference, postings)

    def define(self, instrument: Instrument) -> None:
        """A definition, or its next version. Raises ValueError for one that a position does not fit."""
        self.books.define(instrument)

    def fill(self, fill: VenueFilled, order: NewOrder, ts: int) -> Fill | None:
        """Book a fill; None for one whose `fill_id` is booked already.

        Raises ValueError for an unknown market or a size that is not above 0.
        """
        if fill.fill_id in self._seen_fills:
            return None
        if fill.size <= 0:
            raise ValueError(f"size of fill {fill.fill_id!r}: expected more than 0, got {fill.size}")
        booked = book_fill(self.books, fill, order, ts)
        self._remember(fill.fill_id)
        self._fills += 1
        market = fill.market
        return Fill(
            account=self.settings.account_id,
            seq=self._fills,
            fill_id=fill.fill_id,
            client_order_id=fill.client_order_id,
            deployment_id=order.deployment_id,
            signal_id=order.signal_id,
            decision_id=order.decision_id,
            market=market,
            side=fill.side,
            leg=order.leg,
            price=fill.price,
            size=fill.size,
            notional=decimal_text(abs(booked.notional)),
            currency=booked.currency,
            fee=fill.fee,
            fee_currency=fill.fee_currency or booked.currency,
            liquidity=fill.liquidity,
            realized=decimal_text(booked.realized),
            position=self.books.net.get(market, 0),
            ts_event=fill.ts,
            ts=ts,
            why=fill.why,
            marks=order.marks,
        )

    def funding(self, message: Funding, ts: int) -> None:
        """A funding rate. It is paid once, at `next_ts`: now, where that has passed, else when `advance` gets there."""
        self._funding.advance(ts, self.books, self.marks)
        self._funding.tell(message)
        self._funding.advance(ts, self.books, self.marks)

    def due(self) -> int | None:
        """When the next funding is to be paid by `advance`; None: none is known."""
        return self._funding.due()

    def advance(self, ts: int) -> None:
        """Pay the funding that is due at or before `ts`."""
        self._funding.advance(ts, self.books, self.marks)

    def settle(self, market: str, value: int, ts: int, *, reference: str) -> None:
        """Close what is held at `value`: of a prediction market 0 to 1 (10⁹) for a YES contract, else a price.

        A repeat changes nothing. Another value for a settled market amends it: what was paid is reversed first.
        Raises ValueError for an unknown market or a value that there cannot be.
        """
        self._settlements.settle(self.books, market, value, ts, reference)

    def unsettle(self, market: str, reference: str, ts: int) -> None:
        """Reverse a settlement: the positions are as they were. Raises ValueError where there is none of the name."""
        self._settlements.unsettle(self.books, market, reference, ts)

    def seen(self, market: str, low: int, high: int) -> None:
        """Prices at which an open trade of the market could have been left, for its excursions. Cheap; not needed."""
        self.books.trips.seen(market, low, high)

    def sample(self, ts: int) -> EquitySample | None:
        """Take the equity into `curve`; None where a price is missing."""
        equity, unrealized = self._valued()
        return self.curve.sample(ts, equity, self.cash(), unrealized)

    # -- what it has -------------------------------------------------------------------------------------------

    def equity(self) -> int | None:
        """All that is owned, at exit prices, in the account's currency. None: a price is missing."""
        return self._valued()[0]

    def cash(self, currency: str = "") -> int:
        """Money at hand of a currency (empty: the account's)."""
        return self.books.ledger.balance("cash", currency or self._own)

    def unrealized(self, market: str | None = None) -> int | None:
        """At exit prices: of a market in its currency, or of all in the account's. None: a price is missing."""
        if market is None:
            return self._valued()[1]
        total = 0
        for position in self.books.positions.of(market):
            profit = valuation.unrealized(position, self.marks)
            if profit is None:
                return None
            total += profit
        return total

    def realized(self, currency: str = "") -> int:
        """Profit taken, settlements included, fees and funding not taken off."""
        currency = currency or self._own
        balance = self.books.ledger.balance
        return -balance("realised", currency) - balance("settlement", currency)

    def fees_paid(self, currency: str = "") -> int:
        """Fees less rebates."""
        return self.books.ledger.balance("fees", currency or self._own)

    def funding_paid(self, currency: str = "") -> int:
        """Funding less receipts."""
        return self.books.ledger.balance("funding", currency or self._own)

    def gross_exposure(self) -> int | None:
        """The sum of all positions' absolute values in the account's currency. None: a price is missing."""
        return self._summed(lambda position: valuation.magnitude(position, self.marks))

    def margin_used(self) -> int | None:
        """Initial margin of all positions in the account's currency. None: a price is missing."""
        return self._summed(lambda position: margin.initial(position, self.settings, self.marks))

    def maintenance(self) -> int | None:
        """Maintenance margin of all positions, likewise."""
        return self._summed(lambda position: margin.maintenance(position, self.settings, self.marks))

    def initial_margin(
        self, market: str, side: Side, size: int, price: int, *, position_side: PositionSide = "", leaving: int = 0
    ) -> int:
        """What an order would bind of `available`, beside what is held: in the market's currency.

        `leaving`: so much of the position is being closed already. Raises ValueError for an unknown market.
        """
        instrument = self.books.instrument(market)
        held = self.position(market, position_side).quantity if position_side else self.net_position(market)
        if leaving:
            rest = max(0, abs(held) - leaving)
            held = rest if held > 0 else -rest
        booking = booking_of(instrument, self.settings.kind)
        signed = size if side == "buy" else -size
        return margin.to_open(booking, signed, held, price, instrument.multiplier, self.settings, market)

    def freed(self, market: str, quantity: int) -> int | None:
        """The initial margin that closing so much of a position frees, in its currency. None: a price is missing."""
        position = self.position(market)
        held = abs(position.quantity)
        bound = margin.initial(position, self.settings, self.marks)
        return bound if bound is None or not held else bound * min(quantity, held) // held

    def available(self, currency: str = "") -> int | None:
        """What may be bound or paid next: cash, plus unrealised profit less initial margin of positions on margin.

        Of one currency: what others are worth does not count. None: a price is missing.
        """
        currency = currency or self._own
        total = self.cash(currency)
        for position in self.books.open.values():
            if position.booking == "margin" and position.currency == currency:
                profit = valuation.unrealized(position, self.marks)
                bound = margin.initial(position, self.settings, self.marks)
                if profit is None or bound is None:
                    return None
                total += profit - bound
        return total

    def withdrawable(self, currency: str = "") -> int:
        """What may be taken out of a currency: at hand and not bound, as far as prices are known."""
        cash, available = self.cash(currency), self.available(currency)
        return cash if available is None else min(cash, available)

    def margin_call(self) -> bool | None:
        """Whether equity is below maintenance margin. False with nothing on margin, None: a price is missing."""
        if not any(position.booking == "margin" for position in self.books.open.values()):
            return False
        equity, needed = self.equity(), self.maintenance()
        return None if equity is None or needed is None else equity < needed

    def has_fill(self, fill_id: str) -> bool:
        """Whether this fill is booked, as far back as they are remembered."""
        return fill_id in self._seen_fills

    def position(self, market: str, side: PositionSide = "") -> Position:
        """The account's position; a flat one where there is none."""
        found = self.books.positions.at(market, side)
        return Position(market, side=side) if found is None else found

    def positions(self) -> tuple[Position, ...]:
        """Those that are open."""
        return tuple(self.books.open.values())

    def net_position(self, market: str) -> int:
        """Signed quantity."""
        return self.books.net.get(market, 0)

    def net_positions(self) -> Mapping[str, int]:
        """Signed quantity by market, those that are not 0."""
        return self.books.net

    def deployment_position(self, deployment_id: str, market: str) -> int:
        """Signed quantity that a deployment's own fills add up to."""
        positions = self.books.positions
        return sum(
            part.quantity
            for position in positions.of(market)
            if (part := positions.part(deployment_id, market, position.side)) is not None
        )

    def deployment_positions(self, deployment_id: str) -> tuple[Position, ...]:
        """A deployment's own positions, flat ones with their profit included."""
        return tuple(part for part in self.books.positions.all_parts() if part.deployment_id == deployment_id)

    def view(self, position: Position) -> PositionView:
        """A position for people, with its leg in a prediction market."""
        return shown(position, self.marks)

    def open_trades(self, ts: int) -> tuple[ClosedTrade, ...]:
        """The round trips that are not closed, as if they were left now (`open`); those without a price left out."""
        return self.books.trips.open_trades(self.books.positions, self.marks, ts)

    @property
    def entered(self) -> bool:
        """Whether there are entries to take."""
        return self.books.ledger.entered

    def take_entries(self) -> list[Entry]:
        """New ones since the last call."""
        return self.books.ledger.take_entries()

    def take_trades(self) -> list[ClosedTrade]:
        """Round trips that ended since the last call, and those whose settlement was reversed (`replaces`)."""
        return self.books.trips.take()

    # -- to survive --------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """All of it as msgpack, the settings and the marks not."""
        settings = self.settings
        state = _State(
            account=(settings.account_id, settings.currency, settings.kind, settings.position_mode),
            books=self.books.state(),
            instruments=list(self.books.instruments.values()),
            curve=self.curve.state(),
            funding=self._funding.state(),
            settlements=self._settlements.state(),
            seen_fills=list(self._seen_fills),
            fills=self._fills,
            opened=self._opened,
        )
        return msgspec.msgpack.encode(state)

    def restore(self, data: bytes) -> None:
        """Become what `snapshot` gave. Raises ValueError where it is of another account."""
        state = msgspec.msgpack.decode(data, type=_State)
        settings = self.settings
        expected = (settings.account_id, settings.currency, settings.kind, settings.position_mode)
        if state.account != expected:
            raise ValueError(f"snapshot: expected one of {expected}, got {state.account}")
        self.books.load(state.books, state.instruments)
        self.curve.load(state.curve)
        self._funding.load(state.funding)
        self._settlements.load(state.settlements)
        self._seen_fills = dict.fromkeys(state.seen_fills)
        self._fills = state.fills
        self._opened = state.opened

    # ----------------------------------------------------------------------------------------------------------

    def _capital(self, amount: int, ts: int, currency: str, kind: EntryKind, reference: str) -> None:
        postings = (Posting("cash", currency, amount), Posting("capital", currency, -amount))
        self.books.ledger.post(ts, kind, reference, postings)
        worth = self._in_own({currency: amount})
        if worth is not None:
            self.curve.flow(worth)

    def _remember(self, fill_id: str) -> None:
        seen = self._seen_fills
        seen[fill_id] = None
        if len(seen) > self.settings.remembered_fills:
            del seen[next(iter(seen))]

    def unvalued(self) -> set[str]:
        """What keeps the equity from being known: markets without an exit price, currencies without a rate."""
        found = {each.market for each in self.positions() if valuation.exit_value(each, self.marks) is None}
        ledger = self.books.ledger
        if ledger.foreign(self._own):
            held = {*ledger.of("cash"), *ledger.of("collateral"), *(each.currency for each in self.positions())}
            found |= {each for each in held if self._in_own({each: NANO}) is None}
        return found

    def _valued(self) -> tuple[int | None, int | None]:
        """(equity, unrealised profit), in the account's currency."""
        marks, own, ledger = self.marks, self._own, self.books.ledger
        total = ledger.balance("cash", own) + ledger.balance("collateral", own)
        profit = 0
        foreign: dict[str, int] = {}
        foreign_profit: dict[str, int] = {}
        for position in self.books.open.values():
            value = valuation.exit_value(position, marks)
            if value is None:
                return None, None
            gained = value - position.cost
            worth = gained if position.booking == "margin" else value
            if position.currency == own:
                total += worth
                profit += gained
            else:
                foreign[position.currency] = foreign.get(position.currency, 0) + worth
                foreign_profit[position.currency] = foreign_profit.get(position.currency, 0) + gained
        if foreign or ledger.foreign(own):
            for account in ("cash", "collateral"):
                for currency, amount in ledger.of(account).items():
                    if currency != own:
                        foreign[currency] = foreign.get(currency, 0) + amount
            there = self._in_own(foreign)
            gains = self._in_own(foreign_profit)
            return None if there is None else total + there, None if gains is None else profit + gains
        return total, profit

    def _summed(self, figure: Callable[[Position], int | None]) -> int | None:
        """A figure (not negative) of all open positions, in the account's currency."""
        sums: dict[str, int] = {}
        for position in self.books.open.values():
            amount = figure(position)
            if amount is None:
                return None
            sums[position.currency] = sums.get(position.currency, 0) + amount
        return self._in_own(sums)

    def _in_own(self, amounts: Mapping[str, int]) -> int | None:
        return valuation.in_own(amounts, self._own, self.settings.conversions, self.marks)


class _State(msgspec.Struct):
    account: tuple[str, str, str, str]
    books: dict[str, Any]
    instruments: list[Instrument]
    curve: dict[str, Any]
    funding: dict[str, Any]
    settlements: dict[str, Any]
    seen_fills: list[str]
    fills: int
    opened: bool
