"""An order that would meet another one of the same account: nobody may trade with oneself.

The core says what is to be done; the engine does it. Modes, as venues name them:

* `deny_new`: the new order is denied.
* `cancel_resting`: the resting ones that it would meet are cancelled, then it goes.
* `decrease`: both sides lose what they would have traded with one another, the resting ones from the best price on. A
  resting order of which nothing is left is cancelled; where nothing is left of the new one, it is denied.

Whom an order would meet: a limit meets every opposite price up to its own. A market order walks the book: as far as
the caller says (`reach`), else what rests at or before the best opposite price (`best`); without either, everybody.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from actors.execution.risk.limits import Denial
from protocols.nanos import decimal_text
from protocols.orders import NewOrder, Side

SelfTradeMode = Literal["deny_new", "cancel_resting", "decrease"]


class Resting(msgspec.Struct, frozen=True, gc=False):
    """An order of the account that may be in the book of this market. `price` None: it never rests."""

    client_order_id: str
    deployment_id: str
    side: Side
    price: int | None
    leaves: int


class Resolution(msgspec.Struct, frozen=True):
    """What is to be done before the new order goes, in this order. `size`: what the new one has from now on, None: as
    it is. `decrease`: resting orders and what each may still have to fill."""

    denial: Denial | None = None
    cancel: tuple[str, ...] = ()
    decrease: tuple[tuple[str, int], ...] = ()
    size: int | None = None


NOTHING = Resolution()


def met(order: NewOrder, resting: Iterable[Resting], best: int | None, reach: int | None = None) -> list[Resting]:
    """Those that the order would trade with, best price first, then in the order given.

    A stop is judged when it is triggered: it is not in the book before. A post-only order never takes.
    """
    if order.post_only or order.kind in ("stop", "stop_limit", "trailing_stop"):
        return []
    up_to = order.price if order.kind == "limit" else reach if reach is not None else best
    sign = 1 if order.side == "buy" else -1
    found = [
        each
        for each in resting
        if each.side != order.side
        and each.price is not None
        and each.leaves > 0
        and each.client_order_id != order.client_order_id
        and (up_to is None or sign * each.price <= sign * up_to)
    ]
    return sorted(found, key=lambda each: sign * (each.price or 0))


def resolve(
    mode: SelfTradeMode,
    order: NewOrder,
    resting: Iterable[Resting],
    best: int | None,
    reach: int | None = None,
) -> Resolution:
    """What to do about an order and the account's resting orders of its market, as `mode` says. Prices in nanos."""
    would_meet = met(order, resting, best, reach)
    if not would_meet:
        return NOTHING
    first = would_meet[0]
    if mode == "deny_new":
        return Resolution(denial=_denied(order, first, decimal_text(order.size)))
    if mode == "cancel_resting":
        return Resolution(cancel=tuple(each.client_order_id for each in would_meet))
    left = order.size
    cancel: list[str] = []
    decrease: list[tuple[str, int]] = []
    for each in would_meet:
        if not left:
            break
        taken = min(left, each.leaves)
        left -= taken
        if taken == each.leaves:
            cancel.append(each.client_order_id)
        else:
            decrease.append((each.client_order_id, each.leaves - taken))
    denial = None if left else _denied(order, first, "0")
    return Resolution(denial, tuple(cancel), tuple(decrease), left or None)


def _denied(order: NewOrder, other: Resting, left: str) -> Denial:
    return Denial(
        "self_trade",
        f"it would meet {other.client_order_id} of {other.deployment_id or 'the account'} "
        f"at {decimal_text(other.price or 0)}",
        "side",
        other.client_order_id,
        left,
    )
