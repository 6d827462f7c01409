from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.execution.matching.settings import Constant, Empirical, LatencySettings, LogNormal, SlippageSettings
from actors.execution.matching.venue import SimulatedVenue
from protocols.market import Bar, BookUpdate, Quote, Trade
from protocols.nanos import NANO
from protocols.orders import (
    NewOrder,
    VenueAmended,
    VenueCancelled,
    VenueFilled,
    VenueRejected,
    VenueReport,
)
from tests.actors.execution.matching.flow import Event, bars, events, quotes
from tests.actors.execution.matching.kit import CENT, bar, fills, order, send, tell, venue
from tests.actors.execution.matching.slow_venue import SlowVenue

SLOW = LatencySettings(entry=LogNormal(median=15, sigma=0.8), response=Empirical(table=(1, 5, 30)))
QUEUES = ("risk_averse", "none", "probability_log", "probability_power_front_back")
seeds = st.integers(0, 1 << 40)


def do(made: SimulatedVenue, ts: int, event: Event) -> None:
    what, content = event
    if what == "market":
        made.market(content, ts)
    elif what == "submit":
        made.submit(content, ts)
    elif what == "cancel":
        made.cancel(content, ts)
    else:
        name, size, price = content
        made.amend(name, None if size is None else size * NANO, None if price is None else price * CENT, None, ts)


def run(made: SimulatedVenue, flow: list[tuple[int, Event]], end: int = 0) -> list[VenueReport]:
    told: list[VenueReport] = []
    for ts, event in flow:
        do(made, ts, event)
        made.advance(ts)
        told += made.take(ts)
    made.advance(end)
    return told + made.take(end)


class Watched:
    """What the market has shown, and what of it may be taken, counted from the messages alone."""

    def __init__(self) -> None:
        self.shown: dict[tuple[str, int], int] = {}
        self.offered: Counter[tuple[str, int]] = Counter()

    def see(self, update: BookUpdate) -> None:
        new = {(each.side, each.price): each.size for each in update.changes}
        gone = [key for key in self.shown if key not in new] if update.snapshot else []
        for key, size in [*new.items(), *((key, 0) for key in gone)]:
            self.offered[key] += max(size - self.shown.get(key, 0), 0)
            self.shown[key] = size


@settings(max_examples=60, deadline=None)
@given(seed=seeds, queue=st.sampled_from(QUEUES), late=st.booleans())
def test_random_flow_takes_nothing_twice_and_nothing_outside_of_book_and_limit(
    seed: int, queue: str, late: bool
) -> None:
    check_flow(seed, queue, late, 120)


@pytest.mark.long
@settings(max_examples=2000, deadline=None)
@given(seed=seeds, queue=st.sampled_from(QUEUES), late=st.booleans())
def test_long_random_flow_takes_nothing_twice_and_nothing_outside_of_book_and_limit(
    seed: int, queue: str, late: bool
) -> None:
    check_flow(seed, queue, late, 400)


def check_flow(seed: int, queue: str, late: bool, count: int) -> None:
    made = venue(queue=queue, seed=seed, latency=SLOW if late else LatencySettings())
    watched = Watched()
    trades: dict[str, int] = {}
    orders: dict[str, NewOrder] = {}
    taken: Counter[tuple[str, int]] = Counter()
    crossed: Counter[str] = Counter()
    by_trade: Counter[str] = Counter()
    flow = list(events(seed, count))
    told: list[VenueReport] = []
    for ts, event in flow:
        what, content = event
        if what == "submit":
            orders[content.client_order_id] = content
        # Arrivals before this message see the book as it was.
        made.advance(ts - 1)
        fresh = made.take(1 << 62)
        told += fresh
        count_fills(fresh, watched, taken, crossed, by_trade)
        if isinstance(content, BookUpdate):
            watched.see(content)
        elif isinstance(content, Trade):
            trades[content.trade_id] = content.size
        do(made, ts, event)
        made.advance(ts)
        fresh = made.take(1 << 62)
        told += fresh
        count_fills(fresh, watched, taken, crossed, by_trade)
    made.advance(1 << 60)
    told += made.take(1 << 62)

    for key, size in taken.items():
        assert size <= watched.offered[key], f"{key}: {size} of {watched.offered[key]} taken"
    for leg in ("bid", "ask"):
        offered = sum(size for (side, _), size in watched.offered.items() if side == leg)
        assert sum(size for (side, _), size in taken.items() if side == leg) + crossed[leg] <= offered
    for name, size in by_trade.items():
        assert size <= trades[name]
    check_orders(orders, told)


