"""How much worse than a bar's price an order is filled that takes what it gets.

A bar does not show a spread or a depth; these models stand for both. The result is on the instrument's ticks, rounded
against the owner.
"""

from __future__ import annotations

from fractions import Fraction

from actors.execution.matching.settings import SlippageSettings
from actors.execution.matching.ticks import not_better, worse_by
from protocols.instruments import Instrument
from protocols.nanos import NANO
from protocols.orders import Side


def slipped(settings: SlippageSettings, instrument: Instrument, side: Side, price: int, size: int, volume: int) -> int:
    """The price at which `size` is filled where the bar has `price` and `volume` (nanos; 0: not known).

    `volume_share`: LEAN's VolumeShareSlippageModel, price · impact · min(size / volume, volume_limit)²; without a
    volume the limit itself is taken.
    """
    if settings.model == "none":
        return price
    if settings.model == "ticks":
        return worse_by(instrument, side, price, settings.ticks)
    if settings.model == "share":
        share = Fraction(settings.share)
    else:
        limit = Fraction(settings.volume_limit)
        part = min(Fraction(size, volume), limit) if volume > 0 else limit
        share = Fraction(settings.impact) * part * part
    change = abs(price) * share
    moved = price + change if side == "buy" else price - change
    # To whole nanos against the owner first, then to the tick.
    whole = -((-moved.numerator) // moved.denominator) if side == "buy" else moved.numerator // moved.denominator
    return not_better(instrument, side, whole)


def share_of(side: Side, price: int, reference: int) -> int:
    """How much worse than `reference` a price is, as a share in nanos; positive is worse for the owner."""
    if reference == 0:
        return 0
    worse = price - reference if side == "buy" else reference - price
    return worse * NANO // abs(reference)


def most_of(settings: SlippageSettings, volume: int, lot: int) -> int | None:
    """How much of a bar's volume may be filled, in whole lots; None: no limit (or no volume to take a share of)."""
    if not settings.participation or volume <= 0:
        return None
    return int(Fraction(settings.participation) * volume) // lot * lot
