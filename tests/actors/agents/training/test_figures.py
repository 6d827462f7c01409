"""What a comparison says, whichever way it went."""

from __future__ import annotations

import math

import numpy as np
import pytest

from actors.agents.environment.account import TradingSettings
from actors.agents.environment.actions import SIMPLE
from actors.agents.environment.observation import FEATURES, Prepared, prepared
from actors.agents.training.contenders import hold, of_policy, rule
from actors.agents.training.evaluation import Played, drawdown, play, sharpe
from actors.agents.training.figures import estimate, summaries, table, verdict, versus
from actors.agents.training.gate import Standing, gate
from actors.decisions.policy import Mask, PolicyAnswer, PolicyInfo, Values
from actors.execution.matching.settings import FeeSettings, FillSettings
from tests.actors.agents.environment.kit import barred

FREE = TradingSettings(fills=FillSettings(fees=FeeSettings(model="none")))
SELL, HOLD, BUY = SIMPLE


def made(*returns: float) -> list[Played]:
    return [Played(f"t{place}", each) for place, each in enumerate(returns)]


def test_a_track_is_played_by_the_actions_at_the_end_of_each_bar_and_filled_at_the_next_open() -> None:
    # Bars open where the one before closed: bought at 10 and sold at 12, whatever came before and after.
    track = prepared(barred([5.0, 5.0, 10.0, 11.0, 12.0, 3.0, 3.0]))
    actions = [BUY, BUY, BUY, HOLD, SELL, HOLD, HOLD]
    found = play(track, actions, FREE, start=2)
    assert found.return_ == pytest.approx(990 * 2 / 10_000)
    assert (found.orders, found.fills, found.fees) == (2, 2, 0.0)
    assert found.drawdown == 0.0
    with pytest.raises(ValueError, match=r"^start: expected a bar before the last, 6, got 6$"):
        play(track, actions, FREE, start=6)


def test_what_fees_took_is_in_the_return_too() -> None:
    track = prepared(barred([10.0] * 6))
    found = play(track, [BUY, HOLD, HOLD, SELL, HOLD, HOLD], TradingSettings(), start=0)
    assert found.fees > 0.0018
    # The slippage of 0.05 %, here a whole tick of 0.01, comes on top at either side.
    assert found.return_ == pytest.approx(-found.fees - 2 * 0.001 * 0.989)


def test_sharpe_and_drawdown_are_those_computed_by_hand() -> None:
    curve = [100.0, 110.0, 99.0, 108.9]
    changes = np.array([0.1, -0.1, 0.1])
    assert sharpe(curve, 4.0) == pytest.approx(changes.mean() / changes.std(ddof=1) * 2.0)
    assert sharpe([100.0, 100.0, 100.0], 4.0) == 0.0
    assert drawdown(curve) == pytest.approx(0.1)
    assert drawdown([1.0, 2.0, 3.0]) == 0.0


def test_an_estimate_is_the_mean_and_its_standard_error() -> None:
    found = estimate([0.1, 0.2, 0.3, 0.4])
    assert found.mean == pytest.approx(0.25)
    assert found.error == pytest.approx(np.std([0.1, 0.2, 0.3, 0.4], ddof=1) / 2, abs=1e-6)
    assert estimate([0.1]).error is None
    with pytest.raises(ValueError, match=r"^values: expected one or more, got none$"):
        estimate([])


def test_one_against_another_counts_track_by_track() -> None:
    found = versus(made(0.1, 0.0, 0.3), made(0.0, 0.1, 0.3))
    assert (found.wins, found.losses, found.ties) == (1, 1, 1)
    assert (found.worst, found.best) == (-0.1, 0.1)
    with pytest.raises(ValueError, match=r"^tracks: expected the same ones in the same order$"):
        versus(made(0.1), [Played("other", 0.1)])


