"""What an agent sees in an episode is what a node makes of the same bars."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.agents.agent_core import AgentCore
from actors.agents.environment.account import EpisodeAccount, TradingSettings
from actors.agents.environment.actions import SIMPLE
from actors.agents.environment.market import MARKET, SimulatedBars, simulated_track
from actors.agents.environment.observation import (
    ALWAYS_ASKED,
    CLIP,
    EPSILON,
    FEATURES,
    GROUPS,
    OFTEN_ASKED,
    Masking,
    Normaliser,
    Prepared,
    all_but,
    ever_known,
    fitted,
    hidden,
    observed,
    own_state,
    prepared,
)
from actors.agents.environment.trading import TradingEnv
from actors.agents.settings import AgentConfig
from actors.agents.training.regimes import filtered
from actors.decisions.features import arrays
from actors.decisions.features.names import ON_CHAIN
from actors.decisions.features.request import from_request
from protocols.market import Bar
from protocols.nanos import NANO
from tests.actors.agents.environment.kit import barred

TRACK = simulated_track(SimulatedBars(), 3)
PREPARED = prepared(TRACK)
OF_BARS = ~np.isnan(PREPARED.features).all(axis=0)


def candle(bar: Bar) -> dict[str, float]:
    prices = {name: getattr(bar, name) / NANO for name in ("open", "high", "low", "close")}
    return {"timestamp": bar.start, "volume": float(bar.volume), **prices}


def live() -> AgentCore:
    return AgentCore("ann", MARKET, AgentConfig(timeframe="1h", model_type="ensemble", enable_regime_detection=True))


def test_the_observation_of_every_step_is_what_a_live_agent_asks_about_at_that_bar() -> None:
    env = TradingEnv([PREPARED], most_steps=100)
    agent = live()
    seen, told = env.reset(seed=1, options={"track": 0, "start": 100})
    for bar in TRACK.bars[:151]:
        assert agent.feed(bar)
        if bar.end < told["ts"]:
            continue
        # The question goes to a policy, whose bundle normalises and masks: to the last bit as in training.
        asked = np.array(agent.question(bar, 0).observation.values)
        assert np.array_equal(asked, PREPARED.features[told["place"]], equal_nan=True)
        assert np.array_equal(seen, observed(env.normaliser(asked), np.zeros(29, np.bool_)))
        seen, _, _, _, told = env.step(1)


def test_a_request_with_candles_and_a_table_of_bars_give_the_same_numbers_as_training() -> None:
    bars = TRACK.bars[:120]
    sent = from_request({}, {"candles": [candle(bar) for bar in bars]}, bars[-1].end)
    assert np.array_equal(np.array(sent.observation.values), PREPARED.features[119], equal_nan=True)
    columns = [np.array([getattr(bar, name) / NANO for bar in bars]) for name in ("open", "high", "low", "close")]
    volumes = np.array([float(bar.volume) for bar in bars])
    table = arrays.over(*columns, volumes, np.array([bar.end for bar in bars]))
    assert np.array_equal(table, PREPARED.features[:120], equal_nan=True)


def test_the_regimes_of_training_are_what_a_live_agent_says_at_each_bar() -> None:
    agent = live()
    for bar, said in zip(TRACK.bars, filtered(PREPARED), strict=True):
        agent.feed(bar)
        assert agent.probabilities() == (() if np.isnan(said).all() else tuple(said.tolist()))


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 100), st.randoms(use_true_random=False))
def test_neither_features_nor_regimes_of_a_bar_change_with_the_bars_behind_it(at: int, draw: object) -> None:
    bars = TRACK.bars[:120]
    closes = [bar.close for bar in bars[at:]]
    draw.shuffle(closes)  # type: ignore[attr-defined]
    future = tuple(
        msgspec.structs.replace(bar, close=close, high=max(bar.high, close), low=min(bar.low, close))
        for bar, close in zip(bars[at:], closes, strict=True)
    )
    other = prepared(msgspec.structs.replace(TRACK, bars=bars[:at] + future, quotes=(), regimes=()))
    assert np.array_equal(other.features[:at], PREPARED.features[:at], equal_nan=True)
    assert np.array_equal(filtered(other)[:at], filtered(PREPARED)[:at], equal_nan=True)


def test_bars_say_12_features_and_nothing_of_the_chain() -> None:
    assert OF_BARS.sum() == 12
    assert not any(OF_BARS[FEATURES.index(name)] for name in ON_CHAIN)
    assert np.array_equal(ever_known([PREPARED]), OF_BARS)


def test_normalised_is_as_vecnormalize_does_it_and_missing_stays_missing() -> None:
    normaliser = Normaliser((1.0, 0.0), (4.0, 1.0))
    found = normaliser(np.array([[2.0, 99.0], [math.nan, -1.0]]))
    assert found[0, 0] == pytest.approx(1.0 / math.sqrt(4.0 + EPSILON))
    assert found[0, 1] == CLIP
    assert math.isnan(found[1, 0])


def test_mean_and_variance_are_of_the_values_that_are_known() -> None:
    features = np.full((3, 29), np.nan)
    features[:, 0] = [1.0, math.nan, 3.0]
    features[:, 1] = 5.0
    found = fitted([Prepared(TRACK, features)])
    assert (found.mean[0], found.var[0]) == (2.0, 1.0)
    # What never changes, and what is never known, says nothing and is left as it is.
    assert (found.mean[1], found.var[1]) == (0.0, 1.0)
    assert (found.mean[2], found.var[2]) == (0.0, 1.0)


def test_what_is_missing_or_hidden_is_the_mean_with_its_bit_at_zero() -> None:
    values = np.arange(1.0, 30.0)
    values[4] = math.nan
    hides = np.zeros(29, np.bool_)
    hides[0] = True
    seen = observed(values, hides)
    assert seen.dtype == np.float32
    assert seen[:6].tolist() == [0.0, 2.0, 3.0, 4.0, 0.0, 6.0]
    assert seen[29:35].tolist() == [0.0, 1.0, 1.0, 1.0, 0.0, 1.0]


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 0.5), st.integers(0, 999))
def test_whatever_is_hidden_one_that_is_known_is_shown(
    groups: float, singles: float, few: float, requests: float, seed: int
) -> None:
    masking = Masking(groups=groups, singles=singles, few=few, requests=requests)
    hides = hidden(masking, OF_BARS, np.random.default_rng(seed))
    assert (OF_BARS & ~hides).any()


def test_a_mask_like_a_request_shows_rsi_and_change_percent_and_some_of_four_more() -> None:
    always, often = ({FEATURES.index(name) for name in names} for names in (ALWAYS_ASKED, OFTEN_ASKED))
    found = set()
    for seed in range(100):
        shown = set(np.flatnonzero(~hidden(Masking(requests=1.0), OF_BARS, np.random.default_rng(seed))).tolist())
        assert always <= shown <= always | often
        found.add(frozenset(shown))
    assert len(found) == 2 ** len(OFTEN_ASKED)


def test_few_shows_one_to_six_and_groups_are_hidden_whole() -> None:
    for seed in range(50):
        few = ~hidden(Masking(few=1.0), OF_BARS, np.random.default_rng(seed))
        assert 1 <= few.sum() <= 6
        groups = hidden(Masking(groups=0.5), np.zeros(29, np.bool_), np.random.default_rng(seed))
        start = 0
        for group in GROUPS:
            assert len(set(groups[start : start + len(group)].tolist())) == 1
            start += len(group)
    assert not hidden(Masking(), OF_BARS, np.random.default_rng(0)).any()
    assert np.flatnonzero(~all_but([4, 7])).tolist() == [4, 7]


def test_chances_that_are_more_than_one_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^few, requests: expected at most 1 together, got 0\.6 and 0\.6$"):
        Masking(few=0.6, requests=0.6)


def test_its_own_state_is_the_exposure_the_open_orders_and_the_age_of_the_price() -> None:
    account = EpisodeAccount(TradingSettings(), barred([10.0] * 4), 0, seed=1)
    assert own_state(account).tolist() == [0.0, 0.0, 0.0]
    account.act(SIMPLE[2])
    assert own_state(account).tolist() == [0.0, 1.0, 0.0]
    account.advance()
    exposure, orders, _ = own_state(account).tolist()
    assert exposure == pytest.approx(account.exposure, rel=1e-6)
    assert exposure > 0.9
    assert orders == 0.0
