"""What trading cost: an order log held against the prices of its markets.

Signs: d is 1 of a buy and -1 of a sell, m₀ the mid when the order was decided, m the mid at the fill, p the fill's
price. Costs are positive where they are costs, markouts where the price went our way.

    arrival slippage   d (p - m₀)                                  Kissell, The Science of Algorithmic Trading, ch. 3
    shortfall          arrival slippage + fees + d (mₑ - m₀) of what was not filled, mₑ at the order's end
                       Perold, The Implementation Shortfall, JPM 14(3), 1988
    effective spread   2 d (p - m) / m                             SEC Rule 605, 17 CFR 242.600
    realised spread    2 d (p - m[t + h]) / m                      the same, with h = 5 minutes
    markout            d (m[t + h] - p) / p

A taker meets the market as it is at its fill, a maker is filled by a message that changes it: the mid of a maker's fill
is that before the message. What is not known is None and counted, never 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from statistics import median
from typing import Final

import msgspec

from actors.research.analysis.market_track import Prices
from actors.research.analysis.order_log import OrderStory
from protocols.nanos import NANO, exact_nanos
from protocols.orders import Fill

HORIZONS: Final = (1 * NANO, 10 * NANO, 60 * NANO, 300 * NANO)
REALISED: Final = 300 * NANO
BPS: Final = 10_000
CENT: Final = NANO // 100
UNSENT: Final = frozenset({"denied", "rejected"})


class FillCost(msgspec.Struct, frozen=True, kw_only=True):
    """A fill. Money in nanos of `currency`; spreads and markouts in basis points; None: not known.

    `arrival`, `base`: slippage in money, and what it is measured on. `markouts`: by horizon in ns.
    """

    client_order_id: str
    market: str
    side: str
    kind: str
    liquidity: str
    ts: int
    notional: int
    currency: str
    fee: int
    fee_currency: str
    arrival: Fraction | None
    base: Fraction | None
    effective: float | None
    realised: float | None
    markouts: dict[int, float | None]
    markout_money: dict[int, Fraction | None]


class OrderCost(msgspec.Struct, frozen=True, kw_only=True):
    """An order. `sent`: it came to the venue. `first_ns`, `complete_ns`: from its decision to its first and last fill.

    `opportunity`: what was not filled would have made; None: not known. Of orders that hang on others (brackets) it
    is nothing: they were not meant to be filled all.
    """

    client_order_id: str
    market: str
    side: str
    kind: str
    state: str
    sent: bool
    ts: int
    size: int
    filled: int
    mid: int | None
    first_ns: int | None
    complete_ns: int | None
    currency: str
    opportunity: Fraction | None
    paper: Fraction | None
    """What it was worth at the mid when it was decided."""
    fills: tuple[FillCost, ...]


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A cost of a group: basis points, money by currency (nanos), how many fills or orders it is of, and lacks."""

    bps: float | None
    money: dict[str, int]
    known: int
    unknown: int


class GroupCost(msgspec.Struct, frozen=True, kw_only=True):
    """Costs of some orders. `fill_ratio`: what was filled of what was sent, by value at the limit of what is known.

    Means of spreads and markouts are weighted by notional. `None`: not known; of maker and taker, which are fills and
    no orders, there is no ratio, no time and no shortfall.
    """

    by: str
    name: str
    orders: int
    sent: int
    filled_orders: int
    fills: int
    notional: dict[str, int]
    fill_ratio: float | None
    first_ns: float | None
    complete_ns: float | None
    arrival: Figure
    shortfall: Figure | None
    effective: Figure
    realised: Figure
    markouts: dict[int, Figure]
    fees: dict[str, int]
    fees_bps: float | None


def order_costs(
    stories: Iterable[OrderStory],
    prices: Prices,
    *,
    horizons: Sequence[int] = HORIZONS,
    realised_ns: int = REALISED,
) -> list[OrderCost]:
    """The costs of each order, by the prices that are known."""
    found = list(stories)
    units = _units(found)
    return [_order(story, prices, units.get(story.asked.market), horizons, realised_ns) for story in found]


def _units(stories: Iterable[OrderStory]) -> dict[str, tuple[Fraction, str]]:
    """What price times size is worth in each market (its multiplier), and the currency, as fills have booked it."""
    found: dict[str, tuple[Fraction, str]] = {}
    largest: dict[str, int] = {}
    for story in stories:
        for fill in story.fills:
            product = fill.price * fill.size
            if product and abs(product) > largest.get(fill.market, 0):  # the least rounded one
                largest[fill.market] = abs(product)
                found[fill.market] = multiplier(exact_nanos(fill.notional), product), fill.currency
    return found


