"""What a venue says of an account held against what we hold: before trading resumes, and whenever somebody asks.

A core. Fills that we missed are inputs; orders that we hold for open are the gateway's to ask for; what neither
explains is a difference, and with one of a position or of money nothing but reducing is allowed until a person has
said what is right.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from actors.execution.engine import Engine
from protocols.gateways import Adopted, VenueState
from protocols.nanos import decimal_text
from protocols.orders import VenueFilled

OVERLAP_NS = 60_000_000_000
"""Fills are asked for from so long before the last one that we know: the venue's clock is not ours."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that does not agree. `ours`, `theirs`: decimal text, or empty where there is none."""

    kind: Literal["position", "cash", "order", "fill"]
    what: str
    ours: str
    theirs: str


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a comparison: missed fills, in order, and what does not agree when they are booked."""

    missed: tuple[VenueFilled, ...]
    differences: tuple[Difference, ...]


def adopted(engine: Engine, fill_ids: dict[str, tuple[str, ...]]) -> tuple[Adopted, ...]:
    """The open orders that may be at the venue, for a gateway that has just started."""
    return tuple(
        Adopted(
            order=working.order,
            venue_order_id=working.venue_order_id,
            known=bool(working.venue_order_id) or working.filled > 0,
            filled=working.filled,
            fill_ids=fill_ids.get(working.order.client_order_id, ()),
            sent=working.ts_created,
        )
        for working in engine.blotter
        if working.at_venue
    )


def missed_fills(engine: Engine, state: VenueState) -> tuple[VenueFilled, ...]:
    """Fills of our orders that are not booked."""
    return tuple(
        fill
        for fill in state.fills
        if fill.client_order_id in engine.blotter and not engine.account.has_fill(fill.fill_id)
    )


def differences(engine: Engine, state: VenueState, *, spot: bool) -> tuple[Difference, ...]:
    """What does not agree, once all missed fills are booked."""
    found: list[Difference] = []
    for fill in state.fills:
        if fill.client_order_id not in engine.blotter and not engine.account.has_fill(fill.fill_id):
            price = f"{fill.side} {decimal_text(fill.size)} at {decimal_text(fill.price)}"
            found.append(Difference(kind="fill", what=f"{fill.market} {fill.fill_id}", ours="", theirs=price))
    for order in state.open_orders:
        if order.client_order_id not in engine.blotter.open:
            found.append(
                Difference(
                    kind="order",
                    what=order.client_order_id or order.venue_order_id,
                    ours="",
                    theirs=f"{order.side} {decimal_text(order.size - order.filled)} of {order.market}",
                )
            )
    if not spot:
        theirs = {each.market: each.quantity for each in state.positions}
        ours = dict(engine.account.net_positions())
        for market in sorted({*theirs, *ours}):
            if theirs.get(market, 0) != ours.get(market, 0):
                found.append(
                    Difference(
                        kind="position",
                        what=market,
                        ours=decimal_text(ours.get(market, 0)),
                        theirs=decimal_text(theirs.get(market, 0)),
                    )
                )
    found += _balances(engine, state, spot=spot)
    return tuple(found)


def _balances(engine: Engine, state: VenueState, *, spot: bool) -> list[Difference]:
    """Money, and of a spot account the assets that are our positions."""
    assets: dict[str, int] = {}
    if spot:
        for market, quantity in engine.account.net_positions().items():
            instrument = engine.instruments.get(market)
            if instrument is not None:
                assets[instrument.base] = assets.get(instrument.base, 0) + quantity
    found = []
    for balance in state.balances:
        ours = engine.account.cash(balance.currency) + assets.get(balance.currency, 0)
        if ours != balance.total:
            found.append(
                Difference(
                    kind="cash", what=balance.currency, ours=decimal_text(ours), theirs=decimal_text(balance.total)
                )
            )
    return found
