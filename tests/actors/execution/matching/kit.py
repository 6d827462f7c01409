"""Short ways to say what a market and an order are. Prices in cents, sizes in units."""

from __future__ import annotations

from typing import Any

import msgspec

from actors.execution.matching.settings import FeeSettings, FillSettings
from actors.execution.matching.venue import SimulatedVenue
from protocols.instruments import Instrument, PriceRange
from protocols.market import Bar, BookUpdate, LevelChange, Quote, Side, Trade
from protocols.nanos import NANO
from protocols.orders import NewOrder, VenueCancelled, VenueFilled, VenueReport

CENT = NANO // 100
FREE = FeeSettings(model="none")
Change = tuple[Side, int, int]


def instrument(market: str = "M", **changes: Any) -> Instrument:
    base = Instrument(
        market=market,
        symbol=market,
        venue="test",
        kind="spot",
        currency="USD",
        price_ranges=(PriceRange(0, 1_000_000 * NANO, CENT),),
        lot=NANO,
        maker_fee="0",
        taker_fee="0",
    )
    return msgspec.structs.replace(base, **changes)


def venue(*instruments: Instrument, seed: int = 1, **settings: Any) -> SimulatedVenue:
    made = SimulatedVenue(FillSettings(**settings), seed=seed)
    for each in instruments or (instrument(),):
        made.define(each)
    return made


def book(seq: int, *changes: Change, ts: int | None = None, ts_event: int | None = None, **more: Any) -> BookUpdate:
    at = seq * 10 if ts is None else ts
    fields: dict[str, Any] = {"market": "M", "kind": "absolute", "snapshot": False, "session": "s", **more}
    return BookUpdate(
        changes=tuple(LevelChange(side, price * CENT, size * NANO) for side, price, size in changes),
        seq=seq,
        ts_event=at if ts_event is None else ts_event,
        ts_recv=at,
        **fields,
    )


def snapshot(seq: int, *changes: Change, **more: Any) -> BookUpdate:
    return book(seq, *changes, snapshot=True, **more)


def quote(
    seq: int, bid: int | None, bid_size: int, ask: int | None, ask_size: int, marks: tuple[str, ...] = ()
) -> Quote:
    return Quote(
        "M",
        None if bid is None else bid * CENT,
        bid_size * NANO,
        None if ask is None else ask * CENT,
        ask_size * NANO,
        "s",
        seq,
        seq * 10,
        seq * 10,
        marks,
    )


def trade(seq: int, price: int, size: int, taker: Any = "sell", ts: int | None = None, block: bool = False) -> Trade:
    at = seq * 10 if ts is None else ts
    return Trade("M", price * CENT, size * NANO, taker, f"t{seq}", "s", seq, at, at, block)


def bar(index: int, open: int, high: int, low: int, close: int, volume: str = "1000", empty: bool = False) -> Bar:
    minute = 60 * NANO
    return Bar(
        market="M",
        interval="1m",
        start=index * minute,
        end=(index + 1) * minute,
        open=open * CENT,
        high=high * CENT,
        low=low * CENT,
        close=close * CENT,
        volume=volume,
        trades=None,
        vwap=None,
        source="venue",
        ts_recv=(index + 1) * minute,
        empty=empty,
    )


def order(name: str, side: Any, size: int, price: int | None = None, **more: Any) -> NewOrder:
    for field in ("stop_price", "trail"):
        if field in more:
            more[field] *= CENT
    if "display" in more:
        more["display"] *= NANO
    kind = more.pop("kind", "market" if price is None else "limit")
    return NewOrder(
        client_order_id=name,
        market=more.pop("market", "M"),
        side=side,
        kind=kind,
        size=size * NANO,
        price=None if price is None else price * CENT,
        **more,
    )


def send(made: SimulatedVenue, *orders: NewOrder, ts: int) -> list[VenueReport]:
    """Submit them and read what is told at once."""
    for each in orders:
        made.submit(each, ts)
    made.advance(ts)
    return made.take(ts)


def tell(made: SimulatedVenue, message: Any) -> list[VenueReport]:
    """A market's message at its own time, and what is told then."""
    ts = message.ts_recv
    made.market(message, ts)
    made.advance(ts)
    return made.take(ts)


def fills(reports: list[VenueReport]) -> list[tuple[str, int, int]]:
    """(order, price in cents, size in units) of each fill."""
    return [
        (each.client_order_id, each.price // CENT, each.size // NANO)
        for each in reports
        if isinstance(each, VenueFilled)
    ]


def first_fill(reports: list[VenueReport]) -> VenueFilled:
    return next(each for each in reports if isinstance(each, VenueFilled))


def ends(reports: list[VenueReport]) -> list[tuple[str, str]]:
    """(order, code) of each cancellation."""
    return [(each.client_order_id, each.code) for each in reports if isinstance(each, VenueCancelled)]
