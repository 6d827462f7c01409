"""Versions of what can be traded: a change makes one, repeating oneself does not, and any time can be asked for."""

from __future__ import annotations

import itertools
import random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from actors.market.instruments import InstrumentVersions, same
from protocols.instruments import Instrument, PriceRange


def instrument(market: str = "M", tick: int = 1, since: int = 0, source: str = "GET /markets") -> Instrument:
    return Instrument(
        market=market,
        symbol=market.lower(),
        venue="kalshi",
        kind="prediction",
        currency="USD",
        price_ranges=(PriceRange(0, 100, tick),),
        lot=1,
        valid_from=since,
        source=source,
    )


def ticks(versions: InstrumentVersions, market: str = "M") -> list[tuple[int, int]]:
    return [(each.valid_from, each.price_ranges[0].step) for each in versions.versions(market)]


def test_a_change_makes_a_version_and_saying_it_again_does_not() -> None:
    versions = InstrumentVersions()
    assert versions.learn(instrument(tick=1), 10) is not None
    assert versions.learn(instrument(tick=1), 20) is None
    assert versions.learn(instrument(tick=5), 30) is not None
    assert ticks(versions) == [(10, 1), (30, 5)]


def test_what_a_market_was_can_be_asked_for_at_any_time() -> None:
    versions = InstrumentVersions()
    versions.learn(instrument(tick=1), 10)
    versions.learn(instrument(tick=5), 30)
    steps = {ts: found and found.price_ranges[0].step for ts in (9, 10, 29, 30, 99) for found in [versions.at("M", ts)]}
    assert steps == {9: None, 10: 1, 29: 1, 30: 5, 99: 5}
    now = versions.at("M")
    assert now is not None
    assert now.valid_from == 30
    assert versions.at("unknown") is None


def test_two_sources_that_differ_make_no_version_with_each_refresh() -> None:
    versions = InstrumentVersions()
    versions.learn(instrument(tick=1, source="rest"), 10)
    versions.learn(instrument(tick=2, source="session"), 20)
    assert versions.learn(instrument(tick=1, source="rest"), 30) is None
    assert versions.learn(instrument(tick=2, source="session"), 40) is None
    assert versions.learn(instrument(tick=3, source="rest"), 50) is not None
    assert ticks(versions) == [(10, 1), (20, 2), (50, 3)]


def test_a_source_that_says_what_another_has_said_makes_no_version() -> None:
    versions = InstrumentVersions()
    versions.learn(instrument(tick=1, source="rest"), 10)
    assert versions.learn(instrument(tick=1, source="session"), 20) is None
    assert same(instrument(tick=1, since=1, source="a"), instrument(tick=1, since=2, source="b"))


def test_versions_rise_in_time_even_where_two_come_at_once_or_claim_the_past() -> None:
    versions = InstrumentVersions()
    versions.learn(instrument(tick=1), 10)
    versions.learn(instrument(tick=2), 10)
    versions.learn(instrument(tick=3, since=5), 8)
    assert ticks(versions) == [(10, 1), (11, 2), (12, 3)]


def test_versions_that_were_kept_are_taken_in_any_order_and_twice() -> None:
    kept = [instrument(tick=tick, since=10 * tick) for tick in (1, 2, 3)]
    versions = InstrumentVersions()
    versions.load(random.Random(1).sample(kept, 3))
    versions.load(kept)
    assert ticks(versions) == [(10, 1), (20, 2), (30, 3)]
    # After a restart nothing is new.
    assert versions.learn(instrument(tick=3), 99) is None


def test_definitions_come_in_pages_sorted_by_market() -> None:
    versions = InstrumentVersions()
    for name in ("C", "A", "B"):
        versions.learn(instrument(name), 1)
    versions.learn(msgspec.structs.replace(instrument("D"), venue="binance", kind="spot"), 1)
    first, more = versions.page("kalshi", "", "", 2)
    assert ([each.market for each in first], more) == (["A", "B"], True)
    last, more = versions.page("kalshi", "", "B", 2)
    assert ([each.market for each in last], more) == (["C"], False)
    assert [each.market for each in versions.page("", "spot", "", 9)[0]] == ["D"]
    assert (len(versions), list(versions)) == (4, ["A", "B", "C", "D"])


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 50), st.sampled_from(["a", "b"])), max_size=30))
def test_there_is_exactly_one_version_at_any_time_and_no_two_neighbours_are_the_same(
    said: list[tuple[int, int, str]],
) -> None:
    versions = InstrumentVersions()
    at = 0
    for tick, later, source in said:
        at += later
        versions.learn(instrument(tick=tick, source=source), at)
    known = versions.versions("M")
    assert [each.valid_from for each in known] == sorted({each.valid_from for each in known})
    assert all(not same(one, other) for one, other in itertools.pairwise(known))
    for each in known:
        assert versions.at("M", each.valid_from) == each
