"""The environment keeps to gymnasium's contract, and to the rules of honest episodes."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium
import msgspec
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env

from actors.agents.environment.account import TradingSettings
from actors.agents.environment.market import SimulatedBars, simulated_track
from actors.agents.environment.observation import Masking, prepared
from actors.agents.environment.trading import SHORTEST, WARM_UP, TradingEnv
from actors.execution.matching.settings import FeeSettings, FillSettings
from protocols.nanos import NANO
from tests.actors.agents.environment.kit import barred

TRACKS = [prepared(simulated_track(SimulatedBars(scenario="high_volatility"), seed)) for seed in (1, 2)]
FREE = TradingSettings(fills=FillSettings(fees=FeeSettings(model="none")))
SELL, HOLD, BUY = range(3)


def env_of(**options: Any) -> TradingEnv:
    return TradingEnv(TRACKS, **options)


def played(env: TradingEnv, seed: int, steps: int = 60) -> list[tuple[bytes, float, bool, bool, float]]:
    chance = np.random.default_rng(seed)
    seen, told = env.reset(seed=seed)
    found = [(seen.tobytes(), 0.0, False, False, told["equity"])]
    for _ in range(steps):
        seen, reward, terminated, truncated, told = env.step(int(chance.integers(len(env.meanings))))
        found.append((seen.tobytes(), float(reward), terminated, truncated, told["equity"]))
        if terminated or truncated:
            break
    return found


@pytest.mark.parametrize("options", [{}, {"with_position": True, "actions": "shares"}])
def test_gymnasium_and_stable_baselines_find_nothing_wrong_with_it(options: dict[str, Any]) -> None:
    from stable_baselines3.common.env_checker import check_env

    masking = Masking(groups=0.3, singles=0.1, few=0.1, requests=0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Rendering is left out: there is nothing to draw, and gymnasium warns that it was not tried.
        gymnasium_check_env(env_of(masking=masking, begin_long=0.5, **options), skip_render_check=True)
        check_env(env_of(masking=masking, begin_long=0.5, **options))


def test_it_is_made_by_its_name() -> None:
    env = gymnasium.make("actors.agents.environment.registration:Troupe/Trading-v0", tracks=TRACKS)
    seen, _ = env.reset(seed=1)
    assert seen.shape == (58,)
    assert isinstance(env.unwrapped, TradingEnv)


def test_the_same_seed_and_actions_give_the_same_episode_to_the_last_bit() -> None:
    options = {"begin_long": 0.5, "masking": Masking(singles=0.3)}
    assert played(env_of(**options), 5) == played(env_of(**options), 5)
    assert played(env_of(**options), 5) != played(env_of(**options), 6)


def test_the_reward_is_the_change_of_the_equity_in_percent_with_costs_paid() -> None:
    env = env_of()
    _, told = env.reset(seed=1, options={"track": 0, "start": WARM_UP})
    equity = told["equity"]
    for action in (BUY, HOLD, SELL, HOLD):
        _, reward, _, _, told = env.step(action)
        assert reward == pytest.approx(100 * (told["equity"] / equity - 1))
        equity = told["equity"]
    # In and out in a market that hardly moved meanwhile: the fees of two orders, and the spread besides.
    assert told["orders"] == 2
    assert told["fees"] == pytest.approx(2 * 0.001 * 10_000, rel=0.1)


def test_an_episode_ends_truncated_at_the_end_of_its_track_and_never_spans_two() -> None:
    env = env_of(trading=msgspec.structs.replace(FREE, ruin=1.0, most_drawdown=1.0))
    last = len(TRACKS[1].track) - 1
    _, told = env.reset(seed=1, options={"track": 1, "start": last - 3})
    for place in (last - 2, last - 1, last):
        _, _, terminated, truncated, told = env.step(HOLD)
        assert (told["track"], told["place"], terminated) == (1, place, False)
        assert truncated == (place == last)


def test_an_episode_has_no_more_steps_than_were_asked_for() -> None:
    assert played(env_of(most_steps=5), 1)[-1][2:4] == (False, True)
    assert len(played(env_of(most_steps=5), 1)) == 6


def test_a_settlement_terminates_and_pays() -> None:
    track = barred([10.0] * 100, settlement=20 * NANO)
    env = TradingEnv([prepared(track)], trading=FREE)
    env.reset(seed=1, options={"track": 0, "start": 97})
    assert env.step(BUY)[2:4] == (False, False)
    _, reward, terminated, truncated, told = env.step(HOLD)
    assert (terminated, truncated) == (True, False)
    assert told["equity"] == pytest.approx(10_000 + 990 * 10)
    assert reward == 10.0  # clipped


@pytest.mark.parametrize(("closes", "limits"), [
    ([10.0] * 90 + [4.0] * 10, {"most_drawdown": 1.0}),
    ([10.0] * 88 + [20.0, 20.0] + [12.0] * 10, {"ruin": 1.0}),
])  # fmt: skip
def test_ruin_and_too_deep_a_fall_terminate(closes: list[float], limits: dict[str, float]) -> None:
    env = TradingEnv([prepared(barred(closes))], trading=msgspec.structs.replace(FREE, **limits))
    env.reset(seed=1, options={"track": 0, "start": 86})
    ends = []
    for _ in range(4):
        _, _, terminated, truncated, told = env.step(BUY)
        ends.append((terminated, truncated))
        if terminated:
            break
    assert ends == [*[(False, False)] * 3, (True, False)]
    assert told["place"] == 90


def test_who_begins_long_has_bought_one_bar_before() -> None:
    env = env_of(begin_long=1.0)
    _, told = env.reset(seed=1, options={"track": 0, "start": 100})
    assert told["place"] == 100
    assert told["orders"] == 1
    assert told["exposure"] > 0.9
    _, flat = env_of().reset(seed=1, options={"track": 0, "start": 100})
    assert (flat["orders"], flat["exposure"]) == (0, 0.0)


def test_an_episode_is_warmed_by_what_came_before_it() -> None:
    env = env_of(normaliser=env_of().normaliser)
    seen, told = env.reset(seed=1, options={"track": 0, "start": WARM_UP})
    assert seen[29:].sum() == 12
    cut = prepared(TRACKS[0].track.until(WARM_UP + SHORTEST + 1))
    alone = TradingEnv([cut], normaliser=env.normaliser)
    assert np.array_equal(alone.reset(seed=1, options={"track": 0, "start": told["place"]})[0], seen)


def test_masks_are_the_actions_that_would_be_orders() -> None:
    env = TradingEnv([prepared(barred([10.0] * 100))], trading=FREE)
    env.reset(seed=1, options={"track": 0, "start": WARM_UP})
    assert env.action_masks().tolist() == [False, True, True]
    env.step(BUY)
    # One part in a hundred of the cash was kept back, and can be spent by a second order; then too little is left.
    assert env.action_masks().tolist() == [True, True, True]
    env.step(BUY)
    assert env.action_masks().tolist() == [True, True, False]


def test_with_its_position_it_sees_three_numbers_more() -> None:
    env = env_of(with_position=True)
    seen, _ = env.reset(seed=1, options={"track": 0, "start": WARM_UP})
    assert seen[58:].tolist() == [0.0, 0.0, 0.0]
    seen, *_, told = env.step(BUY)
    assert seen[58] == pytest.approx(told["exposure"], rel=1e-6)


@pytest.mark.parametrize(("options", "words"), [
    ({"actions": "many"}, r"^actions: expected one of simple, shares, got 'many'$"),
    ({"reward": "luck"}, r"^reward: expected one of simple_return, .*, got 'luck'$"),
    ({"scenario": "up", "tracks": ()}, r"^scenario: expected one of mixed, .*, got 'up'$"),
    ({"begin_long": 2.0}, r"^begin_long: expected a share from 0 to 1, got 2\.0$"),
    ({"warm_up": 0}, r"^warm_up, most_steps: expected 1 or more, got 0, 1000$"),
    ({"render_mode": "human"}, r"^render_mode: there is nothing to draw, got 'human'$"),
    ({"tracks": [prepared(barred([1.0] * 80))]}, r"^tracks: expected 81 bars or more, got 80 of known$"),
])  # fmt: skip
def test_an_environment_that_cannot_be_is_refused_by_name(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TradingEnv(**{"tracks": TRACKS, **options})


@pytest.mark.parametrize(("options", "words"), [
    ({"track": 2}, r"^track: expected 0 to 1, got 2$"),
    ({"track": 0, "start": 3}, r"^start: expected 64 to 254, got 3$"),
    ({"place": 3}, r"^options: expected track and start, got place$"),
])  # fmt: skip
def test_an_episode_that_cannot_begin_is_refused_by_name(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        env_of().reset(seed=1, options=options)


def test_a_step_without_a_beginning_and_an_action_that_is_none_are_refused() -> None:
    env = env_of()
    with pytest.raises(RuntimeError, match=r"^step: reset comes first$"):
        env.step(0)
    with pytest.raises(RuntimeError, match=r"^action_masks: reset comes first$"):
        env.action_masks()
    env.reset(seed=1)
    with pytest.raises(ValueError, match=r"^action: expected 0 to 2, got 3$"):
        env.step(3)
