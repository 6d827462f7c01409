"""Prices on an instrument's steps. An instrument without price ranges takes every price of whole nanos."""

from __future__ import annotations

from protocols.instruments import Instrument, PriceRange
from protocols.orders import Side


def on_tick(instrument: Instrument, price: int) -> bool:
    """Whether an order may have this price."""
    ranges = instrument.price_ranges
    return not ranges or any(
        span.start <= price <= span.end and (price - span.start) % span.step == 0 for span in ranges
    )


def not_better(instrument: Instrument, side: Side, price: int) -> int:
    """The nearest tick that is not better for the owner of `side` than `price`; at most the range's end."""
    ranges = instrument.price_ranges
    if not ranges:
        return price
    if side == "buy":
        above = [_up(span, price) for span in ranges if span.end >= price]
        return min(above) if above else max(span.end for span in ranges)
    below = [_down(span, price) for span in ranges if span.start <= price]
    return max(below) if below else min(span.start for span in ranges)


def worse_by(instrument: Instrument, side: Side, price: int, ticks: int) -> int:
    """`price` so many ticks worse for the owner of `side`; at most the range's end."""
    sign = 1 if side == "buy" else -1
    for _ in range(ticks):
        price = not_better(instrument, side, price + sign)
    return price


def _up(span: PriceRange, price: int) -> int:
    return min(span.start + max(-((span.start - price) // span.step), 0) * span.step, span.end)


def _down(span: PriceRange, price: int) -> int:
    return min(span.start + (price - span.start) // span.step * span.step, span.end)
