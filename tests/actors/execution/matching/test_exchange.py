from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actors.execution.matching.exchange import (
    Fill,
    MatchingEngine,
    OrderRefused,
    Removal,
    SelfTrade,
    TimeInForce,
    changes_of,
)
from protocols.market import Level, LevelChange, Side
from protocols.nanos import NANO

CENT = NANO // 100


def engine_with(*orders: tuple[str, Side, int, int]) -> MatchingEngine:
    engine = MatchingEngine("M")
    for owner, side, cents, contracts in orders:
        engine.submit(owner, side, cents * CENT, contracts * NANO)
    return engine


def test_an_order_that_meets_nobody_rests_and_is_one_change_of_the_book() -> None:
    engine = MatchingEngine("M")
    execution = engine.submit("a", "bid", 40 * CENT, 5 * NANO)
    assert execution.fills == ()
    assert execution.resting == 5 * NANO
    assert execution.changes == (LevelChange("bid", 40 * CENT, 5 * NANO),)
    assert engine.view().bids == (Level(40 * CENT, 5 * NANO),)


def test_better_prices_are_met_first_and_equal_ones_in_order_of_arrival() -> None:
    engine = engine_with(("late price", "ask", 42, 5), ("first", "ask", 41, 2), ("second", "ask", 41, 2))
    execution = engine.submit("taker", "bid", 45 * CENT, 7 * NANO)
    assert [(fill.maker, fill.price // CENT, fill.size // NANO) for fill in execution.fills] == [
        ("first", 41, 2),
        ("second", 41, 2),
        ("late price", 42, 3),
    ]
    assert execution.changes == (LevelChange("ask", 41 * CENT, -4 * NANO), LevelChange("ask", 42 * CENT, -3 * NANO))
    assert engine.view().asks == (Level(42 * CENT, 2 * NANO),)


def test_a_partly_filled_order_keeps_its_place() -> None:
    engine = engine_with(("first", "ask", 41, 5), ("second", "ask", 41, 5))
    engine.submit("taker", "bid", 41 * CENT, 2 * NANO)
    execution = engine.submit("taker", "bid", 41 * CENT, 4 * NANO)
    assert [(fill.maker, fill.size // NANO) for fill in execution.fills] == [("first", 3), ("second", 1)]


def test_what_is_left_rests_at_its_own_price_or_is_cancelled() -> None:
    engine = engine_with(("maker", "ask", 41, 2))
    execution = engine.submit("taker", "bid", 43 * CENT, 5 * NANO)
    assert (execution.resting, execution.cancelled) == (3 * NANO, 0)
    assert execution.changes[-1] == LevelChange("bid", 43 * CENT, 3 * NANO)
    execution = engine.submit("other", "ask", 43 * CENT, 5 * NANO, "immediate_or_cancel")
    assert (execution.resting, execution.cancelled) == (0, 2 * NANO)
    assert len(engine) == 0


def test_an_order_reduced_keeps_its_place_and_one_cancelled_leaves() -> None:
    engine = MatchingEngine("M")
    first = engine.submit("first", "bid", 40 * CENT, 5 * NANO).order_id
    second = engine.submit("second", "bid", 40 * CENT, 5 * NANO).order_id
    assert engine.reduce(first, 4 * NANO) == (LevelChange("bid", 40 * CENT, -4 * NANO),)
    fills = engine.submit("taker", "ask", 40 * CENT, 2 * NANO).fills
    assert [(fill.maker, fill.size // NANO) for fill in fills] == [("first", 1), ("second", 1)]
    assert engine.cancel(second) == (LevelChange("bid", 40 * CENT, -4 * NANO),)
    assert engine.cancel(second) == engine.cancel(first) == ()
    assert engine.view().bids == ()


def test_an_order_stops_where_it_would_meet_its_own_owner() -> None:
    engine = engine_with(("other", "ask", 41, 1), ("me", "ask", 42, 5), ("other", "ask", 43, 5))
    execution = engine.submit("me", "bid", 45 * CENT, 9 * NANO)
    assert [fill.maker for fill in execution.fills] == ["other"]
    assert (execution.resting, execution.cancelled) == (0, 8 * NANO)


def test_in_a_pause_orders_are_refused_and_cancels_are_not() -> None:
    engine = MatchingEngine("M")
    order = engine.submit("a", "bid", 40 * CENT, 5 * NANO).order_id
    engine.pause()
    with pytest.raises(OrderRefused, match="paused"):
        engine.submit("a", "bid", 40 * CENT, 5 * NANO)
    with pytest.raises(OrderRefused, match="paused"):
        engine.pause()
    assert engine.cancel(order) != ()
    engine.resume()
    with pytest.raises(OrderRefused, match="active"):
        engine.resume()
    assert engine.submit("a", "bid", 40 * CENT, 5 * NANO).resting


def test_settlement_takes_every_order_out_and_is_final() -> None:
    engine = engine_with(("a", "bid", 40, 5), ("b", "bid", 40, 1), ("c", "ask", 60, 2))
    assert set(engine.settle(NANO)) == {
        LevelChange("bid", 40 * CENT, -6 * NANO),
        LevelChange("ask", 60 * CENT, -2 * NANO),
    }
    assert (engine.phase, engine.settlement, len(engine), engine.best()) == ("settled", NANO, 0, (None, None))
    with pytest.raises(OrderRefused, match="settled"):
        engine.submit("a", "bid", 40 * CENT, NANO)
    with pytest.raises(OrderRefused, match="cannot be settled"):
        engine.settle(0)


@pytest.mark.parametrize(
    ("price", "size"),
    [(0, NANO), (NANO, NANO), (40 * CENT + 1, NANO), (40 * CENT, 0), (40 * CENT, 1), (40 * CENT, -NANO)],
)
def test_an_order_off_tick_lot_or_range_is_refused_and_changes_nothing(price: int, size: int) -> None:
    engine = MatchingEngine("M")
    with pytest.raises(OrderRefused):
        engine.submit("a", "bid", price, size)
    assert len(engine) == 0


def test_fill_or_kill_takes_all_at_once_or_nothing_at_all() -> None:
    engine = engine_with(("maker", "ask", 41, 2), ("maker", "ask", 42, 3), ("maker", "ask", 43, 9))
    execution = engine.submit("taker", "bid", 42 * CENT, 6 * NANO, "fill_or_kill")
    assert (execution.fills, execution.changes, execution.cancelled, execution.code) == ((), (), 6 * NANO, "fok")
    execution = engine.submit("taker", "bid", 42 * CENT, 5 * NANO, "fill_or_kill")
    assert [fill.size // NANO for fill in execution.fills] == [2, 3]
    assert (execution.cancelled, execution.code, engine.best()) == (0, "", (None, 43 * CENT))


@pytest.mark.parametrize(("mode", "filled"), [("taker_at_cross", 0), ("both", 0), ("maker", 5), ("none", 5)])
def test_what_ones_own_orders_hide_is_no_liquidity_for_fill_or_kill(mode: SelfTrade, filled: int) -> None:
    engine = engine_with(("me", "ask", 41, 2), ("other", "ask", 42, 5))
    execution = engine.submit("me", "bid", 42 * CENT, 5 * NANO, "fill_or_kill", self_trade=mode)
    assert sum(fill.size for fill in execution.fills) == filled * NANO


def test_an_order_without_a_price_sweeps_the_book_and_never_rests() -> None:
    engine = engine_with(("maker", "ask", 41, 2), ("maker", "ask", 99, 3))
    execution = engine.submit("taker", "bid", None, 9 * NANO)
    assert [fill.price // CENT for fill in execution.fills] == [41, 99]
    assert (execution.resting, execution.cancelled, execution.code) == (0, 4 * NANO, "ioc")


def test_post_only_is_refused_where_it_would_meet_and_rests_elsewhere() -> None:
    engine = engine_with(("maker", "ask", 41, 2))
    with pytest.raises(OrderRefused, match="would meet") as refused:
        engine.submit("me", "bid", 41 * CENT, NANO, post_only=True)
    assert refused.value.code == "post_only"
    assert engine.submit("me", "bid", 40 * CENT, NANO, post_only=True).resting == NANO
    with pytest.raises(OrderRefused, match="neither rests"):
        engine.submit("me", "bid", 39 * CENT, NANO, "immediate_or_cancel", post_only=True)


def test_an_order_ends_at_its_time_unless_it_is_gone_before() -> None:
    engine = MatchingEngine("M")
    first = engine.submit("a", "bid", 40 * CENT, 5 * NANO, expires=100).order_id
    engine.submit("a", "bid", 41 * CENT, 5 * NANO, expires=50)
    engine.submit("b", "ask", 41 * CENT, 5 * NANO)
    assert engine.next_expiry() == 50
    assert engine.expire(99) == ()
    removed = engine.expire(100)
    assert removed == (Removal(first, "a", "bid", 40 * CENT, 5 * NANO, 0, "expired"),)
    assert changes_of(removed) == (LevelChange("bid", 40 * CENT, -5 * NANO),)
    assert (len(engine), engine.next_expiry()) == (0, None)


def test_a_client_order_id_is_taken_once_for_ever_or_only_while_it_rests() -> None:
    for for_ever in (True, False):
        engine = MatchingEngine("M", ids_for_ever=for_ever)
        order = engine.submit("a", "bid", 40 * CENT, NANO, client_order_id="x").order_id
        engine.submit("b", "bid", 40 * CENT, NANO, client_order_id="x")
        with pytest.raises(OrderRefused, match="'x'"):
            engine.submit("a", "bid", 40 * CENT, NANO, client_order_id="x")
        engine.cancel(order)
        if for_ever:
            with pytest.raises(OrderRefused, match="'x'"):
                engine.submit("a", "bid", 40 * CENT, NANO, client_order_id="x")
        else:
            assert engine.submit("a", "bid", 40 * CENT, NANO, client_order_id="x").resting


def test_less_size_keeps_the_place_and_more_size_or_another_price_loses_it() -> None:
    def first_maker(price: int, remaining: int) -> str:
        engine = MatchingEngine("M")
        order = engine.submit("first", "bid", 40 * CENT, 5 * NANO).order_id
        engine.submit("second", "bid", 40 * CENT, 5 * NANO)
        engine.submit("second", "bid", 39 * CENT, 5 * NANO)
        amended = engine.amend(order, price * CENT, remaining * NANO)
        assert amended is not None
        assert (amended.order_id, amended.resting) == (order, remaining * NANO)
        return engine.submit("taker", "ask", price * CENT, NANO).fills[0].maker

    assert first_maker(40, 5) == first_maker(40, 2) == "first"
    assert first_maker(40, 6) == first_maker(39, 2) == "second"


def test_an_amended_order_can_meet_others_and_a_refused_amendment_changes_nothing() -> None:
    engine = engine_with(("maker", "ask", 45, 3))
    order = engine.submit("me", "bid", 40 * CENT, 5 * NANO).order_id
    amended = engine.amend(order, 45 * CENT, 5 * NANO)
    assert amended is not None
    assert [fill.size for fill in amended.fills] == [3 * NANO]
    assert amended.changes == (
        LevelChange("bid", 40 * CENT, -5 * NANO),
        LevelChange("ask", 45 * CENT, -3 * NANO),
        LevelChange("bid", 45 * CENT, 2 * NANO),
    )
    for price, remaining in ((45 * CENT + 1, NANO), (44 * CENT, 0)):
        with pytest.raises(OrderRefused):
            engine.amend(order, price, remaining)
    engine.pause()
    with pytest.raises(OrderRefused, match="paused"):
        engine.amend(order, 44 * CENT, NANO)
    assert engine.amend(order, 45 * CENT, NANO) is not None
    assert engine.amend(99, 45 * CENT, NANO) is None
    assert engine.view().bids == (Level(45 * CENT, NANO),)


@pytest.mark.parametrize(
    ("mode", "filled", "resting", "cancelled", "left"),
    [
        ("taker_at_cross", [1], 0, 8, 5),
        ("maker", [1, 2], 6, 0, 0),
        ("both", [1], 0, 8, 0),
        ("decrement", [1, 2], 1, 5, 0),
        ("none", [1, 5, 2], 1, 0, 0),
    ],
)
def test_self_trade_prevention_takes_the_new_order_the_resting_one_or_both(
    mode: SelfTrade, filled: list[int], resting: int, cancelled: int, left: int
) -> None:
    engine = engine_with(("other", "ask", 41, 1))
    mine = engine.submit("me", "ask", 42 * CENT, 5 * NANO).order_id
    engine.submit("other", "ask", 43 * CENT, 2 * NANO)
    engine.watch("me")
    execution = engine.submit("me", "bid", 45 * CENT, 9 * NANO, self_trade=mode)
    assert [fill.size // NANO for fill in execution.fills] == filled
    assert (execution.resting // NANO, execution.cancelled // NANO) == (resting, cancelled)
    order = engine.order(mine)
    assert (0 if order is None else order.remaining // NANO) == left
    assert [each.order_id for each in execution.removals] == ([mine] if mode in ("maker", "both", "decrement") else [])
    assert engine.take_watched() == sorted(
        [*execution.fills, *execution.removals], key=lambda each: 42 if isinstance(each, Removal) else each.price / CENT
    )


def test_who_is_watched_is_told_what_others_did_to_its_orders() -> None:
    engine = MatchingEngine("M")
    engine.watch("me")
    order = engine.submit("me", "bid", 40 * CENT, 5 * NANO).order_id
    engine.submit("other", "ask", 40 * CENT, 2 * NANO)
    engine.submit("other", "ask", 60 * CENT, 2 * NANO)
    engine.submit("third", "bid", 60 * CENT, 2 * NANO)
    engine.settle(NANO)
    fill, removal = engine.take_watched()
    assert isinstance(fill, Fill)
    assert (fill.maker_order, fill.size) == (order, 2 * NANO)
    assert removal == Removal(order, "me", "bid", 40 * CENT, 3 * NANO, 0, "settled")
    assert engine.take_watched() == []


class Trading(RuleBasedStateMachine):
    """Under any orders: nothing is made or lost, the book is the sum of its changes, and it never crosses."""

    @initialize()
    def begin(self) -> None:
        self.engine = MatchingEngine("M")
        self.levels: dict[tuple[Side, int], int] = {}
        self.submitted = self.filled = self.cancelled = 0
        self.orders: list[int] = []
        # Resting orders in order of arrival at their price, kept in the plainest way there is.
        self.queue: list[tuple[int, Side, int, int]] = []

    def apply(self, changes: tuple[LevelChange, ...]) -> None:
        for change in changes:
            key = (change.side, change.price)
            self.levels[key] = self.levels.get(key, 0) + change.size
            assert self.levels[key] >= 0
            if not self.levels[key]:
                del self.levels[key]
            bids = [price for side, price in self.levels if side == "bid"]
            asks = [price for side, price in self.levels if side == "ask"]
            assert not (bids and asks) or max(bids) < min(asks)

    @rule(
        owner=st.sampled_from("abc"),
        side=st.sampled_from(["bid", "ask"]),
        cents=st.integers(45, 55),
        contracts=st.integers(1, 9),
        time_in_force=st.sampled_from(["good_till_canceled", "immediate_or_cancel", "fill_or_kill"]),
    )
    def submit(self, owner: str, side: Side, cents: int, contracts: int, time_in_force: TimeInForce) -> None:
        size = contracts * NANO
        execution = self.engine.submit(owner, side, cents * CENT, size, time_in_force)
        filled = sum(fill.size for fill in execution.fills)
        assert filled + execution.resting + execution.cancelled == size
        self.submitted += size
        self.filled += filled
        self.cancelled += execution.cancelled
        self.check_priority(side, cents * CENT, [(fill.maker_order, fill.price, fill.size) for fill in execution.fills])
        if time_in_force == "fill_or_kill":
            assert filled in (0, size)
        if execution.resting:
            self.orders.append(execution.order_id)
            self.queue.append((execution.order_id, side, cents * CENT, execution.resting))
        self.apply(execution.changes)

    def check_priority(self, side: Side, limit: int, fills: list[tuple[int, int, int]]) -> None:
        other = [entry for entry in self.queue if entry[1] != side]
        sign = 1 if side == "bid" else -1
        other.sort(key=lambda entry: entry[2] * sign)
        for order_id, price, size in fills:
            best = other[0]
            assert (best[0], best[2]) == (order_id, price)
            assert price * sign <= limit * sign
            place = self.queue.index(best)
            if best[3] > size:
                other[0] = self.queue[place] = (best[0], best[1], best[2], best[3] - size)
            else:
                other.pop(0)
                del self.queue[place]

    @rule(data=st.data())
    def take_out(self, data: st.DataObject) -> None:
        if not self.orders:
            return
        order_id = data.draw(st.sampled_from(self.orders))
        order = self.engine.order(order_id)
        if order is None:
            assert self.engine.cancel(order_id) == ()
            return
        by = data.draw(st.integers(1, order.remaining // NANO)) * NANO
        place = next(place for place, entry in enumerate(self.queue) if entry[0] == order_id)
        entry = self.queue[place]
        if entry[3] > by:
            self.queue[place] = (entry[0], entry[1], entry[2], entry[3] - by)
        else:
            del self.queue[place]
        self.cancelled += by
        self.apply(self.engine.reduce(order_id, by))

    @rule(data=st.data(), cents=st.integers(45, 55), contracts=st.integers(1, 9))
    def amend(self, data: st.DataObject, cents: int, contracts: int) -> None:
        standing = [order_id for order_id in self.orders if self.engine.order(order_id) is not None]
        if not standing:
            return
        order_id = data.draw(st.sampled_from(standing))
        place = next(place for place, entry in enumerate(self.queue) if entry[0] == order_id)
        _, side, price, before = self.queue.pop(place)
        size = contracts * NANO
        execution = self.engine.amend(order_id, cents * CENT, size)
        assert execution is not None
        filled = sum(fill.size for fill in execution.fills)
        assert filled + execution.resting + execution.cancelled == size
        self.submitted += size - before
        self.filled += filled
        self.cancelled += execution.cancelled
        self.check_priority(side, cents * CENT, [(fill.maker_order, fill.price, fill.size) for fill in execution.fills])
        if execution.resting:
            kept = (price, before) >= (cents * CENT, size) and price == cents * CENT
            self.queue.insert(place if kept else len(self.queue), (order_id, side, cents * CENT, execution.resting))
        self.apply(execution.changes)

    @invariant()
    def nothing_is_made_or_lost(self) -> None:
        view = self.engine.view()
        shown: dict[tuple[Side, int], int] = {("bid", level.price): level.size for level in view.bids}
        shown |= {("ask", level.price): level.size for level in view.asks}
        assert shown == self.levels
        resting = sum(shown.values())
        assert self.submitted == 2 * self.filled + self.cancelled + resting
        assert sum(self.engine.positions.values()) == 0


Trading.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestTrading = Trading.TestCase


@given(st.integers(0, 2**32))
@settings(max_examples=5)
def test_the_same_calls_give_the_same_market(seed: int) -> None:
    import random

    def play() -> list[object]:
        chance = random.Random(seed)
        engine = MatchingEngine("M")
        return [
            engine.submit(
                chance.choice("abc"),
                chance.choice(["bid", "ask"]),
                chance.randrange(1, 100) * CENT,
                chance.randrange(1, 9) * NANO,
            )
            for _ in range(200)
        ]

    assert play() == play()
