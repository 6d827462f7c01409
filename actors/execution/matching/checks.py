"""What the venue does not take, each with its code. Nothing is rounded to fit."""

from __future__ import annotations

from actors.execution.accounts.rounding import money
from actors.execution.matching.mark import Mark
from actors.execution.matching.ticks import on_tick
from protocols.instruments import Instrument
from protocols.nanos import decimal_text
from protocols.orders import NewOrder

Refusal = tuple[str, str]
"""(code, reason)."""


def refusal(order: NewOrder, instrument: Instrument, mark: Mark, ts: int) -> Refusal | None:
    """Why the venue rejects this order, or None."""
    if instrument.data_only:
        return "data_only", f"{instrument.market} has steps finer than 10⁻⁹: it is data only"
    return (
        _size(order, instrument) or _shape(order, ts) or _prices(order, instrument) or _worth(order, instrument, mark)
    )


def _size(order: NewOrder, instrument: Instrument) -> Refusal | None:
    size = order.size
    if size <= 0:
        return "size", f"size: expected above 0, got {decimal_text(size)}"
    if size % instrument.lot:
        return "lot", f"size: expected a multiple of {decimal_text(instrument.lot)}, got {decimal_text(size)}"
    if size < instrument.minimum_size:
        return "min_size", f"size: expected at least {decimal_text(instrument.minimum_size)}, got {decimal_text(size)}"
    if instrument.maximum_size is not None and size > instrument.maximum_size:
        return "max_size", f"size: expected at most {decimal_text(instrument.maximum_size)}, got {decimal_text(size)}"
    if order.display is not None and (not 0 < order.display <= size or order.display % instrument.lot):
        return "display", f"display: expected whole lots up to the size, got {decimal_text(order.display)}"
    return None


def _shape(order: NewOrder, ts: int) -> Refusal | None:
    if order.kind in ("limit", "stop_limit") and order.price is None:
        return "price", f"price: a {order.kind} order has one"
    if order.kind in ("stop", "stop_limit") and order.stop_price is None:
        return "stop_price", f"stop_price: a {order.kind} order has one"
    if order.kind == "trailing_stop" and not (order.trail or order.trail_share):
        return "trail", "trail or trail_share: a trailing stop has one of them, above 0"
    if (order.trail or 0) < 0 or (order.trail_share or 0) < 0:
        return "trail", "trail, trail_share: expected above 0"
    if order.post_only and (order.kind not in ("limit", "stop_limit") or order.time_in_force in ("IOC", "FOK")):
        return "post_only", "post_only: only a limit order that may rest can be"
    if order.time_in_force == "GTD" and (order.expires is None or order.expires <= ts):
        return "expires", f"expires: GTD names a moment behind its arrival, got {order.expires}"
    return None


def _prices(order: NewOrder, instrument: Instrument) -> Refusal | None:
    for name, price in (("price", order.price), ("stop_price", order.stop_price)):
        if price is not None and not on_tick(instrument, price):
            return "tick", f"{name}: {decimal_text(price)} is on no tick of {instrument.market}"
    return None


def _worth(order: NewOrder, instrument: Instrument, mark: Mark) -> Refusal | None:
    if not instrument.minimum_notional:
        return None
    price = order.price if order.price is not None else order.stop_price
    if price is None:
        price = mark.exit(-1 if order.side == "buy" else 1)
    if price is None:
        return None
    worth = abs(money(price, order.size, instrument.multiplier))
    if worth >= instrument.minimum_notional:
        return None
    least = decimal_text(instrument.minimum_notional)
    return "min_notional", f"size times price: expected at least {least}, got {decimal_text(worth)}"