def count_fills(
    told: list[VenueReport],
    watched: Watched,
    taken: Counter[tuple[str, int]],
    crossed: Counter[str],
    by_trade: Counter[str],
) -> None:
    for each in told:
        if not isinstance(each, VenueFilled):
            continue
        leg = "ask" if each.side == "buy" else "bid"
        if each.why.trade_id:
            by_trade[each.why.trade_id] += each.size
        elif each.why.model == "crossed":
            crossed[leg] += each.size
        else:
            assert each.liquidity == "taker"
            assert watched.shown.get((leg, each.price), 0) > 0
            taken[leg, each.price] += each.size


def check_orders(orders: dict[str, NewOrder], told: list[VenueReport]) -> None:
    sizes = {name: each.size for name, each in orders.items()}
    limits = {name: {each.price} for name, each in orders.items()}
    filled: Counter[str] = Counter()
    ended: set[str] = set()
    seen: set[str] = set()
    for each in told:
        name = each.client_order_id
        if isinstance(each, VenueAmended):
            assert name not in ended
            assert each.size > filled[name]
            sizes[name] = each.size
            limits[name].add(each.price)
        elif isinstance(each, VenueFilled):
            assert name not in ended, f"{name} is filled behind its end"
            assert each.fill_id not in seen
            seen.add(each.fill_id)
            filled[name] += each.size
            assert filled[name] <= sizes[name]
            assert each.leaves == sizes[name] - filled[name]
            bounds = [price for price in limits[name] if price is not None]
            if bounds:
                assert each.price <= max(bounds) if each.side == "buy" else each.price >= min(bounds)
            if orders[name].post_only:
                assert each.liquidity == "maker"
            if filled[name] == sizes[name]:
                ended.add(name)
        elif isinstance(each, VenueCancelled | VenueRejected):
            assert name not in ended, f"{name} ends twice"
            ended.add(name)
    for name, each in orders.items():
        if each.time_in_force == "FOK":
            assert filled[name] in (0, sizes[name])
        if each.parent:
            assert filled[name] <= filled[each.parent]


@pytest.mark.parametrize("source", [events, quotes, bars])
@settings(max_examples=25, deadline=None)
@given(seed=seeds, cut=st.integers(0, 120), queue=st.sampled_from(QUEUES), late=st.booleans())
def test_a_venue_that_was_saved_and_restored_goes_on_as_if_nothing_had_happened(
    source: Any, seed: int, cut: int, queue: str, late: bool
) -> None:
    more: dict[str, Any] = {"queue": queue, "seed": seed, "rejection": 0.05, "partial_fill": 0.2}
    latency = SLOW if late else LatencySettings()
    flow = list(source(seed, 120))
    one = venue(latency=latency, **more)
    first = run(one, flow[:cut])
    other = SimulatedVenue(one.settings, seed=seed)
    other.restore(one.snapshot())
    assert other.snapshot() == one.snapshot()
    assert other.due() == one.due()
    assert other.open_orders() == one.open_orders()
    assert run(other, flow[cut:], 1 << 60) == run(one, flow[cut:], 1 << 60)
    assert first is not None
    assert other.snapshot() == one.snapshot()


@settings(max_examples=60, deadline=None)
@given(seed=seeds, queue=st.sampled_from(QUEUES), late=st.booleans())
def test_random_flow_on_quotes_takes_no_more_than_was_quoted(seed: int, queue: str, late: bool) -> None:
    made = venue(queue=queue, seed=seed, latency=SLOW if late else LatencySettings())
    flow = list(quotes(seed, 150))
    orders = {content.client_order_id: content for _, (what, content) in flow if what == "submit"}
    told = run(made, flow, 1 << 60)
    check_orders(orders, told)
    quoted = {content.seq: content for _, (_, content) in flow if isinstance(content, Quote)}
    trades = {content.trade_id: content.size for _, (_, content) in flow if isinstance(content, Trade)}
    by_trade: Counter[str] = Counter()
    by_quote: Counter[tuple[int, str]] = Counter()
    for each in told:
        if isinstance(each, VenueFilled):
            by_trade[each.why.trade_id] += each.size
            if not each.why.trade_id:
                source = quoted[each.why.seq]
                assert each.why.model == "crossed" or each.price in (source.bid, source.ask)
                by_quote[each.why.seq, each.side] += each.size
    assert all(size <= trades[name] for name, size in by_trade.items() if name)
    for (seq, side), size in by_quote.items():
        assert size <= (quoted[seq].ask_size if side == "buy" else quoted[seq].bid_size)


