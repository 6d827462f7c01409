"""An order in the form that its venue takes: what a venue lacks is expressed by what it has, or not at all.

* A market order, or one with a price protection, is a limit that may take at once and never rests (IOC) at the worst
  price that its owner accepts: the protection, or else `MARKET_SHARE` beyond the opposite best price.
* DAY is GTD to the end of the UTC day.
* `reduce_only` that the venue has not for this time in force stays a matter of ours: the size was cut to the position.
* Stops, brackets and groups are held (`held.py`), an iceberg without a venue that has them is refused.
"""

from __future__ import annotations

from typing import Final

import msgspec

from actors.execution.risk.limits import Denial
from protocols.gateways import NativeKinds
from protocols.instruments import Instrument
from protocols.nanos import NANO
from protocols.orders import NewOrder

MARKET_SHARE: Final = 50_000_000
"""5 % beyond the opposite best price: what a market order accepts that does not say."""
DAY_NS: Final = 86_400 * NANO


def as_venue_takes(
    order: NewOrder, native: NativeKinds, instrument: Instrument, reference: int | None, ts: int
) -> NewOrder | Denial:
    """The order as it is sent, or why it cannot be. `reference`: the opposite best price, nanos."""
    if order.display is not None and not native.iceberg:
        return Denial("not_native", f"{instrument.venue} has no icebergs", "display")
    if order.post_only and not native.post_only:
        return Denial("not_native", f"{instrument.venue} has no post-only orders", "post_only")
    sent = msgspec.structs.replace(order, oco="", parent="")
    if sent.kind == "market" and ("market" not in native.kinds or sent.protection is not None):
        if reference is None:
            return Denial("unknown_reference_price", "nobody knows what it would meet", "market")
        share = MARKET_SHARE if sent.protection is None else sent.protection
        worst = _worst(instrument, reference, share, buys=sent.side == "buy")
        tif = "FOK" if sent.time_in_force == "FOK" else "IOC"
        sent = msgspec.structs.replace(sent, kind="limit", price=worst, time_in_force=tif, protection=None)
    if sent.time_in_force == "DAY" and "DAY" not in native.times_in_force:
        sent = msgspec.structs.replace(sent, time_in_force="GTD", expires=(ts // DAY_NS + 1) * DAY_NS)
    if sent.time_in_force not in native.times_in_force:
        return Denial("not_native", f"{instrument.venue} has no {sent.time_in_force}", "time_in_force")
    if sent.reduce_only and sent.time_in_force not in native.reduce_only:
        sent = msgspec.structs.replace(sent, reduce_only=False)
    return sent


def _worst(instrument: Instrument, reference: int, share: int, *, buys: bool) -> int:
    """The tick at the edge of what is accepted, within the instrument's prices: rounded toward the reference."""
    away = abs(reference) * share // NANO
    wanted = reference + away if buys else reference - away
    best: int | None = None
    for span in instrument.price_ranges:
        low, high = span.start, span.start + (span.end - span.start) // span.step * span.step
        inside = min(max(wanted, low), high)
        steps = (inside - low) // span.step
        tick = low + steps * span.step
        if not buys and tick < inside:
            tick = min(tick + span.step, high)
        if best is None or abs(tick - wanted) < abs(best - wanted):
            best = tick
    return wanted if best is None else best
