from __future__ import annotations

import statistics

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.execution.matching.latency import delay, uniform
from actors.execution.matching.settings import (
    Constant,
    Empirical,
    FeeSettings,
    FillSettings,
    LatencySettings,
    LogNormal,
)
from protocols.orders import VenueAccepted, VenueFilled
from tests.actors.execution.matching.kit import order, send, snapshot, tell, venue


@given(st.integers(), st.integers(min_value=0, max_value=1 << 60))
def test_a_draw_depends_on_seed_kind_and_count_alone(seed: int, count: int) -> None:
    drawn = uniform(seed, "entry", count)
    assert 0 <= drawn < 1
    assert drawn == uniform(seed, "entry", count)


def test_kinds_counts_and_seeds_give_other_numbers() -> None:
    drawn = {uniform(seed, kind, count) for seed in range(5) for kind in ("entry", "response") for count in range(100)}
    assert len(drawn) == 1000
    assert abs(statistics.fmean(drawn) - 0.5) < 0.03


def test_a_table_gives_each_of_its_delays_about_as_often() -> None:
    model = Empirical(table=(1, 5, 9))
    drawn = [delay(model, 3, "entry", count) for count in range(3000)]
    assert {1, 5, 9} == set(drawn)
    assert all(900 < drawn.count(each) < 1100 for each in (1, 5, 9))


def test_a_log_normal_delay_has_its_median_and_its_bounds() -> None:
    model = LogNormal(median=1_000_000, sigma=0.5, minimum=200_000, maximum=3_000_000)
    drawn = [delay(model, 3, "entry", count) for count in range(4000)]
    assert abs(statistics.median(drawn) - 1_200_000) < 40_000
    assert min(drawn) >= 200_000
    assert max(drawn) == 3_000_000


def test_an_order_arrives_after_the_entry_latency_and_is_told_after_the_response_latency() -> None:
    latency = LatencySettings(entry=Constant(ns=100), response=Constant(ns=30))
    made = venue(latency=latency)
    tell(made, snapshot(1, ("ask", 101, 5)))
    made.submit(order("a", "buy", 2), 10)
    assert made.due() == 110
    made.advance(109)
    assert made.open_orders() == ()
    made.advance(110)
    assert made.due() == 140
    assert made.take(139) == []
    accepted, filled = made.take(140)
    assert isinstance(accepted, VenueAccepted)
    assert isinstance(filled, VenueFilled)
    assert (filled.ts, filled.why.entry_ns, filled.why.response_ns) == (110, 100, 30)


def test_what_happens_before_an_order_arrives_happens_without_it() -> None:
    made = venue(latency=LatencySettings(entry=Constant(ns=15)))
    tell(made, snapshot(1, ("ask", 101, 5)))
    made.submit(order("a", "buy", 2), 10)
    tell(made, snapshot(2, ("ask", 103, 5)))
    filled = tell(made, snapshot(3, ("ask", 90, 5)))[1]
    assert isinstance(filled, VenueFilled)
    assert (filled.price, filled.ts) == (1_030_000_000, 25)


def test_commands_and_reports_do_not_overtake_one_another() -> None:
    latency = LatencySettings(entry=Empirical(table=(1, 1000)), response=Empirical(table=(1, 1000)))
    made = venue(latency=latency, seed=4)
    tell(made, snapshot(1, ("bid", 90, 5), ("ask", 101, 5)))
    for count in range(20):
        made.submit(order(f"o{count}", "buy", 1, 50), 100)
        made.cancel(f"o{count}", 100)
    made.advance(10_000)
    told = made.take(20_000)
    assert [each.client_order_id for each in told] == [f"o{count // 2}" for count in range(40)]


@pytest.mark.parametrize(
    "text",
    [
        '{"latency": {"entry": {"model": "constant", "ns": -1}}}',
        '{"latency": {"entry": {"model": "empirical", "table": []}}}',
        '{"latency": {"entry": {"model": "guess"}}}',
        '{"queue": "hopeful"}',
        '{"rejection": 1.5}',
        '{"slippage": {"share": "2"}}',
        '{"fees": {"tiers": [{"volume": "5", "maker": "0", "taker": "0"}]}}',
        '{"fees": {"model": "per_contract"}}',
        '{"fees": {"maker": "a lot"}}',
        '{"unknown": 1}',
    ],
)
def test_settings_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=FillSettings)


def test_settings_come_from_text_and_go_back() -> None:
    settings = FillSettings(
        latency=LatencySettings(feed=5, entry=LogNormal(median=7, sigma=1.0)), fees=FeeSettings(maker="-0.0001")
    )
    assert msgspec.json.decode(msgspec.json.encode(settings), type=FillSettings) == settings


def test_repeated_runs_draw_the_same_delays() -> None:
    latency = LatencySettings(entry=LogNormal(median=50, sigma=1.0), response=LogNormal(median=50, sigma=1.0))

    def run() -> list[object]:
        made = venue(latency=latency, seed=11)
        tell(made, snapshot(1, ("ask", 101, 500)))
        told: list[object] = []
        for count in range(10):
            told += send(made, order(f"o{count}", "buy", 1), ts=100 * count + 10)
            made.advance(100 * count + 109)
        return [*told, *made.take(10**9)]

    assert run() == run()
