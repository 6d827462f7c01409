"""Binance's `exchangeInfo`, read: what each symbol is and in which steps it trades.

Source: `filters.md` and `rest-api.md` of binance-spot-api-docs; "Exchange Information" of USD-M and COIN-M futures. A
bound of "0" is turned off. Fees are an account's, so there are none here.
"""

from __future__ import annotations

from typing import Final, Literal

from protocols.instruments import Instrument, Kind, OrderType, PriceRange, TradingStatus
from protocols.nanos import INT64_MAX, NANO, scaled
from protocols.venues.binance import event_time
from protocols.venues.binance_rest import Filter, SymbolInfo

Venue = Literal["spot", "usdm", "coinm"]

# What never ends is delivered on 2100-12-25.
_NEVER_MS: Final = 4_133_404_800_000
_STATUS: Final[dict[str, TradingStatus]] = {
    "PRE_TRADING": "pre_open",
    "PENDING_TRADING": "pre_open",
    "TRADING": "open",
    "AUCTION_MATCH": "auction",
    "HALT": "halted",
    "BREAK": "halted",
    "POST_TRADING": "closed",
    "END_OF_DAY": "closed",
    "PRE_DELIVERING": "closed",
    "DELIVERING": "closed",
    "PRE_SETTLE": "closed",
    "SETTLING": "closed",
    "CLOSE": "closed",
    "DELIVERED": "settled",
}
_SPOT_ORDERS: Final[dict[str, OrderType]] = {
    "MARKET": "market",
    "LIMIT": "limit",
    "LIMIT_MAKER": "post_only",
    "STOP_LOSS": "stop",
    "STOP_LOSS_LIMIT": "stop_limit",
    "TAKE_PROFIT": "take_profit",
    "TAKE_PROFIT_LIMIT": "take_profit",
}
# On futures STOP is the one with a limit.
_FUTURES_ORDERS: Final[dict[str, OrderType]] = {
    "MARKET": "market",
    "LIMIT": "limit",
    "STOP": "stop_limit",
    "STOP_MARKET": "stop",
    "TAKE_PROFIT": "take_profit",
    "TAKE_PROFIT_MARKET": "take_profit",
    "TRAILING_STOP_MARKET": "trailing_stop",
}
_POST_ONLY: Final = "GTX"


def read_instrument(row: SymbolInfo, kind: Venue, venue: str, market: str, ts: int, source: str) -> Instrument:
    """One symbol's definition as of `ts`. Raises ValueError where a number is none."""
    filters = {each.filter_type: each for each in row.filters}
    price_filter = filters.get("PRICE_FILTER", Filter(filter_type=""))
    lot_filter = filters.get("LOT_SIZE", Filter(filter_type=""))
    tick, fine_tick = _step(price_filter.tick_size)
    lot, fine_lot = _step(lot_filter.step_size)
    most, _ = scaled(lot_filter.max_qty)
    what = _kind(row, kind)
    return Instrument(
        market=market,
        symbol=row.symbol,
        venue=venue,
        kind=what,
        currency=row.quote_asset,
        price_ranges=(_prices(price_filter, tick),),
        lot=lot,
        base=row.base_asset,
        multiplier=NANO if row.contract_size is None else row.contract_size * NANO,
        minimum_size=scaled(lot_filter.min_qty)[0],
        maximum_size=min(most, INT64_MAX) if most else None,
        minimum_notional=_notional(filters),
        order_types=_orders(row, kind),
        status=_STATUS.get(row.status or row.contract_status, "unknown"),
        opens=event_time(row.onboard_date) if row.onboard_date else None,
        closes=event_time(row.delivery_date) if 0 < row.delivery_date < _NEVER_MS else None,
        data_only=fine_tick or fine_lot,
        valid_from=ts,
        source=source,
    )


def _step(digits: str) -> tuple[int, bool]:
    """(nanos of a step, whether it is finer than that); 1 where it is, or where there is none."""
    value, cut = scaled(digits)
    return (value, False) if value and not cut else (1, cut)


def _prices(bounds: Filter, tick: int) -> PriceRange:
    """From the first tick that is allowed to the last; both are multiples of the tick."""
    least = max(scaled(bounds.min_price)[0], tick)
    most = scaled(bounds.max_price)[0]
    most = INT64_MAX if not 0 < most <= INT64_MAX else most
    return PriceRange(-(-least // tick) * tick, most // tick * tick, tick)


def _notional(filters: dict[str, Filter]) -> int:
    found = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL")
    return 0 if found is None else scaled(found.min_notional)[0] or scaled(found.notional)[0]


def _kind(row: SymbolInfo, kind: Venue) -> Kind:
    if kind == "spot":
        return "spot"
    # A contract that is not named yet never ends, or ends.
    named = row.contract_type or ("PERPETUAL" if row.delivery_date in (0, _NEVER_MS) else "")
    return "perpetual" if "PERPETUAL" in named else "future"


def _orders(row: SymbolInfo, kind: Venue) -> tuple[OrderType, ...]:
    """In the venue's order, each once."""
    names = _SPOT_ORDERS if kind == "spot" else _FUTURES_ORDERS
    found = [names[each] for each in row.order_types or row.order_type if each in names]
    if _POST_ONLY in row.time_in_force:
        found.append("post_only")
    if row.allow_trailing_stop:
        found.append("trailing_stop")
    return tuple(dict.fromkeys(found))