@pytest.mark.parametrize(("returns", "words"), [
    ((0.11, 0.10, 0.12), "better after costs"),
    ((-0.11, -0.10, -0.12), "WORSE after costs"),
    ((0.5, -0.5, 0.1), "no difference that stands out of the noise"),
])  # fmt: skip
def test_the_verdict_names_what_stands_out_of_the_noise_and_the_worst_track(
    returns: tuple[float, ...], words: str
) -> None:
    said = verdict("it", versus(made(*returns), made(0.0, 0.0, 0.0)), "hold")
    assert words in said
    assert said.startswith("it against hold: ")
    assert said.endswith(f"its worst track is {min(returns):+.2%} against it")


def test_the_table_has_a_line_for_each_and_says_losses_as_well() -> None:
    found = summaries({"it": made(-0.1, -0.3), "hold": made(0.1, 0.1)}, ("hold",))
    _, it, hold_line = table("two tracks", found, ("hold",)).splitlines()
    assert "-20.00%" in it
    assert "-30.00%" in it
    assert "0 won  2 lost" in it
    assert hold_line.split()[:2] == ["hold", "+10.00%"]


@pytest.mark.parametrize(("candidate", "passed", "improvement"), [
    (Standing(0.12, 1.2, 0.08), True, 0.2),
    (Standing(0.10, 1.0, 0.10), False, 0.0),
    # A drawdown twice as deep is worse, not better, as system 0 had it: -1 of three.
    (Standing(0.12, 1.2, 0.20), False, -0.2),
])  # fmt: skip
def test_the_gate_asks_for_fifteen_percent_on_average_with_the_right_sign_of_the_drawdown(
    candidate: Standing, passed: bool, improvement: float
) -> None:
    found = gate(candidate, Standing(0.10, 1.0, 0.10))
    assert found.passed is passed
    assert found.improvement == pytest.approx(improvement)
    assert ("passed" if passed else "failed") in found.text()


def test_next_to_a_baseline_of_nothing_an_improvement_counts_whole_and_no_more() -> None:
    assert gate(Standing(0.01, 0.5, 0.0), Standing(0.0, 0.0, 0.0)).improvement == pytest.approx(2 / 3)
    assert gate(Standing(9.0, 9.0, 0.1), Standing(-0.001, 0.001, 0.1)).improvement == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match=r"^drawdown: expected 0 or more, got -0\.1$"):
        Standing(0.1, 1.0, -0.1)


class Remembers:
    """A policy that buys, and remembers what it was asked."""

    info = PolicyInfo(
        kind="python", algorithm="test", version="v", feature_set="market29", features=FEATURES, actions=SIMPLE,
        confidence_kind="probability",
    )  # fmt: skip

    def __init__(self) -> None:
        self.asked: list[Values] = []
        self.told: list[Values | None] = []

    def act(self, values: Values, mask: Mask | None = None, regimes: Values | None = None) -> list[PolicyAnswer]:
        self.asked.append(values)
        self.told.append(regimes)
        return [PolicyAnswer(2, (0.0, 0.0, 1.0), 1.0)] * len(values)


def test_a_policy_is_asked_with_raw_features_those_that_are_not_shown_missing() -> None:
    track = prepared(barred([10.0 + place % 3 for place in range(60)]))
    policy = Remembers()
    assert of_policy(policy)(track) == [BUY] * 60
    assert np.array_equal(policy.asked[0], track.features, equal_nan=True)
    of_policy(policy, lambda each: np.full((len(each.track), 4), 0.25), shown=("rsi",))(track)
    shown = FEATURES.index("rsi")
    assert np.array_equal(policy.asked[1][:, shown], track.features[:, shown], equal_nan=True)
    assert np.isnan(np.delete(policy.asked[1], shown, axis=1)).all()
    assert policy.told[1] is not None
    assert policy.told[1].shape == (60, 4)


def test_hold_buys_and_keeps_and_the_rule_is_the_one_that_nodes_serve() -> None:
    bars = barred([10.0] * 4)
    raw = ({}, {"rsi": 20.0, "macd": 0.1}, {"rsi": 80.0, "macd": -0.1, "change_percent": -2.0}, {"rsi": 20.0})
    track = Prepared(bars, np.full((4, 29), math.nan), raw)
    assert hold(track) == [BUY] * 4
    assert rule(track) == [HOLD, BUY, SELL, HOLD]
