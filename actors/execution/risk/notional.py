"""What a quantity is worth, and what is risked with it. Python ints all through; rounded up to a nano once."""

from __future__ import annotations

from fractions import Fraction

from protocols.instruments import Instrument
from protocols.nanos import NANO
from protocols.orders import NewOrder

_SCALE = NANO**3


def unit_price(instrument: Instrument, price: int, sold: bool) -> int:
    """What one unit puts at risk: the price; sold in a prediction market, the collateral 1 - price."""
    if sold and instrument.kind == "prediction":
        return max(0, NANO - price)
    return abs(price)


def worth(instrument: Instrument, quantity: int, price: int, rate: int = NANO) -> int:
    """Money at risk in `quantity` (signed) at `price`, in a currency of which one unit of the instrument's is `rate`.

    Never negative; a short is worth its size, in a prediction market its collateral. Nanos, rounded up.
    """
    unit = unit_price(instrument, price, quantity < 0)
    return -(-abs(quantity) * unit * instrument.multiplier * rate // _SCALE)


def unit_money(instrument: Instrument, price: int, sold: bool, rate: int = NANO) -> Fraction:
    """Money at risk in a quantity of one nano, exactly; nanos."""
    return Fraction(unit_price(instrument, price, sold) * instrument.multiplier * rate, _SCALE)


def floored(instrument: Instrument, quantity: int | Fraction) -> int:
    """The largest multiple of the lot that is not above `quantity`; 0 for what is not positive."""
    return max(0, int(quantity // instrument.lot) * instrument.lot)


def order_prices(order: NewOrder, reference: int | None) -> tuple[int, int] | None:
    """The lowest and the highest price to judge an order by; None: it names none and no reference is known.

    A limit to buy is filled at its price or below, one to sell at its price or above: at most at the reference, where
    that is higher. A stop is filled about where it triggers, or where the market is already.
    """
    own = order.price if order.price is not None else order.stop_price
    if own is None:
        return None if reference is None else (reference, reference)
    if reference is None:
        return own, own
    if order.price is not None:
        return (own, own) if order.side == "buy" else (own, max(own, reference))
    return min(own, reference), max(own, reference)
