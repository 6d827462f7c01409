"""What an account, or one deployment of it, may risk. Every limit is optional: None is no limit.

Sizes, money and shares are decimal text, exactly as a person wrote them: "0.1" of the equity is 10 %, and a float of
0.3 would be a little less than that. Money is in the account's currency. Counts are integers. A limit itself is still
allowed; what is over it is denied. Losses are the exception: trading ends where they *reach* their limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from protocols.market import MARKS
from protocols.nanos import NANO, exact_nanos

AccountKind = Literal["cash", "margin"]
Trading = Literal["active", "reducing", "halted"]
Decimal = str

MONEY: Final = (
    "max_order_notional",
    "max_exposure",
    "cash_reserve",
)
SIZES: Final = ("max_order_size", "max_position")
SHARES: Final = (
    "price_collar",
    "max_position_share",
    "max_exposure_share",
    "max_leverage",
    "max_daily_loss",
    "max_drawdown",
    "max_concentration",
    "cash_reserve_share",
    "max_margin_use",
)
COUNTS: Final = ("max_orders_per_second", "max_orders_per_minute", "max_positions", "max_open_orders")
AT_MOST_ONE: Final = frozenset({"max_daily_loss", "max_drawdown", "cash_reserve_share", "max_margin_use"})


class RiskLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The limits of an account or of a deployment; the equity of a deployment is its part of the account's.

    Raises ValueError (msgspec.ValidationError out of `msgspec.convert`) for a text that is no decimal number, is
    negative or finer than 10⁻⁹, and for a share of a loss that is above 1.
    """

    max_order_size: Decimal | None = None
    """Quantity of one order."""
    max_order_notional: Decimal | None = None
    """Money: price times size of one order; for a short in a prediction market, its collateral."""
    price_collar: Decimal | None = None
    """How far a limit price may be on the losing side of the price that it would meet now, as a share of that: above
    the ask of a buy, below the bid of a sell. A price that waits may be as far away as it likes."""
    max_position: Decimal | None = None
    """Quantity in one market, either side, with all open orders filled."""
    max_position_share: Decimal | None = None
    """Share of the equity in one market, with all its open orders filled."""
    max_exposure: Decimal | None = None
    """Money: the sum of all positions' sizes (gross), with all open orders filled."""
    max_exposure_share: Decimal | None = None
    """The same as a share of the equity; may be above 1."""
    max_leverage: Decimal | None = None
    """Gross exposure over equity: "2" is two times. The same figure as `max_exposure_share`, under the name and the
    code that accounts with margin know it by."""
    max_daily_loss: Decimal | None = None
    """Share of the equity that the day began with. Reached, only what reduces passes until the next day."""
    max_drawdown: Decimal | None = None
    """Share of the highest equity so far. Reached, only what reduces passes."""
    max_orders_per_second: int | None = None
    max_orders_per_minute: int | None = None
    """Orders that passed, amendments included, in any second or minute."""
    max_positions: int | None = None
    """Markets with a position or an open order that may make one."""
    max_concentration: Decimal | None = None
    """Share of the equity in one underlying: all markets with the same base (`Instrument.base`); a market without one
    stands alone."""
    max_open_orders: int | None = None
    cash_reserve: Decimal | None = None
    """Money that stays free: an order that raises risk leaves at least this much available."""
    cash_reserve_share: Decimal | None = None
    """The same as a share of the equity."""
    max_margin_use: Decimal | None = None
    """Share of the equity that positions and open orders may use as margin."""
    allow_short: bool = True
    """False: no position below zero. A cash account never borrows: it is never short in spot or equity."""
    refused_marks: tuple[str, ...] = ()
    """An order that carries one of these is refused; `LIVE_REFUSES` for an account with real money."""

    def __post_init__(self) -> None:
        for field in (*MONEY, *SIZES, *SHARES):
            text = getattr(self, field)
            if text is not None:
                _checked(field, text, NANO if field in AT_MOST_ONE else None)
        for field in COUNTS:
            count = getattr(self, field)
            if count is not None and count < 0:
                raise ValueError(f"{field}: expected at least 0, got {count}")
        for mark in self.refused_marks:
            if mark not in MARKS:
                raise ValueError(f"refused_marks: expected some of {', '.join(sorted(MARKS))}, got {mark!r}")

    def nanos(self, field: str) -> int | None:
        """A size, an amount of money or a share in nanos; None: no limit."""
        text = getattr(self, field)
        return None if text is None else exact_nanos(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Limits as integers: sizes, money and shares in nanos. None: no limit."""

    max_order_size: int | None
    max_order_notional: int | None
    price_collar: int | None
    max_position: int | None
    max_position_share: int | None
    max_exposure: int | None
    max_exposure_share: int | None
    max_leverage: int | None
    max_daily_loss: int | None
    max_drawdown: int | None
    max_concentration: int | None
    cash_reserve: int | None
    cash_reserve_share: int | None
    max_margin_use: int | None
    max_orders_per_second: int | None
    max_orders_per_minute: int | None
    max_positions: int | None
    max_open_orders: int | None
    allow_short: bool

    @classmethod
    def of(cls, limits: RiskLimits) -> Bounds:
        """Those of some limits."""
        texts = {field: limits.nanos(field) for field in (*MONEY, *SIZES, *SHARES)}
        counts = {field: getattr(limits, field) for field in COUNTS}
        return cls(**texts, **counts, allow_short=limits.allow_short)


def _checked(field: str, text: str, most: int | None) -> None:
    try:
        value = exact_nanos(text)
    except ValueError as error:
        raise ValueError(f"{field}: expected a decimal number as text, {error}") from None
    if value < 0 or (most is not None and value > most):
        bounds = "at least 0" if most is None else "from 0 to 1"
        raise ValueError(f"{field}: expected {bounds}, got {text}")


LIVE_REFUSES: Final = tuple(sorted(MARKS))
"""What an account with real money takes no order from: data that was made up, late, old or a demonstration's."""

PAPER_DEFAULTS: Final = RiskLimits(
    max_position_share="0.1",
    max_daily_loss="0.02",
    max_drawdown="0.15",
    max_leverage="2",
    max_concentration="0.25",
    max_margin_use="0.75",
    max_positions=20,
)
"""What a paper account begins with: position 10 %, daily loss 2 %, drawdown 15 %, leverage 2 times, concentration 25 %,
margin 75 %, 20 positions. The figures are those of the strategy service that this replaces; its volatility spike of
5 % is a measure (`measures.PAPER_VOLATILITY`), since no single order causes one."""


class Denial(msgspec.Struct, frozen=True, gc=False):
    """Why an order was not let through. `field`: of the limits, or of the order; `limit` and `value`: what was allowed
    and what it would have been, as text. `scope`: the deployment whose limit it is, empty for the account's."""

    code: str
    reason: str
    field: str = ""
    limit: str = ""
    value: str = ""
    scope: str = ""
