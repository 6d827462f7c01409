from __future__ import annotations

from itertools import pairwise

import pytest

from actors.execution.matching.exchange import OrderRefused
from actors.market.book import Book
from actors.market.simulated.flow import FlowEvent, OrderFlow, PhaseChanged, Regime, RegimeName, Traded
from protocols.market import BookUpdate, LevelChange
from protocols.nanos import NANO

STEPS = 3_000


def run(flow: OrderFlow, steps: int) -> list[FlowEvent]:
    return [event for _ in range(steps) for event in flow.step()]


def only(name: RegimeName) -> tuple[Regime, ...]:
    return (Regime(name, 1_000_000),)


def moved(name: RegimeName, seed: int) -> float:
    """How far the middle of the book goes in 500 steps of a regime, in cents."""
    flow = OrderFlow("M", seed, schedule=only("calm"))
    run(flow, 300)
    before = middle(flow)
    flow.plant(name, 500)
    run(flow, 500)
    return middle(flow) - before


def middle(flow: OrderFlow) -> float:
    bid, ask = flow.engine.best()
    assert bid is not None
    assert ask is not None
    return (bid + ask) / 2 / (NANO // 100)


def test_one_seed_is_one_market_and_another_seed_another() -> None:
    first, again, other = (run(OrderFlow("M", seed), 500) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_public_changes_rebuild_the_engines_book_and_it_never_crosses() -> None:
    flow = OrderFlow("M", 3)
    book = Book("M")
    book.apply(BookUpdate("M", (), "absolute", True, "s", 0, 0, 0))
    seq = 0
    for event in run(flow, STEPS):
        if isinstance(event, LevelChange):
            seq += 1
            book.apply(BookUpdate("M", (event,), "signed", False, "s", seq, 0, 0))
    assert (book.view().bids, book.view().asks) == (flow.engine.view().bids, flow.engine.view().asks)
    assert book.stale == ""


def test_the_flow_has_everything_a_market_has() -> None:
    flow = OrderFlow("M", 5)
    events = run(flow, STEPS)
    trades = [event for event in events if isinstance(event, Traded)]
    changes = [event for event in events if isinstance(event, LevelChange)]
    assert {trade.taker_side for trade in trades} == {"bid", "ask"}
    assert [trade.trade_id for trade in trades] == list(range(1, len(trades) + 1))
    assert any(change.size < 0 for change in changes)
    assert any(change.size % NANO for change in changes), "fractional contracts"
    phases = [event.phase for event in events if isinstance(event, PhaseChanged)]
    assert phases[:2] == ["paused", "active"]
    assert all(first != second for first, second in pairwise(phases))
    assert {"market_maker", "informed"} < flow.engine.positions.keys()
    assert sum(flow.engine.positions.values()) == 0


@pytest.mark.parametrize("seed", range(4))
def test_a_planted_trend_moves_the_market_its_way(seed: int) -> None:
    assert moved("trend_up", seed) > 8
    assert moved("trend_down", seed) < -8


def test_a_volatile_regime_moves_more_than_a_calm_one() -> None:
    assert sum(abs(moved("volatile", seed)) for seed in range(6)) > 2 * sum(
        abs(moved("calm", seed)) for seed in range(6)
    )


def test_nothing_happens_in_a_planted_pause_and_then_the_schedule_goes_on() -> None:
    flow = OrderFlow("M", 9, schedule=only("calm"))
    run(flow, 100)
    before = flow.engine.view()
    flow.plant("pause", 50)
    assert run(flow, 50) == [PhaseChanged("paused")]
    assert flow.engine.view() == before
    assert flow.step()[0] == PhaseChanged("active")
    assert flow.regime == "calm"


def test_a_settled_market_empties_its_book_and_says_what_it_paid() -> None:
    flow = OrderFlow("M", 9)
    run(flow, 200)
    events = flow.settle(NANO)
    assert events[-2:] == [PhaseChanged("determined", NANO), PhaseChanged("settled", NANO)]
    assert flow.engine.view().bids == flow.engine.view().asks == ()
    assert flow.step() == []
    with pytest.raises(OrderRefused):
        flow.settle()


def test_who_settles_by_chance_pays_nothing_or_a_dollar() -> None:
    paid = {OrderFlow("M", seed).settle()[-1] for seed in range(30)}
    assert paid == {PhaseChanged("settled", 0), PhaseChanged("settled", NANO)}
