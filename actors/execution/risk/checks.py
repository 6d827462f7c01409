"""The limits, each one a small function: an order and its surroundings in, a coded denial out, or None.

They are judged in the order of `CHECKS`; the first that fails answers. What only reduces a position passes everything
that limits risk (position, exposure, losses, margin); what the engine sends itself to take risk away passes the limits
of sizes, collars and rates, too. What is not known is denied where a limit asks for it, under a code of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from actors.execution.risk.case import Case
from actors.execution.risk.form import collar
from actors.execution.risk.limits import Bounds, Denial
from actors.execution.risk.order_rate import MINUTE, SECOND
from protocols.nanos import NANO, decimal_text

Check = Callable[[Case], Denial | None]


def short(case: Case) -> Denial | None:
    """short_not_allowed: the position may end below zero, and must not."""
    order = case.order
    if order.side != "sell" or not case.raises or case.reached[1] >= 0:
        return None
    if not case.bounds.allow_short:
        return case.deny("short_not_allowed", "no short positions are allowed", "allow_short", "false", order.side)
    if case.account_kind == "cash" and case.instrument.kind in ("spot", "equity"):
        held = decimal_text(max(case.position, 0))
        return case.deny(
            "short_not_allowed",
            f"a cash account sells what it has: {held}, open orders included",
            "size",
            held,
            decimal_text(order.size),
        )
    return None


def known_price(case: Case) -> Denial | None:
    """unknown_reference_price: nothing says what the order would cost."""
    if not case.raises or case.prices is not None:
        return None
    return case.deny("unknown_reference_price", f"no price of {case.order.market} is known", "market", "", "")


def order_size(case: Case) -> Denial | None:
    """order_size."""
    most = case.bounds.max_order_size
    if most is None or case.order.size <= most or case.exits:
        return None
    return case.over("order_size", "max_order_size", most, case.order.size, "the order's size")


def order_notional(case: Case) -> Denial | None:
    """order_notional."""
    most = case.bounds.max_order_notional
    if most is None or case.exits:
        return None
    if case.notional is None:
        # An exit without a price is worth more than knowing what it is worth.
        return _unpriced(case, case.order.market, "max_order_notional", most) if case.raises else None
    if case.notional <= most:
        return None
    return case.over("order_notional", "max_order_notional", most, case.notional, "the order's notional")


def price_collar(case: Case) -> Denial | None:
    """price_collar."""
    share = case.bounds.price_collar
    if share is None or case.exits:
        return None
    return collar(case.order, case.reference, share, case.scope)


def order_rate(case: Case) -> Denial | None:
    """order_rate: too many orders in the last second or minute."""
    if case.exits:
        return None
    for field, span in (("max_orders_per_second", SECOND), ("max_orders_per_minute", MINUTE)):
        most: int | None = getattr(case.bounds, field)
        if most is None:
            continue
        count = case.rate.within(span, case.ts) + 1
        if count > most:
            reason = f"it would be order {count} within {span // NANO} s, {most} are allowed"
            return case.deny("order_rate", reason, field, str(most), str(count))
    return None


def open_orders(case: Case) -> Denial | None:
    """open_orders."""
    most = case.bounds.max_open_orders
    if most is None or case.exits:
        return None
    own = case.order.client_order_id
    others = sum(each.client_order_id != own for each in case.view.open_orders("", case.scope))
    count = others + len(case.pending) + 1
    if count <= most:
        return None
    reason = f"there would be {count} open orders, {most} are allowed"
    return case.deny("open_orders", reason, "max_open_orders", str(most), str(count))


def position(case: Case) -> Denial | None:
    """position: quantity, or share of the equity, in the order's market."""
    if not case.raises:
        return None
    bounds = case.bounds
    if bounds.max_position is not None:
        highest, lowest = case.reached
        quantity = highest if case.order.side == "buy" else -lowest
        if quantity > bounds.max_position:
            return case.over("position", "max_position", bounds.max_position, quantity, "the position")
    if bounds.max_position_share is not None:
        value = case.value(case.order.market)
        if value is None:
            return _unpriced(case, case.order.market, "max_position_share", bounds.max_position_share)
        return _share(case, "position", "max_position_share", bounds.max_position_share, value, "the position")
    return None


def position_count(case: Case) -> Denial | None:
    """position_count: markets with a position or an order that may make one."""
    most = case.bounds.max_positions
    if most is None or not case.raises or case.position:
        return None
    count = len({market for market, _ in case.projected})
    if count <= most:
        return None
    reason = f"there would be positions in {count} markets, {most} are allowed"
    return case.deny("position_count", reason, "max_positions", str(most), str(count))


def concentration(case: Case) -> Denial | None:
    """concentration: share of the equity in the underlying of the order's market."""
    most = case.bounds.max_concentration
    if most is None or not case.raises:
        return None
    base = case.instrument.base
    total = 0
    for market in sorted({market for market, _ in case.projected}):
        if market != case.order.market:
            other = case.view.instrument(market)
            if not base or other is None or other.base != base:
                continue
        value = case.value(market)
        if value is None:
            return _unpriced(case, market, "max_concentration", most)
        total += value
    return _share(case, "concentration", "max_concentration", most, total, f"what is in {base or case.order.market}")


def exposure(case: Case) -> Denial | None:
    """exposure: gross, as money and as a share of the equity."""
    bounds = case.bounds
    if not case.raises or (bounds.max_exposure is None and bounds.max_exposure_share is None):
        return None
    gross = case.gross
    if gross is None:
        field = "max_exposure_share" if bounds.max_exposure is None else "max_exposure"
        return _unpriced(case, case.unknown[0], field, getattr(bounds, field))
    if bounds.max_exposure is not None and gross > bounds.max_exposure:
        return case.over("exposure", "max_exposure", bounds.max_exposure, gross, "gross exposure")
    if bounds.max_exposure_share is not None:
        return _share(case, "exposure", "max_exposure_share", bounds.max_exposure_share, gross, "gross exposure")
    return None