@settings(max_examples=80, deadline=None)
@given(seed=seeds, path=st.sampled_from(["adaptive", "pessimistic"]), limited=st.booleans())
def test_random_flow_on_bars_stays_inside_bars_limits_and_volumes(seed: int, path: str, limited: bool) -> None:
    slippage = SlippageSettings(participation="0.5" if limited else "")
    made = venue(seed=seed, path=path, slippage=slippage)
    flow = list(bars(seed, 60))
    orders = {content.client_order_id: content for _, (what, content) in flow if what == "submit"}
    sent = {content.client_order_id: ts for ts, (what, content) in flow if what == "submit"}
    known = {content.start: content for _, (_, content) in flow if isinstance(content, Bar)}
    told = run(made, flow, 1 << 60)
    check_orders(orders, told)
    volumes: Counter[int] = Counter()
    ambiguous = 0
    for each in told:
        if not isinstance(each, VenueFilled):
            continue
        source = known[each.why.seq]
        assert not source.empty
        assert source.low <= each.price <= source.high
        assert each.ts in (source.start, source.end)
        assert sent[each.client_order_id] <= source.start
        if each.why.model == "bar:open":
            assert each.price == source.open
        volumes[source.start] += each.size
        ambiguous += each.why.ambiguous
    assert ambiguous <= made.ambiguous * 2
    if limited:
        for start, size in volumes.items():
            assert size <= int(known[start].volume) * NANO // 2 or known[start].volume == "0"


prices = st.integers(80, 120)


@settings(max_examples=200, deadline=None)
@given(points=st.tuples(prices, prices, prices, prices), at=prices, side=st.sampled_from(["buy", "sell"]))
def test_one_order_and_one_bar_are_a_formula(points: tuple[int, int, int, int], at: int, side: str) -> None:
    start, end = points[0], points[3]
    high, low = max(points), min(points)
    if side == "buy":
        limit = start if start < at else at if low < at else None
        stop = start if start >= at else at if high >= at else None
    else:
        limit = start if start > at else at if high > at else None
        stop = start if start <= at else at if low <= at else None
    made = venue()
    tell(made, bar(0, 100, 100, 100, 100))
    send(made, order("l", side, 1, at), order("s", side, 1, kind="stop", stop_price=at), ts=60 * NANO)
    told = {name: price for name, price, _ in fills(tell(made, bar(1, start, high, low, end)))}
    assert (told.get("l"), told.get("s")) == (limit, stop)


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_equal_seeds_give_equal_reports(seed: int) -> None:
    flow = list(events(seed, 80))
    latency = LatencySettings(entry=LogNormal(median=15, sigma=0.8), response=Constant(ns=3))
    told = [run(venue(seed=seed, latency=latency, rejection=0.1), flow, 1 << 60) for _ in range(2)]
    assert told[0] == told[1]


@settings(max_examples=80, deadline=None)
@given(seed=seeds)
def test_it_fills_what_a_slow_and_simple_venue_fills(seed: int) -> None:
    compare(seed, 120)


@pytest.mark.long
@settings(max_examples=3000, deadline=None)
@given(seed=seeds)
def test_it_fills_what_a_slow_and_simple_venue_fills_for_long(seed: int) -> None:
    compare(seed, 500)


def compare(seed: int, count: int) -> None:
    made, slow = venue(), SlowVenue()
    for ts, event in events(seed, count, simple=True):
        do(made, ts, event)
        made.advance(ts)
        told = [
            (each.client_order_id, each.side, each.price // CENT, each.size // NANO, each.liquidity)
            for each in made.take(ts)
            if isinstance(each, VenueFilled)
        ]
        assert told == slow.do(event)
    assert sorted(each.client_order_id for each in made.open_orders()) == sorted(slow.open())
