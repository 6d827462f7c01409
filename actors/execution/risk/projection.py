"""The worst that open orders can make of positions: every one of them filled, on the side where that hurts.

For each market (and leg, with hedging) the highest and the lowest quantity that may be reached. Reduce-only orders
bring a position to zero at most, and only then the others open the opposite one. Of orders with the same `oco` only
the largest counts on each side.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from actors.execution.risk.view import OpenOrder
from protocols.orders import NewOrder, PositionSide

Key = tuple[str, PositionSide]
Reach = tuple[int, int]
"""Highest and lowest quantity."""


def as_open(order: NewOrder) -> OpenOrder:
    """An order that is about to be sent, as an open one."""
    return OpenOrder(
        order.client_order_id,
        order.deployment_id,
        order.market,
        order.side,
        order.size,
        order.price,
        order.reduce_only,
        order.position_side,
        order.parent,
        order.oco,
    )


def reduces_leg(order: OpenOrder | NewOrder) -> bool:
    """Whether it can only reduce, whatever the position: it says so, or goes against the leg that it names."""
    if order.reduce_only:
        return True
    return (order.position_side == "long" and order.side == "sell") or (
        order.position_side == "short" and order.side == "buy"
    )


def reach(position: int, orders: Iterable[OpenOrder]) -> Reach:
    """The highest and the lowest quantity that a position may come to by these orders of its market and leg."""
    sums: dict[tuple[str, bool], int] = defaultdict(int)
    groups: dict[tuple[str, bool, str], int] = {}
    for order in orders:
        kind = (order.side, reduces_leg(order))
        if order.oco:
            group = (*kind, order.oco)
            groups[group] = max(groups.get(group, 0), order.leaves)
        else:
            sums[kind] += order.leaves
    for (side, reducing, _), leaves in groups.items():
        sums[side, reducing] += leaves
    highest = min(position + sums["buy", True], 0) if position < 0 else position
    lowest = max(position - sums["sell", True], 0) if position > 0 else position
    return highest + sums["buy", False], lowest - sums["sell", False]


def project(positions: Iterable[tuple[str, PositionSide, int]], orders: Iterable[OpenOrder]) -> dict[Key, Reach]:
    """Highest and lowest quantity of each market and leg that has a position or an order that may make one."""
    held: dict[Key, int] = {}
    for market, side, quantity in positions:
        held[market, side] = quantity
    by_key: dict[Key, list[OpenOrder]] = {}
    for order in orders:
        by_key.setdefault((order.market, order.position_side), []).append(order)
    reached = {key: (quantity, quantity) for key, quantity in held.items() if key not in by_key}
    for key, own in by_key.items():
        found = reach(held.get(key, 0), own)
        if found != (0, 0):
            reached[key] = found
    return reached


def only_reduces(order: NewOrder, position: int, others: Iterable[OpenOrder]) -> bool:
    """Whether an order can only bring `position` (of its leg) nearer to zero, with the other open orders of its side.

    `reduce_only` does; so does one against a position that the others of that side leave large enough for it.
    """
    if reduces_leg(order):
        return True
    same_side = [each for each in others if each.side == order.side]
    highest, lowest = reach(position, [*same_side, as_open(order)])
    return (position > 0 and order.side == "sell" and lowest >= 0) or (
        position < 0 and order.side == "buy" and highest <= 0
    )
