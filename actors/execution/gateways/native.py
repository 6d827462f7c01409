"""Whether a venue takes an order by itself. What it lacks is the emulator's business, not a gateway's."""

from __future__ import annotations

from protocols.gateways import NativeKinds
from protocols.orders import NewOrder


def lacking(order: NewOrder, native: NativeKinds) -> str:
    """What of the order the venue does not have, in words; empty: nothing."""
    if order.kind not in native.kinds:
        return f"{order.kind} orders"
    if order.kind != "market" and order.time_in_force not in native.times_in_force:
        return f"time in force {order.time_in_force}"
    if order.post_only and not native.post_only:
        return "post-only orders"
    if order.reduce_only and order.time_in_force not in native.reduce_only:
        return f"reduce-only orders with {order.time_in_force}"
    if order.display is not None and not native.iceberg:
        return "iceberg orders"
    if order.parent or order.oco:
        return "orders that hang on one another, through this gateway"
    if order.protection is not None:
        return "price protection"
    return ""