def multiplier(notional: int, product: int) -> Fraction:
    """The plainest number that makes this notional (rounded to a cent, perhaps) of price times size."""
    raw = Fraction(notional * NANO, product)
    allowed = min(Fraction(CENT // 2), abs(Fraction(notional, 1000)))
    for most in (1, 10, 100, 1000):
        plain = raw.limit_denominator(most)
        if abs(plain - raw) * abs(product) / NANO <= allowed:
            return plain
    return raw


def _order(
    story: OrderStory,
    prices: Prices,
    unit: tuple[Fraction, str] | None,
    horizons: Sequence[int],
    realised_ns: int,
) -> OrderCost:
    order, market = story.asked, story.asked.market
    size = story.order.size
    mid = prices.mid(market, story.created)
    times = [_when(fill) - story.created for fill in story.fills]
    value = None if unit is None else unit[0]
    left = max(0, size - story.filled)
    return OrderCost(
        client_order_id=story.name,
        market=market,
        side=order.side,
        kind=order.kind,
        state=story.state,
        sent=story.state not in UNSENT and story.state != "held",
        ts=story.created,
        size=size,
        filled=story.filled,
        mid=mid,
        first_ns=times[0] if times else None,
        complete_ns=times[-1] if times and not left else None,
        currency="" if unit is None else unit[1],
        opportunity=_opportunity(story, prices, mid, left, value),
        paper=None if mid is None or value is None else Fraction(size * mid, NANO) * value,
        fills=tuple(
            _fill(story, fill, prices, mid, horizons=horizons, realised_ns=realised_ns, unit=value or Fraction(1))
            for fill in story.fills
        ),
    )


def _opportunity(
    story: OrderStory, prices: Prices, mid: int | None, left: int, value: Fraction | None
) -> Fraction | None:
    order = story.asked
    if not left or order.parent or order.oco:
        return Fraction(0)
    end = story.ended
    after = None if end is None else prices.mid(order.market, end)
    if mid is None or after is None or value is None:
        return None
    return Fraction(story.direction * (after - mid) * left, NANO) * value


def _when(fill: Fill) -> int:
    """The venue's time of a fill, or ours where it has none."""
    return fill.ts_event or fill.ts


def _fill(
    story: OrderStory,
    fill: Fill,
    prices: Prices,
    mid: int | None,
    *,
    horizons: Sequence[int],
    realised_ns: int,
    unit: Fraction,
) -> FillCost:
    sign, ts, market = story.direction, _when(fill), fill.market
    at = prices.before(market, ts) if fill.liquidity == "maker" else prices.mid(market, ts)
    later = prices.mid(market, ts + realised_ns)
    after = {horizon: prices.mid(market, ts + horizon) for horizon in horizons}
    worth = Fraction(fill.size, NANO) * unit
    return FillCost(
        client_order_id=fill.client_order_id,
        market=market,
        side=story.asked.side,
        kind=story.asked.kind,
        liquidity=fill.liquidity,
        ts=ts,
        notional=exact_nanos(fill.notional),
        currency=fill.currency,
        fee=fill.fee,
        fee_currency=fill.fee_currency,
        arrival=None if mid is None else sign * (fill.price - mid) * worth,
        base=None if mid is None else mid * worth,
        effective=_share(2 * sign * (fill.price - at), at) if at else None,
        realised=_share(2 * sign * (fill.price - later), at) if at and later is not None else None,
        markouts={
            horizon: None if price is None or not fill.price else _share(sign * (price - fill.price), fill.price)
            for horizon, price in after.items()
        },
        markout_money={
            horizon: None if price is None else sign * (price - fill.price) * worth for horizon, price in after.items()
        },
    )


def _share(part: int, whole: int) -> float:
    return BPS * part / abs(whole)


# -- groups ----------------------------------------------------------------------------------------------------------


def groups(costs: Sequence[OrderCost], horizons: Sequence[int] = HORIZONS) -> list[GroupCost]:
    """All orders, and the same by market, side, kind; fills by maker and taker."""
    found = [_group("all", "all", costs, horizons)]
    keys: tuple[tuple[str, Callable[[OrderCost], str]], ...] = (
        ("market", lambda cost: cost.market),
        ("side", lambda cost: cost.side),
        ("kind", lambda cost: cost.kind),
    )
    for by, key in keys:
        for name in sorted({key(cost) for cost in costs}):
            found.append(_group(by, name, [cost for cost in costs if key(cost) == name], horizons))
    for name in sorted({fill.liquidity for cost in costs for fill in cost.fills}):
        found.append(_liquidity(name, costs, horizons))
    return found


def _liquidity(name: str, costs: Sequence[OrderCost], horizons: Sequence[int]) -> GroupCost:
    own = [
        msgspec.structs.replace(cost, fills=fills)
        for cost in costs
        if (fills := tuple(fill for fill in cost.fills if fill.liquidity == name))
    ]
    return msgspec.structs.replace(
        _group("liquidity", name, own, horizons), fill_ratio=None, first_ns=None, complete_ns=None, shortfall=None
    )


def _group(by: str, name: str, costs: Sequence[OrderCost], horizons: Sequence[int]) -> GroupCost:
    fills = [fill for cost in costs for fill in cost.fills]
    sent = [cost for cost in costs if cost.sent]
    notional = _sum((fill.currency, fill.notional) for fill in fills)
    fees = _sum((fill.fee_currency, fill.fee) for fill in fills if fill.fee)
    return GroupCost(
        by=by,
        name=name,
        orders=len(costs),
        sent=len(sent),
        filled_orders=sum(bool(cost.fills) for cost in sent),
        fills=len(fills),
        notional=notional,
        fill_ratio=_ratio(sent),
        first_ns=_middle(cost.first_ns for cost in sent),
        complete_ns=_middle(cost.complete_ns for cost in sent),
        arrival=_money_figure([(fill.currency, fill.arrival, fill.base) for fill in fills]),
        shortfall=_shortfall(sent),
        effective=_mean(fills, lambda fill: fill.effective),
        realised=_mean(fills, lambda fill: fill.realised),
        markouts={horizon: _markout(fills, horizon) for horizon in horizons},
        fees=fees,
        fees_bps=_fees_bps(fees, notional),
    )


def _ratio(sent: Sequence[OrderCost]) -> float | None:
    """Of what was sent, by size in one market, else the mean of the orders' own shares."""
    sized = [cost for cost in sent if cost.size]
    if not sized:
        return None
    if len({cost.market for cost in sized}) == 1:
        return sum(cost.filled for cost in sized) / sum(cost.size for cost in sized)
    return sum(min(1.0, cost.filled / cost.size) for cost in sized) / len(sized)


def _shortfall(sent: Sequence[OrderCost]) -> Figure:
    return _money_figure([(cost.currency, _lost(cost), cost.paper) for cost in sent])


def _lost(cost: OrderCost) -> Fraction | None:
    parts = [fill.arrival for fill in cost.fills]
    if cost.opportunity is None or cost.paper is None or any(part is None for part in parts):
        return None
    if any(fill.fee and fill.fee_currency != fill.currency for fill in cost.fills):
        return None
    fees = sum(fill.fee for fill in cost.fills)
    return sum((part for part in parts if part is not None), Fraction(0)) + fees + cost.opportunity


def _money_figure(parts: Sequence[tuple[str, Fraction | None, Fraction | None]]) -> Figure:
    """Money, and its share of what it is measured on; the share only where there is one currency."""
    known = [(currency, cost, base) for currency, cost, base in parts if cost is not None and base is not None]
    money: dict[str, Fraction] = {}
    for currency, cost, _ in known:
        money[currency] = money.get(currency, Fraction(0)) + cost
    whole = sum((abs(base) for _, _, base in known), Fraction(0))
    bps = float(BPS * sum(money.values()) / whole) if whole and len(money) == 1 else None
    rounded = {currency: round(amount) for currency, amount in money.items()}
    return Figure(bps=bps, money=rounded, known=len(known), unknown=len(parts) - len(known))


def _mean(fills: Sequence[FillCost], figure: Callable[[FillCost], float | None]) -> Figure:
    """The mean weighted by notional; in money half of the spread, which is what a fill paid."""
    known = [(fill, value) for fill in fills if (value := figure(fill)) is not None]
    whole = sum(abs(fill.notional) for fill, _ in known)
    bps = sum(value * abs(fill.notional) for fill, value in known) / whole if whole else None
    money = _sum((fill.currency, round(value / 2 / BPS * abs(fill.notional))) for fill, value in known)
    return Figure(bps=bps, money=money, known=len(known), unknown=len(fills) - len(known))


def _markout(fills: Sequence[FillCost], horizon: int) -> Figure:
    known = [
        (fill, share, money)
        for fill in fills
        if (share := fill.markouts[horizon]) is not None and (money := fill.markout_money[horizon]) is not None
    ]
    whole = sum(abs(fill.notional) for fill, _, _ in known)
    bps = sum(share * abs(fill.notional) for fill, share, _ in known) / whole if whole else None
    total: dict[str, Fraction] = {}
    for fill, _, money in known:
        total[fill.currency] = total.get(fill.currency, Fraction(0)) + money
    rounded = {currency: round(amount) for currency, amount in total.items()}
    return Figure(bps=bps, money=rounded, known=len(known), unknown=len(fills) - len(known))


def _middle(values: Iterable[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(median(known)) if known else None


def _sum(amounts: Iterable[tuple[str, int]]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for currency, amount in amounts:
        found[currency] += amount
    return dict(found)


def _fees_bps(fees: Mapping[str, int], notional: Mapping[str, int]) -> float | None:
    if not notional or len(notional) > 1 or set(fees) - set(notional):
        return None
    currency = next(iter(notional))
    return BPS * fees.get(currency, 0) / abs(notional[currency]) if notional[currency] else None
