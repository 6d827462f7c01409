"""Whether an order is one at all: its fields fit together, its market can be traded, its numbers are on the steps.

A wrong precision is an error, never rounded. These hold for every order, those that reduce included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from actors.execution.risk.limits import Denial
from actors.execution.risk.notional import order_prices, worth
from actors.execution.risk.projection import reduces_leg
from protocols.instruments import Instrument
from protocols.nanos import NANO, decimal_text
from protocols.orders import NewOrder

SHUT: Final = frozenset({"halted", "closed", "settled"})
PRICED: Final = frozenset({"limit", "stop_limit"})
STOPPED: Final = frozenset({"stop", "stop_limit"})

FormCheck = Callable[[NewOrder, Instrument, int | None], Denial | None]
"""The order, its instrument, the price that it would meet (nanos; None: not known)."""


def fields(order: NewOrder) -> Denial | None:
    """invalid_order: a field that its kind wants is missing, or one that makes no sense with it is there."""
    for field, wanted in (
        ("price", order.kind in PRICED),
        ("stop_price", order.kind in STOPPED),
        ("expires", order.time_in_force == "GTD"),
    ):
        if wanted != (getattr(order, field) is not None):
            what = "wants one" if wanted else "takes none"
            return _invalid(field, f"{order.kind} {order.time_in_force} {what}")
    trails = (order.trail is not None) + (order.trail_share is not None)
    if trails != (order.kind == "trailing_stop"):
        return _invalid("trail", "a trailing stop wants an amount or a share, no other order takes one")
    for field in ("trail", "trail_share"):
        distance = getattr(order, field)
        if distance is not None and distance <= 0:
            return _invalid(field, f"expected above 0, got {decimal_text(distance)}")
    if order.side == "sell" and order.trail_share is not None and order.trail_share >= NANO:
        return _invalid("trail_share", f"expected below 1 of the price, got {decimal_text(order.trail_share)}")
    if order.post_only and (order.kind not in PRICED or order.time_in_force in ("IOC", "FOK")):
        return _invalid("post_only", "only a limit that may rest can be post-only")
    if order.protection is not None and (order.kind != "market" or order.protection < 0):
        return _invalid("protection", "only a market order takes one, at least 0")
    if order.display is not None and not (order.kind in PRICED and 0 < order.display <= order.size):
        return _invalid("display", "a part of a limit's size is shown, above 0")
    return None


def tradable(order: NewOrder, instrument: Instrument, is_open: bool | None, ts: int) -> Denial | None:
    """data_only, market_closed, expired: nothing can be ordered in this market, or by this order, at this time."""
    if instrument.data_only:
        return Denial("data_only", f"{order.market} has steps finer than 10⁻⁹: no order can hold them", "market")
    shut = instrument.status in SHUT if is_open is None else not is_open
    if instrument.opens is not None and ts < instrument.opens:
        shut = True
    if instrument.closes is not None and ts >= instrument.closes:
        shut = True
    if shut:
        return Denial("market_closed", f"{order.market} takes no orders now", "market", "open", instrument.status)
    if order.expires is not None and order.expires <= ts:
        late = decimal_text(ts - order.expires)
        return Denial("expired", f"the order has expired {late} s ago", "expires", str(ts), str(order.expires))
    return None


def price_steps(order: NewOrder, instrument: Instrument, reference: int | None) -> Denial | None:
    """price_range, precision_price: a price outside of what the venue takes, or between two of its steps."""
    for field in ("price", "stop_price"):
        price = getattr(order, field)
        if price is None:
            continue
        spans = [span for span in instrument.price_ranges if span.start <= price <= span.end]
        if not spans:
            ranges = ", ".join(
                f"{decimal_text(each.start)} to {decimal_text(each.end)}" for each in instrument.price_ranges
            )
            return Denial("price_range", f"{field} is outside of {ranges}", field, ranges, decimal_text(price))
        if all((price - span.start) % span.step for span in spans):
            step = decimal_text(spans[0].step)
            return Denial("precision_price", f"{field} is on no step of {step}", field, step, decimal_text(price))
    return None


def size_steps(order: NewOrder, instrument: Instrument, reference: int | None) -> Denial | None:
    """precision_size: no multiple of the lot."""
    for field in ("size", "display"):
        size = getattr(order, field)
        if size is not None and (size <= 0 or size % instrument.lot):
            lot = decimal_text(instrument.lot)
            return Denial("precision_size", f"{field} is no multiple of {lot}", field, lot, decimal_text(size))
    return None


def size_bounds(order: NewOrder, instrument: Instrument, reference: int | None) -> Denial | None:
    """order_size: below or above what the venue takes."""
    if order.size < instrument.minimum_size:
        return _beyond("order_size", "minimum_size", instrument.minimum_size, order.size, "below the venue's")
    most = instrument.maximum_size
    if most is not None and order.size > most:
        return _beyond("order_size", "maximum_size", most, order.size, "above the venue's")
    return None


def notional_bound(order: NewOrder, instrument: Instrument, reference: int | None) -> Denial | None:
    """order_notional: worth less than what the venue takes. What only reduces is left to the venue to judge."""
    if not instrument.minimum_notional or reduces_leg(order):
        return None
    prices = order_prices(order, reference)
    if prices is None:
        return None
    value = worth(instrument, order.size, prices[0])
    if value < instrument.minimum_notional:
        return _beyond("order_notional", "minimum_notional", instrument.minimum_notional, value, "below the venue's")
    return None


FORM_CHECKS: Final[tuple[FormCheck, ...]] = (price_steps, size_steps, size_bounds, notional_bound)


def collar(order: NewOrder, reference: int | None, share: int, scope: str) -> Denial | None:
    """price_collar: a limit on the losing side of what it would meet, further away than `share` of that (nanos).

    A stop-limit is compared with its stop price: it meets that one.
    """
    if order.price is None:
        return None
    meets = order.stop_price if order.kind == "stop_limit" else reference
    if meets is None:
        return Denial(
            "unknown_reference_price",
            f"no price of {order.market} is known to hold the limit against",
            "price_collar",
            decimal_text(share),
            scope=scope,
        )
    worse = order.price - meets if order.side == "buy" else meets - order.price
    if worse * NANO <= share * abs(meets):
        return None
    return Denial(
        "price_collar",
        f"{decimal_text(order.price)} is too far beyond {decimal_text(meets)}",
        "price_collar",
        decimal_text(share),
        _share_text(worse, abs(meets)),
        scope,
    )


def _share_text(part: int, whole: int) -> str:
    return decimal_text(-(-part * NANO // whole)) if whole else "infinite"


def _invalid(field: str, reason: str) -> Denial:
    return Denial("invalid_order", f"{field}: {reason}", field)


def _beyond(code: str, field: str, limit: int, value: int, what: str) -> Denial:
    shown = decimal_text(value)
    return Denial(code, f"{shown} is {what} {field} of {decimal_text(limit)}", field, decimal_text(limit), shown)
