"""What a signal came to, whether it was traded or not: the return on the exit side, after costs.

A declined signal would have been opened at the side that takes (a BUY at the ask) and closed, when it expires or after
the deployment's horizon, at the other (at the bid). What no quote tells is unknown; it is never zero.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

LARGEST: float = 1e3
"""A return beyond it (100,000 %) is no return but a fault of the source."""


class Quoted(msgspec.Struct, frozen=True, gc=False):
    """The best prices of a moment; None: there was none on that side."""

    bid: float | None
    ask: float | None


def exit_side_return(
    action: Literal["BUY", "SELL"], opened: Quoted, closed: Quoted, fee_rate: float = 0.0
) -> float | None:
    """Return as a share of what was opened, `fee_rate` of each leg taken off. None: it cannot be known."""
    if action == "BUY":
        price, exit_price, sign = opened.ask, closed.bid, 1.0
    else:
        price, exit_price, sign = opened.bid, closed.ask, -1.0
    if price is None or exit_price is None or not (math.isfinite(price) and math.isfinite(exit_price)) or price <= 0:
        return None
    found = sign * (exit_price - price) / price - fee_rate * (price + exit_price) / price
    return found if usable(found) else None


def resolves_at(ts_signal: int, expires_at: int | None, horizon_ns: int) -> int:
    """When the outcome of a signal that was not traded is known: at its expiry, else after the horizon (ns)."""
    if expires_at is not None and expires_at > ts_signal:
        return expires_at
    return ts_signal + horizon_ns


def usable(outcome: float | None) -> bool:
    """Whether an outcome may teach anything: known, a number, and possible."""
    return outcome is not None and math.isfinite(outcome) and abs(outcome) <= LARGEST