def leverage(case: Case) -> Denial | None:
    """leverage: gross exposure over equity."""
    most = case.bounds.max_leverage
    if most is None or not case.raises:
        return None
    if case.gross is None:
        return _unpriced(case, case.unknown[0], "max_leverage", most)
    return _share(case, "leverage", "max_leverage", most, case.gross, "gross exposure")


def daily_loss(case: Case) -> Denial | None:
    """daily_loss: of the equity that the day began with. Reached is enough."""
    most = case.bounds.max_daily_loss
    if most is None or not case.raises:
        return None
    return _lost(case, "daily_loss", "max_daily_loss", most, case.view.day_start_equity(case.scope), "today")


def drawdown(case: Case) -> Denial | None:
    """drawdown: of the highest equity. Reached is enough."""
    most = case.bounds.max_drawdown
    if most is None or not case.raises:
        return None
    return _lost(case, "drawdown", "max_drawdown", most, case.view.peak_equity(case.scope), "since the highest equity")


def margin(case: Case) -> Denial | None:
    """cash, margin: the order needs more than is available (cash in a cash account), or eats the reserve.

    A reserve that a deployment sets is one of the account's money: there is one purse.
    """
    if not case.raises or case.judged_price is None:
        return None
    bounds, view = case.bounds, case.view
    wanted = view.margin_required(case.order, case.judged_price)
    available = view.margin_available()
    if wanted is None or available is None:
        return case.deny("unknown_margin", "what the order needs, or what is available, is not known", "margin", "", "")
    if wanted > available:
        code = "cash" if case.account_kind == "cash" else "margin"
        return case.over(code, "available", available, wanted, "what the order needs")
    free = available - wanted
    if bounds.cash_reserve is not None and free < bounds.cash_reserve:
        return _below(case, "cash_reserve", bounds.cash_reserve, free)
    if bounds.cash_reserve_share is not None:
        if case.equity is None:
            return _unknown_equity(case, "cash_reserve_share", bounds.cash_reserve_share)
        if free * NANO < bounds.cash_reserve_share * case.equity:
            return _below(case, "cash_reserve_share", -(-bounds.cash_reserve_share * case.equity // NANO), free)
    if bounds.max_margin_use is not None:
        used = view.margin_used()
        if used is None:
            return case.deny("unknown_margin", "the margin in use is not known", "max_margin_use", "", "")
        return _share(case, "margin", "max_margin_use", bounds.max_margin_use, used + wanted, "the margin in use")
    return None


CHECKS: Final[tuple[tuple[Check, tuple[str, ...]], ...]] = (
    (order_size, ("max_order_size",)),
    (order_notional, ("max_order_notional",)),
    (price_collar, ("price_collar",)),
    (order_rate, ("max_orders_per_second", "max_orders_per_minute")),
    (open_orders, ("max_open_orders",)),
    (position, ("max_position", "max_position_share")),
    (position_count, ("max_positions",)),
    (concentration, ("max_concentration",)),
    (exposure, ("max_exposure", "max_exposure_share")),
    (leverage, ("max_leverage",)),
    (daily_loss, ("max_daily_loss",)),
    (drawdown, ("max_drawdown",)),
)
"""Each with the limits that it holds an order to."""

ALWAYS: Final[tuple[Check, ...]] = (short, known_price)
RESERVES: Final = ("cash_reserve", "cash_reserve_share", "max_margin_use")


def checks_of(bounds: Bounds, of_account: bool) -> tuple[Check, ...]:
    """The checks of a scope whose limits are set. That the money suffices is checked for the account always."""
    own = [check for check, fields in CHECKS if any(getattr(bounds, field) is not None for field in fields)]
    if of_account or any(getattr(bounds, field) is not None for field in RESERVES):
        own.append(margin)
    return (*ALWAYS, *own)


def _share(case: Case, code: str, field: str, most: int, value: int, what: str) -> Denial | None:
    equity = case.equity
    if equity is None:
        return _unknown_equity(case, field, most)
    if value * NANO <= most * equity:
        return None
    shown = decimal_text(-(-value * NANO // equity)) if equity > 0 else "infinite"
    limit = decimal_text(most)
    return case.deny(code, f"{what} would be {shown} of the equity, {limit} is allowed", field, limit, shown)


def _lost(case: Case, code: str, field: str, most: int, before: int | None, since: str) -> Denial | None:
    equity = case.equity
    if equity is None or before is None:
        return _unknown_equity(case, field, most)
    lost = before - equity
    if before > 0 and lost * NANO < most * before:
        return None
    shown = decimal_text(lost * NANO // before) if before > 0 else "infinite"
    limit = decimal_text(most)
    return case.deny(code, f"{shown} of the equity was lost {since}, {limit} ends trading", field, limit, shown)


def _below(case: Case, field: str, least: int, free: int) -> Denial:
    limit, value = decimal_text(least), decimal_text(free)
    return case.deny("cash", f"{value} would stay available, {limit} is the reserve", field, limit, value)


def _unpriced(case: Case, market: str, field: str, limit: int) -> Denial:
    reason = f"no price of {market} in the account's currency is known"
    return case.deny("unknown_reference_price", reason, field, decimal_text(limit), market)


def _unknown_equity(case: Case, field: str, limit: int) -> Denial:
    return case.deny("unknown_equity", "the equity is not known", field, decimal_text(limit), "")
