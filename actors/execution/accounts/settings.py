"""What an account is: whose, in which currency, on cash or margin, and how its money is rounded."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from actors.execution.accounts.rounding import Rounding
from protocols.nanos import exact_nanos

Amount = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,18}(\.[0-9]{1,9})?$")]
"""Decimal text, at most nine decimals, not negative."""
Currency = Annotated[str, msgspec.Meta(min_length=1, max_length=32)]


class AccountSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One account of one user.

    `kind`: in a cash account spot and equity are paid in full; in a margin account they are held on margin, at
    `leverage`. Perpetuals and futures are on margin in both (in a cash account at leverage 1), prediction markets in
    neither: what may be lost is paid at once.
    """

    account_id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    user: str = ""
    currency: Currency = "USD"
    """Of equity and limits. Markets in other currencies are held in those."""
    kind: Literal["cash", "margin"] = "cash"
    leverage: Amount = "1"
    """Notional over initial margin, from 1 on."""
    market_leverage: dict[str, Amount] = {}
    """The same, for single markets."""
    maintenance: Amount = "0.5"
    """Maintenance margin as a share of the initial one: above 0, at most 1. Regulation T with a leverage of 2 asks for
    50 % at first and 25 % from then on."""
    position_mode: Literal["netting", "hedging"] = "netting"
    """netting: one signed position a market; hedging: a long one and a short one apart."""
    initial_capital: Amount = "0"
    precision: dict[Currency, Annotated[int, msgspec.Meta(ge=0, le=9)]] = {}
    """Decimals of money by currency; 9 where it is not named. Fees are booked as the fill says them."""
    rounding: dict[Currency, Rounding] = {}
    """How notionals are rounded to that precision, by currency; half-even where it is not named."""
    conversions: dict[Currency, str] = {}
    """By foreign currency: the market whose price is that of one unit of it in `currency`, or a fixed decimal number
    ("1" for a dollar coin). A balance in a currency that is not named here has no value that is known."""
    time_zone: str = "UTC"
    """Whose midnight begins the day of limits and of the equity curve (IANA name)."""
    remembered_fills: Annotated[int, msgspec.Meta(ge=1000, le=10_000_000)] = 100_000
    """How many fill ids are kept to know a repeat by; a venue repeats the newest ones."""

    def __post_init__(self) -> None:
        for name, text in (("leverage", self.leverage), *self.market_leverage.items()):
            if exact_nanos(text) < exact_nanos("1"):
                raise ValueError(f"leverage of {name!r}: expected 1 or more, got {text!r}")
        if not 0 < Fraction(self.maintenance) <= 1:
            raise ValueError(f"maintenance: expected a share above 0 and at most 1, got {self.maintenance!r}")
        if self.currency in self.conversions:
            raise ValueError(f"conversions: expected foreign currencies, got the account's own {self.currency!r}")
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"time_zone: expected an IANA name, got {self.time_zone!r}") from None

    def step(self, currency: str) -> int:
        """The smallest amount of a currency, in nanos."""
        return int(10 ** (9 - self.precision.get(currency, 9)))

    def rule(self, currency: str) -> Rounding:
        """How amounts of a currency are rounded."""
        return self.rounding.get(currency, "half_even")

    def initial_share(self, market: str) -> Fraction:
        """Initial margin of a market as a share of the notional: one over the leverage."""
        if market in self.market_leverage:
            return 1 / _fraction(self.market_leverage[market])
        return 1 / _fraction(self.leverage) if self.kind == "margin" else Fraction(1)

    def maintenance_share(self, market: str) -> Fraction:
        """Maintenance margin of a market as a share of the notional."""
        return self.initial_share(market) * _fraction(self.maintenance)


@lru_cache(maxsize=256)
def _fraction(text: str) -> Fraction:
    return Fraction(text)
