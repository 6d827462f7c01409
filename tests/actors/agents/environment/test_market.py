from __future__ import annotations

import math
import random
import statistics
from functools import cache
from itertools import groupby, pairwise

import pytest

from actors.agents.environment.market import (
    INTERLUDE,
    LONGEST,
    PLANTED,
    SCENARIOS,
    SHORTEST,
    Scenario,
    SimulatedBars,
    planted,
    simulated_track,
)
from actors.agents.environment.tracks import Track
from actors.decisions.features.names import REGIMES
from protocols.market import SYNTHETIC
from protocols.nanos import NANO


@cache
def made(scenario: Scenario) -> list[Track]:
    return [simulated_track(SimulatedBars(scenario=scenario), seed) for seed in (1, 2)]


def moves_of(tracks: list[Track], regime: str) -> list[float]:
    """Changes of the log-odds, bar by bar, while a regime holds."""
    place = REGIMES.index(regime)
    odds = [[math.log(bar.close / (NANO - bar.close)) for bar in track.bars] for track in tracks]
    return [
        after - before
        for track, values in zip(tracks, odds, strict=True)
        for (before, after), label in zip(pairwise(values), track.regimes[1:], strict=True)
        if label == place
    ]


def test_the_same_seed_makes_the_same_track_and_another_one_another() -> None:
    again = simulated_track(SimulatedBars(scenario="mixed"), 1)
    assert again.bars == made("mixed")[0].bars
    assert again.quotes == made("mixed")[0].quotes
    assert again.regimes == made("mixed")[0].regimes
    assert made("mixed")[0].bars != made("mixed")[1].bars


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_bars_are_whole_without_a_gap_and_marked_synthetic(scenario: Scenario) -> None:
    for track in made(scenario):
        assert track.marks == (SYNTHETIC,)
        assert len(track) == 256 == len(track.quotes) == len(track.regimes)
        for before, after in pairwise(track.bars):
            assert after.start == before.end
            assert after.open == before.close
        for bar, quotes in zip(track.bars, track.quotes, strict=True):
            assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
            assert bar.marks == (SYNTHETIC,)
            assert bar.start < quotes[0].ts_recv < quotes[-1].ts_recv == bar.end
            last = quotes[-1]
            if last.bid is not None and last.ask is not None:
                assert last.bid < last.ask
                assert bar.close == (last.bid + last.ask) // 2


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_track_runs_into_the_ends_where_nobody_can_trade(scenario: Scenario) -> None:
    for track in made(scenario):
        assert all(0.04 * NANO < bar.close < 0.96 * NANO for bar in track.bars)


def test_planted_trends_go_their_way_and_volatile_bars_move_most() -> None:
    bull = moves_of(made("bull"), "bull")
    bear = moves_of(made("bear"), "bear")
    calm = moves_of(made("sideways"), "sideways")
    wild = moves_of(made("high_volatility"), "high_volatility")
    for trend, sign in ((bull, 1), (bear, -1)):
        assert sign * statistics.mean(trend) > 5 * statistics.stdev(trend) / math.sqrt(len(trend))
    assert statistics.stdev(wild) > 2 * statistics.stdev(calm)


@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name != "mixed"])
def test_a_track_of_one_regime_is_mostly_that(scenario: Scenario) -> None:
    for seed in range(20):
        found = planted(scenario, 256, random.Random(seed))
        own = sum(length for name, length in found if name == PLANTED[scenario])
        others = [length for name, length in found if name != PLANTED[scenario]]
        assert max(others) <= INTERLUDE
        assert own / sum(length for _, length in found) > 0.75


def test_a_mixed_track_changes_its_regime_after_a_while_and_never_into_the_same() -> None:
    for seed in range(20):
        found = planted("mixed", 1000, random.Random(seed))
        assert all(before != after for (before, _), (after, _) in pairwise(found))
        assert all(SHORTEST <= length <= LONGEST for _, length in found)
    labels = made("mixed")[0].regimes
    assert len([label for label, _ in groupby(labels)]) >= 2


def test_settings_that_make_no_market_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"^scenario: expected one of mixed, bull, bear, .*, got 'up'$"):
        SimulatedBars(scenario="up")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^bars: expected 2 or more, got 1$"):
        SimulatedBars(bars=1)
    with pytest.raises(ValueError, match=r"^turns: expected 1 or more, got 0$"):
        SimulatedBars(turns=0)
