"""An account: what a venue's reports, funding and settlement do to its money and its positions.

Money in nanos of a currency, quantities and prices in nanos, times in nanoseconds. Every change is an entry in the
ledger that balances (`ledger`); positions, deployments' parts and rounding are described in `positions`. Nothing is
done for a market event: prices are read from `marks` when somebody asks.
"""

from __future__ import annotations

from collections.abc import Mapping

from actors.execution.accounts.equity_curve import EquityCurve, EquitySample
from actors.execution.accounts.ledger import Entry
from actors.execution.accounts.positions import Position, PositionView
from actors.execution.accounts.round_trips import ClosedTrade
from actors.execution.accounts.settings import AccountSettings
from actors.execution.accounts.valuation import Marks
from protocols.instruments import Instrument
from protocols.market import Funding
from protocols.orders import Fill, NewOrder, PositionSide, Side, VenueFilled


class Account:
    """One account. `marks` is read when a value is asked for, and may change under it at any time."""

    def __init__(self, settings: AccountSettings, marks: Marks) -> None:
        self.settings = settings
        self.marks = marks
        self.curve = EquityCurve(settings.time_zone)

    # -- what happens to it ------------------------------------------------------------------------------------

    def open(self, ts: int) -> None:
        """Book the initial capital of the settings, once."""
        raise NotImplementedError

    def deposit(self, amount: int, ts: int, *, currency: str = "", reference: str = "") -> None:
        """Put money in; negative: take it out. Raises ValueError for more than the cash."""
        raise NotImplementedError

    def adjust(self, amount: int, ts: int, *, currency: str = "", reference: str) -> None:
        """Book a difference that reconciliation has found between the venue's cash and ours, whatever its sign."""
        raise NotImplementedError

    def convert(self, sold: int, currency: str, bought: int, into: str, ts: int, *, reference: str = "") -> None:
        """Exchange an amount of one currency for an amount of another."""
        raise NotImplementedError

    def define(self, instrument: Instrument) -> None:
        """A definition, or its next version. Raises ValueError for one that an open position does not fit."""
        raise NotImplementedError

    def fill(self, fill: VenueFilled, order: NewOrder, ts: int) -> Fill | None:
        """Book a fill; None for one whose `fill_id` is booked already. Raises ValueError for an unknown market."""
        raise NotImplementedError

    def funding(self, message: Funding, ts: int) -> None:
        """A funding rate. It is paid once, at `next_ts`: at once where that has passed, else when `advance` gets there."""
        raise NotImplementedError

    def due(self) -> int | None:
        """When the next funding is to be paid that `advance` would pay; None: none is known."""
        raise NotImplementedError

    def advance(self, ts: int) -> None:
        """Pay the funding that is due at or before `ts`."""
        raise NotImplementedError

    def settle(self, market: str, value: int, ts: int, *, reference: str) -> None:
        """Close what is held at `value`: of a prediction market 0 to 1 (10⁹) for a YES contract, else a price.

        A repeat changes nothing. Another value for a settled market amends it: what was paid is reversed first.
        """
        raise NotImplementedError

    def unsettle(self, market: str, reference: str, ts: int) -> None:
        """Reverse a settlement: the positions are as they were. Raises ValueError where there is none of the name."""
        raise NotImplementedError

    def seen(self, market: str, low: int, high: int) -> None:
        """Prices at which an open trade of the market could have been left, for its excursions. Cheap; not needed."""
        raise NotImplementedError

    def sample(self, ts: int) -> EquitySample | None:
        """Take the equity into `curve`; None where a price is missing."""
        raise NotImplementedError

    # -- what it has -------------------------------------------------------------------------------------------

    def equity(self) -> int | None:
        """All that is owned, at exit prices, in the account's currency. None: a price is missing."""
        raise NotImplementedError

    def cash(self, currency: str = "") -> int:
        """Money at hand of a currency (empty: the account's)."""
        raise NotImplementedError

    def unrealized(self, market: str | None = None) -> int | None:
        """At exit prices: of a market in its currency, or of all in the account's. None: a price is missing."""
        raise NotImplementedError

    def realized(self, currency: str = "") -> int:
        """Profit taken, settlements included, fees and funding not taken off."""
        raise NotImplementedError

    def fees_paid(self, currency: str = "") -> int:
        """Fees less rebates."""
        raise NotImplementedError

    def funding_paid(self, currency: str = "") -> int:
        """Funding less receipts."""
        raise NotImplementedError

    def gross_exposure(self) -> int | None:
        """The sum of all positions' absolute values in the account's currency. None: a price is missing."""
        raise NotImplementedError

    def margin_used(self) -> int | None:
        """Initial margin of all positions in the account's currency. None: a price is missing."""
        raise NotImplementedError

    def maintenance(self) -> int | None:
        """Maintenance margin of all positions, likewise."""
        raise NotImplementedError

    def initial_margin(
        self, market: str, side: Side, size: int, price: int, *, position_side: PositionSide = ""
    ) -> int:
        """What an order would bind of `available`, beside what is held: in the market's currency."""
        raise NotImplementedError

    def available(self, currency: str = "") -> int | None:
        """What may be bound or paid next: cash, plus unrealised profit less initial margin of positions on margin."""
        raise NotImplementedError

    def margin_call(self) -> bool | None:
        """Whether equity is below maintenance margin. False with nothing on margin, None: a price is missing."""
        raise NotImplementedError

    def position(self, market: str, side: PositionSide = "") -> Position:
        """The account's position; a flat one where there is none."""
        raise NotImplementedError

    def positions(self) -> tuple[Position, ...]:
        """Those that are open."""
        raise NotImplementedError

    def net_position(self, market: str) -> int:
        """Signed quantity."""
        raise NotImplementedError

    def net_positions(self) -> Mapping[str, int]:
        """Signed quantity by market, those that are not 0."""
        raise NotImplementedError

    def deployment_position(self, deployment_id: str, market: str) -> int:
        """Signed quantity that a deployment's own fills add up to."""
        raise NotImplementedError

    def deployment_positions(self, deployment_id: str) -> tuple[Position, ...]:
        """A deployment's own positions, flat ones with their profit included."""
        raise NotImplementedError

    def view(self, position: Position) -> PositionView:
        """A position for people, with its leg in a prediction market."""
        raise NotImplementedError

    def open_trades(self, ts: int) -> tuple[ClosedTrade, ...]:
        """The round trips that are not closed, as if they were left now (`open`); those without a price left out."""
        raise NotImplementedError

    def take_entries(self) -> list[Entry]:
        """New ones since the last call."""
        raise NotImplementedError

    def take_trades(self) -> list[ClosedTrade]:
        """Round trips that ended since the last call. Of two with one `trade_id` the later one counts."""
        raise NotImplementedError

    def snapshot(self) -> bytes:
        """All of it as msgpack, the settings and the marks not."""
        raise NotImplementedError

    def restore(self, data: bytes) -> None:
        """Become what `snapshot` gave. Raises ValueError where it is of another account."""
        raise NotImplementedError
