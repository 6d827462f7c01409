"""Rewards: what a step was worth, with the signs right."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.agents.environment.objectives import (
    MULTI_OBJECTIVE,
    NAMES,
    WEIGHTS,
    Adaptive,
    ConstraintBased,
    Lexicographic,
    Measured,
    Pareto,
    WeightedSum,
    dominates,
    weighted,
)
from actors.agents.environment.rewards import FLOOR, REWARDS, Outcome, clipped, reward_of, sharpe

UP = Outcome(100.0, 101.0)
DOWN = Outcome(101.0, 99.99)


def test_the_simple_return_is_the_change_in_percent() -> None:
    assert reward_of("simple_return")(UP) == pytest.approx(1.0)
    assert reward_of("simple_return")(Outcome(0.0, 5.0)) == 0.0


def test_the_sharpe_ratio_is_the_mean_over_the_deviation_with_a_floor() -> None:
    assert sharpe([0.01, 0.03]) == pytest.approx(0.02 / (0.01 + FLOOR))
    assert sharpe([]) == 0.0
    reward = reward_of("sharpe_ratio")
    reward(UP)
    assert reward(DOWN) == pytest.approx(sharpe([UP.change, DOWN.change]))


def test_only_the_last_thirty_steps_count_for_the_sharpe_ratio() -> None:
    reward = reward_of("sharpe_ratio")
    for _ in range(5):
        reward(Outcome(100.0, 50.0))
    for _ in range(30):
        last = reward(UP)
    assert last == pytest.approx(0.01 / FLOOR)


def test_risk_adjusted_and_combined_are_those_computed_by_hand() -> None:
    paid = Outcome(100.0, 98.0, fees=1.0, traded=True)
    assert reward_of("risk_adjusted")(paid) == pytest.approx(100 * (-0.02 - 0.1 * 0.02 - 0.01))
    wanted = 0.4 * -2.0 + 0.3 * (-0.02 / FLOOR) - 0.2 * 2.0 - 0.1 * 1.0
    assert reward_of("combined")(paid) == pytest.approx(wanted)


@given(
    st.sampled_from(["risk_adjusted", "combined", "weighted_sum", "constraint_based"]),
    st.floats(-0.05, 0.05),
    st.floats(0.01, 5.0),
)
def test_a_higher_cost_never_pays(name: str, change: float, fees: float) -> None:
    free, dear = reward_of(name), reward_of(name)  # type: ignore[arg-type]
    after = 100.0 * (1 + change)
    # The same market; what the fees took is gone from the equity.
    assert dear(Outcome(100.0, after - fees, fees)) < free(Outcome(100.0, after))


@given(st.sampled_from(REWARDS), st.floats(0.02, 0.3))
def test_a_deeper_fall_is_never_rewarded_more(name: str, fall: float) -> None:
    shallow, deep = reward_of(name), reward_of(name)
    assert deep(Outcome(100.0, 100.0 * (1 - fall))) <= shallow(Outcome(100.0, 99.0))


def test_an_unknown_reward_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"^reward: expected one of simple_return, sharpe_ratio, .*, got 'luck'$"):
        reward_of("luck")  # type: ignore[arg-type]


def test_rewards_are_clipped() -> None:
    assert [clipped(each) for each in (-99.0, -1.0, 99.0)] == [-10.0, -1.0, 10.0]


def test_every_reward_begins_anew_with_its_episode() -> None:
    for name in REWARDS:
        first = reward_of(name)
        said = [first(DOWN), first(UP), first(DOWN)]
        again = reward_of(name)
        assert [again(DOWN), again(UP), again(DOWN)] == said
        assert all(map(math.isfinite, said))


def test_the_objectives_of_a_first_winning_trade() -> None:
    found = Measured()(Outcome(100.0, 101.0, fees=0.5, traded=True))
    values = dict(zip(NAMES, found.values, strict=True))
    assert values["profit"] == pytest.approx(1.0)
    assert values["risk_adjusted"] == pytest.approx(0.01 / FLOOR)
    assert values["drawdown"] == 0.0
    assert values["consistency"] == pytest.approx(0.4)
    assert values["cost"] == pytest.approx(-0.5)
    assert values["exploration"] == 1.0
    assert (found.drawdown_missed, found.sharpe_missed, found.won_missed) == (0.0, 0.0, 0.0)


def test_weights_add_up_to_one_and_exploring_pays_ten_times() -> None:
    assert math.fsum(WEIGHTS) == pytest.approx(1.0)
    measured = Measured()
    paid = [measured(Outcome(100.0, 100.0, traded=True)).values[5] for _ in range(12)]
    assert paid == [1.0] * 10 + [0.0] * 2


def test_the_weighted_sum_is_the_sum_with_system_zeros_weights() -> None:
    found = Measured()(UP)
    assert WeightedSum()(UP) == pytest.approx(weighted(found.values))


def test_one_step_dominates_another_that_is_worse_in_all_and_that_pays() -> None:
    assert dominates((1.0, 2.0), (1.0, 1.0))
    assert not dominates((1.0, 2.0), (2.0, 1.0))
    assert not dominates((1.0, 1.0), (1.0, 1.0))
    pareto, plain = Pareto(), WeightedSum()
    loss, win = Outcome(100.0, 98.0, fees=1.0), Outcome(98.0, 99.0)
    pareto(loss), plain(loss)
    assert pareto(win) == pytest.approx(plain(win) + 1.0)


def test_the_first_target_that_is_missed_is_all_that_counts() -> None:
    reward = Lexicographic()
    assert reward(UP) == pytest.approx(1.0)
    # A fall of 22.5 % misses the drawdown's target of 15 % by half of it.
    assert reward(Outcome(101.0, 101.0 * 0.775)) == pytest.approx(-9.5)
    assert Lexicographic()(DOWN) == pytest.approx(-9.0)  # the Sharpe ratio is below 0


def test_missed_targets_are_subtracted_ten_times() -> None:
    found = Measured()(DOWN)
    missed = found.drawdown_missed + found.sharpe_missed + found.won_missed
    assert missed == pytest.approx(2.0)  # a Sharpe ratio below 0, and no step won
    assert ConstraintBased()(DOWN) == pytest.approx(found.values[0] - 10.0 * missed)


def test_adaptive_weights_grow_with_what_is_missed_and_still_add_up_to_one() -> None:
    found = Measured()(DOWN)
    raised = dict(zip(NAMES, WEIGHTS, strict=True))
    raised["risk_adjusted"] *= 2.0
    raised["consistency"] *= 2.0
    total = sum(raised.values())
    wanted = sum(raised[name] / total * value for name, value in zip(NAMES, found.values, strict=True))
    assert Adaptive()(DOWN) == pytest.approx(wanted)
    assert set(MULTI_OBJECTIVE) < set(REWARDS)
