"""What HTTP can ask about instruments. Prices, sizes and fees are decimal strings with exact digits."""

from __future__ import annotations

from typing import Annotated

import msgspec

from actors.edge.call import Call
from actors.edge.routing import Route, get
from protocols.instruments import MOST_LISTED, GetInstrument, Instrument, Kind, ListInstruments
from protocols.nanos import decimal_text
from protocols.paths import INSTRUMENTS

TAGS = ("markets",)


class PriceRangeBody(msgspec.Struct, frozen=True):
    """Prices from `start` to `end` are multiples of `step` above `start`."""

    start: str
    end: str
    step: str


class InstrumentBody(msgspec.Struct, frozen=True):
    """What can be traded and in which steps, from `valid_from` on. What a venue does not name is null.

    `symbol` is the venue's name, `market` ours. `calendar`: the exchange's, empty where it is always open. Times in
    nanoseconds since the Unix epoch, UTC. `source`: the endpoint that said so.
    """

    market: str
    symbol: str
    venue: str
    kind: str
    title: str
    currency: str
    base: str
    price_ranges: tuple[PriceRangeBody, ...]
    lot: str
    multiplier: str
    minimum_size: str | None
    maximum_size: str | None
    minimum_notional: str | None
    maker_fee: str | None
    taker_fee: str | None
    order_types: tuple[str, ...]
    calendar: str
    status: str
    opens: int | None
    closes: int | None
    data_only: bool
    valid_from: int
    source: str
    marks: tuple[str, ...]


class InstrumentsBody(msgspec.Struct, frozen=True):
    """Instruments sorted by market; with `more`, ask again `after` the last."""

    instruments: tuple[InstrumentBody, ...]
    more: bool


class InstrumentQuery(msgspec.Struct, frozen=True):
    """`at`: as of this time in nanoseconds; without, as of now."""

    market: str
    at: Annotated[int, msgspec.Meta(ge=0)] | None = None


class InstrumentsQuery(msgspec.Struct, frozen=True):
    """All, or those of a venue, of a kind, behind a market."""

    venue: str = ""
    kind: Kind | None = None
    after: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_LISTED)] = 100


async def one_instrument(request: InstrumentQuery, call: Call) -> InstrumentBody:
    """What a market is, or was at a time."""
    return _body(await call.ref(INSTRUMENTS).ask(GetInstrument(request.market, request.at)))


async def list_instruments(request: InstrumentsQuery, call: Call) -> InstrumentsBody:
    """What can be traded now."""
    asked = ListInstruments(venue=request.venue, kind=request.kind or "", after=request.after, limit=request.limit)
    page = await call.ref(INSTRUMENTS).ask(asked)
    return InstrumentsBody(tuple(_body(each) for each in page.instruments), page.more)


def _body(found: Instrument) -> InstrumentBody:
    return InstrumentBody(
        market=found.market,
        symbol=found.symbol,
        venue=found.venue,
        kind=found.kind,
        title=found.title,
        currency=found.currency,
        base=found.base,
        price_ranges=tuple(
            PriceRangeBody(decimal_text(each.start), decimal_text(each.end), decimal_text(each.step))
            for each in found.price_ranges
        ),
        lot=decimal_text(found.lot),
        multiplier=decimal_text(found.multiplier),
        minimum_size=decimal_text(found.minimum_size) if found.minimum_size else None,
        maximum_size=None if found.maximum_size is None else decimal_text(found.maximum_size),
        minimum_notional=decimal_text(found.minimum_notional) if found.minimum_notional else None,
        maker_fee=found.maker_fee,
        taker_fee=found.taker_fee,
        order_types=found.order_types,
        calendar=found.calendar,
        status=found.status,
        opens=found.opens,
        closes=found.closes,
        data_only=found.data_only,
        valid_from=found.valid_from,
        source=found.source,
        marks=found.marks,
    )


routes: list[Route] = [
    get("/api/v1/instruments", list_instruments, summary="What can be traded", tags=TAGS),
    get("/api/v1/instruments/{market}", one_instrument, summary="What a market is, or was at a time", tags=TAGS),
]
