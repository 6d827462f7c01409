"""How a fill is booked: position, cash, profit and fee in one entry.

A fee is a posting of its own, in its own currency. One that a spot venue takes in the asset that was traded (Binance
without BNB) makes the position smaller: it is a sale of that much at the fill's price, whose proceeds pay the fee.
Where less than the fee is held, it is owed in that asset.
"""

from __future__ import annotations

from typing import NamedTuple

from actors.execution.accounts.booking import Books
from actors.execution.accounts.ledger import Posting
from actors.execution.accounts.positions import Position
from actors.execution.accounts.rounding import money, share
from actors.execution.accounts.trips import Cause
from protocols.orders import NewOrder, VenueFilled


class BookedFill(NamedTuple):
    """What booking it came to: nanos of `currency`. `notional` is signed, bought is positive."""

    notional: int
    realized: int
    currency: str


def book_fill(books: Books, fill: VenueFilled, order: NewOrder, ts: int) -> BookedFill:
    """Book it. Raises ValueError for an unknown market."""
    market = fill.market
    signed = fill.size if fill.side == "buy" else -fill.size
    slices = books.positions.slices(order, signed)
    position = books.whole(market, slices[0][0])
    currency = position.currency
    fee_currency = fill.fee_currency or currency
    notional = money(fill.price, signed, position.multiplier, position.step, position.rule)
    cause = Cause.of(order)
    postings: list[Posting] = []
    realized = 0
    instrument = books.instruments[market]
    in_kind = fill.fee > 0 and instrument.kind == "spot" and fee_currency == instrument.base != currency
    if in_kind:
        mine = books.positions.ensure_part(position, order.deployment_id).quantity
        in_kind = len(slices) == 1 and min(position.quantity, mine) + signed >= fill.fee
    left, fee_left = notional, 0 if in_kind else fill.fee
    for place, (side, quantity) in enumerate(slices, 1):
        whole = place == len(slices)
        position = books.whole(market, side)
        part_notional = left if whole else share(notional, quantity, signed, position.step, position.rule)
        part_fee = fee_left if whole else share(fill.fee, quantity, signed)
        left -= part_notional
        fee_left -= part_fee
        realized += books.trade(postings, position, quantity, part_notional, "realised")
        part = books.trade_part(
            position, order.deployment_id, quantity, part_notional, ts, cause, part_fee, fee_currency
        )
        if part_fee and fee_currency == currency:
            position.fees += part_fee
            part.fees += part_fee
    if in_kind:
        realized += _take_in_kind(books, postings, position, fill, order, ts, cause)
    elif fill.fee:
        postings.append(Posting("cash", fee_currency, -fill.fee))
        postings.append(Posting("fees", fee_currency, fill.fee))
    books.ledger.post(ts, "fill", fill.fill_id, postings, market=market, deployment_id=order.deployment_id)
    return BookedFill(notional, realized, currency)


def _take_in_kind(
    books: Books,
    postings: list[Posting],
    position: Position,
    fill: VenueFilled,
    order: NewOrder,
    ts: int,
    cause: Cause,
) -> int:
    value = money(fill.price, fill.fee, position.multiplier, position.step, position.rule)
    profit = books.trade(postings, position, -fill.fee, -value, "realised")
    # The sale's proceeds never were at hand: they are the fee.
    postings.append(Posting("cash", position.currency, -value))
    postings.append(Posting("fees", position.currency, value))
    part = books.positions.ensure_part(position, order.deployment_id)
    position.fees += value
    part.fees += value
    books.trips.shrunk(part, part.trade(-fill.fee, -value), value, ts, cause)
    return profit
