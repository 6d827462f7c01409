"""Margin: what positions and orders bind, and when the account must be liquidated.

Initial margin is notional over leverage, maintenance margin a share of that (`AccountSettings`). Positions are held
against all that the account has (cross margin): Binance, "How to Calculate Cross Margin": available balance = wallet
balance + unrealised profit - initial margin; a position is liquidated where equity falls below maintenance margin.
The notional of a position is taken at its exit price.
"""

from __future__ import annotations

from fractions import Fraction

from actors.execution.accounts.positions import Booking, Position
from actors.execution.accounts.rounding import money, rounded
from actors.execution.accounts.settings import AccountSettings
from actors.execution.accounts.valuation import Marks, exit_value
from protocols.nanos import NANO


def initial(position: Position, settings: AccountSettings, marks: Marks) -> int | None:
    """Initial margin of a position, nanos of its currency; 0 where it is not on margin, None without a price."""
    return _held(position, settings.initial_share(position.market), marks)


def maintenance(position: Position, settings: AccountSettings, marks: Marks) -> int | None:
    """Maintenance margin of a position, likewise."""
    return _held(position, settings.maintenance_share(position.market), marks)


def to_open(
    booking: Booking,
    signed: int,
    held: int,
    price: int,
    multiplier: int,
    settings: AccountSettings,
    market: str,
) -> int:
    """What an order of `signed` quantity at `price` would bind, next to a position of `held`: nanos of its currency.

    What closes binds nothing; of what opens: paid in full the notional (a sale binds nothing: risk says whether there
    may be one), on margin the notional over the leverage, of a prediction market what may be lost.
    """
    opening = opened(signed, held)
    if not opening:
        return 0
    if booking == "margin":
        return _up(abs(money(price, opening, multiplier)), settings.initial_share(market))
    if booking == "prediction":
        paid = price if opening > 0 else NANO - price
        return money(paid, abs(opening), multiplier)
    return max(money(price, opening, multiplier), 0)


def opened(signed: int, held: int) -> int:
    """How much of a trade of `signed` opens or enlarges, next to a position of `held`; signed."""
    if held == 0 or (held > 0) == (signed > 0):
        return signed
    rest = abs(signed) - abs(held)
    return 0 if rest <= 0 else (rest if signed > 0 else -rest)


def _held(position: Position, part: Fraction, marks: Marks) -> int | None:
    if position.booking != "margin" or not position.quantity:
        return 0
    value = exit_value(position, marks)
    return None if value is None else _up(abs(value), part)


def _up(amount: int, part: Fraction) -> int:
    return rounded(amount * part.numerator, part.denominator, "up")
