"""A simulated venue's state as it is kept, and back. Heaps and queues keep their order; sums that outgrow int64 are
text."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from actors.execution.matching.contingencies import Linked
from actors.execution.matching.desk import Command, Counters, Desk
from actors.execution.matching.fees import OrderFees
from actors.execution.matching.market import SimulatedMarket
from actors.execution.matching.triggers import Stop
from actors.execution.matching.working import Working
from protocols.instruments import Instrument
from protocols.market import BookUpdate, Level, LevelChange, MarketPhase, Quote
from protocols.orders import VenueReport


class Planned(msgspec.Struct):
    """An entry of the agenda."""

    moment: int
    number: int
    command: Command


class Told(msgspec.Struct):
    """A report on its way to us."""

    moment: int
    report: VenueReport


class BookState(msgspec.Struct):
    """A book of levels."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    session: str
    seq: int
    ts_event: int
    ts_recv: int
    stale: str
    marks: tuple[str, ...]


class MarketState(msgspec.Struct):
    """One market. `mark`: bid, its size, ask, its size, last, ts."""

    market: str
    instrument: Instrument | None
    phase: MarketPhase
    rank: int
    interval: str
    interval_ns: int
    trades_seen: bool
    gaps: int
    expected: int
    book: BookState
    quote: Quote | None
    quote_stale: str
    mark: tuple[int | None, int, int | None, int, int | None, int]
    consumed_bids: dict[int, int]
    consumed_asks: dict[int, int]
    seen_bids: dict[int, int]
    seen_asks: dict[int, int]
    printed_bids: dict[int, list[tuple[int, int]]]
    printed_asks: dict[int, list[tuple[int, int]]]
    orders: list[str]
    resting_bids: dict[int, list[str]]
    resting_asks: dict[int, list[str]]
    stops: list[Stop]


class VenueState(msgspec.Struct):
    """A venue."""

    count: Counters
    agenda: list[Planned]
    reports: list[Told]
    working: list[Working]
    linked: dict[str, Linked]
    filled: dict[str, int]
    fees: dict[str, OrderFees]
    volumes: dict[int, str]
    markets: list[MarketState]


def saved(desk: Desk, markets: Mapping[str, SimulatedMarket]) -> VenueState:
    """Everything that the venue's next answers depend on."""
    return VenueState(
        count=desk.count,
        agenda=[Planned(*entry) for entry in desk.agenda],
        reports=[Told(*entry) for entry in desk.reports],
        working=list(desk.working.values()),
        linked=desk.links.linked,
        filled=desk.links.fills,
        fees=desk.fees.orders,
        volumes={day: str(volume) for day, volume in desk.fees.volumes.items()},
        markets=[_market_state(market) for market in markets.values()],
    )


def load(state: VenueState, desk: Desk, markets: Mapping[str, SimulatedMarket]) -> None:
    """Put a state into a desk and markets that are new."""
    desk.count = state.count
    desk.agenda = [(each.moment, each.number, each.command) for each in state.agenda]
    desk.reports.extend((told.moment, told.report) for told in state.reports)
    desk.working.update((order.name, order) for order in state.working)
    desk.links.linked, desk.links.fills = state.linked, state.filled
    desk.fees.orders = state.fees
    desk.fees.volumes = {day: int(volume) for day, volume in state.volumes.items()}
    for market in state.markets:
        _load_market(market, markets[market.market], desk)


def _market_state(market: SimulatedMarket) -> MarketState:
    mark, liquidity = market.mark, market.liquidity
    liquidity.prune(market.resting, thoroughly=True)
    return MarketState(
        market=market.market,
        instrument=market.instrument,
        phase=market.phase,
        rank=market.rank,
        interval=market.interval,
        interval_ns=market.interval_ns,
        trades_seen=market.trades_seen,
        gaps=market.gaps,
        expected=market.expected,
        book=_book_state(market),
        quote=market.top.quote,
        quote_stale=market.top.stale,
        mark=(mark.bid, mark.bid_size, mark.ask, mark.ask_size, mark.last, mark.ts),
        consumed_bids=liquidity.consumed["bid"],
        consumed_asks=liquidity.consumed["ask"],
        seen_bids=liquidity.seen["bid"],
        seen_asks=liquidity.seen["ask"],
        printed_bids=liquidity.prints["bid"],
        printed_asks=liquidity.prints["ask"],
        orders=list(market.orders),
        resting_bids=market.resting["bid"],
        resting_asks=market.resting["ask"],
        stops=list(market.triggers.stops.values()),
    )


def _book_state(market: SimulatedMarket) -> BookState:
    levels = market.levels
    if levels.stale:
        # Nobody looks at the levels of a stale book before the next snapshot.
        return BookState((), (), "", 0, 0, 0, levels.stale, ())
    view = levels.view()
    return BookState(view.bids, view.asks, view.session, view.seq, view.ts_event, view.ts_recv, "", levels.marks)


def _load_market(state: MarketState, market: SimulatedMarket, desk: Desk) -> None:
    market.instrument = state.instrument
    market.phase = state.phase
    market.rank = state.rank
    market.interval, market.interval_ns = state.interval, state.interval_ns
    market.trades_seen = state.trades_seen
    market.gaps, market.expected = state.gaps, state.expected
    _load_book(state, market)
    market.top.quote = state.quote
    market.top.mark_stale(state.quote_stale)
    mark = market.mark
    mark.bid, mark.bid_size, mark.ask, mark.ask_size, mark.last, mark.ts = state.mark
    liquidity = market.liquidity
    liquidity.consumed = {"bid": state.consumed_bids, "ask": state.consumed_asks}
    liquidity.seen["bid"].update(state.seen_bids)
    liquidity.seen["ask"].update(state.seen_asks)
    liquidity.prints = {"bid": state.printed_bids, "ask": state.printed_asks}
    market.orders.update((name, desk.working[name]) for name in state.orders)
    market.rest_again("bid", state.resting_bids)
    market.rest_again("ask", state.resting_asks)
    market.triggers.stops.update((stop.client_order_id, stop) for stop in state.stops)


def _load_book(state: MarketState, market: SimulatedMarket) -> None:
    book = state.book
    market.levels.phase = state.phase
    if not book.stale:
        market.levels.apply(
            BookUpdate(
                market=state.market,
                changes=tuple(LevelChange("bid", level.price, level.size) for level in book.bids)
                + tuple(LevelChange("ask", level.price, level.size) for level in book.asks),
                kind="absolute",
                snapshot=True,
                session=book.session,
                seq=book.seq,
                ts_event=book.ts_event,
                ts_recv=book.ts_recv,
                marks=book.marks,
            )
        )
    else:
        market.levels.mark_stale(book.stale)
